package components

import (
	"encoding/base64"
	"fmt"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newSecret registers an Opaque Secret. Its data is encoded as the API server returns it, so that a
// refresh shows no difference. The SDK makes the data of every Secret secret in the state.
func newSecret(ctx *pulumi.Context, namespace, name string, entries map[string]pulumi.StringInput,
	opts []pulumi.ResourceOption,
) (*corev1.Secret, error) {
	data := pulumi.StringMap{}
	for key, value := range entries {
		data[key] = value.ToStringOutput().ApplyT(func(plain string) string {
			return base64.StdEncoding.EncodeToString([]byte(plain))
		}).(pulumi.StringOutput)
	}
	secret, err := corev1.NewSecret(ctx, name, &corev1.SecretArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String(name),
			Namespace: pulumi.String(namespace),
			Labels:    pulumi.ToStringMap(commonLabels()),
		},
		Type: pulumi.String("Opaque"),
		Data: data,
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("registering Secret %s/%s: %w", namespace, name, err)
	}
	return secret, nil
}
