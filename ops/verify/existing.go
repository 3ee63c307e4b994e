package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components/signals"
)

// notQueried is the result of a stage that needs queries, where this machine cannot make any.
func (w *walk) notQueried() error {
	return &notVisible{"not visible: this machine cannot query " + w.Pipeline.Existing.URL}
}

// queried returns a stage that needs queries to the platform's Prometheus.
func queried(stage func(*walk, context.Context) (string, error)) func(*walk, context.Context) (string, error) {
	return func(w *walk, ctx context.Context) (string, error) {
		if w.prom == nil {
			return "", w.notQueried()
		}
		return stage(w, ctx)
	}
}

// existingTargets checks that the platform's Prometheus scrapes the pods. A querier has no list of targets, so that the series that
// each scrape writes are read.
func (w *walk) existingTargets(ctx context.Context) (string, error) {
	s := w.Pipeline.Serving
	up, err := w.byPod(ctx, fmt.Sprintf("up{namespace=%q}", s.Namespace))
	if err != nil {
		return "", err
	}
	// Of a monitor that is not selected any more, Prometheus returns the last samples for five minutes.
	ages, err := w.byPod(ctx, fmt.Sprintf("time() - max by (pod) (timestamp(up{namespace=%q}))", s.Namespace))
	if err != nil {
		return "", err
	}
	bound := freshnessBound(w.signalInterval())
	for pod, age := range ages {
		if slices.Max(age) > bound.Seconds() {
			delete(up, pod)
		}
	}
	look := append(w.selectionHints("servicemonitors"),
		w.kubectl(s.Namespace, "describe service %s", s.Service),
		w.kubectl(s.Namespace, "describe networkpolicies"))
	if without := w.without(up); len(without) > 0 {
		missing := w.unselected(ctx, serviceMonitors, s.Namespace, s.Deployment)
		return "", &failure{
			measured: joined(fmt.Sprintf("no scrape of the last %s for %d of %s: %s", bound, len(without), plural(len(w.pods), "pod"), shortened(without)), missing),
			expected: "one target for each pod: the Prometheus of namespace " + w.Pipeline.Existing.Namespace + " selects the stack's ServiceMonitor and may " +
				"list the endpoints of namespace " + s.Namespace,
			look: look,
		}
	}
	var down []string
	for _, pod := range w.pods {
		if slices.Max(up[pod.Name]) != 1 {
			down = append(down, pod.Name)
		}
	}
	if len(down) > 0 {
		return "", &failure{
			measured: "the scrape fails for " + shortened(down), expected: "series up at 1 for each pod",
			look: append([]string{fmt.Sprintf("does Prometheus run in namespace %s? The server's NetworkPolicy admits the pods of "+
				"monitoring.prometheus.namespace only; its page /targets has the error", w.Pipeline.Existing.Namespace)}, look...),
		}
	}
	if err := w.storedSeries(ctx, look); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d/%d up", len(w.pods), len(w.pods)), nil
}

// signalInterval returns how often the server is scraped; the stage freshness reports a value that is none.
func (w *walk) signalInterval() time.Duration {
	interval, _ := time.ParseDuration(w.Pipeline.SignalInterval)
	return interval
}

// existingRules checks the recording rules on the platform's Prometheus or ruler.
func (w *walk) existingRules(ctx context.Context) (string, error) {
	namespace := w.rulesNamespace()
	missing := func(err error) error {
		known, ok := err.(*failure) //nolint:errorlint // It is returned as it is.
		if !ok {
			return err
		}
		known.measured = joined(known.measured, w.unselected(ctx, prometheusRules, namespace, signals.RuleGroup))
		if strings.Contains(known.measured, signals.RecordGPUUtilization) || strings.Contains(known.measured, signals.RecordGPUUtilizationGuarded) {
			known.measured = joined(known.measured, w.enforced(ctx, namespace))
		}
		return known
	}
	loaded, err := w.prom.Rules(ctx)
	if err != nil {
		w.warn(fmt.Sprintf("%s does not list its rules, so that only their samples are checked: %v", w.Pipeline.Existing.URL, err))
	} else if err := w.loadedRules(ctx, loaded.Groups); err != nil {
		return "", missing(err)
	}
	measured, err := w.recordedSamples(ctx)
	if err != nil {
		return "", missing(err)
	}
	w.warnOfReadiness(ctx)
	return measured, nil
}

