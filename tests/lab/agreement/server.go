package agreement

import (
	"fmt"
	"time"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
	"vllm-autoscaling/tests/lab/podruntime"
)

// Server is a model server whose time between tokens grows linearly with the number of running requests. The time of a prompt
// does not depend on its length, because the lab's server simulator has no contention between prompts and answers.
type Server struct {
	// MaxNumSeqs is the maximum number of running requests.
	MaxNumSeqs int
	// InterToken is the time between two tokens of a request that runs alone.
	InterToken time.Duration
	// FactorUnderLoad is by how much longer that time is with MaxNumSeqs running requests; 1 to MaxNumSeqs.
	FactorUnderLoad float64
}

// Check returns an error that names the flag with a bad value.
func (s Server) Check() error {
	switch {
	case s.MaxNumSeqs < 2:
		return fmt.Errorf("-max-num-seqs %d: at least 2", s.MaxNumSeqs)
	case s.InterToken <= 0:
		return fmt.Errorf("-inter-token %s: a time above 0", s.InterToken)
	case s.FactorUnderLoad < 1 || s.FactorUnderLoad > float64(s.MaxNumSeqs):
		return fmt.Errorf("-factor-under-load %g: from 1 to -max-num-seqs (%d)", s.FactorUnderLoad, s.MaxNumSeqs)
	}
	return nil
}

// Latency returns the server as the lab's server simulator has it. A prompt takes as long as a token.
func (s Server) Latency() podruntime.Latency {
	return podruntime.Latency{TimeToFirstToken: s.InterToken, InterToken: s.InterToken, FactorUnderLoad: s.FactorUnderLoad}
}

// Model returns the server as package simulate has it, for requests with a prompt of one token.
func (s Server) Model() simulate.Server {
	perSequence := s.InterToken.Seconds() * (s.FactorUnderLoad - 1) / float64(s.MaxNumSeqs-1)
	return simulate.Server{
		Profile: speed.Profile{Fixed: s.InterToken.Seconds() - perSequence, PerToken: perSequence},
		// The server simulator has no KV cache: any number of tokens fits.
		Limits: replica.Limits{MaxNumSeqs: s.MaxNumSeqs, BatchedTokens: s.MaxNumSeqs, CacheBytes: 1},
	}
}
