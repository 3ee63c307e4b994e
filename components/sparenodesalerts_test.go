package components

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNoAlertOfTheChartIsDueForASpareNode checks which series are dropped: a pod that waits for a node of a full pool is no failure.
func TestNoAlertOfTheChartIsDueForASpareNode(t *testing.T) {
	args := kubePrometheusStackArgs()
	args.ServingNamespace = "vllm"
	assert.NotContains(t, kubePrometheusStackValues(args)["kube-state-metrics"], "prometheus", "no spare nodes")

	args.SpareNodes = []string{"chat-spare", "code-spare"}
	configs := path(t, kubePrometheusStackValues(args), "kube-state-metrics", "prometheus", "monitor", "metricRelabelings").([]any)
	for labels, dropped := range map[string]bool{
		"kube_pod_status_phase;vllm;chat-spare-5d4f8c7b9-x2x4x;Pending": true,
		"kube_pod_status_phase;vllm;code-spare-5d4f8c7b9-x2x4x;Pending": true,
		"kube_pod_status_phase;vllm;code-spare-5d4f8c7b9-x2x4x;Failed":  false,
		"kube_pod_status_phase;vllm;chat-5d4f8c7b9-x2x4x;Pending":       false,
		"kube_pod_status_phase;apps;chat-spare-5d4f8c7b9-x2x4x;Pending": false,
		"kube_deployment_spec_replicas;vllm;chat-spare":                 true,
		"kube_deployment_spec_replicas;vllm;chat":                       false,
		"kube_deployment_status_replicas;vllm;chat-spare":               false,
	} {
		matched := false
		for _, config := range configs {
			fields := config.(map[string]any)
			require.Equal(t, "drop", fields["action"])
			if len(fields["sourceLabels"].([]any)) == strings.Count(labels, ";")+1 {
				matched = matched || regexp.MustCompile("^(?:"+fields["regex"].(string)+")$").MatchString(labels)
			}
		}
		assert.Equal(t, dropped, matched, labels)
	}
	require.Len(t, args.spareNodesRelabelings(), 2)
	assert.Len(t, args.spareNodesRelabelings()[0].SourceLabels, 4)
}
