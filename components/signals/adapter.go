package signals

import (
	"fmt"
	"regexp"
	"strings"

	adapterconfig "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/yaml"
)

// The adapter fills in << >>: the series, the matchers of the pods that the HPA asks about, and the label
// of the resource to group by. Without LabelMatchers a query would mix every namespace.
const (
	filledSeries  = "<<.Series>>{<<.LabelMatchers>>}"
	filledGroupBy = "<<.GroupBy>>"
)

// requestsQuery sums a gauge over the engines and models of a pod, after duplicates of the same
// engine's gauge (scraped through two monitors) are taken once. The comparison drops NaN, which the adapter
// would serve as 0 and the HPA take for an idle pod.
var requestsQuery = fmt.Sprintf("sum by (%s) (max by (%s) (%s)) >= 0", filledGroupBy, perEngine, filledSeries)

// recordedQuery reads a recorded series, which has one sample per pod already.
var recordedQuery = fmt.Sprintf("max by (%s) (%s)", filledGroupBy, filledSeries)

// PodQuery is Query as the adapter asks it for the pods of a namespace: PromQL with one sample for each
// pod, in the label pod.
func (s Signal) PodQuery(namespace string) (string, error) {
	query := s.QueryBy(namespace, LabelPod)
	if strings.Contains(query, "<<") {
		return "", fmt.Errorf("query of signal %s: %s asks for what only the adapter could fill in", s.Name, query)
	}
	return query, nil
}

// QueryBy is Query as the adapter fills it in for the pods of a namespace, grouped by labels.
func (s Signal) QueryBy(namespace string, labels ...string) string {
	return strings.NewReplacer(
		"<<.Series>>", s.Series,
		"<<.LabelMatchers>>", fmt.Sprintf("%s=%q", LabelNamespace, namespace),
		filledGroupBy, strings.Join(labels, ", "),
	).Replace(s.Query)
}

// AdapterConfig is the configuration of prometheus-adapter that serves the signals, one rule each and nothing else.
func AdapterConfig(signals []Signal) adapterconfig.MetricsDiscoveryConfig {
	rules := make([]adapterconfig.DiscoveryRule, 0, len(signals))
	for _, s := range signals {
		rules = append(rules, adapterconfig.DiscoveryRule{
			SeriesQuery: fmt.Sprintf(`%s{%s!="",%s!=""}`, s.Series, LabelNamespace, LabelPod),
			// Not nil, so that the file says [] where the adapter's strict reader expects a list.
			SeriesFilters: []adapterconfig.RegexFilter{},
			Resources: adapterconfig.ResourceMapping{Overrides: map[string]adapterconfig.GroupResource{
				LabelNamespace: {Resource: "namespace"},
				LabelPod:       {Resource: "pod"},
			}},
			// Anchored: the adapter searches, it does not match the whole name.
			Name:         adapterconfig.NameMapping{Matches: "^" + regexp.QuoteMeta(s.Series) + "$", As: s.Name},
			MetricsQuery: s.Query,
		})
	}
	return adapterconfig.MetricsDiscoveryConfig{Rules: rules}
}

// AdapterConfigYAML renders AdapterConfig as the file that prometheus-adapter takes with --config.
func AdapterConfigYAML(signals []Signal) ([]byte, error) {
	text, err := yaml.Marshal(AdapterConfig(signals))
	if err != nil {
		return nil, fmt.Errorf("adapter configuration: %w", err)
	}
	return text, nil
}
