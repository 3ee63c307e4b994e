package alerts

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"vllm-autoscaling/components/telemetry"
)

// Settings are what the alerts depend on.
type Settings struct {
	telemetry.Settings
	// TTFTObjective is the time to the first token within which TTFTRatio of the requests must stay.
	// One of TTFTObjectives: nothing is known of times between two buckets of vLLM's histogram.
	TTFTObjective time.Duration
	// TTFTRatio is the share of requests within the objective; 0.5 to 0.999.
	TTFTRatio float64
	// AtMaxFor is how long the autoscaler may be at its maximum; at least 1 minute.
	AtMaxFor time.Duration
	// ColdStart returns the longest time from a pod's creation until it serves: node, image and model; at
	// least 1 minute.
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

// TTFTObjectives returns the objectives that vLLM's histogram has a bucket for, from 100 ms on.
func TTFTObjectives() []time.Duration {
	var all []time.Duration
	for _, seconds := range telemetry.TimeToFirstTokenBuckets() {
		// Rounded, because 0.1 has no exact form.
		if d := time.Duration(seconds*1000+0.5) * time.Millisecond; d >= 100*time.Millisecond {
			all = append(all, d)
		}
	}
	return all
}

// The bounds of TTFTRatio: below, half of the requests may be slow and nothing is left to alert on;
// above, a few requests in a thousand decide.
const (
	MinTTFTRatio = 0.5
	MaxTTFTRatio = 0.999
)

// Validate reports every setting that would make an alert meaningless.
func (s Settings) Validate() error {
	problems := []error{s.Settings.Validate()}
	add := func(format string, values ...any) { problems = append(problems, fmt.Errorf(format, values...)) }
	if !slices.Contains(TTFTObjectives(), s.TTFTObjective) {
		add("TTFTObjective %s is no bucket of vLLM's histogram (one of %v)", s.TTFTObjective, TTFTObjectives())
	}
	if !(s.TTFTRatio >= MinTTFTRatio && s.TTFTRatio <= MaxTTFTRatio) {
		add("TTFTRatio %v is not possible (%v to %v: a share, not percent)", s.TTFTRatio, MinTTFTRatio, MaxTTFTRatio)
	}
	if s.AtMaxFor < time.Minute {
		add("AtMaxFor %s is too short (at least 1m)", s.AtMaxFor)
	}
	if s.ColdStart < time.Minute {
		add("ColdStart %s is too short (at least 1m)", s.ColdStart)
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
