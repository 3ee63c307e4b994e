package stacks

import (
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/providers/neighbours"
	"vllm-autoscaling/stacks/config"
)

// proposals returns a warning for each part of the platform's monitoring that the stack could use in place of its own, with the
// commands that choose it. A key that the stack file has is a choice that was made.
func (d *deployment) proposals(found neighbours.Found) []string {
	m := d.config.Monitoring
	if !pipelines[d.config.Metrics].prometheus {
		return nil
	}
	var all []string
	if m.NodeExporter == config.NodeExporterOwn {
		for _, exporter := range found.NodeExporters {
			all = append(all, fmt.Sprintf("%s takes the port of the stack's node exporter on the nodes where it runs: the stack's would stay Pending there, and "+
				"`pulumi up` would fail. Leave the stack's out: `%s`", exporter, d.set("monitoring.nodeExporter", config.NodeExporterNone)))
		}
	}
	if m.KubeStateMetrics == config.StateMetricsOwn && !m.Given("kubeStateMetrics") {
		for _, service := range found.StateMetrics {
			if proposal := d.sharedStateMetrics(service); proposal != "" {
				all = append(all, proposal)
				break // One is enough to choose from.
			}
		}
	}
	return append(all, d.operatorProposals(found)...)
}

// sharedStateMetrics proposes a kube-state-metrics of the cluster; "" for one that Prometheus cannot read without credentials.
func (d *deployment) sharedStateMetrics(service neighbours.StateMetrics) string {
	port := "http"
	if !slices.Contains(service.Ports, port) {
		at := slices.IndexFunc(service.Ports, func(name string) bool {
			return name != "" && !strings.HasPrefix(name, "https") && name != "telemetry" && name != "metrics"
		})
		if at < 0 {
			return ""
		}
		port = service.Ports[at]
	}
	commands := []string{
		"`" + d.set("monitoring.kubeStateMetrics", config.StateMetricsShared) + "`",
		"`" + d.set("monitoring.kubeStateMetricsService.namespace", service.Namespace) + "`",
	}
	if port != "http" {
		commands = append(commands, "`"+d.set("monitoring.kubeStateMetricsService.port", port)+"`")
	}
	return fmt.Sprintf("%s is a kube-state-metrics already; a second one reads every object of the cluster once more. Use it: %s. Or keep the stack's: `%s`",
		service.Object, strings.Join(commands, ", "), d.set("monitoring.kubeStateMetrics", config.StateMetricsOwn))
}

// operatorProposals returns what to do about an operator and its CRDs.
func (d *deployment) operatorProposals(found neighbours.Found) []string {
	m := d.config.Monitoring
	watched := fmt.Sprintf("namespaces %s and %s", d.config.Namespaces.Monitoring, d.config.Namespaces.Serving)
	if m.Operator == config.OperatorShared {
		if len(found.Operators) > 0 || !found.OperatorsRead {
			return nil
		}
		return []string{fmt.Sprintf("%s = shared: no Prometheus Operator was found that watches every namespace and has no controller id. The stack's "+
			"Prometheus starts only if one watches %s (--namespaces, --prometheus-instance-namespaces)", d.key("monitoring.operator"), watched)}
	}
	var all []string
	for _, operator := range found.Operators {
		if m.Given("operator") {
			break
		}
		all = append(all, fmt.Sprintf("%s is a Prometheus Operator already, which watches %s too. Leave the stack's Prometheus to it: `%s`. Or keep the "+
			"stack's, which runs beside it: `%s`", operator.Object, watched, d.set("monitoring.operator", config.OperatorShared),
			d.set("monitoring.operator", config.OperatorOwn)))
	}
	if found.CRDs == nil || m.UpgradeCRDs || m.Given("upgradeCRDs") {
		return all
	}
	version := strings.TrimPrefix(found.CRDs.Version, "v")
	own := strings.TrimPrefix(found.OwnOperator, "v")
	if own != "" && (version == "" || version == own) {
		return all
	}
	compared := "are there already"
	if own != "" {
		compared = "are not of the version of the stack's operator, " + own
	}
	if version != "" {
		version = " of version " + version
	}
	return append(all, fmt.Sprintf("CRDs of the Prometheus Operator%s %s, and stay as they are: fields that they lack are dropped. If nobody else relies on "+
		"them, `%s`; else `%s` keeps them without this warning", version, compared, d.set("monitoring.upgradeCRDs", "true"),
		d.set("monitoring.upgradeCRDs", "false")))
}
