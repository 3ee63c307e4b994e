package config

import (
	"fmt"
	"slices"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/stacks/config/sizing"
)

const (
	// signalKeys begins the keys of the signals.
	signalKeys   = "autoscaling.signals."
	hpaTolerance = signals.HPATolerance
)

// Signals configures the metrics of the HPA, which follows the one that requires the most replicas.
type Signals struct {
	// RequestsInFlight counts requests that a replica works on or has queued.
	RequestsInFlight InFlightSignal `key:"requestsInFlight"`
	// RequestsRunning counts requests that a replica works on.
	RequestsRunning RunningSignal `key:"requestsRunning"`
	// RequestsWaiting counts requests queued in a replica.
	RequestsWaiting WaitingSignal `key:"requestsWaiting"`
	// GPUUtilization is in percent, and counts while requests wait.
	GPUUtilization GPUSignal `key:"gpuUtilization"`
	// KVCacheUsage is the share of the KV cache in use, in percent.
	KVCacheUsage PercentSignal `key:"kvCacheUsage"`
}

// InFlightSignal is the metric of the HPA that grows with the demand, however full the replicas are.
type InFlightSignal struct {
	// Enabled is true where the HPA follows the signal; at least one has to be on.
	Enabled bool `key:"enabled"`
	// Target is the average per replica of the requests that it works on or has queued. The default is model.maxNumSeqs less three
	// times its square root, or a quarter of it if that is more, rounded down. With a target above model.maxNumSeqs, requests wait
	// before replicas are added. With model.parallel.data, model.maxNumSeqs of all engines together counts.
	Target float64 `key:"target" unit:"requests" above:"0" hint:"to switch the signal off, set its enabled to false"`
}

// RunningSignal is the metric of the HPA that ends where a replica is full.
type RunningSignal struct {
	// Enabled is true where the HPA follows the signal; at least one has to be on.
	Enabled bool `key:"enabled"`
	// Target is the average per replica of the requests that it works on: below model.maxNumSeqs / 1.1, by default 75 % of it, rounded
	// down.
	Target float64 `key:"target" unit:"requests" above:"0" hint:"to switch the signal off, set its enabled to false"`
}

// WaitingSignal is the metric of the HPA that is 0 until a replica is full.
type WaitingSignal struct {
	// Enabled is true where the HPA follows the signal; at least one has to be on.
	Enabled bool `key:"enabled"`
	// Target is the average per replica of the requests that wait in it.
	Target float64 `key:"target" unit:"requests" above:"0" hint:"to switch the signal off, set its enabled to false"`
}

// GPUSignal is the GPU metric of the HPA.
type GPUSignal struct {
	// Enabled is true where the HPA follows the signal; at least one has to be on.
	Enabled bool `key:"enabled"`
	// Target is the average per replica of its GPU's utilisation, which counts while requests wait: it is about 50 where a GPU is
	// always busy and a request waits for half of the time. Utilisation ends at 100, and the HPA ignores a tenth above the target.
	Target float64 `key:"target" unit:"percent" above:"0" below:"90.91" hint:"utilisation ends at 100; to switch the signal off, set its enabled to false"`
	// WaitingRequests is the number of requests waiting in a replica, on average over five scrapes, from which its GPU utilisation
	// counts in full. It counts in proportion below, and not at all while none waits: a GPU reads near 100 % whenever anything is
	// decoded.
	WaitingRequests float64 `key:"waitingRequests" unit:"requests" min:"0.1" max:"1000" default:"1" hint:"1 counts a GPU that always has a request waiting in full"`
}

// PercentSignal is a metric of the HPA that is a share.
type PercentSignal struct {
	// Enabled is true where the HPA follows the signal; at least one has to be on.
	Enabled bool `key:"enabled"`
	// Target is the average per replica. Usage ends at 100, and the HPA ignores a tenth above the target.
	Target float64 `key:"target" unit:"percent" above:"0" below:"90.91" hint:"usage ends at 100; to switch the signal off, set its enabled to false"`
}

