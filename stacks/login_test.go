package stacks

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/aks"
	"vllm-autoscaling/stacks/config"
)

// TestMissingLogin checks that a program which the kubeconfig calls is looked for before anything is created.
func TestMissingLogin(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	for name, test := range map[string]struct {
		request providers.Request
		program string
	}{
		config.CloudGKE: {program: "gke-gcloud-auth-plugin"}, config.CloudEKS: {program: "aws"},
		config.CloudAKS: {request: providers.Request{CloudKeys: &aks.Keys{Entra: aks.Entra{Enabled: true}}}, program: "kubelogin"},
	} {
		cloud, ok := config.FindCloud(name)
		require.True(t, ok)
		program, install := cloud.Login(&test.request)
		assert.Equal(t, test.program, program)
		message := missingLogin(program, install)
		assert.Contains(t, message, program+" is not on the PATH")
		assert.Contains(t, message, install)
		require.NoError(t, os.WriteFile(filepath.Join(bin, program), nil, 0o755))
		assert.Empty(t, missingLogin(program, install))
	}
	certificate, _ := config.FindCloud(config.CloudAKS)
	assert.Empty(t, missingLogin(certificate.Login(&providers.Request{CloudKeys: &aks.Keys{}})), "a kubeconfig with a certificate")
	local, _ := config.FindCloud(config.CloudLocal)
	assert.Nil(t, local.Login)
}
