package signals

import (
	"fmt"
	"strconv"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// RuleGroup is the name of the group that holds the recording rules.
const RuleGroup = "vllm-signals"

// Rules returns the recording rules of the signals that are on, as the spec of a PrometheusRule. The settings must be
// valid (see Settings.Validate). Requests in flight and the unguarded GPU utilisation are recorded whichever signals
// are on, because dashboards show them; the signal of requests in flight adds no rule of its own.
//
// Every expression reads the newest sample (5 minutes back at most) instead of a window: a DCGM exporter and kube-state-metrics
// are scraped more slowly than the rules run, and a window would add its own length to the delay. A pod that disappears is marked
// stale at its next missed scrape, so nothing lingers for those 5 minutes. The exception is the guard of the GPU signal, which
// averages the scraped requests waiting (see GuardScrapes); the utilisation that it is multiplied with ends with the pod.
func Rules(s Settings, enabled []Signal) monitoringv1.PrometheusRuleSpec {
	var rules []monitoringv1.Rule
	if s.SimulateGPU {
		rules = append(rules, monitoringv1.Rule{
			Record: SeriesGPUUtil,
			Expr:   intstr.FromString(simulatedGPUExpr(s)),
			Labels: map[string]string{LabelGPU: "0", LabelGPUUUID: "GPU-" + SimulatedGPUModel, LabelGPUModel: SimulatedGPUModel},
		})
	}
	rules = append(rules,
		monitoringv1.Rule{Record: RecordRequestsInFlight, Expr: intstr.FromString(inFlightExpr(s))},
		monitoringv1.Rule{Record: RecordGPUUtilization, Expr: intstr.FromString(utilizationExpr(s))},
	)
	for _, signal := range enabled {
		if signal.Expr == nil {
			continue
		}
		for _, settings := range s.forRule(signal) {
			rules = append(rules, monitoringv1.Rule{Record: signal.Series, Expr: intstr.FromString(signal.Expr(settings))})
		}
	}
	interval := monitoringv1.Duration(model.Duration(s.Interval).String())
	// One group: its rules run in order and each sees what the one before has just written, so the
	// chain costs one interval. Separate groups run at unrelated phases, one interval for each link.
	return monitoringv1.PrometheusRuleSpec{Groups: []monitoringv1.RuleGroup{{
		Name:     RuleGroup,
		Interval: &interval,
		Rules:    rules,
	}}}
}

// forRule returns the settings of the rules that record a signal: one, or one for each server whose settings the signal depends on.
func (s Settings) forRule(signal Signal) []Settings {
	if !signal.PerServer || len(s.Servers) == 0 {
		return []Settings{s}
	}
	var each []Settings
	for _, server := range s.Servers {
		of := s
		of.pods, of.GPUWaitingRequests = PodsOf(server.Deployment), server.GPUWaitingRequests
		each = append(each, of)
	}
	return each
}

// inFlightExpr sums running and waiting requests per pod, each engine's gauge counted once however often it is scraped. The
// comparison drops NaN, which an adapter would serve as 0, an idle pod to the HPA.
func inFlightExpr(s Settings) string {
	gauge := func(series string) string {
		return perPodSum(fmt.Sprintf("%s{%s}", series, inNamespace(LabelNamespace, s)))
	}
	return gauge(SeriesRequestsRunning) + "\n+\n" + gauge(SeriesRequestsWaiting) + "\n>= 0"
}

// perPodSum adds up a gauge over the engines and models of each pod.
func perPodSum(gauge string) string {
	return fmt.Sprintf("sum by (%s) (max by (%s) (%s))", perPod, perEngine, gauge)
}

// utilizationExpr returns the percent of the busiest GPU of each pod that is ready and serves vLLM's series.
func utilizationExpr(s Settings) string {
	// A scrape that does not honour labels puts the pod that holds the GPU into exported_*, with its own target
	// in pod; one that does leaves exported_* out. Each form is aggregated before the labels are renamed:
	// renaming raw series can make two of them equal, and that fails the whole rule.
	exported := fmt.Sprintf("max by (%s, %s) (%s)", LabelExportedNamespace, LabelExportedPod,
		percentExpr(fmt.Sprintf(`%s, %s!=""`, inNamespace(LabelExportedNamespace, s), LabelExportedPod)))
	honored := fmt.Sprintf("max by (%s) (%s)", perPod,
		percentExpr(fmt.Sprintf(`%s, %s!="", %s=""`, inNamespace(LabelNamespace, s), LabelPod, LabelExportedPod)))

	// A pod that still loads its model keeps a GPU busy but cannot serve. vLLM exports no series before the
	// model is loaded, so that the last condition alone is enough except for the moments around readiness.
	ready := fmt.Sprintf("and on (%s) (%s{%s, %s=\"true\"} == 1)\n", perPod, SeriesPodReady, inNamespace(LabelNamespace, s), LabelCondition)
	switch {
	case s.StandaloneRules, s.NoPodReadiness:
		ready = ""
	case s.OptionalReadiness:
		ready = fmt.Sprintf("unless on (%s) (%s{%s, %s=\"true\"} == 0)\n", perPod, SeriesPodReady, inNamespace(LabelNamespace, s), LabelCondition)
	}
	return fmt.Sprintf("max by (%s) (\n  %s\n  or\n  %s\n)\n", perPod,
		copyLabel(copyLabel(exported, LabelExportedNamespace, LabelNamespace), LabelExportedPod, LabelPod), honored) +
		ready +
		// With honoured labels an idle GPU carries the exporter's own pod, which serves no requests.
		fmt.Sprintf("and on (%s) %s", perPod, resultOf(RecordRequestsInFlight, inFlightExpr, s))
}

// resultOf selects what a previous rule has recorded, or returns that rule's expression where its result is not visible yet.
func resultOf(name string, expr func(Settings) string, s Settings) string {
	if s.StandaloneRules {
		return "(" + expr(s) + ")"
	}
	return fmt.Sprintf("%s{%s}", name, inNamespace(LabelNamespace, s))
}

// PercentOfGPUs returns the utilisation in percent of every GPU that read selects, once for each field of DCGM that there is, to
// be aggregated by max. What is not a percentage (NaN, DCGM's blank values, percents in a ratio series) is dropped.
func PercentOfGPUs(read func(series string) string) string {
	var fields []string
	for i, field := range GPUFields() {
		reading := read(field.Series)
		if field.Percent != 1 {
			reading = number(field.Percent) + " * " + reading
		}
		// The label keeps "or" from dropping a field that has the labels of the one before.
		fields = append(fields, fmt.Sprintf(`label_replace((%s >= 0) <= 100, "field", "%d", "", "")`, reading, i))
	}
	return strings.Join(fields, " or ")
}

// percentExpr returns the utilisation in percent of every GPU that the matchers select.
func percentExpr(matchers string) string {
	return PercentOfGPUs(func(series string) string { return fmt.Sprintf("%s{%s}", series, matchers) })
}

// GuardScrapes is the number of scrapes over which the guard averages the requests waiting. A request that waits for one forward
// pass, seen by a single scrape, is no sign of a full replica: it counts as a fifth of one. The average follows a step of the load
// within five scrapes, 10 s by default; the other signals are not averaged and follow at once.
const GuardScrapes = 5

// averageWaitingExpr returns the average number of requests waiting of each pod over the last scrapes. It reads the scraped gauge,
// which keeps the samples of a pod that is gone for the length of the window.
func averageWaitingExpr(s Settings) string {
	window := model.Duration(GuardScrapes * s.Interval)
	matchers := inNamespace(LabelNamespace, s)
	if s.pods != "" {
		matchers += fmt.Sprintf(", %s=~%q", LabelPod, s.pods)
	}
	return perPodSum(fmt.Sprintf("avg_over_time(%s{%s}[%s])", SeriesRequestsWaiting, matchers, window))
}

// guardedExpr counts the utilisation of a pod only while requests wait for its GPU, because DCGM counts the time with any kernel
// running: a single request being decoded reads near 100. Requests wait on a busy GPU when long prompts take all of its time, or
// long contexts all of its memory, however few they are: that is what the number of requests does not show.
// The last comparison drops NaN, which the adapter would serve as 0, an idle pod to the HPA.
func guardedExpr(s Settings) string {
	return fmt.Sprintf("(\n  %s\n  * on (%s)\n  clamp_max(%s / %s, 1)\n) >= 0",
		resultOf(RecordGPUUtilization, utilizationExpr, s), perPod, averageWaitingExpr(s), number(s.GPUWaitingRequests))
}

// simulatedGPUExpr reads as a real GPU does: near 100 as soon as anything runs, 0 when idle. Its labels
// are those of a scrape that does not honour labels, the common case.
func simulatedGPUExpr(s Settings) string {
	busy := fmt.Sprintf("%s * (max by (%s, %s) (%s{%s}) > bool 0)",
		number(SimulatedBusyUtilization), perPod, LabelContainer, SeriesRequestsRunning, inNamespace(LabelNamespace, s))
	for _, l := range [][2]string{
		{LabelNamespace, LabelExportedNamespace},
		{LabelPod, LabelExportedPod},
		{LabelContainer, LabelExportedContainer},
	} {
		busy = copyLabel(busy, l[0], l[1])
	}
	// The aggregation leaves only the exported labels, so that no label claims the serving pod was the scraped one.
	return fmt.Sprintf("max by (%s, %s, %s) (\n  %s\n)", LabelExportedNamespace, LabelExportedPod, LabelExportedContainer, busy)
}

// copyLabel wraps an expression so that label to has the value of label from, where that is not empty.
func copyLabel(expr, from, to string) string {
	return fmt.Sprintf(`label_replace(%s, %q, "$1", %q, "(.+)")`, expr, to, from)
}

// inNamespace matches the serving namespace in the given label.
func inNamespace(label string, s Settings) string {
	return fmt.Sprintf("%s=%q", label, s.Namespace)
}

// number formats a float for PromQL, without an exponent.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
