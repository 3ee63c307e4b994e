package telemetry

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"vllm-autoscaling/components/signals"
)

// DefaultServer is the name of the server of a stack of one.
const DefaultServer = "vllm"

// ServerResource returns the name of what a stack has once for each server: name itself for DefaultServer, which a further server
// must not rename.
func ServerResource(name, server string) string {
	if server == DefaultServer {
		return name
	}
	return name + "-" + server
}

// Settings are everything that queries assume about a stack: names, labels and the sources of series. A
// stack whose metrics come from elsewhere has other values; no query depends on anything else.
type Settings struct {
	// ServingNamespace is where the serving pods, their Deployment and the autoscaler are. Required.
	ServingNamespace string
	// MonitoringNamespace is where Prometheus and the metrics adapter run. Required.
	MonitoringNamespace string
	// Deployment that serves; its pods are named after it. Required.
	Deployment string
	// Others are the further serving Deployments of the namespace, whose series are not those of Deployment.
	Others []string
	// SpareNodes is the Deployment that keeps spare GPU nodes for the server; "" for none.
	SpareNodes string
	// Autoscaler is the name of the HorizontalPodAutoscaler. Required.
	Autoscaler string
	// Adapter is the Deployment that answers the custom metrics API; "" where the cluster itself does.
	Adapter string
	// MetricsAPI is the APIService that the autoscaler reads the signals from. Required.
	MetricsAPI string
	// PrometheusJob is the label job of Prometheus' own series; "" where Prometheus is not the
	// stack's own.
	PrometheusJob string
	// GPUJob is a regular expression of the label job of the GPU exporter's targets; "" with
	// SimulatedGPU.
	GPUJob string
	// SimulatedGPU means that a recording rule writes the GPU's utilisation and that no other series
	// of a GPU exists.
	SimulatedGPU bool
	// Signals that the autoscaler follows. At least one.
	Signals []signals.Signal
	// NoStateMetrics is true where Prometheus has no series of kube-state-metrics. What reads nothing else is left out: alerts would
	// never fire, or always, and no start of a replica is recorded.
	NoStateMetrics bool
	// SignalInterval is how often the signals are scraped and recorded; at least 1 s.
	SignalInterval time.Duration
}

// Validate reports every setting without which a query would select nothing or everything.
func (s Settings) Validate() error {
	var problems []error
	for field, value := range map[string]string{
		"ServingNamespace": s.ServingNamespace, "MonitoringNamespace": s.MonitoringNamespace,
		"Deployment": s.Deployment, "Autoscaler": s.Autoscaler,
	} {
		if validation.IsDNS1123Label(value) != nil {
			problems = append(problems, fmt.Errorf("%s %q is not the name of a Kubernetes object (lower-case letters, digits and '-', at most 63)", field, value))
		}
	}
	if s.MetricsAPI == "" {
		problems = append(problems, errors.New("MetricsAPI is missing: the APIService that the autoscaler reads"))
	}
	if !s.SimulatedGPU {
		if _, err := regexp.Compile(s.GPUJob); err != nil || s.GPUJob == "" {
			problems = append(problems, fmt.Errorf("GPUJob %q is not a regular expression of jobs; give the exporter's job, or set SimulatedGPU", s.GPUJob))
		}
	}
	if len(s.Signals) == 0 {
		problems = append(problems, errors.New("no signal to observe: switch at least one on"))
	}
	if s.SignalInterval < time.Second {
		problems = append(problems, fmt.Errorf("SignalInterval %s is too short (at least 1s)", s.SignalInterval))
	}
	return errors.Join(problems...)
}
