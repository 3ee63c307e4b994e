package signals

import (
	"errors"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Settings is what the signals of one serving deployment depend on.
type Settings struct {
	// Namespace is where the serving pods run; the recording rules look nowhere else.
	Namespace string
	// RunningTarget, WaitingTarget and GPUTarget are what each signal may average per pod before
	// the HPA adds replicas: requests, requests and percent. 0 switches a signal off.
	RunningTarget, WaitingTarget, GPUTarget float64
	// GPUGuardRequests is the number of requests in flight per pod from which GPU utilisation counts in full;
	// below, it is reduced in proportion. Required when GPUTarget is set, at most MaxNumSeqs.
	GPUGuardRequests float64
	// Interval is both the scrape interval and the rule interval of the signal path; at least one second.
	Interval time.Duration
	// SimulateGPU adds a rule that writes DCGM's series from the requests running, for clusters without a GPU.
	SimulateGPU bool
	// MaxNumSeqs is vLLM's --max-num-seqs: the most requests that one engine runs at a time.
	MaxNumSeqs int
	// StandaloneRules is for places that export no readiness of pods and show what a rule has recorded
	// only a while later: every rule then reads the series of the server and of the GPUs alone.
	StandaloneRules bool
}

// Problem is one thing wrong with Settings.
type Problem struct {
	// Field is the name of the field of Settings.
	Field string
	// Value is what it holds.
	Value any
	// Reason says what is allowed and why.
	Reason string
	// Fix says what to do.
	Fix string
}

// Error gives the field, its value, the reason and the fix in one line.
func (p Problem) Error() string {
	return fmt.Sprintf("%s is %v: %s; %s", p.Field, p.Value, p.Reason, p.Fix)
}

// The smallest target: a Kubernetes quantity keeps three decimals of an HPA target.
const smallestTarget = 0.001

// Problems lists everything wrong with the settings, in the order of the fields; nil when nothing is.
func (s Settings) Problems() []Problem {
	var problems []Problem
	add := func(field string, value any, reason, fix string) {
		problems = append(problems, Problem{Field: field, Value: value, Reason: reason, Fix: fix})
	}

	if validation.IsDNS1123Label(s.Namespace) != nil {
		add("Namespace", fmt.Sprintf("%q", s.Namespace),
			"it must be the name of a namespace: lower-case letters, digits and '-', at most 63", "give the namespace of the serving pods")
	}
	for _, t := range []struct {
		field string
		value float64
	}{
		{"RunningTarget", s.RunningTarget},
		{"WaitingTarget", s.WaitingTarget},
		{"GPUTarget", s.GPUTarget},
	} {
		if t.value != 0 && (!finite(t.value) || t.value < smallestTarget) {
			add(t.field, t.value, "a target must be a number above 0 (with at most three decimals)", "set a positive target, or 0 to switch the signal off")
		}
	}
	if s.RunningTarget > 0 {
		switch {
		case s.MaxNumSeqs < 1:
			add("MaxNumSeqs", s.MaxNumSeqs, "it must be at least 1 to judge the target of requests running", "give the server's --max-num-seqs")
		case s.RunningTarget >= float64(s.MaxNumSeqs):
			add("RunningTarget", s.RunningTarget,
				fmt.Sprintf("a server never runs more than max-num-seqs (%d) requests, so the target could never be exceeded", s.MaxNumSeqs),
				fmt.Sprintf("set it below %d, or raise max-num-seqs", s.MaxNumSeqs))
		}
	}
	if s.GPUTarget >= 100 {
		add("GPUTarget", s.GPUTarget, "utilisation never exceeds 100 percent, so the target could never be exceeded", "set it below 100")
	}
	if s.GPUTarget > 0 {
		switch {
		case !finite(s.GPUGuardRequests) || s.GPUGuardRequests <= 0:
			add("GPUGuardRequests", s.GPUGuardRequests,
				"it must be above 0: utilisation reads near 100 percent with a single request, so without a guard one client would scale to the maximum",
				"set the number of requests per pod from which utilisation counts in full, such as RunningTarget")
		case s.MaxNumSeqs > 0 && s.GPUGuardRequests > float64(s.MaxNumSeqs):
			add("GPUGuardRequests", s.GPUGuardRequests,
				fmt.Sprintf("above max-num-seqs (%d) utilisation would not even count in full on a server whose batch is full", s.MaxNumSeqs),
				fmt.Sprintf("set it to at most %d", s.MaxNumSeqs))
		}
	}
	switch {
	case s.Interval < time.Second:
		add("Interval", s.Interval, "it must be at least 1s: faster scraping loads Prometheus and gains nothing on the HPA's period of 15s", "set it to 1s or more, for example 2s")
	case s.Interval%time.Millisecond != 0:
		add("Interval", s.Interval, "Prometheus keeps whole milliseconds", "round it to milliseconds")
	}
	if s.RunningTarget == 0 && s.WaitingTarget == 0 && s.GPUTarget == 0 {
		add("RunningTarget, WaitingTarget, GPUTarget", 0, "every signal is off, so nothing could ever scale", "set at least one target")
	}
	return problems
}

// Validate returns every problem of the settings joined into one error (each of type Problem), or nil.
func (s Settings) Validate() error {
	var all []error
	for _, p := range s.Problems() {
		all = append(all, p)
	}
	return errors.Join(all...)
}

// finite is false for NaN and both infinities.
func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
