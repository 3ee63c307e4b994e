package podruntime

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// imageProcess is what a container of an image runs without a command of its own.
type imageProcess struct {
	// repository is matched as in the table of images.
	repository string
	// entrypoint is the program, which gets the container's arguments; nil for an image without one.
	entrypoint []string
	// cmd runs in a container without arguments too.
	cmd []string
	// source is where that is written.
	source string
}

// entrypoints lists the images of which it is known what they run. A container of any other image needs a command.
var entrypoints = []imageProcess{
	{"vllm-openai", []string{"vllm", "serve"}, nil, "github.com/vllm-project/vllm: docker/Dockerfile, target vllm-openai"},
	{"llm-d-inference-sim", []string{"/app/llm-d-inference-sim"}, nil, "github.com/llm-d/llm-d-inference-sim: Dockerfile"},
	{"custom-metrics-stackdriver-adapter", nil, nil, "github.com/GoogleCloudPlatform/k8s-stackdriver: custom-metrics-stackdriver-adapter/Dockerfile"},
	{"prometheus-operator", []string{"/bin/operator"}, nil, "github.com/prometheus-operator/prometheus-operator: Dockerfile"},
	{"prometheus-config-reloader", []string{"/bin/prometheus-config-reloader"}, nil,
		"github.com/prometheus-operator/prometheus-operator: cmd/prometheus-config-reloader/Dockerfile"},
	{"prometheus-engine/operator", []string{"/bin/operator"}, nil, "github.com/GoogleCloudPlatform/prometheus-engine: cmd/operator/Dockerfile"},
	{"prometheus-engine/prometheus", []string{"/bin/prometheus"}, nil, "github.com/GoogleCloudPlatform/prometheus: Dockerfile"},
	{"prometheus/prometheus", []string{"/bin/prometheus"}, nil, "github.com/prometheus/prometheus: Dockerfile"},
	{"prometheus/alertmanager", []string{"/bin/alertmanager"}, nil, "github.com/prometheus/alertmanager: Dockerfile"},
	{"prometheus/node-exporter", []string{"/bin/node_exporter"}, nil, "github.com/prometheus/node_exporter: Dockerfile"},
	{"prometheus-adapter", []string{"/adapter"}, nil, "sigs.k8s.io/prometheus-adapter: Dockerfile"},
	{"kube-state-metrics", []string{"/kube-state-metrics"}, nil, "github.com/kubernetes/kube-state-metrics: Dockerfile"},
	{"kube-webhook-certgen", []string{"/kube-webhook-certgen"}, nil, "github.com/jkroepke/kube-webhook-certgen: Dockerfile"},
	{"dcgm-exporter", []string{"/usr/bin/dcgm-exporter-entrypoint.sh"}, nil, "github.com/NVIDIA/dcgm-exporter: docker/Dockerfile"},
	{"grafana/grafana", []string{"/run.sh"}, nil, "github.com/grafana/grafana: Dockerfile"},
	{"k8s-sidecar", nil, []string{"python", "-u", "/app/sidecar.py"}, "github.com/kiwigrid/k8s-sidecar: Dockerfile"},
	{"pause", []string{"/pause"}, nil, "github.com/kubernetes/kubernetes: build/pause/linux/Dockerfile"},
	{"nginx", []string{"/docker-entrypoint.sh"}, []string{"nginx", "-g", "daemon off;"}, "github.com/nginx/docker-nginx: Dockerfile"},
}

// startError is the reason for which a container runtime does not start a container, as the kubelet reports it.
type startError struct {
	// reason is that of the container's waiting state.
	reason, message string
}

func (e *startError) Error() string { return e.reason + ": " + e.message }

// checkStart returns the error with which a container of its image does not start, nil for none. A command replaces the image's
// entrypoint; arguments replace its cmd only.
func checkStart(container *corev1.Container) error {
	if len(container.Command) > 0 {
		return nil
	}
	i := slices.IndexFunc(entrypoints, func(known imageProcess) bool { return isRepository(container.Image, known.repository) })
	if i < 0 {
		return &startError{"CreateContainerError", fmt.Sprintf("no command specified: it is not known whether image %q has an entrypoint "+
			"(give the container a command, or add the image to the lab's entrypoints)", container.Image)}
	}
	if entrypoints[i].entrypoint != nil {
		return nil
	}
	words := container.Args
	if len(words) == 0 {
		words = entrypoints[i].cmd
	}
	switch {
	case len(words) == 0:
		return &startError{"CreateContainerError", "failed to generate container spec: no command specified"}
	case strings.HasPrefix(words[0], "-"):
		return &startError{"RunContainerError", fmt.Sprintf(
			"unable to start container process: exec: %q: executable file not found in $PATH (the image has no entrypoint)", words[0])}
	}
	return nil
}
