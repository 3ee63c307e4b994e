package signals

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestForCloudMonitoring(t *testing.T) {
	all := catalogue(t)
	managed := ForCloudMonitoring(all)
	assert.Equal(t, []string{
		"prometheus.googleapis.com|vllm:requests_in_flight:sum|gauge",
		"prometheus.googleapis.com|vllm:num_requests_running|gauge",
		"prometheus.googleapis.com|vllm:num_requests_waiting|gauge",
		"prometheus.googleapis.com|vllm:gpu_utilization:guarded|gauge",
		"prometheus.googleapis.com|vllm:kv_cache_usage:max|gauge",
	}, Names(managed))
	assert.Equal(t, []string{MetricRequestsInFlight, MetricRequestsRunning, MetricRequestsWaiting, MetricGPUUtilization, MetricKVCacheUsage}, Names(all),
		"the catalogue stays as it is")
	for i, signal := range managed {
		assert.Equal(t, all[i].Target, signal.Target)
		assert.Equal(t, all[i].Series, signal.Series)
		assert.NotContains(t, signal.Name, "/", "a segment of a URL")
	}
}

func TestOneOf(t *testing.T) {
	// Prometheus anchors the expressions of its relabelings.
	pattern := regexp.MustCompile("^(?:" + OneOf([]string{"vllm:a", "b.c"}) + ")$")
	for name, want := range map[string]bool{"vllm:a": true, "b.c": true, "bxc": false, "vllm:ab": false, "xb.c": false, "": false} {
		assert.Equal(t, want, pattern.MatchString(name), name)
	}
}

// A rule evaluator that writes to a remote store sees the result of one rule only a while later.
func TestStandaloneRulesReadNoOtherRulesResults(t *testing.T) {
	s := good()
	s.StandaloneRules = true
	rules := Rules(s, catalogue(t)).Groups[0].Rules
	require.Len(t, rules, 4)
	assert.Equal(t, RecordKVCacheUsage, rules[3].Record)
	for _, rule := range rules[:3] {
		expr := rule.Expr.String()
		for _, other := range rules {
			assert.NotContains(t, expr, other.Record, "%s reads %s", rule.Record, other.Record)
		}
		assert.NotContains(t, expr, SeriesPodReady, "nothing exports it there")
		assert.Contains(t, expr, SeriesRequestsRunning+`{namespace="vllm"}`)
	}
	assert.Contains(t, rules[2].Expr.String(), SeriesGPUUtil)
	assert.Equal(t, RecordGPUUtilizationGuarded, rules[2].Record)
}
