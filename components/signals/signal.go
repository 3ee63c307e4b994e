package signals

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Key names a signal in the configuration: autoscaling.signals.<key>.
type Key string

// Unit is what the samples and the target of a signal count.
type Unit string

// The units.
const (
	Requests Unit = "requests"
	Percent  Unit = "percent"
)

// HPATolerance is kube-controller-manager's --horizontal-pod-autoscaler-tolerance, which managed clouds leave at its
// default: an average up to a tenth above the target changes nothing.
const HPATolerance = 0.1

// Definition is one row of the catalogue: a metric that the autoscaler can follow, averaged over the pods of the
// deployment.
type Definition struct {
	// Key of the signal in the configuration.
	Key Key
	// Name is the metric of the autoscaler in the custom metrics API.
	Name string
	// Series is the Prometheus series that the adapter serves under Name: scraped as it is, or recorded.
	Series string
	// Query is the adapter's metricsQuery: a Go template with << >> that returns one sample per pod.
	Query string
	// Expr returns the expression of the recording rule that writes Series while the signal is on; nil where Series is scraped as
	// it is, or where Rules records it whether the signal is on or not. A backend without queries, such as Google's adapter, adds
	// up the samples of one series of a pod, so that everything but that sum has to be recorded.
	Expr func(Settings) string
	// PerServer is true where Expr depends on settings that differ between the serving deployments of a namespace.
	PerServer bool
	// ServerSeries are the series of the server that the signal reads, which every scrape has to keep.
	ServerSeries []string
	// GPU is true where the signal reads DCGM's utilisation.
	GPU bool
	// Unit of the samples and of the target.
	Unit Unit
	// Label is the signal in a few words, for a legend, and Column in one or two, for the heading of a column.
	Label, Column string
	// Help is one sentence on what a sample means.
	Help string
	// Default is true for a signal that is on unless the configuration switches it off.
	Default bool
	// DefaultTarget returns the target of a server with that --max-num-seqs where the configuration has none.
	DefaultTarget func(maxNumSeqs int) float64
	// Bound returns what the average can reach at most on a server with that --max-num-seqs; nil where it is unbounded.
	Bound func(maxNumSeqs int) Bound

	// check reports what else the signal needs of the settings while it is on; nil for nothing.
	check func(Settings) error
}

// Bound is the highest value of a signal.
type Bound struct {
	// Highest is the value, in the signal's unit.
	Highest float64
	// Reason is a clause on why it goes no higher, with the verb %g for Highest.
	Reason string
	// RaisedBy is the configuration key that raises it; "" where nothing does.
	RaisedBy string
}

// Why returns the reason with the highest value in it.
func (b Bound) Why() string { return fmt.Sprintf(b.Reason, b.Highest) }

// LowestUnreachable returns the lowest target that the average cannot exceed by more than the HPA tolerates.
func (b Bound) LowestUnreachable() float64 { return b.Highest / (1 + HPATolerance) }

// Reachable reports whether the average can exceed a target by more than the HPA tolerates. A target that cannot be
// exceeded leaves the number of replicas where it is.
func (d Definition) Reachable(target float64, maxNumSeqs int) bool {
	return d.Bound == nil || target < d.Bound(maxNumSeqs).LowestUnreachable()
}

// Signal is a metric that the autoscaler follows.
type Signal struct {
	Definition
	// Target is the average per pod above which replicas are added, in Unit.
	Target float64
}

// AverageValue returns the target as an HPA's averageValue, in the form that the API server stores
// (12.5 is "12500m"), so that reading it back shows no difference.
func (s Signal) AverageValue() string {
	return resource.NewMilliQuantity(int64(math.Round(s.Target*1000)), resource.DecimalSI).String()
}

// Enabled returns the signals of a catalogue that have a target in the settings, in the order of the catalogue. The
// error joins everything that is wrong with the settings.
func Enabled(catalogue []Definition, s Settings) ([]Signal, error) {
	problems := []error{s.Validate()}
	targets := maps.Clone(s.Targets)
	var enabled []Signal
	for _, definition := range catalogue {
		target, on := targets[definition.Key]
		delete(targets, definition.Key)
		if !on {
			continue
		}
		problems = append(problems, definition.validate(target, s))
		enabled = append(enabled, Signal{Definition: definition, Target: target})
	}
	for _, key := range slices.Sorted(maps.Keys(targets)) {
		problems = append(problems, fmt.Errorf("there is no signal %q in the catalogue", key))
	}
	if len(enabled) == 0 {
		problems = append(problems, errors.New("every signal is off, so nothing could ever scale: give at least one a target"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("scaling signals: %w", err)
	}
	return enabled, nil
}

// validate reports a target that an autoscaler cannot hold or the average cannot exceed, and what else the signal lacks.
func (d Definition) validate(target float64, s Settings) error {
	problem := d.validateTarget(target, s.MaxNumSeqs)
	if d.check == nil {
		return problem
	}
	return errors.Join(problem, d.check(s))
}

func (d Definition) validateTarget(target float64, maxNumSeqs int) error {
	if !finite(target) || target < SmallestTarget {
		return fmt.Errorf("target of %s is %v: a target is a number above 0, with at most three decimals; leave a signal out to switch it off", d.Key, target)
	}
	if d.Reachable(target, maxNumSeqs) {
		return nil
	}
	bound := d.Bound(maxNumSeqs)
	return fmt.Errorf("target of %s is %v: %s, so a target of %.4g or more could never be exceeded", d.Key, target, bound.Why(), bound.LowestUnreachable())
}

// Union returns the signals that any of several lists has, each once, in the order of the catalogue. Their targets are those of the
// first list that has them.
func Union(lists ...[]Signal) []Signal {
	var union []Signal
	for _, definition := range Catalogue() {
		for _, list := range lists {
			i := slices.IndexFunc(list, func(s Signal) bool { return s.Key == definition.Key })
			if i >= 0 {
				union = append(union, list[i])
				break
			}
		}
	}
	return union
}

// Names lists the names of the autoscaler's metrics, in the order of the signals.
func Names(signals []Signal) []string {
	names := make([]string, 0, len(signals))
	for _, s := range signals {
		names = append(names, s.Name)
	}
	return names
}

// ServerSeries lists the series of the server that the signals and the recording rules read, each once. The requests
// running and waiting are always among them, because the rules that do not depend on a signal read them.
func ServerSeries(signals []Signal) []string {
	series := []string{SeriesRequestsRunning, SeriesRequestsWaiting}
	for _, s := range signals {
		for _, name := range s.ServerSeries {
			if !slices.Contains(series, name) {
				series = append(series, name)
			}
		}
	}
	return series
}

// ReadGPUs reports whether any of the signals reads DCGM's utilisation.
func ReadGPUs(signals []Signal) bool {
	return slices.ContainsFunc(signals, func(s Signal) bool { return s.GPU })
}
