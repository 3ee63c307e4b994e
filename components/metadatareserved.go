package components

import "strings"

// owners are the domains of keys that a stack's owner cannot set, with the reason; subdomains belong to them.
var owners = []struct{ domain, reason string }{
	{"app.kubernetes.io", "the selectors of the program and of its charts use this domain"},
	{"kubernetes.io", "this domain belongs to Kubernetes"},
	{"k8s.io", "this domain belongs to Kubernetes"},
	{"vllm-autoscaling", "this prefix belongs to the program"},
	{"helm.sh", "this domain belongs to Helm"},
	{"pulumi.com", "this domain belongs to Pulumi's provider"},
	{"operator.prometheus.io", "this domain belongs to the Prometheus Operator"},
}

// selectedLabels are labels without a domain that a selector of the charts, the Prometheus Operator or a controller of Kubernetes
// uses, or that a chart sets itself: a chart with the same key twice is not valid YAML.
var selectedLabels = map[string]string{
	"app":                      "kube-prometheus-stack selects by it",
	"release":                  "kube-prometheus-stack selects by it; for monitors and rules, monitoring.monitorLabels may have it",
	"chart":                    "kube-prometheus-stack sets it",
	"heritage":                 "kube-prometheus-stack sets it",
	"self-monitor":             "kube-prometheus-stack selects by it",
	"jobLabel":                 "kube-prometheus-stack sets it, for the label job of the node exporter's series",
	"k8s-app":                  "the Prometheus Operator and Kubernetes select by it",
	"prometheus":               "the Prometheus Operator selects by it; for monitors and rules, monitoring.monitorLabels may have it",
	"alertmanager":             "the Prometheus Operator selects by it",
	dashboardLabel:             "Grafana loads every ConfigMap that has it as a dashboard",
	"grafana_datasource":       "Grafana loads every ConfigMap that has it as a datasource",
	"pod-template-hash":        "Kubernetes selects the pods of a ReplicaSet by it",
	"controller-revision-hash": "Kubernetes selects the pods of a DaemonSet by it",
	"pod-template-generation":  "Kubernetes sets it",
	"controller-uid":           "Kubernetes selects the pods of a Job by it",
	"job-name":                 "Kubernetes selects the pods of a Job by it",
}

// usersAnnotations are annotations of Kubernetes' domains that are made for the owners of objects.
var usersAnnotations = map[string]bool{
	"kubernetes.io/description":                                    true,
	"cluster-autoscaler.kubernetes.io/safe-to-evict":               true,
	"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": true,
}

// ReservedLabel returns why the owner of a stack cannot give every object of it the label, or "".
func ReservedLabel(key string) string {
	if reason := ReservedMonitorLabel(key); reason != "" {
		return reason
	}
	return selectedLabels[key]
}

// ReservedMonitorLabel returns why the owner of a stack cannot give its monitors and rules the label, or "".
func ReservedMonitorLabel(key string) string {
	domain, _, qualified := strings.Cut(key, "/")
	if !qualified {
		return ""
	}
	for _, owner := range owners {
		if domain == owner.domain || strings.HasSuffix(domain, "."+owner.domain) {
			return owner.reason
		}
	}
	return ""
}

// ReservedAnnotation returns why the owner of a stack cannot give every object of it the annotation, or "".
func ReservedAnnotation(key string) string {
	if usersAnnotations[key] {
		return ""
	}
	if strings.HasPrefix(key, "checksum/") {
		return "the charts have their checksums under this prefix"
	}
	return ReservedMonitorLabel(key)
}
