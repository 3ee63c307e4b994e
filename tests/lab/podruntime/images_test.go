package podruntime

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestProgramFor(t *testing.T) {
	operated := map[string]string{"app.kubernetes.io/managed-by": "prometheus-operator"}
	tests := []struct {
		image, container string
		labels           map[string]string
		command          []string
		want             Program
	}{
		{image: "vllm/vllm-openai:v0.20.0-cu129", want: Simulator},
		{image: "registry.example:5000/mirror/vllm-openai@sha256:abc", want: Simulator},
		{image: "vllm/vllm-openai:v0.20.0", container: "serve", command: []string{"vllm", "serve"}, want: Simulator},
		{image: "vllm/vllm-openai:v0.20.0", container: "module", command: []string{"/usr/bin/python3", "-m", "vllm.entrypoints.openai.api_server"}, want: Simulator},
		{image: "vllm/vllm-openai:v0.20.0", container: "sleep", command: []string{"sleep", "infinity"}, want: ""},
		{image: "ghcr.io/llm-d/llm-d-inference-sim:v0.10.2", want: Simulator},
		{image: "quay.io/prometheus-operator/prometheus-operator:v0.93.1", want: Operator},
		{image: "quay.io/prometheus-operator/prometheus-config-reloader:v0.93.1", want: ""},
		{image: "quay.io/prometheus-operator/admission-webhook:v0.93.1", want: ""},
		{image: "registry.k8s.io/prometheus-adapter/prometheus-adapter:v0.12.0", want: Adapter},
		{image: "registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.18.0", want: KubeStateMetrics},
		{image: "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless", want: GPUExporter},
		{image: "registry.example/jobs/kube-webhook-certgen:1.8.7", want: WebhookCertificate},
		{image: "quay.io/prometheus/prometheus:v3.7.0-distroless", container: "prometheus", labels: operated, want: Prometheus},
		{image: "quay.io/prometheus/prometheus:v3.7.0", container: "config-reloader", labels: operated, want: ""},
		{image: "quay.io/prometheus/prometheus:v3.7.0", container: "prometheus", want: ""},
		{image: "docker.io/grafana/grafana:13.0.0", want: ""},
		{image: "example.invalid/not-kube-state-metrics:v1", want: ""},
	}
	for _, tt := range tests {
		t.Run(tt.image+" "+tt.container, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: tt.labels}}
			assert.Equal(t, tt.want, programFor(pod, &corev1.Container{Name: tt.container, Image: tt.image, Command: tt.command}))
		})
	}
}
