package podruntime

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Program is a program that the lab runs for containers.
type Program string

// The programs of the runtime. Their values are the keys of Config.Tools, except for those that are part of the lab.
const (
	Simulator        Program = "llm-d-inference-sim"
	Operator         Program = "prometheus-operator"
	Prometheus       Program = "prometheus"
	Adapter          Program = "prometheus-adapter"
	KubeStateMetrics Program = "kube-state-metrics"
	GPUExporter      Program = "dcgm-exporter"
	// ManagedOperator and ManagedCollector belong to Google's managed collection. The collector is a Prometheus.
	ManagedOperator    Program = "managed-prometheus-operator"
	ManagedCollector   Program = "managed-prometheus-collector"
	StackdriverAdapter Program = "stackdriver-adapter"
	// WebhookCertificate creates the certificate of an admission webhook. It is also part of the lab.
	WebhookCertificate Program = "kube-webhook-certgen"
	// Kubectl applies CRDs. It is also part of the lab.
	Kubectl Program = "kubectl"
)

// images are the programs by image, by the last two parts of the repository or the last one. The rest of the name does not
// matter, because mirrors change the registry and the folder.
var images = []struct {
	repository string
	program    Program
}{
	{vllmImage, Simulator},
	{"llm-d-inference-sim", Simulator},
	{"prometheus-operator", Operator},
	{"prometheus-adapter", Adapter},
	{"prometheus-engine/operator", ManagedOperator},
	{"prometheus-engine/prometheus", ManagedCollector},
	{"custom-metrics-stackdriver-adapter", StackdriverAdapter},
	{"kube-state-metrics", KubeStateMetrics},
	{"dcgm-exporter", GPUExporter},
	{"kube-webhook-certgen", WebhookCertificate},
	{"kubectl", Kubectl},
}

// programFor returns the program that runs for a container, "" for none. A container with the operator's name "prometheus"
// runs Prometheus with any image.
func programFor(pod *corev1.Pod, container *corev1.Container) Program {
	if container.Name == "prometheus" && pod.Labels["app.kubernetes.io/managed-by"] == "prometheus-operator" {
		return Prometheus
	}
	if runsScript(container) {
		return Python
	}
	if len(container.Command) > 0 && isRepository(container.Image, vllmImage) && !servesModels(container.Command) {
		return ""
	}
	for _, known := range images {
		if isRepository(container.Image, known.repository) {
			return known.program
		}
	}
	return ""
}

// servesModels reports whether a command is that of a model server: the image of vLLM has other programs too, such as sleep.
func servesModels(command []string) bool {
	base := path.Base(command[0])
	return base == "vllm" || strings.HasPrefix(base, "python")
}

// isRepository reports whether an image is of a repository, which is the last parts of its name.
func isRepository(image, name string) bool {
	full := repository(image)
	return full == name || strings.HasSuffix(full, "/"+name)
}

// repository returns an image's name without its tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndex(image, ":"); colon > strings.LastIndex(image, "/") {
		image = image[:colon]
	}
	return image
}
