package alerts

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"vllm-autoscaling/components/telemetry"
)

// The groups of the rules of a stack of one server.
const (
	RecordingGroup = "vllm-alerts-recording"
	AlertGroup     = "vllm-alerts"
)

// Severity is how soon an alert needs attention.
type Severity string

// The severities, the label severity of an alert.
const (
	// Critical needs attention at once: clients are affected, or scaling has stopped.
	Critical Severity = "critical"
	// Warning needs attention on the next working day.
	Warning Severity = "warning"
)

// Runbook is the file with a section for each alert, which the alert's annotation runbook links to.
const Runbook = "docs/runbooks.md"

// HotGPU is the temperature in degrees Celsius from which a GPU is too warm: NVIDIA's data centre GPUs
// slow down a few degrees above it.
const HotGPU = 85

// fatalXIDs are the XID errors after which the GPU or its node must be replaced or restarted: double-bit
// ECC error, failed row remapping, NVLink error, GPU fallen off the bus, uncontained ECC error, GSP error
// (two). Source: NVIDIA, "XID Errors".
var fatalXIDs = []int{48, 64, 74, 79, 95, 119, 120}

// stopped is the delay of the alerts on what stops scaling altogether. With one scrape and one evaluation before it, 15 s each
// by default, they fire within two minutes.
const stopped = time.Minute

// history is how far back an alert looks for what is gone. What was never there is on its way: the first update of a stack
// creates the alerts before the adapter and the autoscaler.
const history = 24 * time.Hour

// alert is one alert before it is written as a rule.
type alert struct {
	name     string
	severity Severity
	expr     string
	// after is how long expr has to hold, and why the reason for it, which docs/runbooks.md lists.
	after time.Duration
	why   string
	// labels come on top of severity.
	labels map[string]string
	// summary is one line, description what it means and the first steps; both may use Prometheus'
	// templates.
	summary, description string
}

// Rules returns the recording rules and the alerts as the spec of a PrometheusRule. Several servers of a stack have groups of their
// own; the alerts on what they share are in a further one.
func Rules(servers ...Settings) (monitoringv1.PrometheusRuleSpec, error) {
	var spec monitoringv1.PrometheusRuleSpec
	if len(servers) == 0 {
		return spec, errors.New("alerts: no server to watch")
	}
	for _, s := range servers {
		if err := s.Validate(); err != nil {
			return spec, fmt.Errorf("alerts: %w", err)
		}
	}
	if stack := servers[0]; len(servers) == 1 {
		// The order is that of earlier versions, so that an upgrade of a stack changes no rule.
		spec.Groups = groups("vllm", slices.Insert(serverRules(stack), 1, gpuRules(stack)...), everyAlert(stack))
		return spec, nil
	}
	for _, s := range servers {
		spec.Groups = append(spec.Groups, groups(s.Deployment, serverRules(s), serverAlerts(s))...)
	}
	spec.Groups = append(spec.Groups, groups("servers:shared", gpuRules(servers[0]), stackAlerts(servers[0]))...)
	return spec, nil
}

// groups returns the groups of recording rules and alerts with a prefix of their names; without rules, one group.
func groups(prefix string, recording []monitoringv1.Rule, all []alert) []monitoringv1.RuleGroup {
	interval := monitoringv1.Duration(promDuration(recordInterval))
	var rules []monitoringv1.Rule
	for _, a := range all {
		rules = append(rules, a.rule())
	}
	alerting := monitoringv1.RuleGroup{Name: prefix + "-alerts", Rules: rules}
	if len(recording) == 0 {
		return []monitoringv1.RuleGroup{alerting}
	}
	return []monitoringv1.RuleGroup{{Name: prefix + "-alerts-recording", Interval: &interval, Rules: recording}, alerting}
}

// everyAlert lists the alerts of a stack of one server, in the order of the runbooks.
func everyAlert(s Settings) []alert {
	return seen(s, slices.Concat(signalAlerts(s), adapterAlerts(s), autoscalerAlerts(s), startAlerts(s), queueAlerts(s), objectiveAlerts(s), podAlerts(s),
		gpuAlerts(s), deploymentAlerts(s), monitoringAlerts(s)))
}

