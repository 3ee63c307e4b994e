package config

// Defaults of the numbers that other defaults or rules refer to.
const (
	defaultMaxNumSeqs = 16
)

// Charts and images, pinned in this one place.
const (
	prometheusCommunity = "https://prometheus-community.github.io/helm-charts"
	nvidiaDCGM          = "https://nvidia.github.io/dcgm-exporter/helm-charts"
	nvidiaDevicePlugin  = "https://nvidia.github.io/k8s-device-plugin"
	kubernetesAutoscale = "https://kubernetes.github.io/autoscaler"

	// imageVLLM states its CUDA variant, because the plain tag's CUDA version changes with releases.
	imageVLLM      = "vllm/vllm-openai:v0.20.0-cu129"
	imageSimulator = "ghcr.io/llm-d/llm-d-inference-sim:v0.10.2"
)
