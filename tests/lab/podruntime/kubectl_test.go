package podruntime

import (
	"compress/gzip"
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
)

// upgradeJob returns the launcher of the pod of an upgrade Job, whose packed CRDs lie in its volume, with an API server.
func upgradeJob(t *testing.T, crds string, api http.HandlerFunc) *launcher {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	for _, volume := range []string{"crds", "tmp"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "volumes", volume), 0o755))
	}
	packed, err := os.Create(filepath.Join(dir, "volumes", "crds", "crds.gz"))
	require.NoError(t, err)
	pack := gzip.NewWriter(packed)
	_, err = io.WriteString(pack, crds)
	require.NoError(t, err)
	require.NoError(t, pack.Close())
	require.NoError(t, packed.Close())
	tmp := corev1.VolumeMount{Name: "tmp", MountPath: "/tmp/"}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "kps-crds-upgrade-x"},
		Spec: corev1.PodSpec{
			ServiceAccountName: "kps-crds-upgrade",
			InitContainers: []corev1.Container{{
				Name: "busybox", Command: []string{"sh"}, Args: []string{"-c", "zcat /crds/crds.gz > /tmp/crds.yaml"},
				VolumeMounts: []corev1.VolumeMount{{Name: "crds", MountPath: "/crds/"}, tmp},
			}},
			Containers: []corev1.Container{{
				Name: "kubectl", Image: "registry.k8s.io/kubectl:v1.34.1", Command: []string{"kubectl"},
				Args:         []string{"apply", "--server-side", "--force-conflicts", "--filename", "/tmp/crds.yaml"},
				VolumeMounts: []corev1.VolumeMount{tmp},
			}},
		},
	}
	return &launcher{dir: dir, pod: pod, container: &pod.Spec.Containers[0], runtime: &Runtime{config: Config{
		KubeconfigFor: func(user string) (string, error) {
			assert.Equal(t, "system:serviceaccount:monitoring:kps-crds-upgrade", user)
			file := filepath.Join(dir, "kubeconfig")
			return file, os.WriteFile(file, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c",
				"clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c"}}]}`, server.URL), 0o600)
		},
	}}}
}

func TestKubectlAppliesTheUnpackedCRDs(t *testing.T) {
	var applied []string
	l := upgradeJob(t, `---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: a.example.com}
---

---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: b.example.com}
`, func(w http.ResponseWriter, r *http.Request) {
		applied = append(applied, r.Method+" "+r.URL.Path+" "+r.URL.Query().Get("fieldManager")+" "+r.URL.Query().Get("force"))
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	plan, err := l.kubectl()
	require.NoError(t, err)
	require.Error(t, plan.ready(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- plan.inProcess(t.Context()) }()
	eventually(t, func() string {
		if err := plan.ready(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	})
	folder := "PATCH /apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
	assert.Equal(t, []string{folder + "a.example.com kubectl true", folder + "b.example.com kubectl true"}, applied)
}

func TestKubectlFailsWithTheServer(t *testing.T) {
	l := upgradeJob(t, "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.example.com}\n",
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			assert.NoError(t, json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
				Status: "Failure", Code: http.StatusForbidden, Message: "not allowed", Reason: metav1.StatusReasonForbidden}))
		})
	plan, err := l.kubectl()
	require.NoError(t, err)
	require.ErrorContains(t, plan.inProcess(t.Context()), "a.example.com: not allowed")
	require.Error(t, plan.ready(t.Context()))
}

func TestKubectlRefusesWhatTheLabDoesNotRun(t *testing.T) {
	for text, args := range map[string][]string{
		"apply --server-side only": {"delete", "--filename", "/tmp/crds.yaml"},
		"without --filename":       {"apply", "--server-side"},
		"is on no volume":          {"apply", "--server-side", "--filename", "/etc/crds.yaml"},
	} {
		l := upgradeJob(t, "", func(http.ResponseWriter, *http.Request) {})
		l.container.Args = args
		_, err := l.kubectl()
		require.ErrorContains(t, err, text)
	}
	l := upgradeJob(t, "", func(http.ResponseWriter, *http.Request) {})
	require.ErrorContains(t, l.unpack(&corev1.Container{Name: "x", Args: []string{"sleep 1"}}), "bzcat and zcat only")
}
