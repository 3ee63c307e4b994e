package podruntime

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// vllmContainer returns a container of vLLM with that many GPUs.
func vllmContainer(gpus int64, args string) *corev1.Container {
	return &corev1.Container{
		Image: "docker.io/vllm/vllm-openai:v0.20.0-cu129", Args: strings.Fields(args),
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{gpuResource: *resource.NewQuantity(gpus, resource.DecimalSI)}},
	}
}

// TestVLLMStarts checks that command lines with which vLLM starts are accepted.
func TestVLLMStarts(t *testing.T) {
	for args, gpu := range map[string]string{
		"google/gemma-3-1b-it --port=8000 --max-model-len=8192 --max-num-seqs=16 --gpu-memory-utilization=0.9 --dtype=auto --shutdown-timeout=45 " +
			"--disable-access-log-for-endpoints=/health,/metrics,/ping --revision=main": "NVIDIA L4",
		"m -tp 1 --enable_auto_tool_choice --tool-call-parser hermes --compilation-config.mode 3 --hf-overrides {} -q fp8": "NVIDIA L4",
		"google/gemma-4-31B-it --max-num-batched-tokens=4096":                                                              "nvidia-a100-80gb",
		"google/gemma-4-31B-it":                                                              "nvidia-h100-80gb",
		"google/gemma-4-E2B-it --performance-mode=throughput":                                "NVIDIA L4",
		"google/gemma-4-E2B-it --language-model-only":                                        "NVIDIA L4",
		"google/gemma-4-E2B-it --limit-mm-per-prompt {\"video\":0}":                          "NVIDIA L4",
		"google/gemma-3-4b-it":                                                               "NVIDIA L4",
		"--model=m --max-model-len 25.6k --no-enable-chunked-prefill":                        "NVIDIA L4",
		"google/gemma-3-1b-it --dtype=float32 --api-key a b --middleware x.y --middleware z": "Tesla T4",
	} {
		require.NoError(t, CheckContainer(vllmContainer(1, args), gpu), args)
	}
}

// TestVLLMRefuses checks vLLM's own words for command lines with which it ends.
func TestVLLMRefuses(t *testing.T) {
	const l4 = "NVIDIA L4"
	for _, test := range []struct {
		args, gpu, want string
		code            int
	}{
		{"m --max-num-sequences=16 --swap-space 4", l4, "vllm: error: unrecognized arguments: --max-num-sequences=16 --swap-space 4", 2},
		{"m other", l4, "vllm: error: unrecognized arguments: other", 2},
		{"m --time-to-first-token=1s", l4, "unrecognized arguments: --time-to-first-token=1s", 2},
		{"m --port", l4, "vllm serve: error: argument --port: expected one argument", 2},
		{"m --port --dtype=auto", l4, "argument --port: expected one argument", 2},
		{"m --port=http", l4, "argument --port: invalid int value: 'http'", 2},
		{"m --gpu-memory-utilization=most", l4, "invalid float value: 'most'", 2},
		{"m --max-num-batched-tokens=2.5K", l4, "invalid human_readable_int value: '2.5K'", 2},
		{"m --max-model-len=long", l4, "invalid human_readable_int value: 'long'", 2},
		{"m --dtype=int8", l4, "argument --dtype: invalid choice: 'int8' (choose from auto, ", 2},
		{"m --enforce-eager=true", l4, "ignored explicit argument 'true'", 2},
		{"m --limit-mm-per-prompt image", l4, "argument --limit-mm-per-prompt: Value image cannot be converted", 2},
		{"m --served-model-name --port=1", l4, "expected at least one argument", 2},
		{"m --enable-auto-tool-choice", l4, "TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser", 1},
		{"m --gpu-memory-utilization=1.2", l4, "Input should be less than or equal to 1", 1},
		{"m --gpu-memory-utilization=0", l4, "Input should be greater than 0", 1},
		{"m --tensor-parallel-size=2", l4, "World size (2) is larger than the number of available GPUs (1)", 1},
		{"google/gemma-3-1b-it --max-model-len=65536", l4, "User-specified max_model_len (65536) is greater", 1},
		{"google/gemma-3-4b-it --dtype=half", l4, "The model type 'gemma3' does not support float16", 1},
		{"google/gemma-3-1b-it --dtype=bfloat16", "Tesla T4", "Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU", 1},
		{"m --max-num-seqs=64 --max-num-batched-tokens=32", l4, "max_num_batched_tokens (32) must be greater than or equal to max_num_seqs (64)", 1},
		{"m --max-model-len=512 --max-num-seqs=3000", l4, "max_num_batched_tokens (2048) must be greater than or equal to max_num_seqs (3000)", 1},
		{"m --max-model-len=8192 --no-enable-chunked-prefill --max-num-batched-tokens=4096", l4,
			"max_num_batched_tokens (4096) is smaller than max_model_len (8192)", 1},
		{"google/gemma-4-E2B-it", l4, "max_tokens_per_mm_item (2496) is larger than max_num_batched_tokens (2048)", 1},
		{"google/gemma-4-31B-it", "nvidia-a100-80gb", "max_tokens_per_mm_item (2496) is larger than max_num_batched_tokens (2048)", 1},
		{"google/gemma-3-4b-it --max-model-len=128 --max-num-seqs=1", l4, "max_tokens_per_mm_item (256) is larger than max_num_batched_tokens (128)", 1},
	} {
		err := CheckContainer(vllmContainer(1, test.args), test.gpu)
		require.Error(t, err, test.args)
		end := vllmExit(err)
		assert.Contains(t, end.output, test.want, test.args)
		assert.Equal(t, test.code, end.code, test.args)
	}
	require.ErrorContains(t, CheckContainer(vllmContainer(0, "m"), l4), "Failed to infer device type")
	require.ErrorContains(t, CheckContainer(vllmContainer(8, "google/gemma-3-1b-it -tp 8"), l4), "heads (4) must be divisible by tensor parallel size (8)")
}

