package config

import (
	"fmt"
	"math"
)

// runningShare leaves a quarter of a replica's places free for the time that the next one needs
// to start.
const runningShare = 0.75

// Signals are what the HPA scales on; it follows the one that asks for the most replicas.
type Signals struct {
	// RequestsRunning counts requests that a replica works on.
	RequestsRunning Signal `key:"requestsRunning"`
	// RequestsWaiting counts requests queued in a replica.
	RequestsWaiting Signal `key:"requestsWaiting"`
	// GPUUtilization is in percent.
	GPUUtilization GPUSignal `key:"gpuUtilization"`
}

// Signal is one metric of the HPA and its target, the average per replica.
type Signal struct {
	// Enabled says whether the HPA follows the signal; at least one has to be on.
	Enabled bool `key:"enabled"`
	// Target is the average per replica. For requests running: below model.maxNumSeqs / 1.1, by default
	// 75 % of it, rounded down.
	Target float64 `key:"target" unit:"requests" above:"0" hint:"to switch the signal off, set its enabled to false"`
}

// GPUSignal is the GPU metric of the HPA.
type GPUSignal struct {
	// Enabled says whether the HPA follows the signal; at least one has to be on.
	Enabled bool `key:"enabled"`
	// Target is the average per replica. Utilisation ends at 100, and the HPA ignores a tenth above the
	// target.
	Target float64 `key:"target" unit:"percent" above:"0" below:"90.91" hint:"utilisation ends at 100; to switch the signal off, set its enabled to false"`
	// GuardRequests is the number of requests in a replica, at most model.maxNumSeqs, below which its
	// GPU utilisation is counted in part only, because a GPU reads near 100 % whenever anything is
	// decoded. The default is the target of requests running.
	GuardRequests float64 `key:"guardRequests" unit:"requests" min:"1" hint:"remove the key: the target of requests running suits"`
}

// applySignalDefaults fills in the keys of the signals that were not given.
func (c *Config) applySignalDefaults(given keySet) {
	signals := &c.Autoscaling.Signals
	orDefault(given, "autoscaling.signals.requestsRunning.enabled", &signals.RequestsRunning.Enabled, true)
	orDefault(given, "autoscaling.signals.requestsRunning.target", &signals.RequestsRunning.Target,
		runningTarget(c.Model.MaxNumSeqs))
	orDefault(given, "autoscaling.signals.requestsWaiting.enabled", &signals.RequestsWaiting.Enabled, true)
	orDefault(given, "autoscaling.signals.requestsWaiting.target", &signals.RequestsWaiting.Target, 4)
	orDefault(given, "autoscaling.signals.gpuUtilization.enabled", &signals.GPUUtilization.Enabled, true)
	orDefault(given, "autoscaling.signals.gpuUtilization.target", &signals.GPUUtilization.Target, 80)
	orDefault(given, "autoscaling.signals.gpuUtilization.guardRequests", &signals.GPUUtilization.GuardRequests,
		guardRequests(signals.RequestsRunning.Target, c.Model.MaxNumSeqs))
}

// runningTarget is the default target of requests running: whole, except for a replica that works on
// one request only, whose average can exceed nothing but a fraction.
func runningTarget(maxNumSeqs int) float64 {
	if maxNumSeqs <= 1 {
		return runningShare
	}
	return math.Floor(runningShare * float64(maxNumSeqs))
}

// guardRequests is the default guard of the GPU signal. A GPU that decodes anything reads near 100 %, so
// that the guard decides how many requests make a replica full in the eyes of that signal: with less than
// the target of requests running, GPUs would be added long before the ones that are there are used.
func guardRequests(runningTarget float64, maxNumSeqs int) float64 {
	return math.Max(1, math.Min(runningTarget, float64(maxNumSeqs)))
}

