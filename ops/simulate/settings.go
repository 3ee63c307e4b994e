package simulate

import (
	"errors"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"vllm-autoscaling/ops/simulate/replica"
)

// Settings describe a deployment. Durations are in seconds.
type Settings struct {
	// Replicas is the number of replicas at the beginning, all of them ready, and throughout where Autoscaler is nil.
	Replicas int
	// Autoscaler is the HorizontalPodAutoscaler; its metrics are of type Pods.
	Autoscaler *autoscalingv2.HorizontalPodAutoscalerSpec
	// Signals are the gauges that the metrics of Autoscaler read, one for each in its order.
	Signals []Signal
	// Server is what a replica does with its requests.
	Server Server
	// Start is how long a new replica takes.
	Start Start
	// Nodes are the nodes of the GPU pool.
	Nodes Nodes
	// Metrics is the way of the metrics.
	Metrics Metrics
	// Drain is how long a replica that is removed works on its requests before they are lost.
	Drain float64
	// Routing chooses a replica for a request.
	Routing Routing
	// Objective is what a request has to keep.
	Objective Objective
	// Seed draws what is random: routing, the phases of the scrapes and of the autoscaler.
	Seed uint64
	// FirstRound is when the autoscaler decides first, within its period; 0 draws it.
	FirstRound float64
	// RoundTime is how long a round of the autoscaler takes, in seconds: its period begins again when a round has ended.
	RoundTime float64
}

// Server is a replica's model of time and its limits.
type Server struct {
	Profile replica.Profile
	Limits  replica.Limits
	Cache   replica.Cache
}

// Start is how long the phases of a new replica take, in seconds.
type Start struct {
	// Node is from a pod that fits no node to a node that accepts pods.
	Node float64
	// Pod is from a pod on a node to a ready server: image, weights, warm-up.
	Pod float64
}

// Nodes describes the pool of GPU nodes.
type Nodes struct {
	// Replicas is how many replicas a node holds.
	Replicas int
	// Min and Max are the pool's size.
	Min, Max int
	// GPUs is the number of GPUs of a node, for GPU-hours.
	GPUs int
	// Idle is how long a node without pods stays, in seconds.
	Idle float64
}

// Metrics is how the values that the autoscaler reads come about. Durations are in seconds.
type Metrics struct {
	// Scrape and Rule are the intervals of the scrapes and of the recording rules.
	Scrape, Rule float64
}

// Signal is a gauge of a replica that the autoscaler averages.
type Signal struct {
	// Value returns the gauge.
	Value func(*replica.Engine) float64
	// Recorded reports whether a recording rule prepares it, which adds to its age.
	Recorded bool
}

// Routing chooses a replica for a request.
type Routing int

const (
	// Random is what a Service of Kubernetes does.
	Random Routing = iota
	// RoundRobin takes the replicas in turn.
	RoundRobin
	// LeastInFlight takes the replica with the fewest requests.
	LeastInFlight
)

// Objective is what a request has to keep, in seconds; 0 stands for no limit.
type Objective struct {
	// FirstToken limits the time from the arrival to the first token, InterToken the mean time between the tokens after it.
	FirstToken, InterToken float64
}

func (s *Settings) validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(s.Replicas >= 1, "replicas is %d: at least 1", s.Replicas)
	check(s.Nodes.Replicas >= 1, "replicas of a node is %d: at least 1", s.Nodes.Replicas)
	check(s.Nodes.Max >= 1 && s.Nodes.Min >= 0 && s.Nodes.Min <= s.Nodes.Max, "nodes are %d to %d", s.Nodes.Min, s.Nodes.Max)
	check(s.Replicas <= s.Nodes.Max*s.Nodes.Replicas, "%d replicas do not fit %d nodes", s.Replicas, s.Nodes.Max)
	check(s.Metrics.Scrape > 0 && s.Metrics.Rule > 0, "the intervals of scrapes and rules are above 0")
	check(s.Server.Limits.MaxNumSeqs >= 1 && s.Server.Limits.CacheBytes > 0, "a replica runs at least one request and has a cache")
	if s.Autoscaler != nil {
		check(len(s.Signals) == len(s.Autoscaler.Metrics), "%d signals for %d metrics of the autoscaler", len(s.Signals), len(s.Autoscaler.Metrics))
	}
	return errors.Join(problems...)
}
