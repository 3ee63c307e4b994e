// Package observed extracts the PromQL queries of the stack's dashboards and alerts, for tests that check them with Prometheus'
// parser and against the series of the lab.
package observed

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Query is one expression and its location.
type Query struct {
	// Where names dashboard and panel, or the rule.
	Where string
	// Expr is PromQL without Grafana's variables.
	Expr string
	// Record is the series that a recording rule writes; "" for everything else.
	Record string
}

// NotOnTheLab lists the series that the lab does not have, with the reason.
var NotOnTheLab = map[string]string{
	"vllm:num_preemptions_total":                        "llm-d-inference-sim 0.10.2 never preempts and does not export it",
	"vllm:request_time_per_output_token_seconds_count":  "llm-d-inference-sim 0.10.2 does not export it",
	"vllm:request_time_per_output_token_seconds_bucket": "llm-d-inference-sim 0.10.2 does not export it",
	"DCGM_FI_DEV_GPU_UTIL_RATIO":                        "the name from dcgm-exporter 4.9 on; the lab exports those of the pinned version",
	"aggregator_unavailable_apiservice":                 "the lab's chart stand-in does not scrape the API server; the real chart does",
	"kubelet_volume_stats_available_bytes":              "no kubelet runs in the lab",
	"kubelet_volume_stats_capacity_bytes":               "no kubelet runs in the lab",
}

// Dashboard returns every query of a dashboard in Grafana's JSON: those of panels, annotations and variables.
func Dashboard(text []byte) ([]Query, error) {
	var d struct {
		Title  string
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Annotations struct{ List []struct{ Name, Expr string } }
		Templating  struct {
			List []struct{ Type, Name, Query string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	var all []Query
	add := func(where, expr string) {
		all = append(all, Query{Where: d.Title + ": " + where, Expr: concrete(expr)})
	}
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			add(panel.Title, target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			add("annotation "+a.Name, a.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		selector := labelValues.FindStringSubmatch(v.Query)
		if selector == nil {
			return nil, fmt.Errorf("dashboard %s: variable %s has the query %q, not label_values(series, label)", d.Title, v.Name, v.Query)
		}
		add("variable "+v.Name, selector[1])
	}
	return all, nil
}

var labelValues = regexp.MustCompile(`^label_values\((.*), ([a-z_]+)\)$`)

// concrete replaces Grafana's variables by values.
func concrete(expr string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$model", ".*", "$pod", ".*").Replace(expr)
}

// Rules returns every query of a PrometheusRule.
func Rules(spec monitoringv1.PrometheusRuleSpec) []Query {
	var all []Query
	for _, group := range spec.Groups {
		for _, rule := range group.Rules {
			all = append(all, Query{Where: "rule " + rule.Alert + rule.Record, Expr: rule.Expr.String(), Record: rule.Record})
		}
	}
	return all
}

// Missing returns the series that the lab does not have: those of NotOnTheLab, and those that the rules among the queries, in the
// order of their evaluation, record from nothing else.
func Missing(queries []Query) (map[string]bool, error) {
	missing := map[string]bool{}
	for name := range NotOnTheLab {
		missing[name] = true
	}
	for _, q := range queries {
		if q.Record == "" {
			continue
		}
		if all, err := q.ReadsOnly(missing); err != nil {
			return nil, err
		} else if all {
			missing[q.Record] = true
		}
	}
	return missing, nil
}

// ReadsOnly reports whether a query reads no series but the given ones.
func (q Query) ReadsOnly(series map[string]bool) (bool, error) {
	selectors, err := q.Selectors()
	for name := range selectors {
		if !series[name] {
			return false, err
		}
	}
	return err == nil, err
}

// Selectors returns the series that an expression reads, each with its selectors without ranges and offsets.
func (q Query) Selectors() (map[string][]string, error) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(q.Expr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w in\n%s", q.Where, err, q.Expr)
	}
	found := map[string][]string{}
	for _, matchers := range parser.ExtractSelectors(parsed) {
		name, words := "", []string{}
		for _, m := range matchers {
			if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
				name = m.Value
				continue
			}
			words = append(words, m.String())
		}
		if name == "" {
			return nil, fmt.Errorf("%s: a selector without a name, {%s}", q.Where, strings.Join(words, ","))
		}
		found[name] = append(found[name], name+"{"+strings.Join(words, ",")+"}")
	}
	return found, nil
}

// Series returns the names of all series that the queries read.
func Series(queries []Query) ([]string, error) {
	names := map[string]bool{}
	for _, q := range queries {
		selectors, err := q.Selectors()
		if err != nil {
			return nil, err
		}
		for name := range selectors {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}
