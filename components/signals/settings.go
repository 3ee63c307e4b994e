package signals

import (
	"errors"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// SmallestTarget is the smallest target: a Kubernetes quantity keeps three decimals of an HPA's target.
const SmallestTarget = 0.001

// Settings are what the signals of one serving deployment depend on.
type Settings struct {
	// Namespace is where the serving pods run; the recording rules read no other namespace. Required.
	Namespace string
	// Targets are what each signal may average per pod, in its unit, before replicas are added. A signal without a
	// target is off.
	Targets map[Key]float64
	// GPUWaitingRequests is the number of requests waiting per pod, on average over GuardScrapes, from which GPU utilisation counts in
	// full; below, it is reduced in proportion. Above 0; required with a target of KeyGPUUtilization.
	GPUWaitingRequests float64
	// Interval is both the scrape interval and the rule interval of the signal path; at least one second.
	Interval time.Duration
	// SimulateGPU adds a rule that writes DCGM's series from the requests running, for clusters without a GPU.
	SimulateGPU bool
	// MaxNumSeqs is the most requests that a replica runs at a time: vLLM's --max-num-seqs times its engines.
	MaxNumSeqs int
	// StandaloneRules is for places that export no readiness of pods and show what a rule has recorded
	// only a while later: every rule then reads the series of the server and of the GPUs alone.
	StandaloneRules bool
}

// Validate reports what is wrong with the settings that all signals share. The targets are checked by Enabled.
func (s Settings) Validate() error {
	var problems []error
	add := func(format string, values ...any) { problems = append(problems, fmt.Errorf(format, values...)) }
	if validation.IsDNS1123Label(s.Namespace) != nil {
		add("Namespace %q is not the name of a namespace (lower-case letters, digits and '-', at most 63)", s.Namespace)
	}
	switch {
	case s.Interval < time.Second:
		add("Interval is %s: it must be at least 1s; faster scraping loads Prometheus and gains nothing on the HPA's period of 15s", s.Interval)
	case s.Interval%time.Millisecond != 0:
		add("Interval is %s: Prometheus keeps whole milliseconds", s.Interval)
	}
	return errors.Join(problems...)
}

// checkGuard reports a guard with which the GPU signal would scale wrongly.
func checkGuard(s Settings) error {
	if !finite(s.GPUWaitingRequests) || s.GPUWaitingRequests <= 0 {
		return fmt.Errorf("GPUWaitingRequests is %v: it must be above 0; utilisation reads near 100 percent with a single request, "+
			"so without a guard one client would scale to the maximum", s.GPUWaitingRequests)
	}
	return nil
}

// finite reports whether a number is neither NaN nor infinite.
func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
