package verify

import (
	"context"
	"fmt"
	"strings"

	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// loadedRules checks that Prometheus has loaded the recording rules, and that nothing else writes the signals.
func (w *walk) loadedRules(ctx context.Context, groups []prometheusv1.RuleGroup) error {
	if err := w.origins(ctx, groups); err != nil {
		return err
	}
	byName := map[string][]prometheusv1.RecordingRule{}
	for _, group := range groups {
		for _, rule := range group.Rules {
			if recording, ok := rule.(prometheusv1.RecordingRule); ok && !w.elsewhere(recording) && !w.ofNeighbour(recording) {
				byName[recording.Name] = append(byName[recording.Name], recording)
			}
		}
	}
	p, look := w.Pipeline, w.prometheusHints("prometheusrules", "/rules")
	var missing []string
	for _, name := range p.Rules {
		if len(byName[name]) == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return &failure{
			measured: fmt.Sprintf("Prometheus has %d of %s loaded, not %s", len(p.Rules)-len(missing), plural(len(p.Rules), "rule"), strings.Join(missing, ", ")),
			expected: "each of them: a PrometheusRule that Prometheus selects", look: look,
		}
	}
	for _, name := range p.Rules {
		for _, rule := range byName[name] {
			if rule.Health != prometheusv1.RuleHealthGood {
				return &failure{measured: fmt.Sprintf("rule %s is %s: %s", name, rule.Health, rule.LastError), expected: "health ok", look: look}
			}
		}
	}
	return nil
}

// recordedSamples checks that each recording rule has a sample for each pod.
func (w *walk) recordedSamples(ctx context.Context) (string, error) {
	p := w.Pipeline
	for _, name := range p.Rules {
		samples, err := w.byPod(ctx, fmt.Sprintf(`%s{exported_namespace=%q} or %s{namespace=%q,exported_pod=""}`,
			name, p.Serving.Namespace, name, p.Serving.Namespace))
		if err != nil {
			return "", err
		}
		if without := w.without(samples); len(without) > 0 {
			return "", &failure{
				measured: fmt.Sprintf("rule %s has no sample for %s", name, shortened(without)),
				expected: "a sample for each ready pod",
				look: append([]string{"one of the series that it reads is missing: the GPU's; kube_pod_status_ready, " +
					"which comes up to one scrape of kube-state-metrics after the pod is ready; " +
					fmt.Sprintf("or the server's, where it is not scraped every %s", p.SignalInterval),
					fmt.Sprintf("query kube_pod_status_ready{namespace=%q,condition=\"true\"} in Prometheus", p.Serving.Namespace)},
					w.prometheusHints("prometheusrules", "/rules")...),
			}
		}
	}
	return fmt.Sprintf("%d/%d loaded, healthy, with a sample for %s", len(p.Rules), len(p.Rules), plural(len(w.pods), "pod")), nil
}

// storedSeries checks that the series of the server are stored for each pod, with possible values.
func (w *walk) storedSeries(ctx context.Context, look []string) error {
	for _, series := range w.Pipeline.ServerSeries {
		stored, err := w.byPod(ctx, fmt.Sprintf("%s{namespace=%q}", series, w.Pipeline.Serving.Namespace))
		if err != nil {
			return err
		}
		if without := w.without(stored); len(without) > 0 {
			return &failure{
				measured: fmt.Sprintf("the targets are up, but %s is not stored for %s", series, shortened(without)),
				expected: "a sample for each pod",
				look:     append([]string{"is the series dropped by a metricRelabeling of the ServiceMonitor, or by a sample limit?"}, look...),
			}
		}
		if odd := oddGauges(series, stored); len(odd) > 0 {
			return &failure{
				measured: shortened(odd), expected: "a number that is not negative, and a share of at most 1 for the KV cache: others are dropped",
				look: append([]string{"what does the server return itself in /metrics? Delete a pod whose gauge stays like that"}, look...),
			}
		}
	}
	return nil
}
