package blis

import (
	"fmt"
	"io"
	"math/rand"
	"os"
	"testing"

	"github.com/inference-sim/inference-sim/sim"
	"github.com/inference-sim/inference-sim/sim/kv"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

func TestMain(m *testing.M) {
	// BLIS warns in each pass whose budget of tokens is used up.
	logrus.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// ticks are BLIS' units of time in a second.
const ticks = 1e6

// profileModel makes BLIS' forward passes last as long as ours. It implements sim.LatencyModel.
type profileModel struct {
	profile speed.Profile
	cache   speed.Cache
}

func (m profileModel) StepTime(batch []*sim.Request) int64 {
	tokens, context := 0, 0.0
	for _, r := range batch {
		tokens += r.NumNewTokens
		context += float64(r.ProgressIndex) + float64(r.NumNewTokens)
	}
	read := m.profile.Weights + m.profile.PerCacheByte*m.cache.FullBytes*context
	return int64(ticks*(m.profile.Fixed+max(read, m.profile.PerToken*float64(tokens)))) + 1
}

func (profileModel) QueueingTime(*sim.Request) int64  { return 0 }
func (profileModel) OutputTokenProcessingTime() int64 { return 0 }
func (profileModel) PostDecodeFixedOverhead() int64   { return 0 }

// load is a random load.
type load struct {
	requests      int
	perSecond     float64
	input, output int // Means of exponential distributions, at least 1.
}

// draw returns the requests of a load. The order of two arrivals in the same tick is not defined in BLIS, so gaps are at least one.
func (l load) draw(seed int64) []replica.Request {
	chance := rand.New(rand.NewSource(seed))
	tokens := func(mean int) int { return 1 + int(chance.ExpFloat64()*float64(mean)) }
	all, tick := make([]replica.Request, l.requests), int64(0)
	for i := range all {
		tick += 1 + int64(chance.ExpFloat64()/l.perSecond*ticks)
		all[i] = replica.Request{Arrival: float64(tick) / ticks, Input: tokens(l.input), Output: tokens(l.output)}
	}
	return all
}

// outcome is what a load experienced.
type outcome struct {
	// firstToken and interToken are means in seconds, the second one over all gaps between tokens.
	firstToken, interToken float64
	// perSecond are output tokens in a second, from the first arrival to the last token.
	perSecond   float64
	preemptions int
}

func (o outcome) String() string {
	return fmt.Sprintf("first token %6.0f ms, between tokens %6.2f ms, %7.1f tokens/s, %3d preemptions",
		1e3*o.firstToken, 1e3*o.interToken, o.perSecond, o.preemptions)
}

// ours runs requests through package replica.
func ours(requests []replica.Request, profile speed.Profile, limits replica.Limits, cache speed.Cache) outcome {
	e := replica.New(profile, limits, cache)
	for i := range requests {
		e.Submit(&requests[i])
	}
	e.Drain()
	var o outcome
	gaps, tokens, end := 0, 0, 0.0
	for _, r := range requests {
		o.firstToken += (r.FirstToken - r.Arrival) / float64(len(requests))
		o.interToken += r.Finish - r.FirstToken
		gaps += r.Output - 1
		tokens += r.Output
		end = max(end, r.Finish)
	}
	o.interToken /= float64(gaps)
	o.perSecond = float64(tokens) / (end - requests[0].Arrival)
	o.preemptions = e.Preemptions()
	return o
}

// block is the size of vLLM's KV-cache blocks in tokens.
const block = 16

// theirs runs requests through BLIS.
func theirs(t *testing.T, requests []replica.Request, profile speed.Profile, limits replica.Limits, cache speed.Cache) outcome {
	t.Helper()
	const horizon = 1 << 50
	blocks := int64(limits.CacheBytes / cache.FullBytes / block)
	simulator, err := sim.NewSimulator(sim.SimConfig{
		Horizon:       horizon,
		KVCacheConfig: sim.NewKVCacheConfig(blocks, block, 0, 0, 0, 0),
		BatchConfig:   sim.NewBatchConfig(int64(limits.MaxNumSeqs), int64(limits.BatchedTokens), 0),
	}, kv.NewKVCacheState(blocks, block), profileModel{profile, cache})
	require.NoError(t, err)
	chance := rand.New(rand.NewSource(1))
	gaps, tokens := 0, 0
	for i, r := range requests {
		gaps += r.Output - 1
		tokens += r.Output
		simulator.InjectArrival(&sim.Request{
			ID: fmt.Sprint(i), ArrivalTime: int64(r.Arrival*ticks + 0.5), State: sim.StateQueued,
			InputTokens: sim.GenerateRandomTokenIDs(chance, r.Input), OutputTokens: sim.GenerateRandomTokenIDs(chance, r.Output),
		})
	}
	simulator.Run()
	m := simulator.Metrics
	require.Equal(t, len(requests), m.CompletedRequests)
	o := outcome{firstToken: float64(m.TTFTSum) / ticks / float64(len(requests)), preemptions: int(m.PreemptionCount)}
	end := 0.0
	for id, completed := range m.RequestCompletionTimes {
		o.interToken += (m.RequestE2Es[id] - m.RequestTTFTs[id]) / ticks / float64(gaps)
		end = max(end, completed/ticks)
	}
	o.perSecond = float64(tokens) / (end - requests[0].Arrival)
	return o
}

// TestBothScheduleAlike runs the same requests through both, with the same time for a forward pass.
func TestBothScheduleAlike(t *testing.T) {
	// An L4 with Gemma 3 1B, and an H100 with Llama 3.1 8B, roughly.
	small := speed.Profile{Fixed: 0.003, Weights: 0.008, PerCacheByte: 4e-12, PerToken: 33e-6}
	large := speed.Profile{Fixed: 0.003, Weights: 0.006, PerCacheByte: 4e-13, PerToken: 32e-6}
	cache := speed.Cache{FullBytes: 131072}
	const ample = 400_000 * 131072.0
	for name, test := range map[string]struct {
		profile speed.Profile
		limits  replica.Limits
		load    load
		bound   float64 // Of the relative difference.
	}{
		"moderate":            {small, replica.Limits{MaxNumSeqs: 64, BatchedTokens: 2048, CacheBytes: ample}, load{400, 3, 800, 150}, 0.01},
		"moderate, large GPU": {large, replica.Limits{MaxNumSeqs: 256, BatchedTokens: 8192, CacheBytes: ample}, load{400, 8, 1200, 200}, 0.01},
		"long prompts":        {small, replica.Limits{MaxNumSeqs: 16, BatchedTokens: 2048, CacheBytes: ample}, load{300, 2, 5000, 50}, 0.01},
		"overload":            {small, replica.Limits{MaxNumSeqs: 16, BatchedTokens: 2048, CacheBytes: ample}, load{400, 20, 800, 150}, 0.01},
		// BLIS finds a preempted request's prompt in its prefix cache and generates its answer again; ours computes both again.
		"preemption": {small, replica.Limits{MaxNumSeqs: 64, BatchedTokens: 2048, CacheBytes: 30_000 * 131072}, load{400, 20, 800, 150}, 0.15},
	} {
		t.Run(name, func(t *testing.T) {
			requests := test.load.draw(7)
			blis := theirs(t, requests, test.profile, test.limits, cache)
			own := ours(requests, test.profile, test.limits, cache)
			t.Logf("\nBLIS %s\nours %s", blis, own)
			assert.InEpsilon(t, blis.firstToken, own.firstToken, test.bound, "mean time to the first token")
			assert.InEpsilon(t, blis.interToken, own.interToken, test.bound, "mean time between tokens")
			assert.InEpsilon(t, blis.perSecond, own.perSecond, test.bound, "tokens per second")
		})
	}
}
