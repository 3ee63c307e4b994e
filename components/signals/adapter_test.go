package signals

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	adapterconfig "sigs.k8s.io/prometheus-adapter/pkg/config"
)

func catalogue(t *testing.T) []Signal {
	t.Helper()
	signals, err := Enabled(Catalogue(), good())
	require.NoError(t, err)
	return signals
}

func TestAdapterServesEachSignalByOneRule(t *testing.T) {
	signals := catalogue(t)
	rules := AdapterConfig(signals).Rules
	require.Len(t, rules, len(signals))
	for i, rule := range rules {
		s := signals[i]
		assert.Equal(t, s.Series+`{namespace!="",pod!=""}`, rule.SeriesQuery)
		assert.Equal(t, s.Name, rule.Name.As)
		assert.Contains(t, rule.MetricsQuery, "<<.LabelMatchers>>", "without it every namespace is mixed")
		assert.Contains(t, rule.MetricsQuery, "<<.GroupBy>>")
		assert.Contains(t, rule.MetricsQuery, "<<.Series>>")
		assert.Equal(t, map[string]adapterconfig.GroupResource{
			"namespace": {Resource: "namespace"},
			"pod":       {Resource: "pod"},
		}, rule.Resources.Overrides)

		// A rule that also took another rule's series would serve one metric twice.
		matches := regexp.MustCompile(rule.Name.Matches)
		for j, other := range signals {
			assert.Equal(t, i == j, matches.MatchString(other.Series), "%s against %s", rule.Name.Matches, other.Series)
		}
		assert.False(t, matches.MatchString("x_"+s.Series), "anchored at the start")
		assert.False(t, matches.MatchString(s.Series+"_x"), "anchored at the end")
	}
}

func TestAdapterConfigYAMLPassesTheAdaptersStrictReader(t *testing.T) {
	signals := catalogue(t)
	text, err := AdapterConfigYAML(signals)
	require.NoError(t, err)
	read, err := adapterconfig.FromYAML(text)
	require.NoError(t, err, "%s", text)
	assert.Equal(t, AdapterConfig(signals), *read)
}

func TestNoSignalsMakeAnEmptyAdapterConfig(t *testing.T) {
	text, err := AdapterConfigYAML(nil)
	require.NoError(t, err)
	read, err := adapterconfig.FromYAML(text)
	require.NoError(t, err)
	assert.Empty(t, read.Rules)
}

func TestPodQueryIsTheAdaptersQuery(t *testing.T) {
	want := map[string]string{
		MetricRequestsInFlight: `max by (pod) (vllm:requests_in_flight:sum{namespace="vllm"})`,
		MetricRequestsRunning:  `sum by (pod) (max by (namespace, pod, engine, model_name) (vllm:num_requests_running{namespace="vllm"})) >= 0`,
		MetricRequestsWaiting:  `sum by (pod) (max by (namespace, pod, engine, model_name) (vllm:num_requests_waiting{namespace="vllm"})) >= 0`,
		MetricGPUUtilization:   `max by (pod) (vllm:gpu_utilization:guarded{namespace="vllm"})`,
		MetricKVCacheUsage:     `max by (pod) (vllm:kv_cache_usage:max{namespace="vllm"})`,
	}
	for _, s := range catalogue(t) {
		query, err := s.PodQuery(PodMatchers("vllm", ""))
		require.NoError(t, err)
		assert.Equal(t, want[s.Name], query)
	}
	_, err := Signal{Definition: Definition{Name: "x", Query: "<<.Nothing>>"}}.PodQuery(PodMatchers("vllm", ""))
	assert.ErrorContains(t, err, "signal x")
}
