package components

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newAccountAndSecrets registers the objects that a pod refers to, and returns them as dependencies of the
// Deployment.
func (a *VLLMArgs) newAccountAndSecrets(ctx *pulumi.Context, c *VLLM) ([]pulumi.Resource, error) {
	account, err := a.newAccount(ctx, c, a.Name, a.BucketIdentity.ReaderAnnotations)
	if err != nil {
		return nil, err
	}
	needs := append(append([]pulumi.Resource{}, a.DependsOn...), account)
	if a.weights().Source == WeightsBucket {
		if _, err := a.newAccount(ctx, c, StagerAccount(a.Name), a.BucketIdentity.WriterAnnotations); err != nil {
			return nil, err
		}
		// A server that starts before it may read the bucket would fail, and wait longer and longer to try again.
		needs = append(needs, a.BucketIdentity.Access...)
	}
	for _, secret := range []struct {
		name, key string
		value     pulumi.StringPtrInput
	}{
		{HuggingFaceSecret(a.Name), huggingFaceKey, a.HuggingFaceToken},
		{APIKeySecret(a.Name), apiKeyKey, a.APIKey},
	} {
		if secret.value == nil {
			continue
		}
		entry := map[string]pulumi.StringInput{secret.key: secret.value.ToStringPtrOutput().Elem()}
		object, err := newSecret(ctx, a.Namespace, secret.name, entry,
			childOptions(c, a.DependsOn))
		if err != nil {
			return nil, err
		}
		needs = append(needs, object)
	}
	return needs, nil
}

// newAccount registers a ServiceAccount, which selects an identity of the cloud by its annotations.
func (a *VLLMArgs) newAccount(ctx *pulumi.Context, c *VLLM, name string, identity pulumi.StringMap) (*corev1.ServiceAccount, error) {
	annotations := pulumi.ToStringMap(a.AccountAnnotations)
	maps.Copy(annotations, identity)
	metadata := a.metadata(annotations)
	metadata.Name = pulumi.String(name)
	account, err := corev1.NewServiceAccount(ctx, name, &corev1.ServiceAccountArgs{
		Metadata: metadata,
		// Neither calls the Kubernetes API.
		AutomountServiceAccountToken: pulumi.Bool(false),
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering ServiceAccount %s/%s: %w", a.Namespace, name, err)
	}
	return account, nil
}

// secretsChecksum returns a checksum of the secrets, so that a new token or key rolls the pods, which read
// it only at startup; nil without secrets.
func (a *VLLMArgs) secretsChecksum() pulumi.StringInput {
	var values []any
	for _, value := range []pulumi.StringPtrInput{a.HuggingFaceToken, a.APIKey} {
		if value != nil {
			values = append(values, value.ToStringPtrOutput().Elem())
		}
	}
	if len(values) == 0 {
		return nil
	}
	return pulumi.ToSecret(pulumi.All(values...).ApplyT(func(plain []any) string {
		sum := sha256.New()
		for _, value := range plain {
			fmt.Fprintf(sum, "%d:%s", len(value.(string)), value)
		}
		return hex.EncodeToString(sum.Sum(nil))
	})).(pulumi.StringOutput)
}
