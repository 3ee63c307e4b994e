// Package signals declares what the deployment scales on. Each signal is stated once here: the series it
// comes from, the recording rule that prepares it, how the metrics adapter serves it, its name in the
// custom metrics API and its target. The ServiceMonitor, the PrometheusRule, the adapter's configuration,
// the HPA, alerts and dashboards take every name from this package, so none is typed twice.
package signals

import (
	"fmt"
	"math"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Signal is one metric that the HPA scales on, averaged over the pods of the deployment.
type Signal struct {
	// Name is what the HPA asks the custom metrics API for.
	Name string
	// Series is the Prometheus series that the adapter serves under Name.
	Series string
	// Query is the adapter's metricsQuery: a Go template with << >> that gives one sample per pod.
	Query string
	// Record and Expr are the recording rule that writes Series; empty when Series is scraped as it is.
	Record, Expr string
	// Target is the average per pod above which replicas are added, in Unit.
	Target float64
	// Unit of the samples and of Target: "requests" or "percent".
	Unit string
	// Help says in one sentence what a sample means.
	Help string
}

// AverageValue is the target as an HPA's averageValue, in the form that the API server stores
// (12.5 is "12500m"), so that reading it back shows no difference.
func (s Signal) AverageValue() string {
	return resource.NewMilliQuantity(int64(math.Round(s.Target*1000)), resource.DecimalSI).String()
}

// Catalogue lists the signals that are on, in a fixed order: requests running, requests waiting, GPU
// utilisation. The error holds every problem of the settings (see Settings.Validate).
func Catalogue(s Settings) ([]Signal, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("scaling signals: %w", err)
	}
	all := []Signal{
		{
			Name:   MetricRequestsRunning,
			Series: SeriesRequestsRunning,
			Query:  requestsQuery,
			Target: s.RunningTarget,
			Unit:   "requests",
			Help:   "Requests that one pod is executing, over all its engines and models.",
		},
		{
			Name:   MetricRequestsWaiting,
			Series: SeriesRequestsWaiting,
			Query:  requestsQuery,
			Target: s.WaitingTarget,
			Unit:   "requests",
			Help:   "Requests that wait in one pod for a place in a batch, over all its engines and models.",
		},
		{
			Name:   MetricGPUUtilization,
			Series: RecordGPUUtilizationGuarded,
			Query:  recordedQuery,
			Record: RecordGPUUtilizationGuarded,
			Expr:   guardedExpr(s),
			Target: s.GPUTarget,
			Unit:   "percent",
			Help:   "Utilisation of the busiest GPU of one pod, reduced in proportion while the pod has few requests in flight.",
		},
	}
	var on []Signal
	for _, signal := range all {
		if signal.Target > 0 {
			on = append(on, signal)
		}
	}
	return on, nil
}

// Names lists the names that the HPA asks for, in the order of the signals.
func Names(signals []Signal) []string {
	names := make([]string, 0, len(signals))
	for _, s := range signals {
		names = append(names, s.Name)
	}
	return names
}

// perPod is the by-clause of a serving pod.
var perPod = strings.Join(ServingLabels(), ", ")

// perEngine is the by-clause of one engine's gauge of one model: whatever else differs between two
// series (job, service, endpoint, instance) makes them two scrapes of the same number.
var perEngine = strings.Join([]string{LabelNamespace, LabelPod, LabelEngine, LabelModel}, ", ")
