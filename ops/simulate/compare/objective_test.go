package compare

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate"
)

func TestObjective(t *testing.T) {
	o := Objective{TTFT: 2, Ratio: 0.95}
	require.NoError(t, o.Parse("itl=100ms,ratio=0.99"))
	assert.Equal(t, Objective{TTFT: 2, ITL: 0.1, Ratio: 0.99}, o, "what is not given stays")
	assert.Equal(t, simulate.Objective{FirstToken: 2, InterToken: 0.1}, o.Limits())
	assert.Equal(t, "the first token within 2s and 100ms between tokens for 99 % of the requests", o.String())
	assert.Equal(t, Objective{TTFT: 3, ITL: 0.1, Ratio: 0.95}, Objective{TTFT: 3}.Or(Objective{TTFT: 2, ITL: 0.1, Ratio: 0.95}))

	var again Objective
	require.NoError(t, again.Parse(o.Flag()))
	assert.Equal(t, o, again)
}

func TestObjectiveErrors(t *testing.T) {
	for text, want := range map[string]string{
		"ttft=0s": "is not above 0", "itl=x": "invalid duration", "p99=2s": `"p99" is not ttft, itl or ratio`, "ratio=99": "is not a share", "": "is not ttft",
	} {
		var o Objective
		assert.ErrorContains(t, o.Parse(text), want, text)
	}
}
