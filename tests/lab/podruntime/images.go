package podruntime

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Program is what the lab runs for a container.
type Program string

// The programs that the runtime knows; their values are the keys of Config.Tools, except for those that
// are part of the lab itself.
const (
	Simulator        Program = "llm-d-inference-sim"
	Operator         Program = "prometheus-operator"
	Prometheus       Program = "prometheus"
	Adapter          Program = "prometheus-adapter"
	KubeStateMetrics Program = "kube-state-metrics"
	GPUExporter      Program = "dcgm-exporter"
	// ManagedOperator and ManagedCollector are those of Google's managed collection; the collector is a Prometheus.
	ManagedOperator    Program = "managed-prometheus-operator"
	ManagedCollector   Program = "managed-prometheus-collector"
	StackdriverAdapter Program = "stackdriver-adapter"
	// WebhookCertificate makes the certificate of an admission webhook; it is part of the lab as well.
	WebhookCertificate Program = "kube-webhook-certgen"
)

// images says which program stands for an image, by the repository's last two parts or its last one.
// Nothing of the rest of the name counts: mirrors change the registry and the folder.
var images = []struct {
	repository string
	program    Program
}{
	{"vllm/vllm-openai", Simulator},
	{"vllm-openai", Simulator},
	{"llm-d-inference-sim", Simulator},
	{"prometheus-operator", Operator},
	{"prometheus-adapter", Adapter},
	{"prometheus-engine/operator", ManagedOperator},
	{"prometheus-engine/prometheus", ManagedCollector},
	{"custom-metrics-stackdriver-adapter", StackdriverAdapter},
	{"kube-state-metrics", KubeStateMetrics},
	{"dcgm-exporter", GPUExporter},
	{"kube-webhook-certgen", WebhookCertificate},
}

// programFor is the program that runs for a container, or "" for none. A container that the operator
// calls "prometheus" runs Prometheus whatever its image is called, because the name is the operator's.
func programFor(pod *corev1.Pod, container *corev1.Container) Program {
	if container.Name == "prometheus" && pod.Labels["app.kubernetes.io/managed-by"] == "prometheus-operator" {
		return Prometheus
	}
	name := repository(container.Image)
	for _, known := range images {
		if name == known.repository || strings.HasSuffix(name, "/"+known.repository) {
			return known.program
		}
	}
	return ""
}

// repository is an image's name without its tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndex(image, ":"); colon > strings.LastIndex(image, "/") {
		image = image[:colon]
	}
	return image
}
