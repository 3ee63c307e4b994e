package engine

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An API of somebody else that does not answer would hold up a destroy: preview and up name it, and the stack's own is none.
func TestDeadAPIsAreNamed(t *testing.T) {
	s := newStack(t, "local", nil)
	dead := func(name, namespace string) string {
		return fmt.Sprintf(`{"metadata": {"name": %q}, "spec": {"service": {"namespace": %q, "name": "x"}},
			"status": {"conditions": [{"type": "Available", "status": "False", "reason": "ServiceNotFound", "message": "not present"}]}}`, name, namespace)
	}
	s.answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/apis/apiregistration.k8s.io/v1/apiservices" && r.Header.Get("Authorization") == "Bearer a-token" {
			_, _ = fmt.Fprintf(w, `{"items": [%s, %s]}`, dead("v1beta1.external.metrics.k8s.io", "keda"), dead("v1beta1.custom.metrics.k8s.io", "monitoring"))
		}
	}))
	const warning = "warning: APIService v1beta1.external.metrics.k8s.io is not available (ServiceNotFound: not present)"
	require.NoError(t, s.preview().err)
	assert.Contains(t, s.said.String(), warning)
	assert.Contains(t, s.said.String(), "`kubectl --kubeconfig "+s.kubeconfig+" --context kind-test delete apiservice v1beta1.external.metrics.k8s.io`")
	assert.NotContains(t, s.said.String(), "v1beta1.custom.metrics")
	s.up()
	assert.Contains(t, s.said.String(), warning)
}
