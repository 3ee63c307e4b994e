package observed

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMissing(t *testing.T) {
	const absent = "vllm:num_preemptions_total"
	missing, err := Missing([]Query{
		{Where: "a panel", Expr: absent},
		{Expr: "rate(" + absent + "[5m])", Record: "recorded"},
		{Expr: "recorded + recorded offset 5m", Record: "twice"},
		{Expr: "recorded / up", Record: "mixed"},
		{Expr: "up", Record: "present"},
	})
	require.NoError(t, err)
	assert.True(t, missing[absent])
	assert.True(t, missing["recorded"])
	assert.True(t, missing["twice"], "recorded from what is recorded")
	assert.False(t, missing["mixed"])
	assert.False(t, missing["present"])

	_, err = Missing([]Query{{Where: "a rule", Expr: "sum(", Record: "broken"}})
	require.ErrorContains(t, err, "a rule")
}
