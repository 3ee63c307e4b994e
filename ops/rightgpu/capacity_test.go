package rightgpu

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

// round is a replica whose passes take 50 ms for up to 512 tokens, whatever is in its cache, and that runs 16 requests at a time.
func round() simulate.Server {
	return simulate.Server{
		Profile: speed.Profile{Fixed: 0.01, Weights: 0.04, PerToken: 0.04 / 512},
		Limits:  replica.Limits{MaxNumSeqs: 16, BatchedTokens: 512, CacheBytes: 1e9},
		Cache:   speed.Cache{FullBytes: 1},
	}
}

func TestCapacity(t *testing.T) {
	size := request{100, 100}
	within := func(ttft, interToken, ratio float64) objective {
		return objective{simulate.Objective{FirstToken: ttft, InterToken: interToken}, ratio}
	}
	for name, test := range map[string]struct {
		change    func(*simulate.Server)
		size      request
		objective objective
		low, high float64
	}{
		// 16 requests of 100 passes of 50 ms: 3.2 requests per second at most.
		"nearly all slots":              {nil, size, within(2.5, 0.1, 0.95), 2.6, 3.2},
		"a longer wait":                 {nil, size, within(40, 0.1, 0.95), 3.0, 3.2},
		"a shorter wait":                {nil, size, within(0.2, 0.1, 0.95), 1.5, 2.6},
		"fewer requests keep it":        {nil, size, within(2.5, 0.1, 0.5), 2.9, 3.2},
		"no rate keeps the inter-token": {nil, size, within(2.5, 0.04, 0.95), 0, 0},
		"no rate keeps the first token": {nil, size, within(0.04, 0.1, 0.95), 0, 0},
		"twice the slots":               {func(s *simulate.Server) { s.Limits.MaxNumSeqs = 32 }, size, within(2.5, 0.1, 0.95), 5.4, 6.4},
		// Passes of 512 tokens of prompts: 10 prompts of 1024 tokens per second at most, of one token each.
		"heavy prompts": {nil, request{1024, 1}, within(2.5, 0.1, 0.95), 8, 10},
	} {
		t.Run(name, func(t *testing.T) {
			server := round()
			if test.change != nil {
				test.change(&server)
			}
			rate, err := capacity(server, test.size, test.objective)
			require.NoError(t, err)
			assert.GreaterOrEqual(t, rate, test.low)
			assert.LessOrEqual(t, rate, test.high)
			again, err := capacity(server, test.size, test.objective)
			require.NoError(t, err)
			assert.InDelta(t, rate, again, 0, "the same each time")
		})
	}
}

func TestInvalidServer(t *testing.T) {
	server := round()
	server.Limits.CacheBytes = 0
	_, err := capacity(server, request{100, 100}, objective{})
	assert.Error(t, err)
}

func TestRequestFor(t *testing.T) {
	assert.Equal(t, request{InputTokens, OutputTokens}, requestFor(8192))
	assert.Equal(t, request{InputTokens, OutputTokens}, requestFor(InputTokens+OutputTokens))
	assert.Equal(t, request{410, 102}, requestFor(512), "the same shares")
	assert.Equal(t, request{1, 1}, requestFor(2))
}

func TestChoose(t *testing.T) {
	large := Offer{MachineType: "large", USDPerHour: 8, USDPerThousand: 1}
	for name, test := range map[string]struct {
		other Offer
		want  string
	}{
		"a smaller node, little dearer":         {Offer{MachineType: "small", USDPerHour: 1, USDPerThousand: 1.09}, "small"},
		"a smaller node, dearer":                {Offer{MachineType: "small", USDPerHour: 1, USDPerThousand: 1.11}, "large"},
		"a larger node, little cheaper":         {Offer{MachineType: "larger", USDPerHour: 9, USDPerThousand: 0.95}, "large"},
		"other replicas on the node, cheaper":   {Offer{MachineType: "same", USDPerHour: 8, USDPerThousand: 0.95}, "same"},
		"other replicas on the node, no better": {Offer{MachineType: "same", USDPerHour: 8, USDPerThousand: 1.05}, "large"},
	} {
		assert.Equal(t, test.want, choose([]Offer{large, test.other}).MachineType, name)
		assert.Equal(t, test.want, choose([]Offer{test.other, large}).MachineType, name)
	}
}
