package simulate

import (
	"errors"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

// Settings describe a deployment. Durations are in seconds.
type Settings struct {
	// Replicas is the number of replicas at the beginning, all of them ready, and throughout where Autoscaler and Law are nil.
	Replicas int
	// Autoscaler is the HorizontalPodAutoscaler. A metric of type Pods reads its signal of each replica, one of type Object or External
	// the sum over these.
	Autoscaler *autoscalingv2.HorizontalPodAutoscalerSpec
	// Plan is followed instead of Autoscaler where it has steps, in the order of their time.
	Plan []Step
	// Signals are the gauges that the metrics of Autoscaler read, one for each in its order.
	Signals []Signal
	// Law decides in place of an Autoscaler.
	Law *Law
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
	// Clients are the load where Run is given none.
	Clients *Clients
	// Seed draws what is random: routing, the phases of the scrapes and of the autoscaler, reclaims of nodes, and Clients.
	Seed uint64
	// Missed is called with the arrival of each request that does not keep the objective; nil for no call.
	Missed func(arrival float64)
	// Series is the length of the intervals of Result.Series at the beginning of a load, which doubles as often as needed; 0
	// records none.
	Series float64
	// FirstRound is when the autoscaler decides first, within its period; 0 draws it.
	FirstRound float64
	// RoundTime is how long a round of the autoscaler takes, in seconds: its period begins again when a round has ended.
	RoundTime float64
}

// Server is a replica's model of time and its limits.
type Server struct {
	Profile speed.Profile
	Limits  replica.Limits
	Cache   speed.Cache
}

// Start is how long the phases of a new replica take, in seconds. They follow each other.
type Start struct {
	// Node is from a pod that fits no node to a node that accepts pods.
	Node float64
	// Image is the pull of the server's image. A node that has the image already does not pull it again.
	Image float64
	// Weights is the download of the weights and their loading into the GPU. Replicas share no downloaded files.
	Weights float64
	// Warmup is the rest of the server's start until it is ready, such as compilation and the capture of CUDA graphs.
	Warmup float64
}

// Total returns the time from a pod that fits no node to a ready server.
func (s Start) Total() float64 { return s.Node + s.Image + s.Weights + s.Warmup }

// Nodes describes the pool of GPU nodes.
type Nodes struct {
	// Replicas is how many replicas a node holds.
	Replicas int
	// Min and Max are the pool's size, and Spare is how many nodes are kept for the replicas that are asked for next, within it.
	Min, Max, Spare int
	// GPUs is the number of GPUs of a node, for GPU-hours.
	GPUs int
	// Idle is how long a node without pods stays, in seconds, and AfterAdd how long no node is removed after one was asked for:
	// cluster-autoscaler's --scale-down-unneeded-time and --scale-down-delay-after-add.
	Idle, AfterAdd float64
	// Reclaim is the mean time between two reclaims of a spot node by the cloud, in seconds, exponentially distributed; 0 for none.
	// The cloud announces a reclaim; Notice is the time from then to the end of the node.
	Reclaim, Notice float64
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
	// Guard reduces the signal, which is Recorded then; nil for none.
	Guard *Guard
}

// Guard reduces a signal in proportion while the mean of another gauge over some evaluations of the recording rule is below Full.
type Guard struct {
	// Value returns the other gauge.
	Value func(*replica.Engine) float64
	// Scrapes is the number of evaluations, which is that of scrapes where Metrics.Rule and Metrics.Scrape are equal. Of a replica
	// that has not been ready for so long, the mean is that of the samples that there are.
	Scrapes int
	// Full is the mean from which the signal counts in full.
	Full float64
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
	check(s.Nodes.Spare >= 0, "spare nodes are %d: not below 0", s.Nodes.Spare)
	check(s.Replicas <= s.Nodes.Max*s.Nodes.Replicas, "%d replicas do not fit %d nodes", s.Replicas, s.Nodes.Max)
	check(s.Metrics.Scrape > 0 && s.Metrics.Rule > 0, "the intervals of scrapes and rules are above 0")
	check(s.Server.Limits.MaxNumSeqs >= 1 && s.Server.Limits.CacheBytes > 0, "a replica runs at least one request and has a cache")
	check(s.Series >= 0, "the length of an interval of the series is not below 0")
	start, nodes := s.Start, s.Nodes
	check(min(start.Node, start.Image, start.Weights, start.Warmup) >= 0, "the phases of a start are not below 0")
	check(min(nodes.Idle, nodes.AfterAdd, nodes.Reclaim, nodes.Notice) >= 0, "the times of nodes are not below 0")
	check(s.Server.Limits.PrefixHits >= 0 && s.Server.Limits.PrefixHits <= 1, "the share of prefix hits is %g: 0 to 1", s.Server.Limits.PrefixHits)
	if c := s.Clients; c != nil {
		check(c.Users >= 1 && c.Think >= 0 && c.Length > 0 && c.Tokens != nil, "clients need users, a think time, a length and tokens")
	}
	if s.Autoscaler != nil {
		check(len(s.Signals) == len(s.Autoscaler.Metrics), "%d signals for %d metrics of the autoscaler", len(s.Signals), len(s.Autoscaler.Metrics))
	}
	if s.Law != nil {
		check(s.Autoscaler == nil, "the deployment has both a law and an autoscaler")
		check(s.Law.Period > 0 && s.Law.New != nil, "a law has a period above 0 and a constructor")
	}
	for i, signal := range s.Signals {
		if g := signal.Guard; g != nil {
			check(signal.Recorded && g.Value != nil && g.Scrapes >= 1 && g.Full > 0, "signal %d: a guard needs a recorded signal, a gauge, scrapes and a threshold", i+1)
		}
	}
	problems = append(problems, s.validatePlan()...)
	return errors.Join(problems...)
}
