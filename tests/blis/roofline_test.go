package blis

import (
	"fmt"
	"strings"
	"testing"

	"github.com/inference-sim/inference-sim/sim"
	"github.com/inference-sim/inference-sim/sim/latency"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/config/speed"
)

// llama is Llama 3.1 8B in 16 bits, as its config.json on Hugging Face has it.
var llama = sim.ModelConfig{
	NumLayers: 32, HiddenDim: 4096, NumHeads: 32, NumKVHeads: 8, VocabSize: 128256, IntermediateDim: 14336, BytesPerParam: 2, HiddenAct: "silu",
}

const (
	llamaParameters = 8.03e9
	// llamaCacheBytes is what a token takes: a key and a value of 8 heads of 128 numbers of 2 bytes in 32 layers.
	llamaCacheBytes = 2 * 8 * 128 * 2 * 32
)

// gpus are the GPUs that both know, with the entries of BLIS' hardware_config.json.
var gpus = map[string]sim.HardwareCalib{
	"nvidia-h100-80gb": {TFlopsPeak: 989.5, TFlopsFP8: 1979, BwPeakTBs: 3.35, MfuPrefill: 0.45, MfuDecode: 0.30, MemoryGiB: 80},
	"nvidia-a100-80gb": {TFlopsPeak: 312, BwPeakTBs: 2.039, MfuPrefill: 0.38, MfuDecode: 0.18, MemoryGiB: 80},
	"nvidia-l40s":      {TFlopsPeak: 362.05, TFlopsFP8: 1466, BwPeakTBs: 0.864, MfuPrefill: 0.32, MfuDecode: 0.08, MemoryGiB: 48},
}

// Coefficients of BLIS' other model, which was fitted to measurements of vLLM on H100, A100 and L40S (trained_physics_coefficients of
// its defaults.yaml).
var (
	fittedAlpha = []float64{15563.199579, 777.3455, 45.907545}
	fittedBeta  = []float64{0.152128, 0.0, 1.36252915, 0.752037, 32.09546717, 4.41684444, 126.024825, 481.8613888, 0.0, 1.94710771, 0.752037}
)

// pass is a forward pass: a chunk of a prompt after a context, or one token of each of several requests.
type pass struct {
	name              string
	requests, context int
	prompt            int // 0 for decoding.
}

// batch returns the pass in BLIS' form.
func (p pass) batch() []*sim.Request {
	all := make([]*sim.Request, p.requests)
	for i := range all {
		r := &sim.Request{InputTokens: make([]int, p.context+p.prompt), OutputTokens: make([]int, 100), ProgressIndex: int64(p.context), NumNewTokens: p.prompt}
		if p.prompt == 0 {
			r.NumNewTokens = 1
		}
		all[i] = r
	}
	return all
}

// seconds returns how long the pass takes with our profile.
func (p pass) seconds(profile speed.Profile) float64 {
	tokens, context := p.requests, p.requests*(p.context+1)
	if p.prompt > 0 {
		tokens, context = p.prompt, p.context+p.prompt
	}
	return profile.Fixed + max(profile.Weights+profile.PerCacheByte*llamaCacheBytes*float64(context), profile.PerToken*float64(tokens))
}

// TestStepTimesAreAlike compares the default step times with the one of BLIS' two models that is plausible for the kind of pass.
// Its roofline reads the weights at the full bandwidth and leaves out a third of the feed-forward weights and the output layer: its
// decoding is faster than the memory allows. The fitted model computes prompts faster than the peak of the GPU allows.
func TestStepTimesAreAlike(t *testing.T) {
	passes := []pass{
		{name: "decode 1 of 1024", requests: 1, context: 1024},
		{name: "decode 8 of 1024", requests: 8, context: 1024},
		{name: "decode 32 of 1024", requests: 32, context: 1024},
		{name: "decode 64 of 2048", requests: 64, context: 2048},
		{name: "prompt of 512", requests: 1, prompt: 512},
		{name: "prompt of 2048", requests: 1, prompt: 2048},
		{name: "2048 after 6144", requests: 1, context: 6144, prompt: 2048},
	}
	for gpu, entry := range gpus {
		t.Run(gpu, func(t *testing.T) {
			profile, ok := speed.Roofline(gpu, speed.Size{WeightBytes: 2 * llamaParameters, Parameters: llamaParameters}, 1)
			require.True(t, ok)
			roofline, model := models(t, gpu, entry)
			table := &strings.Builder{}
			fmt.Fprintf(table, "\n%-18s %9s %9s %9s\n", "", "ours", "roofline", "fitted")
			for _, p := range passes {
				own := p.seconds(profile)
				blis, fitted := float64(roofline.StepTime(p.batch()))/ticks, float64(model.StepTime(p.batch()))/ticks
				fmt.Fprintf(table, "%-18s %6.1f ms %6.1f ms %6.1f ms\n", p.name, 1e3*own, 1e3*blis, 1e3*fitted)
				if p.prompt > 0 {
					assert.InDelta(t, 1, own/blis, 0.7, "%s: BLIS counts two thirds of the operations", p.name)
				} else {
					assert.InDelta(t, 1, own/fitted, 0.35, p.name)
				}
			}
			t.Log(table)
		})
	}
}

// models returns BLIS' roofline and its fitted model of a GPU with Llama 3.1 8B.
func models(t *testing.T, gpu string, entry sim.HardwareCalib) (roofline, fitted sim.LatencyModel) {
	t.Helper()
	hardware := sim.NewModelHardwareConfig(llama, entry, "", gpu, 1, 1, false, "", "roofline", 0)
	roofline, err := latency.NewLatencyModel(sim.NewLatencyCoeffs(nil, make([]float64, 3)), hardware)
	require.NoError(t, err)
	hardware.Backend = "trained-physics"
	fitted, err = latency.NewLatencyModel(sim.NewLatencyCoeffs(fittedBeta, fittedAlpha), hardware)
	require.NoError(t, err)
	return roofline, fitted
}
