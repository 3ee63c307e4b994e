package verify

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// settlePause is the time between two tries of a stage.
	settlePause = time.Second
	// maxSettle limits the wait, so that a run with the default timeout still ends with a report.
	maxSettle = 30 * time.Second
	// defaultScrapeInterval is assumed for a stack whose outputs do not have it.
	defaultScrapeInterval = 15 * time.Second
)

// check runs a stage. While a pod has just become ready, a stage that settles is repeated before its failure counts.
func (w *walk) check(ctx context.Context, stage Stage) (string, error) {
	for {
		w.warnings = nil
		measured, err := stage.check(w, ctx)
		var unseen *notVisible
		if err == nil || !stage.settles || errors.As(err, &unseen) || !time.Now().Before(w.settled) {
			return measured, err
		}
		select {
		case <-ctx.Done():
			return measured, err
		case <-time.After(settlePause):
		}
	}
}

// settleTime is the longest time from a pod's readiness until the rules have written its samples: one scrape of its readiness
// and one evaluation.
func (w *walk) settleTime() time.Duration {
	evaluation, err := time.ParseDuration(w.Pipeline.SignalInterval)
	if err != nil { // reported by the stage freshness
		evaluation = 0
	}
	scrape, err := time.ParseDuration(w.Pipeline.ScrapeInterval)
	if err != nil {
		scrape = defaultScrapeInterval
	}
	return min(evaluation+scrape, maxSettle)
}

// settles waits for the samples of a pod that has just become ready, by the API server's clock.
func (w *walk) settles(pod *corev1.Pod) {
	now := time.Now()
	if !w.answered.IsZero() {
		now = w.answered
	}
	for _, c := range pod.Status.Conditions {
		if c.Type != corev1.PodReady {
			continue
		}
		settle := w.settleTime()
		left := min(settle-now.Sub(c.LastTransitionTime.Time), settle)
		if until := time.Now().Add(left); until.After(w.settled) {
			w.settled = until
		}
	}
}

// warn adds a warning to the stage that runs.
func (w *walk) warn(text string) { w.warnings = append(w.warnings, text) }
