package simulate

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/replica"
)

// guarded are settings whose second signal has a guard over five scrapes.
func guarded(minimum, maximum int32) Settings {
	s := scaled(minimum, maximum)
	inFlight := func(e *replica.Engine) float64 { return float64(e.Running() + e.Waiting()) }
	s.Signals[1] = Signal{Recorded: true, Value: func(*replica.Engine) float64 { return 5 }, Guard: &Guard{Value: inFlight, Scrapes: 5, Full: 8}}
	return s
}

// BenchmarkDayGuarded replays a day against a deployment with a guarded signal, which needs the most scrapes.
func BenchmarkDayGuarded(b *testing.B) {
	for b.Loop() {
		got, err := Run(guarded(1, 10), day)
		require.NoError(b, err)
		b.ReportMetric(float64(got.Requests), "requests")
	}
}
