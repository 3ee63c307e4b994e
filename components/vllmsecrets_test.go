package components

import (
	"fmt"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	kappsv1 "k8s.io/api/apps/v1"
)

func TestVLLMSecrets(t *testing.T) {
	args := vllmArgs()
	args.HuggingFaceToken = pulumi.String("hf_secret")
	args.APIKey = pulumi.String("the key")
	r := runVLLM(t, args)
	for name, want := range map[string]struct{ key, value string }{
		HuggingFaceSecret(VLLMName): {"token", "hf_secret"},
		APIKeySecret(VLLMName):      {"key", "the key"},
	} {
		assert.Equal(t, want.value, secretEntry(t, r.get(t, secretType, name), want.key))
	}

	reg := r.get(t, deploymentType, VLLMName)
	refs := map[string]string{}
	for _, variable := range decode[kappsv1.Deployment](t, reg).Spec.Template.Spec.Containers[0].Env {
		if variable.ValueFrom != nil {
			refs[variable.Name] = variable.ValueFrom.SecretKeyRef.Name + "/" + variable.ValueFrom.SecretKeyRef.Key
		}
	}
	assert.Equal(t, map[string]string{"HF_TOKEN": "vllm-hf-token/token", "VLLM_API_KEY": "vllm-api-key/key"}, refs)
	text := fmt.Sprint(plain(reg))
	assert.NotContains(t, text, "hf_secret")
	assert.NotContains(t, text, "the key")
}

// A pod reads its secrets only when it starts, so a new one must roll the pods; the same one must not.
func TestVLLMRollsWithItsSecrets(t *testing.T) {
	checksum := func(token, key pulumi.StringPtrInput) string {
		args := vllmArgs()
		args.HuggingFaceToken, args.APIKey = token, key
		return vllmDeployment(t, args).Spec.Template.Annotations["vllm-autoscaling/secrets-checksum"]
	}
	first := checksum(pulumi.String("a"), pulumi.String("b"))
	assert.NotEmpty(t, first)
	assert.Equal(t, first, checksum(pulumi.String("a"), pulumi.String("b")))
	assert.NotEqual(t, first, checksum(pulumi.String("a"), pulumi.String("c")))
	assert.NotEqual(t, first, checksum(pulumi.String("c"), pulumi.String("b")))
	assert.NotEqual(t, checksum(pulumi.String("ab"), pulumi.String("c")), checksum(pulumi.String("a"), pulumi.String("bc")))
	assert.Empty(t, checksum(nil, nil))
}

func TestVLLMWithoutSecrets(t *testing.T) {
	r := runVLLM(t, vllmArgs())
	assert.False(t, r.has(secretType, HuggingFaceSecret(VLLMName)))
	assert.False(t, r.has(secretType, APIKeySecret(VLLMName)))
	for _, variable := range decode[kappsv1.Deployment](t, r.get(t, deploymentType, VLLMName)).Spec.Template.Spec.Containers[0].Env {
		assert.Nil(t, variable.ValueFrom, variable.Name)
	}
}
