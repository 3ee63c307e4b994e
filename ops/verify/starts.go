package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/ops/coldstart"
	"vllm-autoscaling/stacks/outputs"
)

// startLogs is of how many starts the log is read.
const startLogs = 3

// starts returns the starts of the ready pods that were found, the newest first. None of a pod whose server was started again.
func (w *walk) starts(ctx context.Context) []coldstart.Start {
	var all []coldstart.Start
	for i := range w.pods {
		if start, ok := coldstart.Of(&w.pods[i]); ok {
			all = append(all, start)
		}
	}
	slices.SortStableFunc(all, func(a, b coldstart.Start) int { return b.Ready.Compare(a.Ready) })
	for i := range all[:min(startLogs, len(all))] {
		if ctx.Err() == nil {
			all[i].ReadLog(ctx, w.client, w.Pipeline.Serving.Namespace)
		}
	}
	return all
}

// startText describes the newest of the starts, with the estimate for a start beside it; "" without any.
func startText(starts []coldstart.Start, estimate *outputs.ColdStart) string {
	if len(starts) == 0 {
		return ""
	}
	parts := []string{fmt.Sprintf("%s took %s", starts[0].Pod, starts[0])}
	var others []string
	for _, start := range starts[1:] {
		others = append(others, start.Total())
	}
	if len(others) > 0 {
		parts = append(parts, "others "+shortened(others))
	}
	if estimate != nil {
		parts = append(parts, "estimated "+coldstart.Estimated(*estimate))
	}
	return strings.Join(parts, "; ")
}
