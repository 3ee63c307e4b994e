package report

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Source reads the current state; Sample.Seconds is set by the Recorder.
type Source func(ctx context.Context) (Sample, error)

// Recorder samples a Source every second while Record runs. Its other methods may be called from any goroutine.
type Recorder struct {
	started time.Time
	source  Source

	mu      sync.Mutex
	samples []Sample
	events  []Event
	lastErr error
}

// sourceTimeout bounds one sample.
const sourceTimeout = 10 * time.Second

// NewRecorder returns a recorder whose times count from started.
func NewRecorder(started time.Time, source Source) *Recorder {
	return &Recorder{started: started, source: source}
}

// Record samples until ctx ends and passes each sample to changed if anything except its time differs from the
// previous one. If the source fails, the sample is skipped: objects may not exist yet.
func (r *Recorder) Record(ctx context.Context, every time.Duration, changed func(Sample)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var last *Sample
	for {
		// An API server that hangs must not end the samples.
		reading, cancel := context.WithTimeout(ctx, sourceTimeout)
		sample, err := r.source(reading)
		cancel()
		if ctx.Err() != nil {
			return
		}
		r.mu.Lock()
		r.lastErr = err
		if err == nil {
			sample.Seconds = time.Since(r.started).Seconds()
			r.samples = append(r.samples, sample)
		}
		r.mu.Unlock()
		if err == nil {
			if changed != nil && (last == nil || !same(*last, sample)) {
				changed(sample)
			}
			last = &sample
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Mark adds an event now and returns its time in seconds.
func (r *Recorder) Mark(format string, args ...any) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := time.Since(r.started).Seconds()
	r.events = append(r.events, Event{Seconds: at, Text: fmt.Sprintf(format, args...)})
	return at
}

// Samples returns what was recorded so far, oldest first.
func (r *Recorder) Samples() []Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Sample(nil), r.samples...)
}

// Events returns the marks so far, oldest first.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}

