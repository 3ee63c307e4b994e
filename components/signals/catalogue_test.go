package signals

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCatalogueListsTheSignalsThatAreOn(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Settings)
		want   []string
	}{
		{"all", func(*Settings) {}, []string{"vllm_requests_running", "vllm_requests_waiting", "vllm_gpu_utilization"}},
		{"no running", func(s *Settings) { s.RunningTarget = 0 }, []string{"vllm_requests_waiting", "vllm_gpu_utilization"}},
		{"no waiting", func(s *Settings) { s.WaitingTarget = 0 }, []string{"vllm_requests_running", "vllm_gpu_utilization"}},
		{"no GPU", func(s *Settings) { s.GPUTarget = 0 }, []string{"vllm_requests_running", "vllm_requests_waiting"}},
		{"GPU alone", func(s *Settings) { s.RunningTarget, s.WaitingTarget = 0, 0 }, []string{"vllm_gpu_utilization"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := good()
			tc.change(&s)
			got, err := Catalogue(s)
			require.NoError(t, err)
			assert.Equal(t, tc.want, Names(got))
		})
	}
}

func TestCatalogueEntries(t *testing.T) {
	signals, err := Catalogue(good())
	require.NoError(t, err)
	targets := map[string]float64{MetricRequestsRunning: 12, MetricRequestsWaiting: 4, MetricGPUUtilization: 80}
	units := map[string]string{MetricRequestsRunning: "requests", MetricRequestsWaiting: "requests", MetricGPUUtilization: "percent"}
	for _, s := range signals {
		assert.Equal(t, targets[s.Name], s.Target, s.Name)
		assert.Equal(t, units[s.Name], s.Unit, s.Name)
		assert.NotEmpty(t, s.Help, s.Name)
		// The HPA's metric name is a path segment of the custom metrics API, where a colon is not accepted everywhere.
		assert.Regexp(t, `^[a-z_]+$`, s.Name)
		assert.Equal(t, s.Record == "", s.Expr == "", s.Name)
		if s.Record != "" {
			assert.Equal(t, s.Series, s.Record, "the adapter serves what the rule records")
			assert.Contains(t, recorded(Rules(good())), s.Record, "the catalogue's rule is among the rules")
		}
	}
}

func TestAverageValueIsTheFormThatTheServerStores(t *testing.T) {
	for target, want := range map[float64]string{
		12: "12", 12.5: "12500m", 0.001: "1m", 80: "80", 1000: "1k", 0.1 + 0.2: "300m", 33.3333: "33333m",
	} {
		assert.Equal(t, want, Signal{Target: target}.AverageValue())
	}
}
