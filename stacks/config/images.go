package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"vllm-autoscaling/stacks/config/models"
)

// Pinned images. The image of the Stackdriver adapter is the default of its key instead.
const (
	// imageVLLM states its CUDA variant, because the plain tag's CUDA version changes with releases.
	imageVLLM      = "vllm/vllm-openai:v0.20.0-cu129"
	imageSimulator = "ghcr.io/llm-d/llm-d-inference-sim:v0.10.2"

	prometheusCommunity = "https://prometheus-community.github.io/helm-charts"
	nvidiaDCGM          = "https://nvidia.github.io/dcgm-exporter/helm-charts"
	nvidiaDevicePlugin  = "https://nvidia.github.io/k8s-device-plugin"
	kubernetesAutoscale = "https://kubernetes.github.io/autoscaler"
)

// pin is the tested version of a chart and its public repository.
type pin struct{ version, repository string }

// pins lists the pins of the charts by their key below charts.
var pins = map[string]pin{
	"kubePrometheusStack": {"88.5.3", prometheusCommunity},
	"prometheusAdapter":   {"5.3.0", prometheusCommunity},
	"dcgmExporter":        {"4.8.2", nvidiaDCGM},
	"devicePlugin":        {"0.20.0", nvidiaDevicePlugin},
	"clusterAutoscaler":   {"9.59.0", kubernetesAutoscale},
}

// firstVersion is the first release of vLLM that has every flag that the program sets: --shutdown-timeout came last.
const firstVersion = "0.18.0"

// vllmVersion finds the version of a vLLM image in its tag.
var vllmVersion = regexp.MustCompile(`vllm-openai[^/]*:v?([0-9]+)\.([0-9]+)\.([0-9]+)`)

// checkVersion refuses images of vLLM that are too old for the model or for the flags that the program sets.
func checkVersion(r *report, image, modelID string) {
	found := vllmVersion.FindStringSubmatch(image)
	if found == nil || r.anyRefused("model.id") {
		return
	}
	needs, why := firstVersion, "the flags that the program sets"
	if model, known := models.Find(modelID); known && older(model.MinVLLM, needs) {
		needs, why = model.MinVLLM, modelID
	}
	if version := strings.Join(found[1:], "."); older(needs, version) {
		r.badWith("vllm.image", image, fmt.Sprintf("vLLM %s or newer, which knows %s; this one is %s", needs, why, version),
			[]way{{"vllm.image vllm/vllm-openai:v" + needs, []change{{"vllm.image": "vllm/vllm-openai:v" + needs}}}})
	}
}

// older reports whether version b is older than version a, both of three numbers.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range as {
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if x != y {
			return y < x
		}
	}
	return false
}
