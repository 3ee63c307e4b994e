package telemetry

import "vllm-autoscaling/components/signals"

// SeriesReplicaStart is how long a phase of the first start of a replica took, in seconds: labels namespace, pod and LabelPhase, and
// server where several serve in the namespace. A rule records it from the moment the replica is ready, for StartupBudget and an hour
// after the container has started.
const SeriesReplicaStart = "vllm:replica_start:seconds"

// LabelPhase is the phase of a start.
const LabelPhase = "phase"

// Phase is a phase of a replica's start, the value of LabelPhase. Each begins where the one before ends.
type Phase string

// The phases. PhaseTotal is all of them together.
const (
	// PhaseNode is from the pod's creation until it has a node.
	PhaseNode Phase = "node"
	// PhaseInit is from then until its init containers have ended, with their images and the mounting of volumes; without init
	// containers it is about 0.
	PhaseInit Phase = "init"
	// PhaseImage is from then until the server's container runs: the pull of its image, and without init containers the mounting of
	// volumes.
	PhaseImage Phase = "image"
	// PhaseServer is from then until the replica is ready: the server reads the weights, compiles and warms up. vLLM has no series of
	// the parts, only lines in its log.
	PhaseServer Phase = "server"
	PhaseTotal  Phase = "total"
)

// Phases returns the phases of a start in their order, without PhaseTotal.
func Phases() []Phase { return []Phase{PhaseNode, PhaseInit, PhaseImage, PhaseServer} }

// ServerContainer is the name of the server's container in its pods.
const ServerContainer = "vllm"

// Series of kube-state-metrics with the moments of a pod, in seconds since 1970. All are on by default.
const (
	SeriesPodCreated       = "kube_pod_created"
	SeriesPodScheduled     = "kube_pod_status_scheduled_time"
	SeriesPodInitialized   = "kube_pod_status_initialized_time"
	SeriesContainerStarted = "kube_pod_container_state_started"
	// SeriesPodReadyTime is the moment since when a pod is ready without interruption; missing while it is not.
	SeriesPodReadyTime = "kube_pod_status_ready_time"
)

// Started selects the recorded phase of the starts of the Deployment's pods.
func (s Settings) Started(phase Phase) string {
	return s.ServingPods(SeriesReplicaStart, Equal(LabelPhase, string(phase)))
}

// OfServerContainer selects a series of the server's container.
func (s Settings) OfServerContainer(series string) string {
	return s.ServingPods(series, Equal(signals.LabelContainer, ServerContainer))
}