// signal is what the fields of every signal have in common.
type signal struct {
	enabled *bool
	target  *float64
}

// byKey returns the fields of each signal by its key in the catalogue.
func (s *Signals) byKey() map[signals.Key]signal {
	return map[signals.Key]signal{
		signals.KeyRequestsInFlight: {&s.RequestsInFlight.Enabled, &s.RequestsInFlight.Target},
		signals.KeyRequestsRunning:  {&s.RequestsRunning.Enabled, &s.RequestsRunning.Target},
		signals.KeyRequestsWaiting:  {&s.RequestsWaiting.Enabled, &s.RequestsWaiting.Target},
		signals.KeyGPUUtilization:   {&s.GPUUtilization.Enabled, &s.GPUUtilization.Target},
		signals.KeyKVCacheUsage:     {&s.KVCacheUsage.Enabled, &s.KVCacheUsage.Target},
	}
}

// Targets returns the targets of the enabled signals.
func (s *Signals) Targets() map[signals.Key]float64 {
	targets := map[signals.Key]float64{}
	for key, signal := range s.byKey() {
		if *signal.enabled {
			targets[key] = *signal.target
		}
	}
	return targets
}

// applySignalDefaults sets the defaults of the signals' keys that were not given.
func (c *Config) applySignalDefaults(given keySet) {
	s := &c.Autoscaling.Signals
	fields := s.byKey()
	for _, definition := range signals.Catalogue() {
		key := signalKeys + string(definition.Key)
		orDefault(given, key+".enabled", fields[definition.Key].enabled, definition.Default)
		orDefault(given, key+".target", fields[definition.Key].target, definition.DefaultTarget(c.ReplicaSequences()))
	}
}

// checkSignals refuses targets that can never be exceeded: the HPA would never scale up.
func (c *Config) checkSignals(r *report) {
	s := &c.Autoscaling.Signals
	targets := s.Targets()
	if len(targets) == 0 {
		r.bad(signalKeys+"requestsInFlight.enabled", false, "at least one signal enabled, or nothing ever scales",
			r.set(signalKeys+"requestsInFlight.enabled", "true"))
	}
	if r.anyRefused("model.maxNumSeqs") {
		return
	}
	for _, definition := range signals.Catalogue() {
		if target, on := targets[definition.Key]; on {
			checkTarget(r, definition, target, c.ReplicaSequences())
		}
	}
}

// checkTarget adds a problem for a target that an HPA cannot represent, or that the average cannot exceed.
func checkTarget(r *report, definition signals.Definition, target float64, maxNumSeqs int) {
	key := signalKeys + string(definition.Key) + ".target"
	switch {
	case target < signals.SmallestTarget:
		r.bad(key, target, fmt.Sprintf("at least %g, the smallest that an HPA keeps", signals.SmallestTarget), "to switch the signal off, set its enabled to false")
	case !definition.Reachable(target, maxNumSeqs):
		bound := definition.Bound(maxNumSeqs)
		fix := fmt.Sprintf("set it to %g", definition.DefaultTarget(maxNumSeqs))
		if bound.RaisedBy != "" {
			fix += ", or raise " + bound.RaisedBy
		}
		r.bad(key, target, fmt.Sprintf("below %.4g: %s, and the HPA ignores a tenth above the target", bound.LowestUnreachable(), bound.Why()), fix)
	}
}

// countRequests reports whether any of the signals that are on counts requests.
func (s *Signals) countRequests() bool {
	return s.RequestsInFlight.Enabled || s.RequestsRunning.Enabled || s.RequestsWaiting.Enabled
}

