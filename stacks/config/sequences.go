package config

import (
	"fmt"
	"time"

	"vllm-autoscaling/stacks/config/sizing"
)

// unknownMaxNumSeqs is the default of model.maxNumSeqs where the GPU or the model is not known, and of the simulator.
const unknownMaxNumSeqs = 16

// defaultMaxNumSeqs returns how many requests a replica works on at a time unless told otherwise.
func (c *Config) defaultMaxNumSeqs() int {
	footprint, server, known := c.fit()
	if !known {
		return unknownMaxNumSeqs
	}
	if n := sizing.Sequences(footprint, server, c.keepsInterToken); n > 0 {
		return n
	}
	return unknownMaxNumSeqs // Refused by checkFit.
}

// keepsInterToken reports whether a forward pass for so many answers of typical requests keeps slo.interToken. A replica whose speed
// is not known keeps it.
func (c *Config) keepsInterToken(sequences int) bool {
	profile, known := c.Speed()
	return !known || sequences == 1 || profile.Pass(sequences, c.typicalCache(sequences)) <= c.SLO.InterToken.Seconds()
}

// typicalCache returns the size of the KV cache of that many typical requests, in bytes.
func (c *Config) typicalCache(sequences int) float64 {
	return c.TokenCache().Bytes(sequences, float64(sequences*min(sizing.TypicalTokens, c.Model.MaxModelLen)))
}

// Batch describes how many requests a replica works on at a time and how many tokens it computes in a forward pass, with the reasons,
// in one line.
func (c *Config) Batch() string {
	who := "each replica"
	if engines := c.Model.Parallel.Data; engines > 1 {
		who = fmt.Sprintf("each of the %d engines of a replica", engines)
	}
	text := fmt.Sprintf("%s runs up to %d requests at a time (model.maxNumSeqs), %s", who, c.Model.MaxNumSeqs, c.reasonOfSequences())
	if profile, known := c.Speed(); known {
		tokens := c.batchedTokens()
		text += fmt.Sprintf("; a forward pass of %d tokens takes about %s by the GPU's data sheet, and slo.interToken is %s",
			tokens, seconds(profile.Pass(tokens, 0)).Round(time.Millisecond), c.SLO.InterToken)
	}
	return text
}

// reasonOfSequences returns why model.maxNumSeqs is what it is.
func (c *Config) reasonOfSequences() string {
	footprint, server, known := c.fit()
	switch {
	case c.givenMaxNumSeqs:
		return "as the configuration asks for"
	case c.GPU.Mode != GPUNvidia:
		return "the default without GPUs"
	case !known:
		return "because the memory of the GPU, or the model, is not known"
	}
	fit := sizing.Compute(footprint, server)
	cache := fmt.Sprintf("its KV cache of %.1f GiB holds %d of %d tokens", fit.Cache*float64(c.Model.Parallel.Tensor*c.Model.Parallel.Pipeline), fit.Typical(),
		min(sizing.TypicalTokens, c.Model.MaxModelLen))
	switch {
	case c.Model.MaxNumSeqs == sizing.MostSequences:
		return "the most that is chosen; " + cache
	case sizing.Sequences(footprint, server, func(int) bool { return true }) > c.Model.MaxNumSeqs:
		return "because more would miss slo.interToken; " + cache
	}
	return "because " + cache
}
