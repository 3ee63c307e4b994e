package project

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRoot(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	deep := filepath.Join(root, "tests", "cmd")
	require.NoError(t, os.MkdirAll(deep, 0o755))
	t.Chdir(deep)
	_, err = Root()
	require.ErrorContains(t, err, "no Pulumi.yaml in "+deep+" or above")

	require.NoError(t, os.WriteFile(filepath.Join(root, "Pulumi.yaml"), nil, 0o600))
	found, err := Root()
	require.NoError(t, err)
	assert.Equal(t, root, found)

	require.NoError(t, os.WriteFile(filepath.Join(deep, "Pulumi.yaml"), nil, 0o600))
	found, err = Root()
	require.NoError(t, err)
	assert.Equal(t, deep, found, "the nearest")
}