// serverAlerts lists the alerts on one of several servers.
func serverAlerts(s Settings) []alert {
	all := seen(s, slices.Concat(signalAlerts(s), autoscalerAlerts(s), startAlerts(s), queueAlerts(s), objectiveAlerts(s), podAlerts(s),
		deploymentAlerts(s)))
	for i := range all {
		all[i].labels = maps.Clone(all[i].labels)
		if all[i].labels == nil {
			all[i].labels = map[string]string{}
		}
		maps.Copy(all[i].labels, s.ServerLabels())
	}
	return all
}

// stackAlerts lists the alerts on what the servers of a stack share.
func stackAlerts(s Settings) []alert {
	return seen(s, slices.Concat(adapterAlerts(s), gpuAlerts(s), monitoringAlerts(s)))
}

// seen leaves out the alerts that read series of kube-state-metrics where there is none.
func seen(s Settings, all []alert) []alert {
	if !s.NoStateMetrics {
		return all
	}
	return slices.DeleteFunc(all, func(a alert) bool {
		return slices.ContainsFunc(telemetry.StateMetricsSeries(), func(series string) bool { return strings.Contains(a.expr, series) })
	})
}

// DelayTable returns the delay of every alert and its reason, as a table in Markdown.
func DelayTable(s Settings) (string, error) {
	if err := s.Validate(); err != nil {
		return "", fmt.Errorf("alerts: %w", err)
	}
	table, seen := "| alert | after | why |\n|---|---|---|\n", map[string]bool{}
	for _, a := range everyAlert(s) {
		if seen[a.name] {
			continue
		}
		seen[a.name] = true
		after := "at once"
		if a.after > 0 {
			after = promDuration(a.after)
		}
		table += fmt.Sprintf("| [%s](#%s) | %s | %s |\n", a.name, strings.ToLower(a.name), after, a.why)
	}
	return table, nil
}

func (a alert) rule() monitoringv1.Rule {
	labels := map[string]string{"severity": string(a.severity)}
	for key, value := range a.labels {
		labels[key] = value
	}
	rule := monitoringv1.Rule{
		Alert:  a.name,
		Expr:   intstr.FromString(a.expr),
		Labels: labels,
		Annotations: map[string]string{
			"summary":     a.summary,
			"description": a.description,
			"runbook":     Runbook + "#" + strings.ToLower(a.name),
		},
	}
	if a.after > 0 {
		after := monitoringv1.Duration(promDuration(a.after))
		rule.For = &after
	}
	return rule
}

// serves returns a condition, for any labels, that a replica is ready: before the first one is, most
// of the series are missing for that reason.
func serves(s Settings) string {
	return fmt.Sprintf("on () (max(%s) > 0)", s.OfDeployment(telemetry.SeriesReadyReplicas))
}

// scales returns a condition, for any labels, that an autoscaler has something to do: a replica is ready, or all were scaled away.
// deployment selects a series of the Deployments.
func scales(deployment func(series string) string) string {
	return fmt.Sprintf("on () (max(%s) > 0 or max(%s) == 0)", deployment(telemetry.SeriesReadyReplicas), deployment(telemetry.SeriesSpecReplicas))
}

func signalAlerts(s Settings) []alert {
	var all []alert
	for _, signal := range s.Signals {
		series := fmt.Sprintf("max by (namespace, pod) (%s)", s.Server(signal.Series))
		all = append(all,
			alert{
				name: "VLLMSignalAbsent", severity: Critical, after: stopped,
				why:     "nothing can scale down; a pod that has become ready has its samples after one scrape of kube-state-metrics",
				labels:  map[string]string{"signal": signal.Name},
				expr:    fmt.Sprintf("count by (namespace) (%s)\nunless on (namespace) %s", s.ReadyPods(), series),
				summary: fmt.Sprintf("No ready pod has the signal %s", signal.Name),
				description: fmt.Sprintf("{{ $value }} pods are ready and Prometheus has no sample of %s from any. The autoscaler neither follows this signal up "+
					"nor scales down. "+
					"Look at the targets of the namespace in Prometheus, then at the recording rules.", signal.Series),
			},
			alert{
				name: "VLLMSignalMissing", severity: Warning, after: 5 * time.Minute,
				why:    "the other pods still scale; an exporter that is replaced is back within two minutes",
				labels: map[string]string{"signal": signal.Name},
				// Only where other pods have it: without any, the alert above fires.
				expr:    fmt.Sprintf("(%s)\nunless on (namespace, pod) %s\nand on (namespace) %s", s.ReadyPods(), series, series),
				summary: fmt.Sprintf("Pod {{ $labels.pod }} lacks the signal %s", signal.Name),
				description: fmt.Sprintf("The pod is ready and Prometheus has no sample of %s from it, but has from others. The autoscaler counts it as idle when "+
					"it scales up and as exactly at its target when it scales down, and may so remove a replica while the others are idle. "+
					"Look at the pod's target in Prometheus, and with a GPU signal at the exporter of its node.", signal.Series),
			})
	}
	return append(all, alert{
		name: "VLLMSignalNotServed", severity: Critical, after: stopped,
		why: "nothing can scale down; the HPA reads the metrics of a first replica within 15 s, and is scraped within 15 s more",
		expr: fmt.Sprintf("(max by (namespace, metric_name) (%s)\nunless on (namespace, metric_name) %s)\nand %s",
			s.HPA(telemetry.SeriesHPATarget), s.HPA(telemetry.SeriesHPAReading), serves(s)),
		summary: "The autoscaler gets no value of {{ $labels.metric_name }}",
		description: "The autoscaler asks the custom metrics API for this metric and has no reading, although replicas are ready. " +
			"If Prometheus has the series, the adapter does not serve it: look at its log and at its rules.",
	})
}

