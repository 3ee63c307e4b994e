package preview

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preflight"
)

var lacking = &preflight.Result{Cloud: "gke", Program: "gcloud", Checks: []preflight.Check{
	{Name: "gpu-quota", Asked: "NVIDIA_L4_GPUS in us-central1", Outcome: preflight.Failed, Found: "0 GPUs of 0 free: 4 needed", Fix: "gcloud beta quotas preferences create"},
	{Name: "services", Asked: "containerfilesystem", Outcome: preflight.Warning, Found: "not enabled", Fix: "`gcloud services enable x`"},
	{Name: "billing", Asked: "billing", Outcome: preflight.Unknown, Found: "gcloud is not logged in"},
	{Name: "names-free", Asked: "cluster a", Outcome: preflight.Unknown, Found: "gcloud is not logged in"},
	{Name: "names-free", Asked: "network a", Outcome: preflight.Unknown, Found: "gcloud is not logged in"},
	{Name: "machine-types", Asked: "g2-standard-4 in us-central1-a", Outcome: preflight.Passed, Found: "offered"},
}}

func TestPreflightText(t *testing.T) {
	report := New(read(t, "gke.create"), Options{Preflight: lacking})
	const section = "\nPreflight, with gcloud: 1 check failed, 1 warning, 3 unknown, 1 passed.\n" +
		"  failed gpu-quota: NVIDIA_L4_GPUS in us-central1: 0 GPUs of 0 free: 4 needed; gcloud beta quotas preferences create\n" +
		"  warning services: containerfilesystem: not enabled; `gcloud services enable x`\n" +
		"  unknown billing, names-free: gcloud is not logged in\n"
	text := report.Text()
	assert.Contains(t, text, section+"\nPolicy: ")
	assert.Equal(t, New(read(t, "gke.create"), Options{}).Text(), report.WithoutPreflight().Text())
	assert.NotNil(t, report.Preflight, "the report itself is unchanged")
	assert.Equal(t, section[1:]+"  passed machine-types: g2-standard-4 in us-central1-a: offered\n", report.PreflightText())
	assert.Equal(t, "Preflight: nothing to check: the update creates no cluster and no nodes in a cloud\n", report.WithoutPreflight().PreflightText())
}

func TestPreflightMarkdown(t *testing.T) {
	report := New(read(t, "gke.create"), Options{Preflight: lacking})
	const section = "### Preflight\n\n`gcloud` answered: **1 check failed**, 1 warning, 3 unknown, 1 passed.\n\n" +
		"- **failed** `gpu-quota`: NVIDIA\\_L4\\_GPUS in us-central1: 0 GPUs of 0 free: 4 needed. Fix: `gcloud beta quotas preferences create`\n" +
		"- **warning** `services`: containerfilesystem: not enabled. Fix: `` `gcloud services enable x` ``\n" +
		"- **unknown** `billing, names-free`: gcloud is not logged in\n"
	assert.Contains(t, report.Markdown(0), "\n"+section+"\n### Policy\n")
	assert.Equal(t, section, report.PreflightMarkdown())
	assert.NotContains(t, report.WithoutPreflight().Markdown(0), "Preflight")

	all := &preflight.Result{Program: "aws", Checks: lacking.Checks[5:]}
	assert.Equal(t, "### Preflight\n\n`aws` answered: no check failed, 1 passed.\n", New(read(t, "eks.create"), Options{Preflight: all}).PreflightMarkdown())
}

// A failed preview has the section, too: what the account lacks may be the reason.
func TestPreflightOfAFailedPreview(t *testing.T) {
	report := New(read(t, "gke.failed"), Options{Preflight: lacking})
	assert.Contains(t, report.Text(), "gpu-quota")
	assert.Contains(t, report.Markdown(0), "gpu-quota")
}

// A message of a CLI can hold anything.
func TestPreflightHidesSecrets(t *testing.T) {
	token := "hf_" + strings.Repeat("a", 34)
	leaking := &preflight.Result{Program: "az", Checks: []preflight.Check{{Name: "login", Asked: token, Outcome: preflight.Failed, Found: token, Fix: token}}}
	report := New(read(t, "aks.create"), Options{Preflight: leaking})
	assert.NotContains(t, report.Text(), token)
	assert.NotContains(t, report.Markdown(0), token)
}

func TestPreflightJSON(t *testing.T) {
	content, err := json.Marshal(New(read(t, "gke.create"), Options{Preflight: lacking}))
	require.NoError(t, err)
	var report struct {
		Preflight struct {
			Cloud, Program string
			Checks         []map[string]string
		}
	}
	require.NoError(t, json.Unmarshal(content, &report))
	assert.Equal(t, "gke", report.Preflight.Cloud)
	assert.Equal(t, map[string]string{"name": "gpu-quota", "asked": "NVIDIA_L4_GPUS in us-central1", "outcome": "failed",
		"found": "0 GPUs of 0 free: 4 needed", "fix": "gcloud beta quotas preferences create"}, report.Preflight.Checks[0])
}
