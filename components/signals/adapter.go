package signals

import (
	"fmt"
	"regexp"
	"strings"

	adapterconfig "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/yaml"
)

// The adapter replaces << >>: the series, the matchers of the pods of the HPA's request, and the label
// of the resource to group by. Without LabelMatchers a query would mix all namespaces.
const (
	filledSeries  = "<<.Series>>{<<.LabelMatchers>>}"
	filledGroupBy = "<<.GroupBy>>"
)

// requestsQuery sums a gauge over the engines and models of a pod, after duplicates of the same
// engine's gauge (scraped through two monitors) are counted once. The comparison drops NaN, which the adapter
// would serve as 0, an idle pod to the HPA.
var requestsQuery = fmt.Sprintf("sum by (%s) (max by (%s) (%s)) >= 0", filledGroupBy, perEngine, filledSeries)

// recordedQuery reads a recorded series, which has one sample per pod already.
var recordedQuery = fmt.Sprintf("max by (%s) (%s)", filledGroupBy, filledSeries)

// PodQuery returns Query as the adapter runs it for the pods that matchers select, such as namespace="vllm": PromQL with one sample
// for each pod, in the label pod.
func (s Signal) PodQuery(matchers string) (string, error) {
	query := s.QueryBy(matchers, LabelPod)
	if strings.Contains(query, "<<") {
		return "", fmt.Errorf("query of signal %s: %s has a placeholder that only the adapter can replace", s.Name, query)
	}
	return query, nil
}

// PodMatchers returns the matchers of the pods of a namespace, and of one Deployment where it is given.
func PodMatchers(namespace, deployment string) string {
	matchers := fmt.Sprintf("%s=%q", LabelNamespace, namespace)
	if deployment != "" {
		matchers += fmt.Sprintf(",%s=~%q", LabelPod, PodsOf(deployment))
	}
	return matchers
}

// QueryBy returns Query as the adapter runs it for the pods that matchers select, grouped by labels.
func (s Signal) QueryBy(matchers string, labels ...string) string {
	return strings.NewReplacer(
		"<<.Series>>", s.Series,
		"<<.LabelMatchers>>", matchers,
		filledGroupBy, strings.Join(labels, ", "),
	).Replace(s.Query)
}

// AdapterConfig returns the configuration of prometheus-adapter that serves the signals, one rule each and nothing else.
func AdapterConfig(signals []Signal) adapterconfig.MetricsDiscoveryConfig {
	rules := make([]adapterconfig.DiscoveryRule, 0, len(signals))
	for _, s := range signals {
		rules = append(rules, adapterconfig.DiscoveryRule{
			SeriesQuery: fmt.Sprintf(`%s{%s!="",%s!=""}`, s.Series, LabelNamespace, LabelPod),
			// Not nil, so that the file has [] where the adapter's strict reader expects a list.
			SeriesFilters: []adapterconfig.RegexFilter{},
			Resources: adapterconfig.ResourceMapping{Overrides: map[string]adapterconfig.GroupResource{
				LabelNamespace: {Resource: "namespace"},
				LabelPod:       {Resource: "pod"},
			}},
			// Anchored: the adapter's expressions match parts of a name too.
			Name:         adapterconfig.NameMapping{Matches: "^" + regexp.QuoteMeta(s.Series) + "$", As: s.Name},
			MetricsQuery: s.Query,
		})
	}
	return adapterconfig.MetricsDiscoveryConfig{Rules: rules}
}

// AdapterConfigYAML renders AdapterConfig as the file for prometheus-adapter's --config.
func AdapterConfigYAML(signals []Signal) ([]byte, error) {
	text, err := yaml.Marshal(AdapterConfig(signals))
	if err != nil {
		return nil, fmt.Errorf("adapter configuration: %w", err)
	}
	return text, nil
}
