package providertest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

// Only checks that there is one problem, of a key, whose text has a part.
func Only(t *testing.T, problems providers.Problems, key, part string) {
	t.Helper()
	require.Len(t, problems, 1, "%v", problems)
	assert.Equal(t, key, problems[0].Key)
	assert.Contains(t, problems[0].String(), part)
}

// Has checks that one of the problems has a key and a part of its text.
func Has(t *testing.T, problems providers.Problems, key, part string) {
	t.Helper()
	for _, p := range problems {
		if p.Key == key {
			assert.Contains(t, p.String(), part)
			return
		}
	}
	assert.Fail(t, "no problem of "+key, "%v", problems)
}
