package verify

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// APIKeyVariable is the environment variable of the server that holds its API key.
const APIKeyVariable = "VLLM_API_KEY"

// APIKey returns the API key from the Secret that the server of a Deployment reads it from; empty where it has none.
func APIKey(ctx context.Context, client kubernetes.Interface, d *appsv1.Deployment) (string, error) {
	for _, container := range d.Spec.Template.Spec.Containers {
		for _, variable := range container.Env {
			if variable.Name != APIKeyVariable || variable.ValueFrom == nil || variable.ValueFrom.SecretKeyRef == nil {
				continue
			}
			from := variable.ValueFrom.SecretKeyRef
			secret, err := client.CoreV1().Secrets(d.Namespace).Get(ctx, from.Name, metav1.GetOptions{})
			if err != nil {
				return "", fmt.Errorf("the server's API key: %w", err)
			}
			return string(secret.Data[from.Key]), nil
		}
	}
	return "", nil
}
