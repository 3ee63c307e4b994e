package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/components/signals"
)

// maxMetrics limits how much of a page of metrics is read, in bytes.
const maxMetrics = 32 << 20

// metrics reads each pod's own page, as Prometheus would.
func (w *walk) metrics(ctx context.Context) (string, error) {
	s := w.Pipeline.Serving
	var troubles []string
	for _, pod := range w.pods {
		page, err := w.page(ctx, &pod)
		if err != nil {
			return "", w.unreached(err, s.Namespace, pod.Name, s.Port)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation) // every name: vLLM's have colons
		families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
		if err != nil {
			troubles = append(troubles, fmt.Sprintf("%s: /metrics cannot be read: %v", pod.Name, err))
			continue
		}
		var missing []string
		for _, series := range w.Pipeline.ServerSeries {
			if family := families[series]; family == nil || len(family.Metric) == 0 {
				missing = append(missing, series)
			}
		}
		if len(missing) > 0 {
			troubles = append(troubles, fmt.Sprintf("%s: no series %s among %d names", pod.Name, strings.Join(missing, ", "), len(families)))
		}
	}
	if len(troubles) > 0 {
		return "", &failure{
			measured: strings.Join(troubles, "; "),
			expected: strings.Join(w.Pipeline.ServerSeries, ", ") + " on each pod",
			look: []string{
				"does the image still export them (a vLLM release may rename series), and are its statistics on (no --disable-log-stats)?",
				w.kubectl(s.Namespace, "get deployment %s -o jsonpath='{.spec.template.spec.containers[*].image} {.spec.template.spec.containers[*].args}'", s.Deployment),
				w.kubectl(s.Namespace, "port-forward deployment/%s %d:%d", s.Deployment, s.Port,
					s.Port) + fmt.Sprintf(", then curl -s localhost:%d/metrics | grep vllm:num_", s.Port),
			},
		}
	}
	return fmt.Sprintf("%s on %s", strings.Join(w.Pipeline.ServerSeries, ", "), plural(len(w.pods), "pod")), nil
}

func (w *walk) page(ctx context.Context, pod *corev1.Pod) ([]byte, error) {
	address, closeIt, err := w.Reach(ctx, pod.Namespace, pod.Name, w.Pipeline.Serving.Port)
	if err != nil {
		return nil, err
	}
	defer closeIt()
	return w.get(ctx, "http://"+address+"/metrics")
}

func (w *walk) get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := w.http().Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxMetrics))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %s", request.URL.Path, response.Status, firstLine(body))
	}
	return body, nil
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line[:min(len(line), 200)]
}

// unreached returns the failure of a pod's port that cannot be reached.
func (w *walk) unreached(err error, namespace, pod string, port int) error {
	return &failure{
		measured: fmt.Sprintf("pod %s, port %d cannot be read: %v", pod, port, err),
		expected: "an answer through the API server (port-forward)",
		look: []string{
			"$ " + w.Kubectl + " auth can-i create pods/portforward -n " + namespace,
			w.kubectl(namespace, "port-forward pod/%s %d:%d", pod, port, port),
		},
	}
}

// connectPrometheus connects to Prometheus for the following stages.
func (w *walk) connectPrometheus(ctx context.Context) (string, error) {
	p := w.Pipeline.Prometheus
	look := []string{
		w.kubectl(p.Namespace, "get pods,prometheuses"),
		w.kubectl(p.Namespace, "describe service %s", p.Name),
		w.kubectl(p.Namespace, "logs prometheus-%s-0 -c prometheus --tail=50", p.Name),
		"without a pod, no operator runs it: with monitoring.operator shared, the cluster's has to watch namespaces " + p.Namespace + " and " +
			w.Pipeline.Serving.Namespace,
	}
	pod, port, err := w.readyPodOf(ctx, p.Namespace, p.Name, p.Port)
	if err != nil {
		f := &failure{measured: err.Error(), expected: "a ready pod of Prometheus", look: look}
		var known *failure
		if errors.As(err, &known) {
			f.log, f.look = known.log, append(look, known.look...)
		}
		return "", f
	}
	address, closeIt, err := w.Reach(ctx, p.Namespace, pod, port)
	if err != nil {
		return "", w.unreached(err, p.Namespace, pod, port)
	}
	w.close = append(w.close, closeIt)
	w.promURL = "http://" + address
	client, err := api.NewClient(api.Config{Address: w.promURL, Client: &http.Client{Timeout: 20 * time.Second}})
	if err != nil {
		return "", err
	}
	w.prom = prometheusv1.NewAPI(client)
	build, err := w.prom.Buildinfo(ctx)
	if err != nil {
		return "", &failure{measured: fmt.Sprintf("pod %s does not answer: %v", pod, err), expected: "Prometheus' version", look: look}
	}
	if build.Version == "" { // built without a version
		build.Version = "of an unknown version"
	}
	return fmt.Sprintf("Prometheus %s in pod %s", build.Version, pod), nil
}

