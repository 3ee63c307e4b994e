package deployment

import (
	"flag"
	"fmt"
	"time"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/stacks/config"
)

// Start is how long the phases of a new replica take, as in simulate.Start; nil stands for the estimate of config.ColdStart.
type Start struct {
	Node, Image, Weights, Warmup *time.Duration
	// File is a report with measured starts, for the phases that are not given; "" for none.
	File string
}

// The phases have a flag each instead of one for their sum: they are what an operator can measure, from the events of a pod and the log
// of vLLM, and they differ in effect: only the first replica on a node pulls the image, and the autoscaler does not count a replica
// that pulls it.
func (s *Start) register(flags *flag.FlagSet) {
	flags.StringVar(&s.File, "cold-start", s.File, "`file` of verify --json, or report.json of make load, with measured starts; the flags of single phases are over it")
	for _, phase := range []struct {
		to          **time.Duration
		name, usage string
	}{
		{&s.Node, "node-delay", "`duration` from a pod that fits no node to a node that accepts it (default: an estimate for the cloud, 3m or on aks 5m)"},
		{&s.Image, "image-delay", "`duration` of the pull of the server's image by a new node (default: an estimate, 1m30s)"},
		{&s.Weights, "weights-delay", "`duration` of the download and loading of the weights (default: an estimate from their size)"},
		{&s.Warmup, "warmup-delay", "`duration` of the rest of the server's start until it is ready (default: an estimate, 1m)"},
	} {
		flags.Func(phase.name, phase.usage, func(text string) error {
			d, err := time.ParseDuration(text)
			if err != nil {
				return err
			}
			if d < 0 {
				return fmt.Errorf("%s is below 0", d)
			}
			*phase.to = &d
			return nil
		})
	}
}

// startOf returns the phases of a start: the estimate of the program, but for those that are given or were measured.
func startOf(c *config.Config, s Start) (simulate.Start, error) {
	s, err := s.measured(c.Server)
	estimate := c.ColdStart()
	return simulate.Start{
		Node: or(s.Node, estimate.Node), Image: or(s.Image, estimate.Image), Warmup: or(s.Warmup, estimate.Warmup),
		Weights: or(s.Weights, estimate.Weights),
	}, err
}

// or returns a duration in seconds, or the estimate where it is not given.
func or(given *time.Duration, estimate time.Duration) float64 {
	if given != nil {
		return given.Seconds()
	}
	return estimate.Seconds()
}
