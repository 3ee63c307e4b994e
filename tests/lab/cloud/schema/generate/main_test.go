package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSchemaIsThatOfTheSDKs checks that schema.json is up to date: with an old schema, the doubles would refuse what the
// providers accept, or the other way round.
func TestSchemaIsThatOfTheSDKs(t *testing.T) {
	fresh := filepath.Join(t.TempDir(), "schema.json")
	require.NoError(t, write(fresh))
	want, err := os.ReadFile(fresh)
	require.NoError(t, err)
	have, err := os.ReadFile("../schema.json")
	require.NoError(t, err)
	assert.Equal(t, string(want), string(have), "run go generate ./lab/cloud/schema")
}