// warnOfReadiness warns of a missing kube-state-metrics: the signals do without it, some alerts do not.
func (w *walk) warnOfReadiness(ctx context.Context) {
	ready, err := w.byPod(ctx, fmt.Sprintf("%s{namespace=%q,condition=\"true\"}", signals.SeriesPodReady, w.Pipeline.Serving.Namespace))
	if err != nil {
		return
	}
	if without := w.without(ready); len(without) > 0 {
		w.warn(fmt.Sprintf("%s of kube-state-metrics is not there for %s: a pod whose readiness is unknown counts as ready in the GPU signal, and the "+
			"alerts on replicas and on the autoscaler, which read kube-state-metrics too, do not fire", signals.SeriesPodReady, shortened(without)))
	}
}

// existingMetrics reads each signal as the HPA does, and compares it with Prometheus where that can be queried.
func (w *walk) existingMetrics(ctx context.Context) (string, error) {
	if missing := w.unlistedMetrics(ctx); len(missing) > 0 {
		return "", &failure{
			measured: "the custom metrics API does not list " + strings.Join(missing, ", "),
			expected: "each signal, as a metric of pods",
			look:     append([]string{w.pipeline.unserved}, w.existingMetricHints()...),
		}
	}
	if w.prom == nil {
		return w.readMetrics(ctx)
	}
	return w.comparedMetrics(ctx)
}

// unlistedMetrics lists the signals that the custom metrics API does not name. Google's adapter and others list nothing at all.
func (w *walk) unlistedMetrics(ctx context.Context) []string {
	raw, err := w.raw(ctx, customMetricsAPI)
	if err != nil {
		return nil // The stage reports it with the first signal.
	}
	var list metav1.APIResourceList
	if json.Unmarshal(raw, &list) != nil || len(list.APIResources) == 0 {
		return nil
	}
	var missing []string
	for _, signal := range w.Pipeline.Signals {
		if !slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == "pods/"+signal.Name }) {
			missing = append(missing, signal.Name)
		}
	}
	return missing
}

// existingAdapterHints returns where to look if the custom metrics API does not answer.
func (w *walk) existingAdapterHints() []string {
	if w.Pipeline.Adapter.Name != "" {
		return w.adapterLog()
	}
	return []string{
		"the stack registers no adapter (autoscaling.adapter existing): the platform's has to serve the custom metrics API",
		"$ " + w.Kubectl + " get apiservices v1beta1.custom.metrics.k8s.io -o yaml",
	}
}

// existingMetricHints returns where to look if a signal has no value.
func (w *walk) existingMetricHints() []string {
	if w.Pipeline.Adapter.Name != "" {
		return w.adapterRules()
	}
	return append([]string{
		"does the configuration of the platform's adapter have the stack's rules? It reads them at its start, and lists series once per relist",
		"$ pulumi stack output adapterRules --stack " + w.Stack,
	}, w.existingAdapterHints()...)
}

// rulesNamespace is the namespace of the stack's PrometheusRules.
func (w *walk) rulesNamespace() string {
	if w.Pipeline.Existing != nil {
		return w.Pipeline.Existing.RulesNamespace
	}
	return w.Pipeline.Prometheus.Namespace
}

// prometheusHints returns where to look at a page of Prometheus, such as /targets.
func (w *walk) prometheusHints(kinds, page string) []string {
	if w.Pipeline.Existing != nil {
		return append(w.selectionHints(kinds), "the page "+page+" of the Prometheus in namespace "+w.Pipeline.Existing.Namespace)
	}
	p := w.Pipeline.Prometheus
	return []string{
		w.kubectl(p.Namespace, "get %s --show-labels", kinds),
		w.kubectl(p.Namespace, "port-forward service/%s 9090:%d", p.Name, p.Port) + ", then http://localhost:9090" + page,
	}
}

// selectionHints returns the commands that show which objects of a kind the platform's Prometheus selects.
func (w *walk) selectionHints(kinds string) []string {
	return []string{
		w.kubectl(w.rulesNamespace(), "get %s --show-labels", kinds),
		w.kubectl(w.Pipeline.Existing.Namespace, "get prometheuses -o yaml"),
	}
}

// existingFreshness checks the ages of the signals' samples.
func (w *walk) existingFreshness(ctx context.Context, interval time.Duration) (string, error) {
	if w.prom == nil {
		return "", w.notQueried()
	}
	return w.prometheusFreshness(ctx, interval)
}
