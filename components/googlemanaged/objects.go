// Package googlemanaged names the objects of Google's Managed Service for Prometheus that a stack registers, for the
// component that registers them and for programs that look at a deployed stack. It imports nothing.
package googlemanaged

const (
	// APIVersion is the API group and version of the objects.
	APIVersion = "monitoring.googleapis.com/v1"
	// Namespace is where GKE runs the operator, the collectors and the rule evaluator.
	Namespace = "gmp-system"

	// GPUMonitoring is the ClusterPodMonitoring of the GPUs' utilisation.
	GPUMonitoring = "vllm-gpu-utilization"
	// Rules is the ClusterRules with the recording rules of the signals.
	Rules = "vllm-signals"
)

// ServerMonitorings returns the names of the PodMonitorings of a server: of the series that the signals read, and of
// the rest.
func ServerMonitorings(server string) (signals, rest string) { return server, server + "-server" }
