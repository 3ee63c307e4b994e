package components

import "strings"

// metadataValues are the values of a chart that take labels or annotations, as dotted paths. A path that is not here is one that
// would put a label into a selector, or that the chart renders beside one that is here, with the same key twice.
type metadataValues struct {
	labels, annotations []string
	// monitors are the values for labels of the chart's monitors.
	monitors []string
	// templates are those of annotations that the chart evaluates as a template.
	templates []string
}

// The values of the charts at their pinned versions. What a chart has no value for stays without: docs/existing-clusters.md lists it.
var (
	kubePrometheusStackMetadata = metadataValues{
		labels: []string{
			// All objects but the subcharts', and the pods of the operator and of the webhook's Jobs.
			"commonLabels",
			"prometheus.prometheusSpec.podMetadata.labels",
			"alertmanager.alertmanagerSpec.podMetadata.labels",
			// All objects and the pods.
			"kube-state-metrics.customLabels",
			"prometheus-node-exporter.commonLabels",
			"grafana.extraLabels",
			"crds.upgradeJob.labels",
			"crds.upgradeJob.podLabels",
			"crds.upgradeJob.serviceAccount.labels",
		},
		annotations: []string{
			"prometheus.annotations",
			"alertmanager.annotations",
			"alertmanager.alertmanagerSpec.podMetadata.annotations",
			"prometheusOperator.annotations",
			"prometheusOperator.podAnnotations",
			// The Job before a release, and the one after it.
			"prometheusOperator.admissionWebhooks.annotations",
			"prometheusOperator.admissionWebhooks.patch.annotations",
			"prometheusOperator.admissionWebhooks.patch.podAnnotations",
			"defaultRules.annotations",
			"kube-state-metrics.annotations",
			"kube-state-metrics.podAnnotations",
			"prometheus-node-exporter.daemonsetAnnotations",
			"prometheus-node-exporter.podAnnotations",
			"grafana.annotations",
			"grafana.podAnnotations",
			"crds.upgradeJob.annotations",
			"crds.upgradeJob.podAnnotations",
			"crds.upgradeJob.serviceAccount.annotations",
		},
		templates: []string{"prometheus.prometheusSpec.podMetadata.annotations"},
	}
	prometheusAdapterMetadata = metadataValues{
		// All objects and the pods.
		labels: []string{"customLabels"}, annotations: []string{"customAnnotations"},
	}
	dcgmExporterMetadata = metadataValues{
		labels:      []string{"podLabels"},
		annotations: []string{"podAnnotations", "service.annotations", "serviceAccount.annotations"},
		monitors:    []string{"serviceMonitor.additionalLabels"},
	}
	devicePluginMetadata = metadataValues{
		annotations: []string{"podAnnotations"},
	}
	clusterAutoscalerMetadata = metadataValues{
		// All objects and the pods. podLabels would be in the selector too, and the ServiceAccount's annotations are not quoted.
		labels:      []string{"additionalLabels"},
		annotations: []string{"deployment.annotations", "podAnnotations", "service.annotations"},
	}
)

// values returns the values of a chart with the metadata of its objects.
func (m Metadata) values(chart metadataValues) map[string]any {
	values := map[string]any{}
	for _, group := range []struct {
		paths   []string
		entries map[string]string
	}{
		{chart.labels, m.Labels},
		{chart.annotations, m.Annotations},
		{chart.monitors, m.ofMonitors()},
		{chart.templates, escaped(m.Annotations)},
	} {
		for _, path := range group.paths {
			values = mergeValues(values, nested(path, group.entries))
		}
	}
	return values
}

// nested returns values with the entries at a dotted path; without entries, no values.
func nested(path string, entries map[string]string) map[string]any {
	if len(entries) == 0 {
		return nil
	}
	content := make(map[string]any, len(entries))
	for key, value := range entries {
		content[key] = value
	}
	parts := strings.Split(path, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		content = map[string]any{parts[i]: content}
	}
	return content
}

// escaped returns texts that a template of Helm evaluates to the given ones.
func escaped(texts map[string]string) map[string]string {
	result := make(map[string]string, len(texts))
	for key, text := range texts {
		result[key] = strings.ReplaceAll(text, "{{", "{{`{{`}}")
	}
	return result
}
