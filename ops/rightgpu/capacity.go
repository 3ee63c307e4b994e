package rightgpu

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/stacks/config"
)

// InputTokens and OutputTokens are the prompt and the answer of the request that machines are compared by. They are between those of
// public traces, whose means are 1155 and 211 (Azure's conversations of 2023), 2048 and 28 (Azure's code of 2023), and 255 and 39
// (ServeGen, m-mid). All requests have the same size, so that the comparison depends on two numbers only.
const (
	InputTokens  = 1024
	OutputTokens = 256
)

const (
	// loadLength is how long a load lasts, and loadObjectives the same as a multiple of the objective's time to the first token: a queue
	// that grows by a hundredth of the load reaches the objective within it.
	loadLength, loadObjectives = 5 * time.Minute, 100
	// leastRequests and mostRequests bound the requests of a load.
	leastRequests, mostRequests = 2000, 10_000
	// precision is the relative precision of a capacity.
	precision = 0.01
	// seed draws the arrivals: all machines get the same ones, faster or slower.
	seed = 1
)

// objective is what a share of the requests has to keep.
type objective struct {
	limits simulate.Objective
	ratio  float64
}

func objectiveOf(slo config.SLO) objective {
	return objective{simulate.Objective{FirstToken: slo.TTFT.Seconds(), InterToken: slo.InterToken.Seconds()}, slo.Ratio}
}

// request is the size of the requests of a load.
type request struct{ input, output int }

// requestFor returns the typical request, or one with as large a share of input that fits a shorter context.
func requestFor(maxModelLen int) request {
	if maxModelLen >= InputTokens+OutputTokens {
		return request{InputTokens, OutputTokens}
	}
	output := max(1, maxModelLen*OutputTokens/(InputTokens+OutputTokens))
	return request{max(1, maxModelLen-output), output}
}

// capacity returns the highest rate, in requests per second, of independent arrivals at which a replica keeps the objective; 0 if there
// is none.
func capacity(server simulate.Server, size request, o objective) (float64, error) {
	high := fastest(server, size)
	low := 0.0
	// Where even a request alone misses the objective, no rate keeps it.
	if kept, err := keeps(server, size, o, high/1000); !kept || err != nil {
		return 0, err
	}
	for high-low > precision*high {
		rate := (low + high) / 2
		kept, err := keeps(server, size, o, rate)
		if err != nil {
			return 0, err
		}
		if kept {
			low = rate
		} else {
			high = rate
		}
	}
	return low, nil
}

// fastest returns an upper bound of the requests per second of a replica: passes of only decoding requests or of only prompts take
// at least this long.
func fastest(server simulate.Server, size request) float64 {
	p, seqs := server.Profile, float64(server.Limits.MaxNumSeqs)
	decoding := seqs / (float64(size.output) * (p.Fixed + p.Weights))
	computing := 1 / (p.PerToken * float64(size.input+size.output))
	return min(decoding, computing)
}

// keeps reports whether a replica keeps the objective for a load of a rate.
func keeps(server simulate.Server, size request, o objective, rate float64) (bool, error) {
	length := max(loadLength.Seconds(), loadObjectives*o.limits.FirstToken)
	requests := int(math.Ceil(min(mostRequests, max(leastRequests, rate*length))))
	allowed := int((1 - o.ratio) * float64(requests))
	missed := 0
	s := simulate.Settings{
		Replicas: 1, Nodes: simulate.Nodes{Replicas: 1, Max: 1, GPUs: 1}, Metrics: simulate.Metrics{Scrape: 1, Rule: 1},
		Server: server, Objective: o.limits, Missed: func(float64) { missed++ },
	}
	_, err := simulate.Run(s, arrivals(rate, size, func(sent int) bool { return sent < requests && missed <= allowed }))
	return missed <= allowed, err
}

// arrivals returns requests of independent users, as long as more allows it.
func arrivals(rate float64, size request, more func(sent int) bool) iter.Seq[simulate.Arrival] {
	return func(yield func(simulate.Arrival) bool) {
		chance := rand.New(rand.NewPCG(seed, seed))
		at := 0.0
		for sent := 0; more(sent); sent++ {
			at += chance.ExpFloat64() / rate
			if !yield(simulate.Arrival{At: at, Input: size.input, Output: size.output}) {
				return
			}
		}
	}
}