// warnOfSignals warns of targets without effect and of combinations of signals that do not work well together.
func (c *Config) warnOfSignals(r *report) {
	s := &c.Autoscaling.Signals
	s.warnOfUnusedTargets(r)
	if s.GPUUtilization.Enabled && !s.countRequests() {
		r.warn(signalKeys+"gpuUtilization.enabled", true,
			fmt.Sprintf("without a request signal no replica is added before requests wait, because utilisation counts only then; and it never exceeds 100 "+
				"percent, so that replicas grow by a factor of %.2f at a time however long the queue",
				100/s.GPUUtilization.Target),
			r.set(signalKeys+"requestsInFlight.enabled", "true"))
	}
	if s.RequestsInFlight.Enabled && s.RequestsInFlight.Target > float64(c.ReplicaSequences()) {
		r.warn(signalKeys+"requestsInFlight.target", s.RequestsInFlight.Target,
			fmt.Sprintf("a replica works on %s requests at a time: with a higher target, requests wait before replicas are added", c.batchInWords()),
			fmt.Sprintf("lower it to %d or less; fine if requests may wait", c.ReplicaSequences()))
	}
	if s.RequestsWaiting.Enabled && s.RequestsWaiting.Target > float64(c.ReplicaSequences()) {
		r.warn(signalKeys+"requestsWaiting.target", s.RequestsWaiting.Target,
			fmt.Sprintf("a queue longer than %s is more than one full batch: each new request waits for a whole one before replicas are added",
				c.batchInWords()),
			"3 to 5 is usual")
	}
	c.warnOfKVCache(r)
}

// batchInWords returns how many requests a replica works on at a time, with the keys that it follows from.
func (c *Config) batchInWords() string {
	if engines := c.Model.Parallel.Data; engines > 1 {
		return fmt.Sprintf("model.maxNumSeqs (%d) x model.parallel.data (%d)", c.Model.MaxNumSeqs, engines)
	}
	return fmt.Sprintf("model.maxNumSeqs (%d)", c.Model.MaxNumSeqs)
}

// warnOfUnusedTargets warns of targets of signals that are off.
func (s *Signals) warnOfUnusedTargets(r *report) {
	fields := s.byKey()
	for _, definition := range signals.Catalogue() {
		key, signal := signalKeys+string(definition.Key), fields[definition.Key]
		if *signal.enabled || !r.given.has(key+".target") {
			continue
		}
		why := "the signal is off, so that its target has no effect"
		if slices.Contains(replacedSignals, definition.Key) && !r.given.has(key+".enabled") {
			why += "; requestsInFlight, which counts the requests running and waiting together, is on by default in its place"
		}
		r.warn(key+".target", *signal.target, why, "remove the key, or switch the signal on: "+r.set(key+".enabled", "true"))
	}
}

// warnOfKVCache warns of a KV-cache signal that cannot serve its purpose.
func (c *Config) warnOfKVCache(r *report) {
	s := &c.Autoscaling.Signals
	if !s.KVCacheUsage.Enabled {
		return
	}
	if !s.countRequests() {
		r.warn(signalKeys+"kvCacheUsage.enabled", true,
			fmt.Sprintf("without a request signal a queue of requests adds no replica while the cache has room, and usage never exceeds 100 percent, so "+
				"replicas grow by a factor of %.2f at a time however long the queue",
				100/s.KVCacheUsage.Target),
			r.set(signalKeys+"requestsInFlight.enabled", "true"))
	}
	footprint, server, ok := c.fit()
	if !ok {
		return
	}
	fit := sizing.Compute(footprint, server)
	if highest := 100 * float64(c.Model.MaxNumSeqs) / fit.FullLength(); highest <= s.KVCacheUsage.Target*(1+hpaTolerance) {
		r.warn(signalKeys+"kvCacheUsage.target", s.KVCacheUsage.Target,
			fmt.Sprintf("the KV cache of %.1f GiB holds %.1f requests of model.maxModelLen (%d) tokens, so model.maxNumSeqs (%d) of them use about %.0f "+
				"percent of it at most, and the HPA ignores a tenth above the target: the signal decides nothing",
				fit.Cache, fit.FullLength(), c.Model.MaxModelLen, c.Model.MaxNumSeqs, highest),
			"raise model.maxNumSeqs, or switch kvCacheUsage off: the requests scale up first")
	}
}
