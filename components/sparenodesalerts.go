package components

import (
	"fmt"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"

	"vllm-autoscaling/components/signals"
)

// spareNodesDrop is a series of kube-state-metrics that is dropped for the pods or Deployments of spare nodes, of which the labels in
// sourceLabels, joined by semicolons, match regex.
type spareNodesDrop struct {
	sourceLabels []string
	regex        string
}

// spareNodesDrops lists the series by which alerts of the chart would fire while a pool is at its maximum, when a pod that keeps a spare node
// is pending for as long as the load lasts: KubePodNotReady reads the phase of pods, KubeDeploymentReplicasMismatch the replicas that a
// Deployment asks for. The dashboard of the stack reads neither.
func (a *KubePrometheusStackArgs) spareNodesDrops() []spareNodesDrop {
	if len(a.SpareNodes) == 0 {
		return nil
	}
	var pods []string
	for _, name := range a.SpareNodes {
		pods = append(pods, signals.PodsOf(name))
	}
	return []spareNodesDrop{
		{[]string{"__name__", "namespace", "pod", "phase"}, fmt.Sprintf("kube_pod_status_phase;%s;(%s);Pending", a.ServingNamespace, strings.Join(pods, "|"))},
		{[]string{"__name__", "namespace", "deployment"}, fmt.Sprintf("kube_deployment_spec_replicas;%s;(%s)", a.ServingNamespace, strings.Join(a.SpareNodes, "|"))},
	}
}

// spareNodesValues returns the values with which the chart's kube-state-metrics is scraped without these series.
func spareNodesValues(a *KubePrometheusStackArgs) map[string]any {
	var drops []any
	for _, drop := range a.spareNodesDrops() {
		drops = append(drops, map[string]any{"action": "drop", "sourceLabels": anyValues(drop.sourceLabels), "regex": drop.regex})
	}
	if len(drops) == 0 {
		return map[string]any{}
	}
	return map[string]any{"kube-state-metrics": map[string]any{"prometheus": map[string]any{"monitor": map[string]any{"metricRelabelings": drops}}}}
}

// spareNodesRelabelings returns the same for a kube-state-metrics that the cluster has.
func (a *KubePrometheusStackArgs) spareNodesRelabelings() []monitoringv1.RelabelConfig {
	var drops []monitoringv1.RelabelConfig
	for _, drop := range a.spareNodesDrops() {
		var labels []monitoringv1.LabelName
		for _, label := range drop.sourceLabels {
			labels = append(labels, monitoringv1.LabelName(label))
		}
		drops = append(drops, monitoringv1.RelabelConfig{Action: "drop", SourceLabels: labels, Regex: drop.regex})
	}
	return drops
}
