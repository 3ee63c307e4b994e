package promql

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/util/teststorage"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/components/signals"
)

// settings are valid, with every signal on; tests change a field of them. The guard of two requests waiting shows parts of it in
// a single sample.
func settings() signals.Settings {
	return signals.Settings{
		Namespace: "vllm",
		Targets: map[signals.Key]float64{
			signals.KeyRequestsInFlight: 4, signals.KeyRequestsRunning: 12, signals.KeyRequestsWaiting: 4, signals.KeyGPUUtilization: 50,
			signals.KeyKVCacheUsage: 80,
		},
		GPUWaitingRequests: 2,
		Interval:           2 * time.Second,
		MaxNumSeqs:         16,
	}
}

// only are the settings with the targets of some signals and no others.
func only(targets map[signals.Key]float64) signals.Settings {
	s := settings()
	s.Targets = targets
	return s
}

// enabled returns the signals that are on with settings.
func enabled(t *testing.T, s signals.Settings) []signals.Signal {
	t.Helper()
	all, err := signals.Enabled(signals.Catalogue(), s)
	require.NoError(t, err)
	return all
}

// parserOf is Prometheus' parser without feature flags.
func parserOf() parser.Parser { return parser.NewParser(parser.Options{}) }

// newEngine returns Prometheus' engine with its defaults, except for the number of samples of a query.
func newEngine(t *testing.T, maxSamples int) *promql.Engine {
	t.Helper()
	return promqltest.NewTestEngineWithOpts(t, promql.EngineOpts{
		MaxSamples:       maxSamples,
		Timeout:          time.Minute,
		LookbackDelta:    5 * time.Minute, // Prometheus' default
		EnableAtModifier: true,
		Parser:           parserOf(),
	})
}

// ruleGroups loads a rule file as Prometheus does; interval is that of groups without their own.
func ruleGroups(t *testing.T, engine *promql.Engine, storage *teststorage.TestStorage, interval time.Duration, text []byte) map[string]*rules.Group {
	t.Helper()
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:  rules.EngineQueryFunc(engine, storage),
		Appendable: storage,
		Queryable:  storage,
		Context:    t.Context(),
		Logger:     slog.New(slog.DiscardHandler),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		Parser:     parserOf(),
	})
	file := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	groups, errs := manager.LoadGroups(interval, labels.EmptyLabels(), "", nil, false, file)
	require.Empty(t, errs)
	return groups
}

// ruleFile returns the generated rules as the operator mounts them into Prometheus, after parsing them strictly.
func ruleFile(t *testing.T, s signals.Settings) []byte {
	t.Helper()
	text, err := yaml.Marshal(signals.Rules(s, enabled(t, s)))
	require.NoError(t, err)
	_, errs := rulefmt.Parse(text, false, model.LegacyValidation, parserOf(), slog.New(slog.DiscardHandler))
	require.Empty(t, errs, "%s", text)
	return text
}

// pipeline is a Prometheus with given samples and the generated rules, without scraping.
type pipeline struct {
	t        *testing.T
	settings signals.Settings
	storage  *teststorage.TestStorage
	engine   *promql.Engine
	groups   []*rules.Group
}

// newPipeline loads samples, given as a load block of promqltest's language, and the rules of the settings.
func newPipeline(t *testing.T, s signals.Settings, load string) *pipeline {
	t.Helper()
	p := &pipeline{t: t, settings: s, storage: promqltest.LoadedStorage(t, load)}
	t.Cleanup(func() { _ = p.storage.Close() })
	p.engine = newEngine(t, 1_000_000)
	// An hour as the interval of groups without their own makes a lost interval visible.
	for _, group := range ruleGroups(t, p.engine, p.storage, time.Hour, ruleFile(t, s)) {
		require.Equal(t, s.Interval, group.Interval(), "group %s", group.Name())
		p.groups = append(p.groups, group)
	}
	return p
}

// evaluate runs every group once, as Prometheus does at that time; a rule that fails ends the test.
func (p *pipeline) evaluate(at time.Duration) {
	p.t.Helper()
	for _, group := range p.groups {
		group.Eval(p.t.Context(), time.Unix(0, 0).Add(at))
		for _, rule := range group.Rules() {
			require.NoError(p.t, rule.LastError(), "rule %s at %s:\n%s", rule.Name(), at, rule.Query())
		}
	}
}

