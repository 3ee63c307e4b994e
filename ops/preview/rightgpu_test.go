package preview

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview/plan"
	"vllm-autoscaling/ops/rightgpu"
)

// edited returns a recording with changes of its text. The recordings have an address of the documentation, which the program refuses.
func edited(t *testing.T, name string, changes ...string) *plan.Plan {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(t, err)
	text := string(content)
	for i := 0; i < len(changes); i += 2 {
		require.Contains(t, text, changes[i])
		text = strings.ReplaceAll(text, changes[i], changes[i+1])
	}
	p, err := plan.Parse([]byte(text))
	require.NoError(t, err)
	return p
}

func TestRightGPU(t *testing.T) {
	const address, another = "203.0.113.7/32", "1.2.3.4/32"
	model := []string{`"vllm-autoscaling:model":"{}"`, `"vllm-autoscaling:model":"{\"id\":\"google/gemma-3-4b-it\"}"`}
	secrets := []string{`"vllm-autoscaling:apiKey":""`, `"vllm-autoscaling:apiKey":"[secret]"`,
		`"vllm-autoscaling:monitoring":"{}"`, `"vllm-autoscaling:monitoring":"{\"grafanaPassword\":\"[secret]\"}"`}
	larger := append([]string{address, another}, model...)
	unknown := []string{address, another, model[0], strings.Replace(model[1], "google/", "somebody/", 1)}
	for name, test := range map[string]struct {
		plan    *plan.Plan
		options Options
		hint    bool
	}{
		"a larger model":                {edited(t, "eks.create", larger...), Options{}, true},
		"secrets are hidden":            {edited(t, "eks.create", append(larger, secrets...)...), Options{}, true},
		"the default model":             {edited(t, "eks.create", address, another), Options{}, false},
		"a price of the command line":   {edited(t, "eks.create", larger...), Options{Prices: map[string]float64{"g6.xlarge": 0.3}}, false},
		"a drift check":                 {edited(t, "eks.create", larger...), Options{Mode: Drift}, false},
		"a destroy":                     {edited(t, "eks.destroy", larger...), Options{Mode: Destroy}, false},
		"a preview that failed":         {edited(t, "eks.failed", model...), Options{}, false},
		"a configuration of nothing":    {preview(t, ""), Options{}, false},
		"a stack on an own cluster":     {edited(t, "local.create", model...), Options{}, false},
		"an address that is refused":    {edited(t, "eks.create", model...), Options{}, false},
		"a model that nobody has heard": {edited(t, "eks.create", unknown...), Options{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			report := New(test.plan, test.options)
			assert.Equal(t, test.hint, len(report.RightGPU) > 0)
			assert.Equal(t, test.hint, strings.Contains(report.Text(), rightGPUTitle))
			assert.Equal(t, test.hint, strings.Contains(report.Markdown(0), "### "+rightGPUTitle))
			assert.Equal(t, test.hint, strings.Contains(asJSON(t, report), `"rightGPU"`))
		})
	}
}

func TestRightGPUText(t *testing.T) {
	report := &Report{Stack: "eks", RightGPU: []rightgpu.Hint{{
		Model: "google/gemma-3-4b-it", TTFT: "2.5s", InterToken: "100ms", InputTokens: 1024, OutputTokens: 256,
		Configured: rightgpu.Offer{
			MachineType: "g6.xlarge", Accelerator: "nvidia-l4", GPUsPerReplica: 1, USDPerHour: 0.8048, RequestsPerSecond: 2.7, USDPerThousand: 0.0828,
		},
		Cheapest: rightgpu.Offer{
			MachineType: "g6e.12xlarge", Accelerator: "nvidia-l40s", GPUsPerReplica: 2, USDPerHour: 10.49, RequestsPerSecond: 54, USDPerThousand: 0.05396,
		},
		Commands: []string{"pulumi config set a b", "pulumi config rm c"},
	}}}
	assert.Contains(t, report.Text(), `
A cheaper machine type
  google/gemma-3-4b-it within 2.5s and 100ms on g6e.12xlarge (nvidia-l40s, 2 for each replica): about 0.054 USD per thousand requests, `+
		`54 requests/s for 10.49 USD/h. The configured g6.xlarge (nvidia-l4): about 0.083 USD per thousand requests, 2.7 requests/s for 0.80 USD/h.
  Computed from data sheets for requests of 1024 tokens in and 256 out at full load, with prices on demand; quota and availability are not `+
		`considered. Use it with: pulumi config set a b && pulumi config rm c
`)
	markdown := report.Markdown(0)
	assert.Contains(t, markdown, "\n### A cheaper machine type\n\n`google/gemma-3-4b-it` within 2.5s and 100ms on `g6e.12xlarge` (nvidia-l40s, 2 for ")
	assert.Contains(t, markdown, "Use it with: `pulumi config set a b && pulumi config rm c`\n")

	report.RightGPU[0].Configured.RequestsPerSecond = 0
	assert.Contains(t, report.Text(), " The configured g6.xlarge (nvidia-l4) keeps that at no load.")
}
