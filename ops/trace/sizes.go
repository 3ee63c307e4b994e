package trace

import (
	"math"
	"math/rand/v2"
)

// LogNormal is a distribution of tokens.
type LogNormal struct {
	// Median is that of the tokens, Sigma the standard deviation of their logarithm; 0 for one length.
	Median, Sigma float64
	// Most caps the tokens.
	Most int
}

// Draw returns a number of tokens of at least 1.
func (l LogNormal) Draw(chance *rand.Rand) int {
	// The bound is applied before the conversion, which has none.
	return int(max(1, math.Round(min(l.Median*math.Exp(l.Sigma*chance.NormFloat64()), float64(l.Most)))))
}

// Sizes are the distributions of the tokens of requests.
type Sizes struct{ Input, Output LogNormal }

// Draw returns the tokens of a request.
func (s Sizes) Draw(chance *rand.Rand) (input, output int) {
	return s.Input.Draw(chance), s.Output.Draw(chance)
}

// defaultSizes are those of Azure's trace of conversations of 2023, https://github.com/Azure/AzurePublicDataset: medians of
// 1020 and 129 tokens, and the sigmas that give its 90th percentiles of 2735 and 424.
var defaultSizes = Sizes{Input: LogNormal{1020, 0.77, MaxTokens}, Output: LogNormal{129, 0.93, MaxTokens}}
