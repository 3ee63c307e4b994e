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
	// imageVLLM states its CUDA variant, because the plain tag's CUDA version changes with releases. It has kernels for compute
	// capabilities up to 12.0: Blackwell needs CUDA 12.8, and vLLM's Dockerfile lists 10.0 and 12.0 since 0.14 at the latest.
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

// vllmImage splits a vLLM image into repository, version and suffix, which is the variant: -cu129, for example.
var vllmImage = regexp.MustCompile(`^(.*vllm-openai[^/:@]*):v?([0-9]+\.[0-9]+\.[0-9]+)[^-@]*(-[^@]*)?`)

// firstCUDA13 is the first release of vLLM whose plain tag is CUDA 13, which needs a newer driver of the nodes. Tags of CUDA 12 have a
// suffix from then on (https://github.com/vllm-project/vllm/releases/tag/v0.20.0).
const firstCUDA13 = "0.20.0"

// checkVersion refuses images of vLLM that are too old for the model or for the flags that the program sets.
func checkVersion(r *report, image, modelID string) {
	found := vllmImage.FindStringSubmatch(image)
	if found == nil || r.anyRefused("model.id") {
		return
	}
	needs, why := firstVersion, "the flags that the program sets"
	if model, known := models.Find(modelID); known && older(model.MinVLLM, needs) {
		needs, why = model.MinVLLM, modelID
	}
	if version := found[2]; older(needs, version) {
		newer := newerImage(found[1], version, found[3], needs)
		r.badWith("vllm.image", image, fmt.Sprintf("vLLM %s or newer, which knows %s; this one is %s", needs, why, version),
			[]way{{"vllm.image " + newer, []change{{"vllm.image": newer}}}})
	}
}

// newerImage returns the image to propose in place of an old one: at least the pinned version, in the same variant, so that the
// drivers of the nodes still suit.
func newerImage(repository, version, suffix, needs string) string {
	pinned := vllmImage.FindStringSubmatch(imageVLLM)
	if suffix == "" && older(firstCUDA13, version) {
		suffix = pinned[3]
	}
	if older(pinned[2], needs) {
		needs = pinned[2]
	}
	return repository + ":v" + needs + suffix
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
