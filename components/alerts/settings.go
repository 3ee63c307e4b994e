package alerts

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"vllm-autoscaling/components/telemetry"
)

// Objective is the service level objective: Ratio of the requests are within TTFT, and Ratio of them within InterToken.
type Objective struct {
	// TTFT is the longest time to the first token: one of TTFTBounds.
	TTFT time.Duration
	// InterToken is the longest mean time between the tokens of a request: one of InterTokenBounds.
	InterToken time.Duration
	// Ratio is the share of the requests; MinRatio to MaxRatio.
	Ratio float64
}

// Settings are what the alerts depend on.
type Settings struct {
	telemetry.Settings
	Objective
	// AtMaxFor is how long the autoscaler may be at its maximum; at least 1 minute.
	AtMaxFor time.Duration
	// StartupBudget is how long the server itself may take to start, after which its start-up probe ends it; at least 1 minute.
	StartupBudget time.Duration
	// ColdStart returns the longest time from a pod's creation until it serves: node, image and model; at
	// least StartupBudget.
	ColdStart time.Duration
	// ScrapeInterval is how often Prometheus scrapes itself and kube-state-metrics; at least 1 s.
	ScrapeInterval time.Duration
	// MaxNumSeqs is how many requests one server runs at a time; at least 1.
	MaxNumSeqs int
	// PrometheusStorage is the size of Prometheus' volume in bytes; 0 without one.
	PrometheusStorage int64
	// PrometheusVolume is a regular expression of the names of its claims; required with
	// PrometheusStorage.
	PrometheusVolume string
}

// TTFTBounds returns the allowed values of Objective.TTFT: the bounds of the buckets of vLLM's histogram, from 100 ms on.
func TTFTBounds() []time.Duration {
	return slices.DeleteFunc(durations(telemetry.TimeToFirstTokenBuckets()), func(d time.Duration) bool { return d < 100*time.Millisecond })
}

// InterTokenBounds returns the allowed values of Objective.InterToken: the bounds of the buckets of vLLM's histogram.
func InterTokenBounds() []time.Duration { return durations(telemetry.TimePerOutputTokenBuckets()) }

// durations converts seconds, rounded to milliseconds because 0.1 has no exact form.
func durations(seconds []float64) []time.Duration {
	all := make([]time.Duration, 0, len(seconds))
	for _, s := range seconds {
		all = append(all, time.Duration(s*1000+0.5)*time.Millisecond)
	}
	return all
}

// The bounds of Objective.Ratio: below, half of the requests may be slow and nothing is left to alert on;
// above, a few requests in a thousand decide.
const (
	MinRatio = 0.5
	MaxRatio = 0.999
)

// Validate reports every setting that would make an alert meaningless.
func (s Settings) Validate() error {
	problems := []error{s.Settings.Validate()}
	add := func(format string, values ...any) { problems = append(problems, fmt.Errorf(format, values...)) }
	if !slices.Contains(TTFTBounds(), s.TTFT) {
		add("TTFT %s is no bucket of vLLM's histogram (one of %v)", s.TTFT, TTFTBounds())
	}
	if !slices.Contains(InterTokenBounds(), s.InterToken) {
		add("InterToken %s is no bucket of vLLM's histogram (one of %v)", s.InterToken, InterTokenBounds())
	}
	if !(s.Ratio >= MinRatio && s.Ratio <= MaxRatio) {
		add("Ratio %v is not possible (%v to %v: a share, not percent)", s.Ratio, MinRatio, MaxRatio)
	}
	if s.AtMaxFor < time.Minute {
		add("AtMaxFor %s is too short (at least 1m)", s.AtMaxFor)
	}
	if s.StartupBudget < time.Minute {
		add("StartupBudget %s is too short (at least 1m)", s.StartupBudget)
	}
	if s.ColdStart < max(s.StartupBudget, time.Minute) {
		add("ColdStart %s is too short (at least StartupBudget, %s)", s.ColdStart, s.StartupBudget)
	}
	if s.ScrapeInterval < time.Second {
		add("ScrapeInterval %s is too short (at least 1s)", s.ScrapeInterval)
	}
	if s.MaxNumSeqs < 1 {
		add("MaxNumSeqs %d is not possible (at least 1)", s.MaxNumSeqs)
	}
	if s.PrometheusStorage < 0 || s.PrometheusStorage > 0 && s.PrometheusVolume == "" {
		add("PrometheusStorage %d with PrometheusVolume %q is not possible (bytes, and the claims' names)", s.PrometheusStorage, s.PrometheusVolume)
	}
	return errors.Join(problems...)
}
