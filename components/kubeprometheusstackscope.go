package components

import "slices"

const (
	// namespaceNameLabel is the label with its name that the API server gives every namespace, and that nobody can change.
	namespaceNameLabel = "kubernetes.io/metadata.name"

	// controllerAnnotation names the operator that reconciles a Prometheus or Alertmanager.
	controllerAnnotation = "operator.prometheus.io/controller-id"

	// seriesNamespaceLabel is the label of a series with the namespace of what it describes.
	seriesNamespaceLabel = "namespace"
)

// ruleNamespaces are the namespaces whose rules, probes, scrape and Alertmanager configurations are read. The serving
// namespace is not among them: nothing of the stack is there but the ServiceMonitor, and its owners get no say in the
// signals.
func (a *KubePrometheusStackArgs) ruleNamespaces() []string {
	return sortedSet(append([]string{a.Namespace}, a.WatchNamespaces...))
}

// monitorNamespaces are the namespaces whose monitors are read.
func (a *KubePrometheusStackArgs) monitorNamespaces() []string {
	return sortedSet(append([]string{a.Namespace, a.ServingNamespace}, a.WatchNamespaces...))
}

func sortedSet(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// namespaceSelectorValues selects namespaces by name.
func namespaceSelectorValues(names []string) map[string]any {
	return map[string]any{"matchExpressions": []any{map[string]any{
		"key": namespaceNameLabel, "operator": "In", "values": anyValues(names),
	}}}
}

// prometheusScopeValues returns whose objects Prometheus reads. Whoever may write a rule or a monitor that it reads can
// write the signals too, and so decides how many GPUs run: the objects of other namespaces write series of their own
// namespace only.
func prometheusScopeValues(a *KubePrometheusStackArgs) map[string]any {
	rules, monitors := namespaceSelectorValues(a.ruleNamespaces()), namespaceSelectorValues(a.monitorNamespaces())
	var own []any
	for _, kind := range []string{"prometheusrules", "servicemonitors", "podmonitors", "probes", "scrapeconfigs"} {
		own = append(own, map[string]any{"group": "monitoring.coreos.com", "resource": kind, "namespace": a.Namespace})
	}
	return map[string]any{
		"ruleNamespaceSelector":           rules,
		"probeNamespaceSelector":          rules,
		"scrapeConfigNamespaceSelector":   rules,
		"serviceMonitorNamespaceSelector": monitors,
		"podMonitorNamespaceSelector":     monitors,
		"enforcedNamespaceLabel":          seriesNamespaceLabel,
		// The stack's own record the signals of the serving namespace, and scrape the whole cluster.
		"excludedFromEnforcement": own,
	}
}

// operatorScopeValues keeps the operator off what other teams of the cluster have. By default it runs every Prometheus of
// the cluster, in competition with the operator that created it, and a webhook that does not answer would keep every team
// from changing its rules.
func operatorScopeValues(a *KubePrometheusStackArgs) map[string]any {
	return map[string]any{
		"prometheusInstanceNamespaces":   []any{a.Namespace},
		"alertmanagerInstanceNamespaces": []any{a.Namespace},
		"thanosRulerInstanceNamespaces":  []any{a.Namespace},
		"admissionWebhooks": map[string]any{
			"failurePolicy":     "Ignore",
			"namespaceSelector": namespaceSelectorValues(a.ruleNamespaces()),
		},
	}
}

// managedHere returns the values with the id by which this operator, and no other, reconciles the release's Prometheus and
// Alertmanager. Values without an operator are returned as they are: another one is to run them then.
func managedHere(a *KubePrometheusStackArgs, values map[string]any) map[string]any {
	operator, _ := values["prometheusOperator"].(map[string]any)
	if operator["enabled"] == false {
		return values
	}
	id := a.Namespace + "/" + KubePrometheusStackRelease + "-operator"
	annotations := map[string]any{"annotations": map[string]any{controllerAnnotation: id}}
	return mergeValues(values, map[string]any{
		"prometheus":         annotations,
		"alertmanager":       annotations,
		"prometheusOperator": map[string]any{"extraArgs": withValues(operator["extraArgs"], "--controller-id="+id)},
	})
}
