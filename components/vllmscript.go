package components

import (
	"fmt"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newScript registers a ConfigMap with one file, a program that runs in the server's pods.
func (a *VLLMArgs) newScript(ctx *pulumi.Context, c *VLLM, name, file, program string) (pulumi.Resource, error) {
	object, err := corev1.NewConfigMap(ctx, name, &corev1.ConfigMapArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String(name),
			Namespace: pulumi.String(a.Namespace),
			Labels:    pulumi.ToStringMap(withLabels(vllmSelector(a.Name))),
		},
		Data: pulumi.StringMap{file: pulumi.String(program)},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering ConfigMap %s/%s: %w", a.Namespace, name, err)
	}
	return object, nil
}
