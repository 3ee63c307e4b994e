package components

// kubePrometheusStackValues returns the chart's values, with the user's merged last.
func kubePrometheusStackValues(a *KubePrometheusStackArgs) map[string]any {
	return managedHere(a, mergeValues(mergeValues(mergeValues(map[string]any{
		"fullnameOverride": KubePrometheusStackRelease,
		"prometheus": map[string]any{
			"prometheusSpec": prometheusSpecValues(a),
		},
		"prometheusOperator": mergeValues(operatorScopeValues(a), map[string]any{
			"kubeletService":           map[string]any{"enabled": true, "namespace": kubeletNamespace, "name": KubeletService},
			"resources":                resourceValues("50m", "128Mi", "512Mi"),
			"securityContext":          podSecurityValues(65534, 65534),
			"containerSecurityContext": containerSecurityValues(),
		}),
		"alertmanager": map[string]any{
			"enabled": true,
			"alertmanagerSpec": map[string]any{
				"resources":       resourceValues("20m", "64Mi", "256Mi"),
				"securityContext": podSecurityValues(1000, 2000),
				// It calls no API of the cluster.
				"automountServiceAccountToken":        false,
				"alertmanagerConfigNamespaceSelector": namespaceSelectorValues(a.ruleNamespaces()),
			},
		},
		"grafana": grafanaValues(a),
		"kube-state-metrics": map[string]any{
			"fullnameOverride":         KubePrometheusStackRelease + "-kube-state-metrics",
			"collectors":               anyValues(stateCollectors),
			"resources":                resourceValues("20m", "64Mi", "256Mi"),
			"securityContext":          podSecurityValues(65534, 65534),
			"containerSecurityContext": containerSecurityValues(),
		},
		"prometheus-node-exporter": map[string]any{
			"fullnameOverride":         KubePrometheusStackRelease + "-prometheus-node-exporter",
			"resources":                resourceValues("20m", "32Mi", "128Mi"),
			"securityContext":          podSecurityValues(65534, 65534),
			"containerSecurityContext": containerSecurityValues(),
		},
		"crds":                  map[string]any{"upgradeJob": crdUpgradeValues(a)},
		"coreDns":               map[string]any{"enabled": a.CoreDNSScrapes},
		"kubeControllerManager": map[string]any{"enabled": a.ControlPlaneScrapes},
		"kubeScheduler":         map[string]any{"enabled": a.ControlPlaneScrapes},
		"kubeEtcd":              map[string]any{"enabled": a.ControlPlaneScrapes},
		"kubeProxy":             map[string]any{"enabled": a.ControlPlaneScrapes},
		"defaultRules": map[string]any{
			"rules": map[string]any{
				"etcd":                   a.ControlPlaneScrapes,
				"kubeControllerManager":  a.ControlPlaneScrapes,
				"kubeSchedulerAlerting":  a.ControlPlaneScrapes,
				"kubeSchedulerRecording": a.ControlPlaneScrapes,
				"kubeProxy":              a.ControlPlaneScrapes,
			},
		},
	}, a.Metadata.values(kubePrometheusStackMetadata)), mergeValues(sharedValues(a), spareNodesValues(a))), a.Values))
}

// stateCollectors are the kinds that kube-state-metrics reads, which the chart's ClusterRole follows: the chart's own list
// without Secrets and ConfigMaps, whose contents come with a list of their names, and which no rule or dashboard needs.
var stateCollectors = []string{
	"certificatesigningrequests", "cronjobs", "daemonsets", "deployments", "endpointslices", "horizontalpodautoscalers",
	"ingresses", "jobs", "leases", "limitranges", "mutatingwebhookconfigurations", "namespaces", "networkpolicies", "nodes",
	"persistentvolumeclaims", "persistentvolumes", "poddisruptionbudgets", "pods", "replicasets", "replicationcontrollers",
	"resourcequotas", "services", "statefulsets", "storageclasses", "validatingwebhookconfigurations", "volumeattachments",
}

// crdUpgradeValues returns the values of the chart's Job that applies the CRDs.
func crdUpgradeValues(a *KubePrometheusStackArgs) map[string]any {
	if !a.UpgradeCRDs {
		return map[string]any{"enabled": false}
	}
	return map[string]any{
		"enabled": true,
		// The CRDs belong to whoever has installed them, which is Helm or another tool.
		"forceConflicts": true,
		// The chart's latest may change from one run to the next. The image of kubectl follows the cluster's version.
		"image":     map[string]any{"busybox": map[string]any{"tag": busyboxTag}},
		"resources": resourceValues("20m", "64Mi", "512Mi"),
	}
}

func prometheusSpecValues(a *KubePrometheusStackArgs) map[string]any {
	spec := mergeValues(prometheusScopeValues(a), map[string]any{
		"scrapeInterval":     prometheusDuration(a.ScrapeInterval),
		"evaluationInterval": prometheusDuration(a.EvaluationInterval),
		"retention":          a.Retention,
		"resources":          resourceValues("250m", "1Gi", "3Gi"),
		"securityContext":    podSecurityValues(1000, 2000),
		// Left at the chart's default, Prometheus would only see objects labelled with the release.
		"serviceMonitorSelectorNilUsesHelmValues": false,
		"podMonitorSelectorNilUsesHelmValues":     false,
		"ruleSelectorNilUsesHelmValues":           false,
		"probeSelectorNilUsesHelmValues":          false,
		"scrapeConfigSelectorNilUsesHelmValues":   false,
	})
	if a.Storage == "" {
		return spec
	}
	claim := map[string]any{
		"accessModes": []any{"ReadWriteOnce"},
		"resources":   map[string]any{"requests": map[string]any{"storage": a.Storage}},
	}
	if a.StorageClass != "" {
		claim["storageClassName"] = a.StorageClass
	}
	spec["storageSpec"] = map[string]any{"volumeClaimTemplate": map[string]any{"spec": claim}}
	return spec
}