// TestVLLMFlagTable checks that no flag is listed twice and that short forms and choices are those of listed flags.
func TestVLLMFlagTable(t *testing.T) {
	seen := map[string]bool{}
	for _, names := range vllmFlagTypes {
		for _, name := range strings.Fields(names) {
			assert.False(t, seen[name], name)
			seen[name] = true
		}
	}
	for short, name := range vllmShort {
		assert.True(t, seen[name], short)
	}
	for name := range vllmChoices {
		assert.Equal(t, vllmText, vllmFlags[name], name)
	}
}

// TestCheckStart checks which containers start: those with a command, or of an image that is known to have an entrypoint.
func TestCheckStart(t *testing.T) {
	const adapter, sidecar = "gcr.io/gke-release/custom-metrics-stackdriver-adapter:v0.16.9-gke.0", "quay.io/kiwigrid/k8s-sidecar:2.5.0"
	for name, test := range map[string]struct {
		container corev1.Container
		want      string
	}{
		"an entrypoint": {corev1.Container{Image: "quay.io/prometheus-operator/prometheus-operator:v0.93.1"}, ""},
		"a mirror":      {corev1.Container{Image: "r.example.com:5000/m/vllm-openai@sha256:ab", Args: []string{"m"}}, ""},
		"a cmd":         {corev1.Container{Image: sidecar}, ""},
		"a cmd that arguments replace": {corev1.Container{Image: sidecar, Args: []string{"--once"}},
			`RunContainerError: unable to start container process: exec: "--once"`},
		"no entrypoint": {corev1.Container{Image: adapter},
			"CreateContainerError: failed to generate container spec: no command specified"},
		"no entrypoint, but arguments": {corev1.Container{Image: adapter, Args: []string{"--secure-port=1"}},
			`RunContainerError: unable to start container process: exec: "--secure-port=1"`},
		"a command":                       {corev1.Container{Image: adapter, Command: []string{"/adapter"}}, ""},
		"an unknown image":                {corev1.Container{Image: "example.invalid/anything:v1"}, "CreateContainerError: no command specified"},
		"an unknown image and a command":  {corev1.Container{Image: "example.invalid/anything:v1", Command: []string{"/x"}}, ""},
		"an image with part of that name": {corev1.Container{Image: "example.invalid/my-vllm-openai:v1"}, "CreateContainerError"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkStart(&test.container)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
	for _, known := range entrypoints {
		assert.NotEmpty(t, known.source, known.repository)
	}
}
