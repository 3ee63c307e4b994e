package components

import (
	"errors"
	"fmt"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	kmetav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// SharedStateMetricsMonitor is the ServiceMonitor of a kube-state-metrics that the cluster has.
	SharedStateMetricsMonitor = KubePrometheusStackRelease + "-shared-kube-state-metrics"

	// stateMetricsJob is the label job that the chart's rules and dashboards select kube-state-metrics by.
	stateMetricsJob = "kube-state-metrics"
)

// StateMetricsTarget is the Service of a kube-state-metrics that the cluster has. All fields are required.
type StateMetricsTarget struct {
	// Namespace of the Service.
	Namespace string
	// Labels of the Service.
	Labels map[string]string
	// Port is the name of the Service's port with the series.
	Port string
}

// sharedValues returns the values that leave out what the cluster has already.
func sharedValues(a *KubePrometheusStackArgs) map[string]any {
	values := map[string]any{}
	if a.NoNodeExporter {
		values = mergeValues(values, map[string]any{
			"nodeExporter": map[string]any{"enabled": false},
			// Nothing writes the series that these read.
			"defaultRules": map[string]any{"rules": map[string]any{"nodeExporterAlerting": false, "nodeExporterRecording": false}},
		})
	}
	if a.NoStateMetrics || a.SharedStateMetrics != nil {
		values["kubeStateMetrics"] = map[string]any{"enabled": false}
	}
	if a.SharedOperator {
		values["crds"] = map[string]any{"enabled": false}
		values["prometheusOperator"] = map[string]any{
			"enabled": false,
			// Its own kubelet Service is the one to scrape.
			"kubeletService":    map[string]any{"enabled": false},
			"admissionWebhooks": map[string]any{"enabled": false},
		}
	}
	return values
}

// newStateMetricsMonitor registers the scrape of the cluster's kube-state-metrics. The stack's Prometheus keeps the labels of its
// series, because it enforces no namespace on the monitors of its own.
func newStateMetricsMonitor(ctx *pulumi.Context, parent *KubePrometheusStack, args *KubePrometheusStackArgs) error {
	target, job := args.SharedStateMetrics, stateMetricsJob
	_, err := newServiceMonitor(ctx, args.Namespace, SharedStateMetricsMonitor, monitoringv1.ServiceMonitorSpec{
		NamespaceSelector: monitoringv1.NamespaceSelector{MatchNames: []string{target.Namespace}},
		Selector:          kmetav1.LabelSelector{MatchLabels: target.Labels},
		Endpoints: []monitoringv1.Endpoint{{
			Port: target.Port,
			// The labels namespace and pod of a series are what it describes, not the scraped pod.
			HonorLabels:          true,
			RelabelConfigs:       []monitoringv1.RelabelConfig{{TargetLabel: "job", Replacement: &job}},
			MetricRelabelConfigs: args.spareNodesRelabelings(),
		}},
	}, childOptions(parent, []pulumi.Resource{parent.Release}))
	return err
}

func (t *StateMetricsTarget) validate() error {
	problems := []error{validateNamespace("SharedStateMetrics.Namespace", t.Namespace)}
	if len(t.Labels) == 0 {
		problems = append(problems, errors.New("field SharedStateMetrics.Labels must be set: without any, every Service of the namespace is scraped"))
	}
	if t.Port == "" {
		problems = append(problems, fmt.Errorf("field SharedStateMetrics.Port must be set (such as %q)", "http"))
	}
	return errors.Join(problems...)
}