// adapterAlerts lists the alerts on what serves the signals to every autoscaler.
func adapterAlerts(s Settings) []alert {
	var all []alert
	if s.Adapter != "" {
		available := s.OfAdapter(telemetry.SeriesAvailable)
		all = append(all, alert{
			name: "VLLMMetricsAdapterDown", severity: Critical, after: stopped,
			why: "nothing scales; an update replaces the adapter's pods one after the other, so one is always available",
			// Labels of a Deployment that is gone come from its history.
			expr: fmt.Sprintf("max by (namespace, deployment) (max_over_time(%[1]s[%[2]s])) > 0\n"+
				"unless on (namespace, deployment) max by (namespace, deployment) (%[1]s) > 0", available, promDuration(history)),
			summary: "No pod of the metrics adapter is available",
			description: "Without the adapter the custom metrics API has no answer and the replica count stays where it is. " +
				"Look at the pods and the log of the Deployment " + s.Adapter + ": a configuration that it does not accept ends it at its start.",
		})
	}
	return append(all, alert{
		name: "VLLMCustomMetricsAPIUnavailable", severity: Critical, after: stopped,
		why: "nothing scales; the API server tries the adapter again within half a minute",
		expr: fmt.Sprintf("max by (name) (%s) == 1\nand %s",
			telemetry.Select(telemetry.SeriesUnavailableAPI, telemetry.Equal("name", s.MetricsAPI)), scales(s.OfAnyDeployment)),
		summary: "The custom metrics API does not answer",
		description: "The API server cannot reach what serves " + s.MetricsAPI + ": the autoscaler gets no metric, and no namespace can be deleted. " +
			"Look at the APIService's condition: it names the cause, mostly no endpoints or a port that a firewall closes.",
	})
}

