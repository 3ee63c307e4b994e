package tools

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestForStack(t *testing.T) {
	module, err := ModuleRoot()
	require.NoError(t, err)
	for _, stack := range []string{"local", "gke", "eks", "aks"} {
		names, err := ForStack(filepath.Join(module, "..", "Pulumi."+stack+".yaml"))
		require.NoError(t, err)
		assert.Equal(t, Names(false), names, stack)
	}
	assert.NotContains(t, Names(false), ManagedOperator)
	assert.NotContains(t, Names(false), StackdriverAdapter)
	assert.Len(t, All(), len(Catalogue())+2)
	assert.Len(t, Names(true), len(All())-1, "no stack needs a Gateway API data plane of the lab")
	assert.Len(t, Names(false), len(Names(true))-2)

	file := filepath.Join(t.TempDir(), "Pulumi.gke.yaml")
	write(t, file, "config:\n  vllm-autoscaling:metrics: google-managed\n")
	names, err := ForStack(file)
	require.NoError(t, err)
	assert.Equal(t, Names(true), names)
	write(t, file, "config: [")
	_, err = ForStack(file)
	require.ErrorContains(t, err, file)
}
