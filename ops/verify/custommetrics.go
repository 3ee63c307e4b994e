package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"vllm-autoscaling/stacks/outputs"
)

const (
	customMetricsGroup = "custom.metrics.k8s.io"
	customMetricsAPI   = "/apis/" + customMetricsGroup + "/v1beta1"
)

// adapter checks how the custom metrics API is registered.
func (w *walk) adapter(ctx context.Context) (string, error) {
	a := w.Pipeline.Adapter
	raw, err := w.raw(ctx, "/apis/apiregistration.k8s.io/v1/apiservices")
	if err != nil {
		return "", w.allowed(err)
	}
	var list apiregistrationv1.APIServiceList
	if err := json.Unmarshal(raw, &list); err != nil {
		return "", fmt.Errorf("APIServices: %w", err)
	}
	ours, server := "", a.Namespace+"/"+a.Name
	var foreign error
	for i := range list.Items {
		service := &list.Items[i]
		why, unavailable := unavailableBecause(service)
		switch {
		case unavailable && service.Spec.Group == customMetricsGroup:
			return "", &failure{
				measured: fmt.Sprintf("%s is not available: %s", describeAPI(service), why),
				expected: "Available true of every version: the HPA asks for the version that the API server prefers", look: w.apiHints(service),
			}
		case unavailable:
			// It breaks no signal.
			w.warn(fmt.Sprintf("%s is not available: %s: until it is, no namespace can be deleted, and `pulumi destroy` waits. "+
				"Bring back what serves it; if nothing does any more: %s delete apiservice %s", describeAPI(service), why, w.Kubectl, service.Name))
		case service.Spec.Group != customMetricsGroup:
		case a.Name == "":
			// That of the platform, whichever it is.
			ours, server = service.Name, servedBy(service)
		case servedBy(service) != server:
			foreign = &failure{
				measured: fmt.Sprintf("APIService %s leads to %s", service.Name, servedBy(service)),
				expected: fmt.Sprintf("%s/%s: a cluster has one custom metrics API, and another program has registered it", a.Namespace, a.Name),
				look:     append(w.apiHints(service), w.pipeline.adapterHints(w)...),
			}
		default:
			ours = service.Name
		}
	}
	if foreign != nil {
		return "", foreign
	}
	if ours == "" {
		return "", &failure{
			measured: "no APIService of group " + customMetricsGroup, expected: "the adapter's, which serves the HPA",
			look: w.noAPIHints(),
		}
	}
	return fmt.Sprintf("%s available, served by %s", ours, server), nil
}

// noAPIHints returns what to do where no adapter is registered.
func (w *walk) noAPIHints() []string {
	if w.Pipeline.Adapter.Name == "" {
		return w.pipeline.adapterHints(w)
	}
	return []string{"$ pulumi up --refresh --stack " + w.Stack}
}

// metricValues is the part of a MetricValueList that is read here.
type metricValues struct {
	Items []struct {
		DescribedObject struct {
			Name string `json:"name"`
		} `json:"describedObject"`
		Timestamp metav1.Time       `json:"timestamp"`
		Value     resource.Quantity `json:"value"`
	} `json:"items"`
}

// Values change between two queries: a request ends, or a scrape comes in between. So a value of the adapter is
// compared with Prometheus' values before and after it, and the comparison is repeated a few times.
const (
	comparisons     = 5
	comparisonPause = 500 * time.Millisecond
	// The rounding of the adapter's quantities, in milli-units, and of the decoding.
	valueTolerance = 0.01
)

// comparedMetrics reads each signal as the HPA does and compares it with Prometheus.
func (w *walk) comparedMetrics(ctx context.Context) (string, error) {
	var shown []string
	for _, signal := range w.Pipeline.Signals {
		var problem error
		var values map[string]float64
		for range comparisons {
			before, err := w.byPod(ctx, signal.Query)
			if err != nil {
				return "", err
			}
			if values, err = w.served(ctx, signal.Name); err != nil {
				return "", err
			}
			after, err := w.byPod(ctx, signal.Query)
			if err != nil {
				return "", err
			}
			if problem = w.agree(signal.Name, signal.Query, values, before, after); problem == nil {
				break
			}
			select {
			case <-ctx.Done():
			case <-time.After(comparisonPause):
			}
		}
		if problem != nil {
			return "", problem
		}
		shown = append(shown, w.keep(signal, values))
	}
	return strings.Join(shown, "; "), nil
}

