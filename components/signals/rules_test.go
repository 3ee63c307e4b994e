package signals

import (
	"fmt"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorded lists what the rules write, in their order.
func recorded(spec monitoringv1.PrometheusRuleSpec) []string {
	var names []string
	for _, group := range spec.Groups {
		for _, rule := range group.Rules {
			names = append(names, rule.Record)
		}
	}
	return names
}

// rules are the recording rules of settings.
func rules(t *testing.T, s Settings) monitoringv1.PrometheusRuleSpec {
	t.Helper()
	enabled, err := Enabled(Catalogue(), s)
	require.NoError(t, err)
	return Rules(s, enabled)
}

func TestRulesRecord(t *testing.T) {
	for _, tc := range []struct {
		name      string
		simulated bool
		off       []Key
		want      []string
	}{
		{"real GPU", false, nil, []string{RecordRequestsInFlight, RecordGPUUtilization, RecordGPUUtilizationGuarded, RecordKVCacheUsage}},
		{"simulated GPU", true, nil,
			[]string{SeriesGPUUtil, RecordRequestsInFlight, RecordGPUUtilization, RecordGPUUtilizationGuarded, RecordKVCacheUsage}},
		{"KV cache off", false, []Key{KeyKVCacheUsage}, []string{RecordRequestsInFlight, RecordGPUUtilization, RecordGPUUtilizationGuarded}},
		{"GPU signal off, kept for dashboards", false, []Key{KeyGPUUtilization, KeyKVCacheUsage}, []string{RecordRequestsInFlight, RecordGPUUtilization}},
		{"in flight off, kept for dashboards", false, []Key{KeyRequestsInFlight, KeyKVCacheUsage},
			[]string{RecordRequestsInFlight, RecordGPUUtilization, RecordGPUUtilizationGuarded}},
		{"in flight alone", false, []Key{KeyRequestsRunning, KeyRequestsWaiting, KeyGPUUtilization, KeyKVCacheUsage},
			[]string{RecordRequestsInFlight, RecordGPUUtilization}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := without(good(), tc.off...)
			s.SimulateGPU = tc.simulated
			assert.Equal(t, tc.want, recorded(rules(t, s)))
		})
	}
}

func TestRulesReadOnlyWhatIsRecordedBeforeThem(t *testing.T) {
	s := good()
	s.SimulateGPU = true
	spec := rules(t, s)
	require.Len(t, spec.Groups, 1, "a second group would cost the chain another interval")
	for i, reader := range spec.Groups[0].Rules {
		for _, later := range spec.Groups[0].Rules[i:] {
			assert.NotContains(t, reader.Expr.String(), later.Record+"{", "rule %d reads what is recorded at or after it", i)
		}
	}
}

// A series that is recorded twice in one evaluation fails the second rule; one that nothing records is served by no adapter.
func TestEverySignalIsScrapedOrRecordedOnce(t *testing.T) {
	for _, definition := range Catalogue() {
		for _, standalone := range []bool{false, true} {
			s := only(good(), definition.Key)
			s.StandaloneRules = standalone
			enabled, err := Enabled(Catalogue(), s)
			require.NoError(t, err)
			times := 0
			for _, series := range append(recorded(Rules(s, enabled)), ServerSeries(enabled)...) {
				if series == definition.Series {
					times++
				}
			}
			assert.Equal(t, 1, times, "%s, standalone %v", definition.Series, standalone)
		}
	}
}

// The guard averages the scraped gauge itself: an average of a recorded series would be later, and read another rule's result.
func TestGuardReadsTheScrapedGauge(t *testing.T) {
	for _, standalone := range []bool{false, true} {
		for interval, window := range map[time.Duration]string{2 * time.Second: "10s", 5 * time.Second: "25s", 1500 * time.Millisecond: "7s500ms"} {
			s := good()
			s.StandaloneRules, s.Interval = standalone, interval
			assert.Equal(t, 1, strings.Count(guardedExpr(s), "avg_over_time"), "standalone %v", standalone)
			assert.Contains(t, guardedExpr(s), `avg_over_time(vllm:num_requests_waiting{namespace="vllm"}[`+window+`])`, "standalone %v", standalone)
		}
	}
}

func TestRulesInterval(t *testing.T) {
	for interval, want := range map[time.Duration]string{
		time.Second: "1s", 2 * time.Second: "2s", 1500 * time.Millisecond: "1s500ms", 90 * time.Second: "1m30s",
	} {
		s := good()
		s.Interval = interval
		require.NoError(t, s.Validate())
		require.NotNil(t, rules(t, s).Groups[0].Interval)
		assert.Equal(t, want, string(*rules(t, s).Groups[0].Interval))
	}
}

func TestEveryScrapedSeriesIsSelectedInTheServingNamespaceOnly(t *testing.T) {
	s := good()
	s.Namespace = "team-a"
	s.SimulateGPU = true
	names := append(append(ServerSeries(catalogue(t)), GPUSeries()...), SeriesPodReady, RecordRequestsInFlight, RecordGPUUtilization)
	for _, rule := range rules(t, s).Groups[0].Rules {
		expr := rule.Expr.String()
		for _, name := range names {
			for _, rest := range strings.Split(expr, name+"{")[1:] {
				matchers, _, _ := strings.Cut(rest, "}")
				assert.Contains(t, matchers, `namespace="team-a"`, "%s in %s", name, rule.Record)
			}
			assert.Equal(t, strings.Count(expr, name+"{"), strings.Count(strings.ReplaceAll(expr, name+"_", ""), name),
				"%s is read with matchers everywhere in %s:\n%s", name, rule.Record, expr)
		}
	}
}

func TestGuardIsWrittenWithoutExponent(t *testing.T) {
	for guard, want := range map[float64]string{3: "/ 3,", 2.5: "/ 2.5,", 0.0000001: "/ 0.0000001,"} {
		s := good()
		s.GPUWaitingRequests = guard
		assert.Contains(t, guardedExpr(s), want, fmt.Sprint(guard))
	}
}
