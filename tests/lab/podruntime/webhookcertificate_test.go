package podruntime

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// Without the Secret of the chart's hook Job, the operator of the published chart waits for its volume until the release
// times out.
func TestWebhookCertificate(t *testing.T) {
	var stored corev1.Secret
	var path string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.Method + " " + r.URL.Path
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		// The client sends protobuf.
		_, _, err = scheme.Codecs.UniversalDeserializer().Decode(body, nil, &stored)
		assert.NoError(t, err)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		assert.NoError(t, json.NewEncoder(w).Encode(stored))
	}))
	defer api.Close()
	user := ""
	l := &launcher{
		runtime: &Runtime{config: Config{KubeconfigFor: func(u string) (string, error) {
			user = u
			file := filepath.Join(t.TempDir(), "kubeconfig")
			return file, os.WriteFile(file, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c",
				"clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c"}}]}`, api.URL), 0o600)
		}}},
		pod: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "create"},
			Spec:       corev1.PodSpec{ServiceAccountName: "kps-admission"},
		},
		container: &corev1.Container{Name: "create"},
	}

	require.NoError(t, l.createCertificate(t.Context(), []string{
		"create", "--host=kps-operator,kps-operator.monitoring.svc", "--namespace=monitoring", "--secret-name=kps-admission",
	}))
	assert.Equal(t, "system:serviceaccount:monitoring:kps-admission", user)
	assert.Equal(t, "POST /api/v1/namespaces/monitoring/secrets", path)
	assert.Equal(t, "kps-admission", stored.Name)
	pair, err := tls.X509KeyPair(stored.Data["cert"], stored.Data["key"])
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	require.NoError(t, err)
	authorities := x509.NewCertPool()
	require.True(t, authorities.AppendCertsFromPEM(stored.Data["ca"]))
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: "kps-operator.monitoring.svc", Roots: authorities})
	require.NoError(t, err)

	require.ErrorContains(t, l.createCertificate(t.Context(), []string{"create"}), "--secret-name")
}
