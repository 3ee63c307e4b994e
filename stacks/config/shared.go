package config

import "fmt"

// The values of monitoring.nodeExporter, monitoring.kubeStateMetrics and monitoring.operator.
const (
	// NodeExporterOwn installs that of kube-prometheus-stack.
	NodeExporterOwn = "own"
	// NodeExporterNone leaves it out.
	NodeExporterNone = "none"
	// StateMetricsOwn installs that of kube-prometheus-stack.
	StateMetricsOwn = "own"
	// StateMetricsShared scrapes one that the cluster has.
	StateMetricsShared = "shared"
	// StateMetricsNone has no series of kube-state-metrics.
	StateMetricsNone = "none"
	// OperatorOwn installs that of kube-prometheus-stack.
	OperatorOwn = "own"
	// OperatorShared leaves the stack's Prometheus to one that the cluster has.
	OperatorShared = "shared"
)

// StateMetricsLabel and its value are on the Service of every usual installation of kube-state-metrics.
const (
	StateMetricsLabel = "app.kubernetes.io/name"
	StateMetricsName  = "kube-state-metrics"
)

// StateMetricsService is where a kube-state-metrics of the cluster is. Prometheus reads its port without TLS and without a password.
type StateMetricsService struct {
	// Namespace is the namespace of the Service; required with monitoring.kubeStateMetrics shared.
	Namespace string `key:"namespace" unset:"required with shared" example:"platform-monitoring" format:"label"`
	// Labels are labels of the Service, which select it.
	Labels map[string]string `key:"labels" unset:"{app.kubernetes.io/name: kube-state-metrics}" example:"{app: kube-state-metrics}" format:"labels"`
	// Port is the name of the Service's port with the series.
	Port string `key:"port" default:"http" example:"http-metrics" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" allowed:"the name of a port"`
}

// keyStateMetricsNamespace is the key without which a shared kube-state-metrics is not found.
const keyStateMetricsNamespace = "monitoring.kubeStateMetricsService.namespace"

// Given reports whether the stack file has nodeExporter, kubeStateMetrics, operator or upgradeCRDs, so that nothing else is to be proposed.
func (m Monitoring) Given(key string) bool { return m.given[key] }

// applySharedDefaults sets what a shared kube-state-metrics is selected by.
func (c *Config) applySharedDefaults(given keySet) {
	c.Monitoring.given = map[string]bool{}
	for _, key := range []string{"nodeExporter", "kubeStateMetrics", "operator", "upgradeCRDs"} {
		c.Monitoring.given[key] = given.has("monitoring." + key)
	}
	orDefault(given, "monitoring.kubeStateMetricsService.labels", &c.Monitoring.KubeStateMetricsService.Labels,
		map[string]string{StateMetricsLabel: StateMetricsName})
}

// checkShared checks the keys of what the cluster has already against each other.
func checkShared(r *report, m Monitoring) {
	if r.anyRefused("monitoring.kubeStateMetrics", "monitoring.operator") {
		return
	}
	service := m.KubeStateMetricsService
	switch {
	case m.KubeStateMetrics == StateMetricsShared && service.Namespace == "":
		r.bad(keyStateMetricsNamespace, "", "the namespace of the kube-state-metrics that monitoring.kubeStateMetrics shared scrapes",
			r.set(keyStateMetricsNamespace, "<namespace>")+" (kubectl get services -A -l "+StateMetricsLabel+"="+StateMetricsName+")")
	case m.KubeStateMetrics != StateMetricsShared && service.Namespace != "":
		r.bad(keyStateMetricsNamespace, service.Namespace, "set only together with monitoring.kubeStateMetrics shared",
			r.set("monitoring.kubeStateMetrics", StateMetricsShared)+", or remove the key")
	}
	if m.KubeStateMetrics == StateMetricsShared && r.given.has("monitoring.kubeStateMetricsService.labels") && len(service.Labels) == 0 {
		r.bad("monitoring.kubeStateMetricsService.labels", "{}", "at least one label: without any, every Service of the namespace is scraped", "remove the key")
	}
	if m.Operator == OperatorShared && m.UpgradeCRDs {
		r.bad("monitoring.upgradeCRDs", true, "false with monitoring.operator shared: the CRDs are those of the operator's owner",
			"remove the key, or "+r.set("monitoring.operator", OperatorOwn))
	}
}

// warnOfLeftOut warns of what is missing without kube-state-metrics.
func (c *Config) warnOfLeftOut(r *report) {
	if c.Monitoring.KubeStateMetrics != StateMetricsNone || c.ManagesMetrics() {
		return
	}
	r.warn("monitoring.kubeStateMetrics", StateMetricsNone,
		"nothing tells Prometheus of Deployments, pods and the HPA: the alerts that read them are left out, the replicas and the readings of the "+
			"autoscaler are missing on the dashboards, and the GPU signal counts a pod from its first samples on, not from its readiness",
		fmt.Sprintf("if the cluster has a kube-state-metrics, %s and %s", r.set("monitoring.kubeStateMetrics", StateMetricsShared),
			r.set(keyStateMetricsNamespace, "<namespace>")))
}
