package coldstart

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/stacks/outputs"
)

// Start is the first start of a replica, from its creation until it was ready.
type Start struct {
	Pod string `json:"pod"`
	// Ready is when the replica was ready.
	Ready time.Time `json:"ready"`
	// Seconds has every phase, and all of them together.
	Seconds map[telemetry.Phase]float64 `json:"seconds"`
	// Log has the parts of telemetry.PhaseServer; nil if the server's log was not read.
	Log *Log `json:"log,omitempty"`
}

// probeSlack is how much later than its start-up probe allows a server may be ready: the period of its readiness probe, and the
// rounding of the moments.
const probeSlack = 30 * time.Second

// Of returns the start of a pod of the server. It reports false for a pod that is not ready, one whose server was started again, and one
// that has lost its readiness in between, as far as that can be told: its status has the last moments only.
func Of(pod *corev1.Pod) (Start, bool) {
	scheduled, initialized, ready := since(pod, corev1.PodScheduled), since(pod, corev1.PodInitialized), since(pod, corev1.PodReady)
	status := serverOf(pod)
	if scheduled.IsZero() || initialized.IsZero() || ready.IsZero() || status == nil || status.RestartCount > 0 || status.State.Running == nil {
		return Start{}, false
	}
	created, started := pod.CreationTimestamp.Time, status.State.Running.StartedAt.Time
	if budget := startupBudget(pod); budget > 0 && ready.Sub(started) > budget+probeSlack {
		return Start{}, false
	}
	// Each moment is of the clock of another machine.
	between := func(from, to time.Time) float64 { return max(0, to.Sub(from).Seconds()) }
	return Start{Pod: pod.Name, Ready: ready, Seconds: map[telemetry.Phase]float64{
		telemetry.PhaseNode: between(created, scheduled), telemetry.PhaseInit: between(scheduled, initialized),
		telemetry.PhaseImage: between(initialized, started), telemetry.PhaseServer: between(started, ready),
		telemetry.PhaseTotal: between(created, ready),
	}}, true
}

// since returns since when a condition is true; zero if it is not.
func since(pod *corev1.Pod, kind corev1.PodConditionType) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// serverOf returns the status of the server's container; nil for none.
func serverOf(pod *corev1.Pod) *corev1.ContainerStatus {
	i := slices.IndexFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == telemetry.ServerContainer })
	if i < 0 {
		return nil
	}
	return &pod.Status.ContainerStatuses[i]
}

// startupBudget returns how long the start-up probe of the server lets it start; 0 without one.
func startupBudget(pod *corev1.Pod) time.Duration {
	for _, c := range pod.Spec.Containers {
		if p := c.StartupProbe; c.Name == telemetry.ServerContainer && p != nil {
			return time.Duration(p.InitialDelaySeconds+max(p.PeriodSeconds, 1)*max(p.FailureThreshold, 1)) * time.Second
		}
	}
	return 0
}

// Total returns how long the start took.
func (s Start) Total() string { return seconds(s.Seconds[telemetry.PhaseTotal]) }

// String returns how long the start took, and its phases, on one line.
func (s Start) String() string {
	var phases []string
	for _, phase := range telemetry.Phases() {
		text := fmt.Sprintf("%s %s", phase, seconds(s.Seconds[phase]))
		if phase == telemetry.PhaseServer && s.Log != nil && s.Log.String() != "" {
			text += " (" + s.Log.String() + ")"
		}
		phases = append(phases, text)
	}
	return fmt.Sprintf("%s: %s", s.Total(), strings.Join(phases, ", "))
}

// Estimated returns an estimate of a start on one line, in the form of Start.
func Estimated(e outputs.ColdStart) string {
	return fmt.Sprintf("%s: node %s, image %s, server %s (weights %s, warm-up %s)", seconds(e.Node+e.Image+e.Weights+e.Warmup), seconds(e.Node),
		seconds(e.Image), seconds(e.Weights+e.Warmup), seconds(e.Weights), seconds(e.Warmup))
}

// seconds formats a time: in whole seconds, which is what Kubernetes' moments have, from ten seconds on.
func seconds(value float64) string {
	d := time.Duration(value * float64(time.Second))
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