// validateSignals refuses targets that can never be exceeded: the replica count would stay where it is.
func (c *Config) validateSignals(r *report) {
	s := c.Autoscaling.Signals
	const prefix = "autoscaling.signals."
	if !s.RequestsRunning.Enabled && !s.RequestsWaiting.Enabled && !s.GPUUtilization.Enabled {
		r.bad(prefix+"requestsRunning.enabled", false, "at least one signal enabled, or nothing ever scales",
			r.set(prefix+"requestsRunning.enabled", "true"))
	}
	maxNumSeqs := float64(c.Model.MaxNumSeqs)
	if s.RequestsRunning.Enabled && r.target(prefix+"requestsRunning.target", s.RequestsRunning.Target) &&
		maxNumSeqs >= 1 && !reachable(s.RequestsRunning.Target, maxNumSeqs) {
		r.bad(prefix+"requestsRunning.target", s.RequestsRunning.Target,
			fmt.Sprintf("below %.4g: a replica never runs more than model.maxNumSeqs (%d) requests, and the HPA ignores a tenth above the target",
				maxNumSeqs/(1+hpaTolerance), c.Model.MaxNumSeqs),
			fmt.Sprintf("set it to %g, or raise model.maxNumSeqs", runningTarget(c.Model.MaxNumSeqs)))
	}
	if s.RequestsWaiting.Enabled {
		r.target(prefix+"requestsWaiting.target", s.RequestsWaiting.Target)
	}
	if !s.GPUUtilization.Enabled {
		return
	}
	if r.target(prefix+"gpuUtilization.target", s.GPUUtilization.Target) && !reachable(s.GPUUtilization.Target, 100) {
		r.bad(prefix+"gpuUtilization.target", s.GPUUtilization.Target,
			fmt.Sprintf("below %.4g: utilisation ends at 100 percent, and the HPA ignores a tenth above the target", 100/(1+hpaTolerance)),
			r.set(prefix+"gpuUtilization.target", "80"))
	}
	if guard := s.GPUUtilization.GuardRequests; guard < 1 || maxNumSeqs >= 1 && guard > maxNumSeqs {
		r.bad(prefix+"gpuUtilization.guardRequests", guard, fmt.Sprintf("1 to model.maxNumSeqs (%d)", c.Model.MaxNumSeqs),
			"remove the key: the target of requests running suits; less adds GPUs before those that are there are full")
	}
}

// target reports a target that an HPA cannot hold: quantities keep three decimals.
func (r *report) target(key string, target float64) bool {
	if target >= 0.001 {
		return true
	}
	r.bad(key, target, "above 0", "to switch the signal off, set its enabled to false")
	return false
}

// reachable says whether an average can exceed a target by more than the HPA tolerates.
func reachable(target, highest float64) bool { return highest/target > 1+hpaTolerance }

// warnOfSignals looks at how the signals go together.
func (c *Config) warnOfSignals(r *report) {
	s := c.Autoscaling.Signals
	const prefix = "autoscaling.signals."
	if s.GPUUtilization.Enabled && !s.RequestsRunning.Enabled && !s.RequestsWaiting.Enabled {
		r.warn(prefix+"gpuUtilization.enabled", true,
			fmt.Sprintf("without a request signal the autoscaler cannot tell a busy replica from a full one: a GPU reads near 100 percent whenever anything is decoded, and never more, so replicas grow by a factor of %.2f at a time however long the queue",
				100/s.GPUUtilization.Target),
			r.set(prefix+"requestsWaiting.enabled", "true"))
	}
	if s.GPUUtilization.Enabled && s.RequestsRunning.Enabled && s.GPUUtilization.GuardRequests > s.RequestsRunning.Target {
		r.warn(prefix+"gpuUtilization.guardRequests", s.GPUUtilization.GuardRequests,
			fmt.Sprintf("utilisation counts in full only from so many requests on, which is above requestsRunning.target (%g): by then the requests have scaled up, and the GPU signal decides nothing",
				s.RequestsRunning.Target),
			"lower it, or switch gpuUtilization off")
	}
	if s.RequestsWaiting.Enabled && s.RequestsWaiting.Target > float64(c.Model.MaxNumSeqs) {
		r.warn(prefix+"requestsWaiting.target", s.RequestsWaiting.Target,
			fmt.Sprintf("a queue longer than model.maxNumSeqs (%d) is more than one full batch: each new request waits for a whole one before replicas are added", c.Model.MaxNumSeqs),
			"3 to 5 is usual")
	}
}