// query returns the vector of an expression; any warning ends the test.
func (p *pipeline) query(expr string, at time.Duration) promql.Vector {
	p.t.Helper()
	q, err := p.engine.NewInstantQuery(p.t.Context(), p.storage, nil, expr, time.Unix(0, 0).Add(at))
	require.NoError(p.t, err, expr)
	defer q.Close()
	result := q.Exec(p.t.Context())
	require.NoError(p.t, result.Err, expr)
	require.Empty(p.t, result.Warnings, expr)
	vector, err := result.Vector()
	require.NoError(p.t, err, expr)
	return append(promql.Vector(nil), vector...)
}

// recorded returns the result of a rule as namespace/pod -> value; other labels end the test.
func (p *pipeline) recorded(series string, at time.Duration) map[string]float64 {
	p.t.Helper()
	got := map[string]float64{}
	for _, sample := range p.query(series, at) {
		require.Equal(p.t, []string{model.MetricNameLabel, "namespace", "pod"}, labelNames(sample.Metric), "%s", sample.Metric)
		key := sample.Metric.Get("namespace") + "/" + sample.Metric.Get("pod")
		require.NotContains(p.t, got, key)
		require.False(p.t, math.IsNaN(sample.F), "NaN in %s", sample.Metric)
		got[key] = sample.F
	}
	return got
}

// served returns the adapter's values of a metric of some pods for the HPA: it selects the rule and series by the series query
// and the name pattern, fills in the query, and reads one value for each pod.
func (p *pipeline) served(metric, namespace string, at time.Duration, pods ...string) map[string]float64 {
	p.t.Helper()
	queries := map[string]bool{}
	for _, rule := range signals.AdapterConfig(enabled(p.t, p.settings)).Rules {
		pattern := regexp.MustCompile(rule.Name.Matches)
		for _, sample := range p.query(rule.SeriesQuery, at) {
			name := sample.Metric.Get(model.MetricNameLabel)
			groups := pattern.FindStringSubmatchIndex(name)
			if groups != nil && string(pattern.ExpandString(nil, rule.Name.As, name, groups)) == metric {
				queries[fill(p.t, rule.MetricsQuery, name, namespace, pods...)] = true
			}
		}
	}
	require.LessOrEqual(p.t, len(queries), 1, "more than one rule serves %s: %v", metric, queries)
	got := map[string]float64{}
	for query := range queries {
		for _, sample := range p.query(query, at) {
			require.Equal(p.t, []string{"pod"}, labelNames(sample.Metric), "%s", query)
			require.False(p.t, math.IsNaN(sample.F), "NaN, which the adapter serves as 0, for %s of %s", sample.Metric, query)
			got[sample.Metric.Get("pod")] = sample.F
		}
	}
	return got
}

// fill executes a metricsQuery with the delimiters and fields of the adapter. The adapter's own code is not used, because it
// imports all of apiserver.
func fill(t *testing.T, query, series, namespace string, pods ...string) string {
	t.Helper()
	parsed, err := template.New("").Delims("<<", ">>").Option("missingkey=error").Parse(query)
	require.NoError(t, err)
	podMatcher := fmt.Sprintf("pod=%q", strings.Join(pods, "|"))
	if len(pods) > 1 {
		podMatcher = fmt.Sprintf("pod=~%q", strings.Join(pods, "|"))
	}
	matchers := fmt.Sprintf("namespace=%q,%s", namespace, podMatcher)
	var out bytes.Buffer
	require.NoError(t, parsed.Execute(&out, map[string]any{
		"Series":            series,
		"LabelMatchers":     matchers,
		"LabelValuesByName": map[string]string{"namespace": namespace, "pod": strings.Join(pods, "|")},
		"GroupBy":           "pod",
		"GroupBySlice":      []string{"pod"},
	}))
	require.Contains(t, out.String(), matchers, "the query drops the adapter's matchers")
	return out.String()
}

func labelNames(l labels.Labels) []string {
	var names []string
	l.Range(func(l labels.Label) { names = append(names, l.Name) })
	sort.Strings(names)
	return names
}

// at0 returns a load block of single samples at time 0.
func at0(samples ...string) string {
	return "load 2s\n  " + strings.Join(samples, "\n  ") + "\n"
}

// requireValues compares key by key, with a tolerance for floating point.
func requireValues(t *testing.T, want, got map[string]float64, what string) {
	t.Helper()
	require.Len(t, got, len(want), "%s: want %v, got %v", what, want, got)
	for key, value := range want {
		require.Contains(t, got, key, what)
		require.InDelta(t, value, got[key], 1e-9, "%s of %s", what, key)
	}
}
