package deployment

import (
	"flag"
	"fmt"
	"strings"
	"time"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/stacks/config"
)

// Start is how long the phases of a new replica take, as in simulate.Start; nil stands for the estimate of startOf.
type Start struct {
	Node, Image, Weights, Warmup *time.Duration
}

// The phases have a flag each instead of one for their sum: they are what an operator can measure, from the events of a pod and the log
// of vLLM, and they differ in effect: only the first replica on a node pulls the image, and the autoscaler does not count a replica
// that pulls it.
func (s *Start) register(flags *flag.FlagSet) {
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

// Estimates of the phases. They depend on the region, the image, the model and the hour; no cloud promises any.
const (
	// nodeDelay is the lower end of the 3 to 8 minutes of KAITO's proposal (kaito-project/kaito), of which cluster-autoscaler waits the
	// first half minute for every pod with a GPU (kubernetes/autoscaler#9126). On EKS users report 1 to 3 minutes, and 4 to 6 for
	// P instances (kubernetes/autoscaler#3464); Google publishes nothing.
	nodeDelay = 3 * time.Minute
	// nodeDelayAKS is between the 4m44s of kaito-project/kaito#2325 and the 5m37s of skypilot-org/skypilot#3718.
	nodeDelayAKS = 5 * time.Minute
	// imageDelay is in the middle of the 1 to 2 minutes of KAITO's proposal; kaito-project/kaito#2325 has 1m41s.
	imageDelay = 90 * time.Second
	// downloadRate and loadRate, in 10^9 bytes per second, are those of 27.4 GiB in 113 s and 74 s on an A100 (AKS' blog, July 2026).
	downloadRate, loadRate = 0.26, 0.4
	// warmupDelay is between the 34 s of vllm-project/vllm#20264, with a filled compilation cache, and the 195 s of
	// kaito-project/kaito#2325 for a model of 27B parameters.
	warmupDelay = time.Minute
)

// startOf returns the phases of a start, with estimates for those that are not given.
func startOf(c *config.Config, s Start, weightBytes float64) simulate.Start {
	node := nodeDelay
	switch {
	case c.ReplicasPerNode() == 0:
		node = 0 // The stack makes no nodes: those of the cluster are there.
	case c.Cloud == config.CloudAKS:
		node = nodeDelayAKS
	}
	seconds := weightBytes / 1e9 / loadRate
	if !strings.HasPrefix(c.Model.ID, "/") { // A path names files in the image.
		seconds += weightBytes / 1e9 / downloadRate
	}
	return simulate.Start{
		Node: or(s.Node, node), Image: or(s.Image, imageDelay), Warmup: or(s.Warmup, warmupDelay),
		Weights: or(s.Weights, time.Duration(seconds*float64(time.Second))),
	}
}

// or returns a duration in seconds, or the estimate where it is not given.
func or(given *time.Duration, estimate time.Duration) float64 {
	if given != nil {
		return given.Seconds()
	}
	return estimate.Seconds()
}
