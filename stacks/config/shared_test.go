package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSharedRules checks the rules on what the cluster has already, each with a configuration that breaks it and one that does not.
func TestSharedRules(t *testing.T) {
	type keys = map[string]any
	shared := keys{"monitoring.kubeStateMetrics": "shared", "monitoring.kubeStateMetricsService.namespace": "platform"}
	for name, rule := range map[string]struct {
		wrong, right keys
		key, says    string
	}{
		"another node exporter": {wrong: keys{"monitoring.nodeExporter": "shared"}, right: keys{"monitoring.nodeExporter": "none"},
			key: "monitoring.nodeExporter", says: "one of: own, none"},
		"kube-state-metrics nowhere": {wrong: keys{"monitoring.kubeStateMetrics": "shared"}, right: shared,
			key: keyStateMetricsNamespace, says: "pulumi config set --path 'vllm-autoscaling:monitoring.kubeStateMetricsService.namespace' <namespace>"},
		"a namespace for nothing": {wrong: keys{keyStateMetricsNamespace: "platform"}, right: shared,
			key: keyStateMetricsNamespace, says: "pulumi config set --path 'vllm-autoscaling:monitoring.kubeStateMetrics' shared"},
		"no label": {
			wrong: keys{"monitoring.kubeStateMetrics": "shared", "monitoring.kubeStateMetricsService": keys{"namespace": "platform", "labels": keys{}}},
			right: keys{"monitoring.kubeStateMetrics": "shared", "monitoring.kubeStateMetricsService": keys{"namespace": "platform", "labels": keys{"a": "b"}}},
			key:   "monitoring.kubeStateMetricsService.labels", says: "at least one label",
		},
		"a port number": {wrong: keys{"monitoring.kubeStateMetrics": "shared", "monitoring.kubeStateMetricsService": keys{"namespace": "platform", "port": "HTTP"}},
			right: shared, key: "monitoring.kubeStateMetricsService.port", says: "the name of a port"},
		"CRDs of another operator": {wrong: keys{"monitoring.operator": "shared", "monitoring.upgradeCRDs": true},
			right: keys{"monitoring.operator": "shared"}, key: "monitoring.upgradeCRDs", says: "operator's owner"},
	} {
		t.Run(name, func(t *testing.T) {
			refused := problemsOf(t, source(t, "local", rule.wrong))
			require.Len(t, refused.Problems, 1, "%v", refused)
			assert.Equal(t, project+":"+rule.key, refused.Problems[0].Key)
			assert.Contains(t, refused.Error(), rule.says)
			_, err := Read(source(t, "local", rule.right))
			require.NoError(t, err)
		})
	}
}

func TestSharedDefaults(t *testing.T) {
	own := read(t, "local", nil).Monitoring
	assert.Equal(t, []string{"own", "own", "own"}, []string{own.NodeExporter, own.KubeStateMetrics, own.Operator})
	assert.False(t, own.Given("nodeExporter"))

	chosen := read(t, CloudGKE, onCloud(CloudGKE, map[string]any{
		"monitoring.operator": "shared", "monitoring.kubeStateMetrics": "shared", keyStateMetricsNamespace: "platform",
	})).Monitoring
	assert.False(t, chosen.UpgradeCRDs, "the CRDs are those of the operator's owner")
	assert.Equal(t, StateMetricsService{Namespace: "platform", Labels: map[string]string{"app.kubernetes.io/name": "kube-state-metrics"}, Port: "http"},
		chosen.KubeStateMetricsService)
	assert.True(t, chosen.Given("operator"))
	assert.False(t, chosen.Given("nodeExporter"))
}

func TestWithoutStateMetricsWarns(t *testing.T) {
	warned := func(value string) bool {
		for _, warning := range read(t, "local", map[string]any{"monitoring.kubeStateMetrics": value}).Warnings() {
			if warning.Key == project+":monitoring.kubeStateMetrics" {
				return true
			}
		}
		return false
	}
	assert.True(t, warned("none"))
	assert.False(t, warned("own"))
}