// prometheusTargets checks the scrapes of the pods.
func (w *walk) prometheusTargets(ctx context.Context) (string, error) {
	s := w.Pipeline.Serving
	// Without the dropped targets, of which a large cluster has thousands.
	raw, err := w.get(ctx, w.promURL+"/api/v1/targets?state=active")
	if err != nil {
		return "", err
	}
	var answer struct {
		Data prometheusv1.TargetsResult `json:"data"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return "", fmt.Errorf("targets of Prometheus: %w", err)
	}
	look := []string{
		w.kubectl(s.Namespace, "get servicemonitors,podmonitors --show-labels"),
		w.kubectl(s.Namespace, "describe service %s", s.Service),
		w.kubectl(s.Namespace, "describe networkpolicies"),
		w.kubectl(w.Pipeline.Prometheus.Namespace, "port-forward service/%s 9090:%d", w.Pipeline.Prometheus.Name,
			w.Pipeline.Prometheus.Port) + ", then http://localhost:9090/targets",
	}
	var missing, broken []string
	var slowest float64
	for _, pod := range w.pods {
		count := 0
		for _, target := range answer.Data.Active {
			if string(target.Labels["namespace"]) != s.Namespace || string(target.Labels["pod"]) != pod.Name {
				continue
			}
			count++
			if target.Health != prometheusv1.HealthGood || target.LastError != "" {
				broken = append(broken, fmt.Sprintf("%s is %s: %s", pod.Name, target.Health, target.LastError))
			}
			slowest = max(slowest, target.LastScrapeDuration)
		}
		if count == 0 {
			missing = append(missing, pod.Name)
		}
	}
	switch {
	case len(missing) > 0:
		return "", &failure{
			measured: fmt.Sprintf("Prometheus has no target for %d of %s: %s", len(missing), plural(len(w.pods), "pod"), shortened(missing)),
			expected: "one target up for each pod: a ServiceMonitor that Prometheus selects, which selects the Service",
			look:     look,
		}
	case len(broken) > 0:
		return "", &failure{measured: "target of pod " + strings.Join(broken, "; "), expected: "every target up, without an error of its last scrape", look: look}
	}
	if err := w.storedSeries(ctx, look); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d/%d up, slowest scrape %.0f ms", len(w.pods), len(w.pods), slowest*1000), nil
}

// prometheusRules checks the recording rules.
func (w *walk) prometheusRules(ctx context.Context) (string, error) {
	loaded, err := w.prom.Rules(ctx)
	if err != nil {
		return "", fmt.Errorf("rules of Prometheus: %w", err)
	}
	if err := w.loadedRules(ctx, loaded.Groups); err != nil {
		return "", err
	}
	return w.recordedSamples(ctx)
}

// freshnessBound is the maximum age of a signal's sample: one interval until the next scrape or evaluation, two missed
// ones, and the delay of a busy Prometheus.
func freshnessBound(interval time.Duration) time.Duration { return 3*interval + 10*time.Second }

// aged is a series whose samples must be young, with its name in the report.
type aged struct{ name, series string }

// agedSeries returns the signals' series, and those of the server that rules read: the result of a rule is young however old the
// samples are that it was computed from.
func (w *walk) agedSeries() []aged {
	var all []aged
	for _, signal := range w.Pipeline.Signals {
		all = append(all, aged{signal.Name, signal.Series})
	}
	for _, series := range w.Pipeline.ServerSeries {
		if !slices.ContainsFunc(all, func(a aged) bool { return a.series == series }) {
			all = append(all, aged{series, series})
		}
	}
	return all
}

// prometheusFreshness checks the ages of the signals' samples in Prometheus.
func (w *walk) prometheusFreshness(ctx context.Context, interval time.Duration) (string, error) {
	bound := freshnessBound(interval)
	var oldest float64
	var old []string
	for _, a := range w.agedSeries() {
		// By Prometheus' clock, so that this machine's does not matter.
		ages, err := w.byPod(ctx, fmt.Sprintf("time() - max by (pod) (timestamp(%s{namespace=%q}))", a.series, w.Pipeline.Serving.Namespace))
		if err != nil {
			return "", err
		}
		if without := w.without(ages); len(without) > 0 {
			return "", &failure{
				measured: fmt.Sprintf("%s has no sample any more for %s", a.series, shortened(without)),
				expected: "a sample at most " + bound.String() + " old", look: w.staleHints(),
			}
		}
		for _, pod := range w.pods {
			age := slices.Max(ages[pod.Name])
			oldest = max(oldest, age)
			if age > bound.Seconds() {
				old = append(old, fmt.Sprintf("%s of %s is %.0f s old", a.name, pod.Name, age))
			}
			for i := range w.values {
				if w.values[i].Signal == a.name && w.values[i].Pod == pod.Name {
					w.values[i].AgeSeconds = &age
				}
			}
		}
	}
	if len(old) > 0 {
		return "", &failure{
			measured: shortened(old),
			expected: fmt.Sprintf("at most %s: scraped and recorded every %s", bound, interval), look: w.staleHints(),
		}
	}
	return fmt.Sprintf("oldest sample %.1f s, allowed %s", oldest, bound), nil
}

func (w *walk) staleHints() []string {
	p := w.Pipeline
	return []string{
		"are the intervals of the ServiceMonitor and the PrometheusRule still the stack's, and does Prometheus keep up (CPU, storage)?",
		w.kubectl(p.Serving.Namespace, "get servicemonitors -o jsonpath='{.items[*].spec.endpoints[*].interval}'"),
		w.kubectl(w.rulesNamespace(), "get prometheusrules -o jsonpath='{.items[*].spec.groups[*].interval}'"),
		"$ pulumi preview --refresh --stack " + w.Stack,
	}
}

// samples runs an instant query.
func (w *walk) samples(ctx context.Context, query string) (model.Vector, error) {
	value, _, err := w.prom.Query(ctx, query, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", query, err)
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("query %s returns a %s", query, value.Type())
	}
	return vector, nil
}

// byPod runs an instant query and returns its samples by pod, without those of other servers' pods.
func (w *walk) byPod(ctx context.Context, query string) (map[string][]float64, error) {
	samples, err := w.samples(ctx, query)
	if err != nil {
		return nil, err
	}
	found := map[string][]float64{}
	for _, sample := range samples {
		if pod := podOf(sample); !w.neighbours.has(pod) {
			found[pod] = append(found[pod], float64(sample.Value))
		}
	}
	return found, nil
}

// podOf returns the pod that a sample is about. A scrape without honorLabels puts the pod of a GPU into exported_pod.
func podOf(sample *model.Sample) string {
	if pod := sample.Metric["exported_pod"]; pod != "" {
		return string(pod)
	}
	return string(sample.Metric["pod"])
}

// without lists the pods that have no sample.
func (w *walk) without(samples map[string][]float64) []string {
	var missing []string
	for _, pod := range w.pods {
		if len(samples[pod.Name]) == 0 {
			missing = append(missing, pod.Name)
		}
	}
	return missing
}

func numbers(values []float64) string {
	var all []string
	for _, v := range values {
		all = append(all, number(v))
	}
	return strings.Join(all, "+")
}

// number formats a number with at most two decimals.
func number(v float64) string {
	if math.IsNaN(v) {
		return "NaN"
	}
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

// oddGauges lists the values of a gauge of the server that neither the adapter nor a rule serves.
func oddGauges(series string, values map[string][]float64) []string {
	highest := math.Inf(1)
	if series == signals.SeriesKVCacheUsage {
		highest = 1
	}
	var odd []string
	for _, pod := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[pod] {
			if !(value >= 0 && value <= highest) {
				odd = append(odd, fmt.Sprintf("%s of %s is %s", series, pod, number(value)))
			}
		}
	}
	return odd
}

func plural(count int, what string) string {
	if count == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", count, what)
}
