package verify

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubernetesfake "k8s.io/client-go/kubernetes/fake"
)

func TestAPIKey(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "api-key"}, Data: map[string][]byte{"key": []byte("the-key")}}
	deployment := func(name, from string) *appsv1.Deployment {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm"}}
		d.Spec.Template.Spec.Containers = []corev1.Container{{Env: []corev1.EnvVar{
			{Name: "HOME", Value: "/tmp"},
			{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: from}, Key: "key",
			}}},
		}}}
		return d
	}
	client := kubernetesfake.NewClientset(secret)
	key, err := APIKey(t.Context(), client, deployment(APIKeyVariable, "api-key"))
	require.NoError(t, err)
	assert.Equal(t, "the-key", key)
	key, err = APIKey(t.Context(), client, deployment("HF_TOKEN", "api-key"))
	require.NoError(t, err)
	assert.Empty(t, key)
	_, err = APIKey(t.Context(), client, deployment(APIKeyVariable, "gone"))
	assert.ErrorContains(t, err, `the server's API key: secrets "gone" not found`)
}