// WaitFor blocks until a sample taken after the call satisfies condition and returns it. If ctx ends first, the error
// has the last sample.
func (r *Recorder) WaitFor(ctx context.Context, what string, condition func(Sample) bool) (Sample, error) {
	from := len(r.Samples())
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		samples := r.Samples()
		for ; from < len(samples); from++ {
			if condition(samples[from]) {
				return samples[from], nil
			}
		}
		select {
		case <-ctx.Done():
			r.mu.Lock()
			defer r.mu.Unlock()
			seen := "no sample was recorded"
			if len(r.samples) > 0 {
				seen = "last seen: " + r.samples[len(r.samples)-1].String()
			}
			if r.lastErr != nil {
				seen += fmt.Sprintf("; last error: %v", r.lastErr)
			}
			return Sample{}, fmt.Errorf("%s did not happen in time (%s): %w", what, seen, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// String returns the sample on one line.
func (s Sample) String() string {
	text := fmt.Sprintf("load %g", s.Load)
	for _, name := range sortedNames(s.Signals) {
		text += fmt.Sprintf(", %s %s", name, s.Signals[name])
	}
	return text + fmt.Sprintf(", desired %s, replicas %d, ready %d, pods %d", desired(s.Desired), s.Current, s.Ready, s.Pods)
}

// String returns the value over its target, "?" for a missing value.
func (r Reading) String() string {
	if r.Value == nil {
		return fmt.Sprintf("?/%g", r.Target)
	}
	return fmt.Sprintf("%s/%g", short(*r.Value), r.Target)
}

// Ratio returns the value over the target, 0 without a value.
func (r Reading) Ratio() float64 {
	if r.Value == nil || r.Target == 0 {
		return 0
	}
	return *r.Value / r.Target
}

func short(value float64) string {
	if value == float64(int64(value)) || value >= 100 {
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.1f", value)
}

func same(a, b Sample) bool {
	a.Seconds, b.Seconds = 0, 0
	return a.String() == b.String()
}

// HPASource returns a source that reads one HPA, the Deployment that it scales and the Deployment's pods; load returns
// the requests in flight of the load generator.
func HPASource(client kubernetes.Interface, namespace, hpa string, load func() float64) Source {
	return func(ctx context.Context) (Sample, error) {
		autoscaler, err := client.AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(ctx, hpa, metav1.GetOptions{})
		if err != nil {
			return Sample{}, fmt.Errorf("read the HPA: %w", err)
		}
		deployment, err := client.AppsV1().Deployments(namespace).Get(ctx, autoscaler.Spec.ScaleTargetRef.Name, metav1.GetOptions{})
		if err != nil {
			return Sample{}, fmt.Errorf("read the Deployment that the HPA scales: %w", err)
		}
		pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(deployment.Spec.Selector)})
		if err != nil {
			return Sample{}, fmt.Errorf("list the pods: %w", err)
		}
		sample := Sample{
			Load:    load(),
			Signals: Readings(autoscaler),
			Desired: int(autoscaler.Status.DesiredReplicas),
			Ready:   int(deployment.Status.ReadyReplicas),
			Pods:    len(pods.Items),
			Min:     1, // the default of minReplicas
			Max:     int(autoscaler.Spec.MaxReplicas),
		}
		if autoscaler.Spec.MinReplicas != nil {
			sample.Min = int(*autoscaler.Spec.MinReplicas)
		}
		if deployment.Spec.Replicas != nil {
			sample.Current = int(*deployment.Spec.Replicas)
		}
		return sample, nil
	}
}

// WithLive adds to a source's signals the current values of the custom metrics API, averaged over the pods with the
// labels. A metric that it does not serve stays without a value: the pipeline may be what is tested.
func WithLive(source Source, client kubernetes.Interface, namespace, selector string) Source {
	return func(ctx context.Context) (Sample, error) {
		sample, err := source(ctx)
		if err != nil {
			return sample, err
		}
		for name, reading := range sample.Signals {
			value, err := customMetric(ctx, client, namespace, selector, name)
			if err != nil {
				continue
			}
			reading.Live = &value
			sample.Signals[name] = reading
		}
		return sample, nil
	}
}

// customMetric returns the mean of a metric over pods.
func customMetric(ctx context.Context, client kubernetes.Interface, namespace, selector, name string) (float64, error) {
	raw, err := client.CoreV1().RESTClient().Get().
		AbsPath("/apis/custom.metrics.k8s.io/v1beta1/namespaces", namespace, "pods", "*", name).
		Param("labelSelector", selector).Timeout(2 * time.Second).DoRaw(ctx)
	if err != nil {
		return 0, err
	}
	var list struct {
		Items []struct {
			Value resource.Quantity `json:"value"`
		} `json:"items"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return 0, err
	}
	if len(list.Items) == 0 {
		return 0, fmt.Errorf("no pod has %s", name)
	}
	sum := 0.0
	for _, item := range list.Items {
		sum += item.Value.AsApproximateFloat64()
	}
	return sum / float64(len(list.Items)), nil
}

// Readings returns the Pods metrics of an HPA: every target of its spec, with the value of its status if there is one.
func Readings(hpa *autoscalingv2.HorizontalPodAutoscaler) map[string]Reading {
	readings := map[string]Reading{}
	for _, metric := range hpa.Spec.Metrics {
		if metric.Pods != nil && metric.Pods.Target.AverageValue != nil {
			readings[metric.Pods.Metric.Name] = Reading{Target: metric.Pods.Target.AverageValue.AsApproximateFloat64()}
		}
	}
	for _, metric := range hpa.Status.CurrentMetrics {
		if metric.Pods == nil || metric.Pods.Current.AverageValue == nil {
			continue
		}
		if reading, ok := readings[metric.Pods.Metric.Name]; ok {
			value := metric.Pods.Current.AverageValue.AsApproximateFloat64()
			reading.Value = &value
			readings[metric.Pods.Metric.Name] = reading
		}
	}
	return readings
}
