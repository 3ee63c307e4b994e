package simulate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"vllm-autoscaling/ops/simulate/replica"
)

func inFlight(e *replica.Engine) float64 { return float64(e.Running() + e.Waiting()) }

// guarded are settings whose second signal has a guard over five scrapes.
func guarded(minimum, maximum int32) Settings {
	s := scaled(minimum, maximum)
	s.Signals[1] = Signal{Recorded: true, Value: func(*replica.Engine) float64 { return 5 }, Guard: &Guard{Value: inFlight, Scrapes: 5, Full: 8}}
	return s
}

// Each signal is what a simulation of every scrape gives, for any intervals and phases: the gauges here return the time of their scrape.
// The replica becomes ready after the beginning, so that the first rounds lack samples.
func TestOnlyTheScrapesThatMatterAreSimulated(t *testing.T) {
	missing, partial := 0, 0
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := guarded(1, 1)
		s.Seed = seed
		s.Metrics = Metrics{Scrape: 1 + random.Float64()*19, Rule: 1 + random.Float64()*19}
		var r *run
		clock := func(*replica.Engine) float64 { return r.now }
		one := func(*replica.Engine) float64 { return 1 }
		s.Signals[0] = Signal{Value: clock}
		s.Signals[1].Value, s.Signals[1].Guard.Value, s.Signals[1].Guard.Full = one, clock, 1e6
		r, err := newRun(&s)
		require.NoError(t, err)
		p := r.fleet.pods[0]
		p.since = random.Float64() * 60
		r.planScrapes(0)
		// scraped returns the time of the last scrape up to a time, and whether there is one.
		scraped := func(at float64) (float64, bool) {
			at = p.scrape + math.Floor((at-p.scrape)/s.Metrics.Scrape)*s.Metrics.Scrape
			return at, at >= p.since
		}
		for range 12 {
			for r.next() < r.round {
				r.step(r.next())
			}
			want, there := scraped(r.round)
			got, present := r.read(p, &s.Signals[0], 0)
			require.Equal(t, there, present, "seed %d", seed)
			if there {
				require.InDelta(t, want, got, 1e-6, "seed %d", seed)
			}
			sum, count := 0.0, 0.0
			evaluated := r.ruled + math.Floor((r.round-r.ruled)/s.Metrics.Rule)*s.Metrics.Rule
			for n := range 5 {
				if at, ok := scraped(evaluated - float64(n)*s.Metrics.Rule); ok {
					sum, count = sum+at, count+1
				}
			}
			got, present = r.read(p, &s.Signals[1], 1)
			require.Equal(t, count > 0, present, "seed %d", seed)
			switch {
			case count == 0:
				missing++
				r.step(r.round)
				continue
			case count < 5:
				partial++
			}
			require.InDelta(t, sum/count, 1e6*got, 1e-6, "seed %d", seed)
			r.step(r.round)
		}
	}
	assert.Greater(t, missing, 100)
	assert.Greater(t, partial, 100)
}

func TestSamplesDoNotPileUp(t *testing.T) {
	s := guarded(2, 2)
	r, err := newRun(&s)
	require.NoError(t, err)
	r.until(3600)
	for _, p := range r.fleet.pods {
		assert.LessOrEqual(t, len(p.samples), 8, "a scrape every 2 s, of 12 s")
	}
}

// A replica that drains counts in a sum, and the controller ignores its sample.
func TestReadingsOfADrainingReplica(t *testing.T) {
	s := scaled(2, 2)
	r, err := newRun(&s)
	require.NoError(t, err)
	for _, p := range r.fleet.pods {
		for range 3 {
			p.engine.Submit(&replica.Request{Input: 100, Output: 10000})
		}
	}
	r.fleet.remove(0, r.fleet.pods[1], 100)
	r.planScrapes(0)
	r.round += 15
	r.planScrapes(0)
	for r.next() < r.round {
		r.step(r.next())
	}
	reading := r.readings()[0]
	require.NoError(t, reading.Err)
	assert.EqualValues(t, 6000, reading.TotalMilli)
	require.Len(t, reading.Pods, 2)
	assert.EqualValues(t, 3000, reading.Pods[0].Milli)
	assert.True(t, r.fleet.observed()[1].Ignored)
	assert.EqualValues(t, 1, r.fleet.statusReplicas(), "a pod that is being deleted is not one of the Deployment's replicas")
}

// A sum over the replicas scales as an average over them does.
func TestASumOverTheReplicas(t *testing.T) {
	s := scaled(1, 8)
	load := join(steady(1, 0, 600, 2), steady(2, 600, 1200, 18))
	average, err := Run(s, load)
	require.NoError(t, err)
	for i := range s.Autoscaler.Metrics {
		m := &s.Autoscaler.Metrics[i]
		*m = autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Target: m.Pods.Target}}
	}
	sum, err := Run(s, load)
	require.NoError(t, err)
	assert.Greater(t, sum.Most, 3)
	assert.InDelta(t, average.GPUHours, sum.GPUHours, 0.3*average.GPUHours)
}

// BenchmarkDayGuarded replays a day against a deployment with a guarded signal, which needs the most scrapes.
func BenchmarkDayGuarded(b *testing.B) {
	for b.Loop() {
		got, err := Run(guarded(1, 10), day)
		require.NoError(b, err)
		b.ReportMetric(float64(got.Requests), "requests")
	}
}
