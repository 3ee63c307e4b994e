package apiservices

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cluster is an API server with these APIServices.
type cluster string

func (c cluster) Get(_ context.Context, path string, _ url.Values, into any) error {
	if path != "/apis/apiregistration.k8s.io/v1/apiservices" || c == "" {
		return errors.New("forbidden")
	}
	return json.Unmarshal([]byte(c), into)
}

const services cluster = `{"items": [
  {"metadata": {"name": "v1.apps"}, "spec": {}, "status": {"conditions": [{"type": "Available", "status": "True", "reason": "Local"}]}},
  {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": {"service": {"namespace": "kube-system", "name": "metrics-server"}},
   "status": {"conditions": [{"type": "Available", "status": "True", "reason": "Passed"}]}},
  {"metadata": {"name": "v1beta1.new.example.com"}, "spec": {"service": {"namespace": "new", "name": "new"}}},
  {"metadata": {"name": "v1beta2.custom.metrics.k8s.io", "labels": {"app": "theirs"}}, "spec": {"service": {"namespace": "theirs", "name": "adapter"}},
   "status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints", "message": "endpoints for\n service/adapter in \"theirs\" have no addresses"}]}},
  {"metadata": {"name": "v1beta1.external.metrics.k8s.io", "labels": {"app.kubernetes.io/name": "keda"},
    "annotations": {"meta.helm.sh/release-name": "keda", "meta.helm.sh/release-namespace": "keda"}},
   "spec": {"service": {"namespace": "keda", "name": "keda-metrics"}},
   "status": {"conditions": [{"type": "Available", "status": "False", "reason": "ServiceNotFound", "message": "service/keda-metrics in \"keda\" is not present"}]}},
  {"metadata": {"name": "v1beta1.custom.metrics.k8s.io"}, "spec": {"service": {"namespace": "monitoring", "name": "prometheus-adapter"}},
   "status": {"conditions": [{"type": "Available", "status": "False", "reason": "FailedDiscoveryCheck", "message": "503"}]}}
]}`

func TestFind(t *testing.T) {
	found, err := Find(t.Context(), services)
	require.NoError(t, err)
	found = Others(found, "monitoring")
	require.Len(t, found, 2, "without those that answer, those that nobody has looked at yet, and the stack's own")
	assert.Equal(t, `APIService v1beta1.external.metrics.k8s.io is not available (ServiceNotFound: service/keda-metrics in "keda" is not present); `+
		`it belongs to Helm release keda/keda`, found[0].String())
	assert.Equal(t, "make Service keda/keda-metrics answer, or, if nobody needs the API any more, "+
		"`kubectl --context c delete apiservice v1beta1.external.metrics.k8s.io`", found[0].Remedy("kubectl --context c"))
	assert.Contains(t, found[1].String(), `MissingEndpoints: endpoints for service/adapter in "theirs" have no addresses); it belongs to theirs`)

	all, err := Find(t.Context(), services)
	require.NoError(t, err)
	assert.Len(t, Others(all, "metrics"), 3, "another stack's")

	_, err = Find(t.Context(), cluster(""))
	assert.ErrorContains(t, err, "reading the APIServices: forbidden")
}

// hanging is an API server whose login program never ends.
type hanging struct{}

func (hanging) Get(context.Context, string, url.Values, any) error {
	time.Sleep(time.Hour)
	return nil
}

func TestFindEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Find(ctx, hanging{})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestOwner(t *testing.T) {
	for text, want := range map[string]string{
		`{"labels": {"k8s-app": "metrics-server", "kubernetes.io/cluster-service": "true"}}`: "the cluster's own add-ons",
		`{"labels": {"olm.owner": "packageserver"}}`:                                         "the operator packageserver",
		`{"ownerReferences": [{"kind": "KedaController", "name": "keda"}]}`:                  "KedaController keda",
		`{"labels": {"app.kubernetes.io/part-of": "kserve"}}`:                                "kserve",
		`{}`: "",
	} {
		var s apiService
		require.NoError(t, json.Unmarshal([]byte(`{"metadata": `+text+`}`), &s))
		assert.Equal(t, want, Owner(s.ObjectMeta), text)
	}
	assert.Contains(t, Unavailable{Name: "v1.x"}.String(), "names an owner")
}
