package podruntime

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// generatedForCollectors is what Google's operator writes for its collectors, shortened.
const generatedForCollectors = `
global: {scrape_interval: 1m}
google_cloud: {export: {compression: gzip}}
scrape_configs:
- job_name: PodMonitoring/vllm/vllm/http
  scrape_interval: 5s
  metrics_path: /metrics
  kubernetes_sd_configs:
  - role: pod
    kubeconfig_file: ""
    selectors: [{role: pod, field: spec.nodeName=$(NODE_NAME)}]
  relabel_configs:
  - {target_label: project_id, replacement: p, action: replace}
`

func TestCollectorConfig(t *testing.T) {
	adapted, err := collectorConfig([]byte(generatedForCollectors), promPlace{router: "127.0.0.1:1", kubeconfig: "/k",
		local: func(string) (string, bool) { return "", false }}, "/rules")
	require.NoError(t, err)
	var config struct {
		Google    any      `json:"google_cloud"`
		RuleFiles []string `json:"rule_files"`
		Jobs      []struct {
			Interval  string           `json:"scrape_interval"`
			Discovery []map[string]any `json:"kubernetes_sd_configs"`
			Relabel   []map[string]any `json:"relabel_configs"`
		} `json:"scrape_configs"`
	}
	require.NoError(t, yaml.Unmarshal(adapted, &config))
	assert.Nil(t, config.Google, "an upstream Prometheus has no such section")
	assert.Equal(t, []string{"/rules/*rules__*.yaml"}, config.RuleFiles)
	require.Len(t, config.Jobs, 1)
	assert.Equal(t, "5s", config.Jobs[0].Interval)
	assert.Equal(t, []map[string]any{{"role": "pod", "kubeconfig_file": "/k"}}, config.Jobs[0].Discovery, "of every node")
	assert.Equal(t, "project_id", config.Jobs[0].Relabel[0]["target_label"])
	assert.Equal(t, "127.0.0.1:1", config.Jobs[0].Relabel[len(config.Jobs[0].Relabel)-1]["replacement"], "the last hop is the lab's")
}