// keep adds a signal's values to the report and returns them as text.
func (w *walk) keep(signal outputs.Signal, values map[string]float64) string {
	var perPod []string
	for _, pod := range w.pods {
		value := values[pod.Name]
		w.values = append(w.values, Value{Signal: signal.Name, Pod: pod.Name, Value: value, Target: signal.Target, Unit: signal.Unit})
		perPod = append(perPod, number(value))
	}
	return signal.Name + " " + shortened(perPod)
}

// served returns the adapter's value for each pod of the namespace.
func (w *walk) served(ctx context.Context, signal string) (map[string]float64, error) {
	s := w.Pipeline.Serving
	path := customMetricsAPI + "/namespaces/" + s.Namespace + "/pods/*/" + signal
	look := append([]string{fmt.Sprintf("$ %s get --raw '%s'", w.Kubectl, path)}, w.pipeline.metricHints(w)...)
	raw, err := w.raw(ctx, path)
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return nil, w.allowed(err)
	}
	if err != nil {
		return nil, &failure{
			measured: fmt.Sprintf("%s is not served: %v", signal, err),
			expected: "a value for each pod",
			look:     append([]string{w.pipeline.unserved}, look...),
		}
	}
	var list metricValues
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	values, ages := map[string]float64{}, map[string]time.Duration{}
	for _, item := range list.Items {
		values[item.DescribedObject.Name] = item.Value.AsApproximateFloat64()
		if !item.Timestamp.IsZero() {
			ages[item.DescribedObject.Name] = w.answered.Sub(item.Timestamp.Time)
		}
	}
	w.ages[signal] = ages
	var missing []string
	for _, pod := range w.pods {
		if _, ok := values[pod.Name]; !ok {
			missing = append(missing, pod.Name)
		}
	}
	if len(missing) > 0 {
		return nil, &failure{
			measured: fmt.Sprintf("%s has no value for %s", signal, shortened(missing)), expected: "a value for each pod", look: look,
		}
	}
	return values, nil
}

// agree compares the adapter's values with Prometheus' values before and after.
func (w *walk) agree(signal, query string, values map[string]float64, before, after map[string][]float64) error {
	var different []string
	for _, pod := range w.pods {
		both := append(slices.Clone(before[pod.Name]), after[pod.Name]...)
		if len(before[pod.Name]) == 0 || len(after[pod.Name]) == 0 {
			different = append(different, fmt.Sprintf("%s: %s, and nothing in Prometheus", pod.Name, number(values[pod.Name])))
			continue
		}
		low, high := slices.Min(both), slices.Max(both)
		slack := valueTolerance * math.Max(1, math.Abs(high))
		if v := values[pod.Name]; v < low-slack || v > high+slack {
			different = append(different, fmt.Sprintf("%s: %s, and %s to %s in Prometheus", pod.Name, number(v), number(low), number(high)))
		}
	}
	if len(different) == 0 {
		return nil
	}
	return &failure{
		measured: fmt.Sprintf("%s differs: %s", signal, shortened(different)),
		expected: "the adapter's value is Prometheus'",
		look:     append([]string{"does the adapter query this Prometheus, with the stack's rules? In Prometheus: " + query}, w.comparisonHints()...),
	}
}

// comparisonHints returns the commands that show the adapter's rules and where it queries.
func (w *walk) comparisonHints() []string {
	a := w.Pipeline.Adapter
	if a.Name == "" {
		return w.pipeline.metricHints(w)
	}
	return []string{
		w.kubectl(a.Namespace, "get configmap %s -o yaml", a.Name),
		w.kubectl(a.Namespace, "get deployment %s -o jsonpath='{.spec.template.spec.containers[0].args}'", a.Name),
	}
}
