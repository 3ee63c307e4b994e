package components

import (
	"errors"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	kmetav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components/googlemanaged"
	"vllm-autoscaling/components/signals"
)

// GoogleManagedCollector is the Collector that adds to Google's Managed Service for Prometheus, which GKE runs.
type GoogleManagedCollector struct {
	ManagedScraper
	// CollectorNamespace is where the cluster runs the collectors. Required.
	CollectorNamespace string
	// Objects are what is added for the signals. Required.
	Objects *GoogleManagedPrometheusArgs
}

// Collect implements Collector.
func (g *GoogleManagedCollector) Collect(ctx *pulumi.Context, opts ...pulumi.ResourceOption) (*Collection, error) {
	if g.CollectorNamespace == "" || len(g.Series) == 0 {
		return nil, errors.New("collector: the namespace of the managed collectors or the series of the server are missing")
	}
	objects, err := NewGoogleManagedPrometheus(ctx, "managed-collection", g.Objects, opts...)
	if err != nil {
		return nil, err
	}
	return &Collection{Namespace: g.CollectorNamespace, Recorded: objects.Objects}, nil
}

// ManagedScraper scrapes through Google's managed collection, by PodMonitorings.
type ManagedScraper struct {
	// Interval between two scrapes of the series that are no signals; at least ManagedMinInterval.
	Interval time.Duration
	// Series are the series of the server that the signals read. Required.
	Series []string
}

// scrapeServer registers two PodMonitorings, because every stored sample costs money: the few series of the
// signals often, the rest seldom. No series is in both: the adapter adds up all series of a pod.
func (m ManagedScraper) scrapeServer(ctx *pulumi.Context, target ScrapeTarget, opts []pulumi.ResourceOption) (pulumi.Resource, error) {
	wanted := signals.OneOf(m.Series)
	often, rest := googlemanaged.ServerMonitorings(target.Name)
	name := []string{"__name__"}
	var signal pulumi.Resource
	for _, monitoring := range []struct {
		name     string
		interval time.Duration
		rules    []managedRelabelRule
	}{
		{often, target.Interval, []managedRelabelRule{{Action: "keep", SourceLabels: name, Regex: wanted}}},
		{rest, m.Interval, []managedRelabelRule{
			{Action: "drop", SourceLabels: name, Regex: wanted},
			// The metrics of the Python process itself are not worth their price.
			{Action: "keep", SourceLabels: name, Regex: "vllm:.+"},
		}},
	} {
		object, err := newManagedObject(ctx, "PodMonitoring", target.Namespace, monitoring.name, managedMonitoringSpec{
			Selector: kmetav1.LabelSelector{MatchLabels: target.Selector},
			Endpoints: []managedEndpoint{{
				Port:             target.Port,
				Path:             target.Path,
				Interval:         prometheusDuration(monitoring.interval),
				Timeout:          prometheusDuration(monitoring.interval),
				MetricRelabeling: monitoring.rules,
			}},
			// Without the label pod the adapter cannot assign a sample to a pod.
			TargetLabels: managedTargetLabels{Metadata: []string{"container", "pod"}},
		}, opts)
		if err != nil {
			return nil, err
		}
		if signal == nil {
			signal = object
		}
	}
	return signal, nil
}