func autoscalerAlerts(s Settings) []alert {
	hpa := []string{telemetry.Equal("condition", "ScalingActive"), telemetry.Equal("status", "true")}
	ofServer := func(series string) string { return s.OfDeployment(series) }
	return []alert{
		{
			name: "VLLMAutoscalerSwitchedOff", severity: Critical,
			why: "somebody did it: it does not pass by itself",
			expr: fmt.Sprintf("max by (namespace, deployment) (%s) == 0\nand on (namespace) max by (namespace) (%s) >= 1",
				s.OfDeployment(telemetry.SeriesSpecReplicas), s.HPA(telemetry.SeriesHPAMin)),
			summary: "The Deployment {{ $labels.deployment }} was scaled to 0, which switches its autoscaler off",
			description: "The autoscaler never leaves 0 by itself (ScalingDisabled), and every request is refused. " +
				"kubectl scale deployment " + s.Deployment + " --replicas=1 switches it on again.",
		},
		{
			name: "VLLMAutoscalerInactive", severity: Critical, after: stopped,
			why: "nothing scales; a restart of Prometheus or the adapter is over within half a minute",
			expr: fmt.Sprintf("(max by (%[1]s) (%[2]s) == 0\nor\nmax by (%[1]s) (max_over_time(%[3]s[%[4]s])) unless on (%[1]s) %[3]s)\nand %[5]s",
				"namespace, horizontalpodautoscaler", s.HPA(telemetry.SeriesHPACondition, hpa...), s.HPA(telemetry.SeriesHPAMax),
				promDuration(history), scales(ofServer)),
			summary: "The autoscaler {{ $labels.horizontalpodautoscaler }} is not active",
			description: "Its condition ScalingActive is not true, or it is gone: nothing changes the number of replicas. " +
				"kubectl describe hpa names the reason: a metric that it cannot get, a second autoscaler of the same Deployment, or a Deployment " +
				"that was scaled to 0.",
		},
		{
			name: "VLLMAutoscalerAtMaximum", severity: Warning, after: s.AtMaxFor,
			why: "`monitoring.alerts.atMaxFor`: a peak may reach the maximum",
			expr: fmt.Sprintf("(max by (namespace, horizontalpodautoscaler) (%s)\n  >= max by (namespace, horizontalpodautoscaler) (%s))\n  > max by "+
				"(namespace, horizontalpodautoscaler) (%s)",
				s.HPA(telemetry.SeriesHPADesired), s.HPA(telemetry.SeriesHPAMax), s.HPA(telemetry.SeriesHPAMin)),
			summary: "The autoscaler has stood at its maximum of {{ $value }} replicas",
			description: "More load will not bring more replicas. If requests wait as well, raise autoscaling.maxReplicas (and the GPU node pool's maximum, " +
				"and the quota); " +
				"if not, a target may be set too low.",
		},
		{
			name: "VLLMReplicasNotReady", severity: Critical,
			why: "the condition covers a whole cold start: `vllm.startupBudget` and 30 minutes for node and image",
			// For the whole time more were requested than were ever ready. A sample at its beginning proves that there
			// is that much history.
			expr: fmt.Sprintf("min_over_time(max by (namespace, deployment) (%[1]s)[%[3]s:1m]) > max_over_time(max by (namespace, deployment) "+
				"(%[2]s)[%[3]s:1m])\nand on (namespace, deployment) %[1]s offset %[3]s",
				s.OfDeployment(telemetry.SeriesSpecReplicas), s.OfDeployment(telemetry.SeriesReadyReplicas), promDuration(s.ColdStart)),
			summary: "Replicas that were asked for are still not ready",
			description: fmt.Sprintf("For %s, longer than any cold start, at least {{ $value }} replicas were asked for and fewer were ready. "+
				"Look at the pods: Pending means no GPU node (quota, stock, the node pool's maximum), not Ready means image or model (log of the "+
				"container).", promDuration(s.ColdStart)),
		},
	}
}

func queueAlerts(s Settings) []alert {
	return []alert{{
		name: "VLLMQueueGrowing", severity: Warning, after: 5 * time.Minute,
		why: "the condition compares with ten minutes before; a replica on its way may still end it",
		expr: fmt.Sprintf("%[1]s > 1.1 * (%[1]s offset 10m)\nand min_over_time(%[1]s[10m]) > 0\nand on (namespace) %[1]s > on (namespace) (%[2]d * max by "+
			"(namespace) (%[3]s))",
			s.Recorded(RecordRequestsWaiting), s.MaxNumSeqs, s.OfDeployment(telemetry.SeriesReadyReplicas)),
		summary: "{{ $value }} requests wait, and the queue grows",
		description: "More requests wait than the ready replicas run at a time, and more than ten minutes ago. Clients wait longer and longer. " +
			"Look at the autoscaling dashboard: replicas on their way will help; at the maximum, or with pods Pending, they will not.",
	}}
}

