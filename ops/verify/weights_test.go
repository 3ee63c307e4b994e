package verify

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// TestWeightsLine checks what the stage pods tells of the place of the weights.
func TestWeightsLine(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/namespaces/vllm/persistentvolumeclaims/models" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(corev1.PersistentVolumeClaim{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}, ObjectMeta: metav1.ObjectMeta{Name: "models", Namespace: "vllm"},
			Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany}},
		})
	}))
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	volume := func(source corev1.VolumeSource) *corev1.PodSpec {
		return &corev1.PodSpec{Volumes: []corev1.Volume{{Name: "tmp"}, {Name: "model-weights", VolumeSource: source}}}
	}
	claim := func(name string) corev1.VolumeSource {
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}
	}
	for name, test := range map[string]struct {
		pod  *corev1.PodSpec
		want string
	}{
		"the hub":       {&corev1.PodSpec{Containers: []corev1.Container{{Args: []string{"google/gemma-3-1b-it"}}}}, ""},
		"a bucket":      {&corev1.PodSpec{Containers: []corev1.Container{{Args: []string{"gs://models/gemma"}}}}, ", weights from bucket gs://models/gemma"},
		"an image":      {volume(corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "a/b:1"}}), ", weights from image a/b:1"},
		"a claim":       {volume(claim("models")), ", weights from PersistentVolumeClaim models (Bound, ReadOnlyMany)"},
		"another claim": {volume(claim("other")), "which cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			got := (&walk{client: client}).weights(t.Context(), test.pod, "vllm")
			if test.want == "" {
				assert.Empty(t, got)
			}
			assert.Contains(t, got, test.want)
		})
	}
}
