package podruntime

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/tests/lab/cloud"
)

// weightsLauncher returns the launcher of a pod with a claim at /model-weights.
func weightsLauncher(t *testing.T, stores string) *launcher {
	t.Helper()
	runtime, _, _ := startRuntime(t, func(c *Config) { c.ObjectStores = func() string { return stores } },
		&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "models"}})
	return &launcher{
		runtime: runtime, dir: t.TempDir(),
		pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "vllm-1"}, Spec: corev1.PodSpec{ServiceAccountName: "vllm", Volumes: []corev1.Volume{
			{Name: "w", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "models"}}},
		}}},
		container: &corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "w", MountPath: "/model-weights"}}},
	}
}

// TestWeightsOfABucket checks the error of vLLM for what is, or is not, in a bucket.
func TestWeightsOfABucket(t *testing.T) {
	for name, test := range map[string]struct {
		model   string
		objects []string
		env     map[string]string
		refused *cloud.StoreError
		want    string
	}{
		"a model":           {model: "gs://models/gemma", objects: []string{"config.json", "a.safetensors"}},
		"nothing":           {model: "gs://models/gemma", want: "ValueError: Invalid repository ID or local directory specified: '/home/vllm/.cache/vllm/assets/model_streamer/"},
		"no weights":        {model: "gs://models/gemma", objects: []string{"config.json"}, want: "RuntimeError: Cannot find any safetensors model weights with `gs://models/gemma`"},
		"Azure":             {model: "az://models/gemma", objects: []string{"config.json", "a.safetensors"}, env: map[string]string{"AZURE_STORAGE_ACCOUNT_NAME": "account"}},
		"Azure, no account": {model: "az://models/gemma", want: "AZURE_STORAGE_ACCOUNT_NAME"},
		"refused":           {model: "s3://models/gemma", refused: &cloud.StoreError{Exception: "botocore.exceptions.ClientError", Message: "AccessDenied"}, want: "botocore.exceptions.ClientError: AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "vllm", r.Header.Get(cloud.NamespaceHeader))
				assert.Equal(t, "vllm", r.Header.Get(cloud.AccountHeader))
				if strings.HasPrefix(test.model, "az") {
					assert.True(t, strings.HasPrefix(r.URL.Path, "/az/account/models/gemma/"), r.URL.Path)
				}
				if test.refused != nil {
					w.WriteHeader(http.StatusForbidden)
					_ = json.NewEncoder(w).Encode(test.refused)
					return
				}
				objects := []cloud.StoredObject{}
				for _, object := range test.objects {
					objects = append(objects, cloud.StoredObject{Path: "gemma/" + object})
				}
				_ = json.NewEncoder(w).Encode(objects)
			}))
			defer server.Close()
			checkWanted(t, weightsLauncher(t, server.URL).checkWeights(vllmArgs{model: test.model}, test.env), test.want)
		})
	}
	assert.ErrorContains(t, weightsLauncher(t, "").checkWeights(vllmArgs{model: "gs://a/b"}, nil), "no object stores")
}

// TestWeightsOfAClaim checks the error of vLLM for what is, or is not, in a claim, whose files outlive the pod.
func TestWeightsOfAClaim(t *testing.T) {
	for name, test := range map[string]struct {
		model string
		files []string
		env   map[string]string
		want  string
	}{
		"a model":            {model: "/model-weights/gemma", files: []string{"gemma/config.json", "gemma/a.safetensors"}},
		"its root":           {model: "/model-weights", files: []string{"config.json", "a.safetensors"}},
		"no folder":          {model: "/model-weights/gemma", files: []string{"other/config.json"}, env: map[string]string{"HF_HUB_OFFLINE": "1"}, want: "HFValidationError: Repo id must be in the form"},
		"no folder, on line": {model: "/model-weights/gemma", files: []string{"other/config.json"}, want: "ValueError: Invalid repository ID"},
		"no configuration":   {model: "/model-weights/gemma", files: []string{"gemma/a.safetensors"}, want: "ValueError: Invalid repository ID"},
		"no weights":         {model: "/model-weights/gemma", files: []string{"gemma/config.json"}, want: "Cannot find any safetensors"},
		"the hub":            {model: "google/gemma-3-1b-it"},
		"the image":          {model: "/opt/model"},
	} {
		t.Run(name, func(t *testing.T) {
			l := weightsLauncher(t, "")
			for _, file := range test.files {
				at := filepath.Join(l.runtime.ClaimFolder("vllm", "models"), filepath.FromSlash(file))
				require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
				require.NoError(t, os.WriteFile(at, []byte("x"), 0o600))
			}
			checkWanted(t, l.checkWeights(vllmArgs{model: test.model}, test.env), test.want)
			for range 2 {
				_, err := l.volumes()
				require.NoError(t, err)
			}
			for _, file := range test.files {
				assert.FileExists(t, filepath.Join(l.dir, "volumes", "w", filepath.FromSlash(file)))
			}
		})
	}
	assert.Equal(t, "a", vllmArgs{model: "gs://b/c", flags: map[string]string{"served-model-name": "a d"}}.modelName())
	assert.Equal(t, "b/c", vllmArgs{model: "b/c", flags: map[string]string{"served-model-name": "a"}}.modelName())
}

func checkWanted(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		assert.NoError(t, err)
		return
	}
	assert.ErrorContains(t, err, want)
}