// objectiveAlerts returns the alerts on the budget of the objective: two for each of its limits.
func objectiveAlerts(s Settings) []alert {
	const afterFast, afterSlow = 2 * time.Minute, 15 * time.Minute
	const whyFast, whySlow = "both windows of a pair have to be bad, which takes minutes by itself", "the windows are hours and days long: minutes do not matter"
	late := fmt.Sprintf("{{ $value | humanizePercentage }} of the requests wait more than %s for their first token", s.TTFT)
	slow := fmt.Sprintf("{{ $value | humanizePercentage }} of the requests have more than %s between their tokens", s.InterToken)
	return []alert{
		{
			name: "VLLMTTFTBudgetBurningFast", severity: Critical, after: afterFast, why: whyFast,
			expr:    s.firstToken().burning(s, fastBurns),
			summary: late,
			description: fmt.Sprintf("The objective is %s of the requests within %s. At this rate a month's budget is gone in a few days at most. "+
				"Look at the serving dashboard: waiting requests mean too few replicas, none waiting means long prompts or a slow "+
				"GPU.", percent(s.Ratio), s.TTFT),
		},
		{
			name: "VLLMTTFTBudgetBurningSlow", severity: Warning, after: afterSlow, why: whySlow,
			expr:    s.firstToken().burning(s, slowBurns),
			summary: late,
			description: fmt.Sprintf("The objective is %s of the requests within %s, and over days more were late than it allows. "+
				"Look at which hours were slow: cold starts (raise autoscaling.minReplicas or lower the targets) or the whole day (the replicas are too few or "+
				"too slow).", percent(s.Ratio), s.TTFT),
		},
		{
			name: "VLLMInterTokenBudgetBurningFast", severity: Critical, after: afterFast, why: whyFast,
			expr:    s.interToken().burning(s, fastBurns),
			summary: slow,
			description: fmt.Sprintf("The objective is %s of the requests with at most %s between their tokens on average. "+
				"At this rate a month's budget is gone in a few days at most. "+
				"Look at the serving dashboard: many requests running on each replica mean large batches (lower the targets or model.maxNumSeqs), "+
				"few mean long prompts beside them, preemptions or a slow GPU.", percent(s.Ratio), s.InterToken),
		},
		{
			name: "VLLMInterTokenBudgetBurningSlow", severity: Warning, after: afterSlow, why: whySlow,
			expr:    s.interToken().burning(s, slowBurns),
			summary: slow,
			description: fmt.Sprintf("The objective is %s of the requests with at most %s between their tokens on average, "+
				"and over days more were slower than it allows. "+
				"Look at which hours were slow: peaks (lower the targets, so that each replica runs fewer requests) or the whole day (lower "+
				"model.maxNumSeqs, or take a faster GPU).", percent(s.Ratio), s.InterToken),
		},
	}
}

func podAlerts(s Settings) []alert {
	return []alert{
		{
			name: "VLLMServerTargetDown", severity: Warning, after: time.Minute,
			why: "a server that hangs is not ready after 15 s; a pod that stays ready longer is cut off from Prometheus",
			// A server that loads its model does not answer yet, so only ready pods count.
			expr: fmt.Sprintf("max by (namespace, pod) (%s) == 0\nand on (namespace, pod) (%s)",
				s.ServingPods(telemetry.SeriesUp), s.ReadyPods()),
			summary: "Prometheus cannot scrape the ready pod {{ $labels.pod }}",
			description: "The pod serves but its metrics do not arrive, so its load is not seen. " +
				"Look at the error of its target in Prometheus: a timeout means an overloaded server, a refusal a network policy.",
		},
		{
			name: "VLLMPodCrashLooping", severity: Critical,
			why: "three restarts in half an hour are no accident",
			// Three restarts; increase() extrapolates and makes a little more of each number.
			expr:    fmt.Sprintf("max by (namespace, pod) (increase(%s[30m])) > 2.5", s.ServingPods(telemetry.SeriesRestarts)),
			summary: "The server in pod {{ $labels.pod }} keeps ending",
			description: "It was restarted three times or more within half an hour. " +
				"Look at the log of the container that ended (kubectl logs --previous): out of GPU memory, a model that may not be downloaded, or flags that this " +
				"version does not know.",
		},
	}
}

// deploymentAlerts lists the alert without which one on a Deployment that is not there could not fire.
func deploymentAlerts(s Settings) []alert {
	return []alert{{
		name: "VLLMKubeStateMetricsAbsent", severity: Critical, after: 5 * time.Minute,
		why:     "most alerts are blind without it; a first `pulumi up` may create the Deployment minutes after the alerts",
		expr:    fmt.Sprintf("absent(%s)", s.OfDeployment(telemetry.SeriesSpecReplicas)),
		summary: "Nothing is known of the Deployment " + s.Deployment,
		description: "kube-state-metrics has no series of it. Most other alerts and the GPU signal need these: until they are back, nothing else would alert. " +
			"Look at the pod of kube-state-metrics and its target in Prometheus, and whether the Deployment exists.",
	}}
}

// percent formats a share as a percentage.
func percent(share float64) string { return number(float64(int64(share*1e5+0.5))/1e3) + " %" }
