package promql

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/signals"
)

// engines returns the samples of a pod with data parallelism: requests running and waiting, and the use of the KV cache, of each engine.
func engines(pod string, all ...[3]float64) []string {
	var samples []string
	for i, engine := range all {
		labels := `engine="` + string(rune('0'+i)) + `",model_name="gemma"`
		samples = append(samples, running("vllm", pod, engine[0], labels), waiting("vllm", pod, engine[1], labels), kvCache("vllm", pod, engine[2], labels))
	}
	return samples
}

// TestDataParallel checks the signals of replicas with two engines of 16 requests each, whose targets follow from the 32 of a replica.
func TestDataParallel(t *testing.T) {
	const sequences, data = 16, 2
	s := settings()
	s.MaxNumSeqs, s.Targets = sequences*data, map[signals.Key]float64{}
	for _, definition := range signals.Catalogue() {
		s.Targets[definition.Key] = definition.DefaultTarget(s.MaxNumSeqs)
	}
	// 32 - 3 x sqrt(32) = 15.03, and 75 % of 32.
	assert.Equal(t, 15.0, s.Targets[signals.KeyRequestsInFlight])
	assert.Equal(t, 24.0, s.Targets[signals.KeyRequestsRunning])
	for name, test := range map[string]struct {
		samples                    []string
		running, waiting, inFlight float64
		kvCache                    float64
		replicas                   int32
	}{
		"evenly loaded": {engines("pod-0", [3]float64{7, 0, 0.3}, [3]float64{8, 0, 0.4}), 15, 0, 15, 40, 1},
		// 30 requests ask for two replicas, by requests running (30 / 24) and in flight (30 / 15) alike.
		"both nearly full": {engines("pod-0", [3]float64{15, 0, 0.3}, [3]float64{15, 0, 0.4}), 30, 0, 30, 40, 2},
		// One engine alone is full: its cache adds a replica (95 / 80), and 16 requests do not.
		"one full cache": {engines("pod-0", [3]float64{14, 0, 0.95}, [3]float64{2, 0, 0.1}), 16, 0, 16, 95, 2},
		"a queue in one": {engines("pod-0", [3]float64{16, 6, 0.5}, [3]float64{8, 0, 0.1}), 24, 6, 30, 50, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPipeline(t, s, at0(append(test.samples, ready("vllm", "pod-0", 1))...))
			p.evaluate(0)
			for metric, want := range map[string]float64{
				signals.MetricRequestsRunning: test.running, signals.MetricRequestsWaiting: test.waiting,
				signals.MetricRequestsInFlight: test.inFlight, signals.MetricKVCacheUsage: test.kvCache,
			} {
				requireValues(t, map[string]float64{"pod-0": want}, p.served(metric, "vllm", 0, "pod-0"), metric)
			}
			assert.Equal(t, test.replicas, p.decide(newHPA(t, s, 0), 0, "pod-0"))
		})
	}
	// A target that one engine could not reach is one that a replica does.
	s.Targets = map[signals.Key]float64{signals.KeyRequestsRunning: 28}
	_, err := signals.Enabled(signals.Catalogue(), s)
	require.NoError(t, err)
	s.MaxNumSeqs = sequences
	_, err = signals.Enabled(signals.Catalogue(), s)
	require.ErrorContains(t, err, "never runs more than 16 requests")
}
