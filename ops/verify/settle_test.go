package verify

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A pod that has just become ready has no sample of a rule until its readiness was scraped and the rule evaluated.
func TestSamplesOfAPodThatHasJustBecomeReady(t *testing.T) {
	const guarded = "vllm:gpu_utilization:guarded{exported"
	for name, test := range map[string]struct {
		ready, arrives time.Duration // ago; after the start of the run
		passes         bool
		tries          int32
	}{
		"they arrive in time":        {time.Second, 1500 * time.Millisecond, true, 3},
		"they never arrive":          {2 * time.Second, time.Hour, false, 3},
		"the pod is ready for long":  {time.Minute, 1500 * time.Millisecond, false, 1},
		"the pod's clock is ahead":   {-time.Hour, 1500 * time.Millisecond, true, 3},
		"they are there from before": {time.Second, 0, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.pipeline.SignalInterval, f.pipeline.ScrapeInterval = "1s", "3s"
			f.pods[1].Status.Conditions[0].LastTransitionTime = metav1.NewTime(time.Now().Add(-test.ready))
			started := time.Now()
			var tries atomic.Int32
			f.onRules = func() {
				tries.Add(1)
				if time.Since(started) < test.arrives {
					delete(f.samples[guarded], "vllm-b")
				} else {
					f.samples[guarded]["vllm-b"] = []float64{70}
				}
			}
			report := f.run(t)
			if test.passes {
				require.True(t, report.Passed, text(t, report))
			} else {
				failsAt(t, report, "rules", "has no sample for vllm-b", "kube_pod_status_ready", Passed)
			}
			assert.InDelta(t, test.tries, tries.Load(), 1)
			assert.Less(t, time.Since(started), 15*time.Second)
		})
	}
}

// A Prometheus that has just started has scraped nothing yet.
func TestSamplesOfAPrometheusThatHasJustBecomeReady(t *testing.T) {
	f := newFake()
	f.pipeline.ScrapeInterval = "3s"
	f.monitoring[0].Status.Conditions[0].LastTransitionTime = metav1.Now()
	all := f.targets
	f.targets = nil
	started := time.Now()
	f.onTargets = func() {
		if time.Since(started) > time.Second {
			f.targets = all
		}
	}
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))
}

// What fails for another reason than a sample is not waited for longer than that time.
func TestSettleTime(t *testing.T) {
	for name, test := range map[string]struct {
		signal, scrape string
		want           time.Duration
	}{
		"by default":        {"2s", "15s", 17 * time.Second},
		"an earlier stack":  {"2s", "", 17 * time.Second},
		"slow scrapes":      {"2s", "2m30s", maxSettle},
		"no interval given": {"", "", 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := &walk{}
			w.Pipeline.SignalInterval, w.Pipeline.ScrapeInterval = test.signal, test.scrape
			assert.Equal(t, test.want, w.settleTime())
		})
	}
}
