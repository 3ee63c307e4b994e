package promql

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/signals"
)

// variants are settings that generate every form of rule and query.
func variants() map[string]signals.Settings {
	all := map[string]signals.Settings{}
	for name, change := range map[string]func(*signals.Settings){
		"all signals":      func(*signals.Settings) {},
		"simulated GPU":    func(s *signals.Settings) { s.SimulateGPU = true },
		"no GPU signal":    func(s *signals.Settings) { delete(s.Targets, signals.KeyGPUUtilization) },
		"GPU signal alone": func(s *signals.Settings) { s.Targets = map[signals.Key]float64{signals.KeyGPUUtilization: 50} },
		"KV cache off":     func(s *signals.Settings) { delete(s.Targets, signals.KeyKVCacheUsage) },
		"standalone rules": func(s *signals.Settings) { s.StandaloneRules = true },
		"fractional guard": func(s *signals.Settings) { s.GPUWaitingRequests = 0.0000025 },
		"odd interval":     func(s *signals.Settings) { s.Interval = 61*time.Second + 5*time.Millisecond },
		"a guard for each server": func(s *signals.Settings) {
			s.Servers = []signals.Server{{Deployment: "chat", GPUWaitingRequests: 1}, {Deployment: "code", GPUWaitingRequests: 2.5}}
		},
		"namespace with dash": func(s *signals.Settings) { s.Namespace = "0-team-a-9" },
	} {
		s := settings()
		change(&s)
		all[name] = s
	}
	return all
}

func TestEveryExpressionParses(t *testing.T) {
	for name, s := range variants() {
		t.Run(name, func(t *testing.T) {
			ruleFile(t, s) // rulefmt parses every rule's expression

			for _, signal := range enabled(t, s) {
				if signal.Expr != nil {
					requireVector(t, signal.Expr(s))
				}
			}
			for _, rule := range signals.AdapterConfig(enabled(t, s)).Rules {
				selector, err := parserOf().ParseExpr(rule.SeriesQuery)
				require.NoError(t, err, rule.SeriesQuery)
				require.IsType(t, &parser.VectorSelector{}, selector, "the adapter passes %s to the series API", rule.SeriesQuery)
				for _, pods := range [][]string{{"vllm-a"}, {"vllm-a", "vllm-b"}} {
					requireVector(t, fill(t, rule.MetricsQuery, "some_series", s.Namespace, pods...))
				}
			}
		})
	}
}

func requireVector(t *testing.T, expr string) {
	t.Helper()
	parsed, err := parserOf().ParseExpr(expr)
	require.NoError(t, err, expr)
	require.Equal(t, parser.ValueTypeVector, parsed.Type(), expr)
}

// A query of the adapter has the matchers inside EVERY selector; a selector without them would add other namespaces' pods.
func TestAdapterQueriesSelectOnlyTheAskedPods(t *testing.T) {
	for _, rule := range signals.AdapterConfig(enabled(t, settings())).Rules {
		parsed, err := parserOf().ParseExpr(fill(t, rule.MetricsQuery, "some_series", "vllm", "a", "b"))
		require.NoError(t, err)
		for _, matchers := range parser.ExtractSelectors(parsed) {
			var found []string
			for _, m := range matchers {
				found = append(found, m.String())
			}
			assert.Contains(t, found, `namespace="vllm"`)
			assert.Contains(t, found, `pod=~"a|b"`)
		}
	}
}
