package verify

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"

	"vllm-autoscaling/components/signals"
)

// origins checks that the series of the signals come from the scrape of the server and from the stack's own rules. Whoever
// else writes one of them decides the number of replicas.
func (w *walk) origins(ctx context.Context, groups []prometheusv1.RuleGroup) error {
	foreign := w.foreignRules(groups)
	if len(foreign) > 0 {
		return &failure{
			measured: shortened(foreign),
			expected: fmt.Sprintf("no rule but the stack's own, PrometheusRule %s/%s, records them: what they return decides the number of replicas",
				w.rulesNamespace(), signals.RuleGroup),
			look: []string{
				"find out who created it, and delete it; then look at who may create PrometheusRules in the namespaces that Prometheus selects",
				"$ " + w.Kubectl + " get prometheusrules -A",
			},
		}
	}
	foreign, err := w.foreignSeries(ctx)
	if err != nil || len(foreign) == 0 {
		return err
	}
	return &failure{
		measured: shortened(foreign),
		expected: fmt.Sprintf("series of the server from the job %s only, and recorded ones from no scrape: what they return decides the number of replicas",
			w.Pipeline.Serving.Service),
		look: []string{
			"find the monitor of that job and delete it, or keep it off these series",
			"$ " + w.Kubectl + " get servicemonitors,podmonitors,probes,scrapeconfigs -A",
		},
	}
}

// foreignRules lists the recording rules that write what the signals read and are not the stack's.
func (w *walk) foreignRules(groups []prometheusv1.RuleGroup) []string {
	p := w.Pipeline
	read := slices.Concat(p.ServerSeries, p.GPUSeries, p.Rules, []string{signals.SeriesPodReady})
	for _, signal := range p.Signals {
		read = append(read, signal.Series)
	}
	var foreign []string
	for _, group := range groups {
		for _, rule := range group.Rules {
			recording, ok := rule.(prometheusv1.RecordingRule)
			if !ok || !slices.Contains(read, recording.Name) || w.own(group) && slices.Contains(p.Rules, recording.Name) ||
				w.elsewhere(recording) || w.ofNeighbour(recording) {
				continue
			}
			foreign = append(foreign, fmt.Sprintf("%s is recorded by %s", recording.Name, originOf(group)))
		}
	}
	return foreign
}

// elsewhere reports whether a rule writes series of another namespace than the server's, as Prometheus makes every rule of a
// watched namespace do, and as those of another stack on the same Prometheus do. Of a GPU's series, the pod that it serves is in
// other labels, so that the label namespace tells nothing, and only what the rule reads does.
func (w *walk) elsewhere(rule prometheusv1.RecordingRule) bool {
	ours, written := w.Pipeline.Serving.Namespace, string(rule.Labels[signals.LabelNamespace])
	switch {
	case written == ours:
		return false
	case written != "" && !slices.Contains(w.Pipeline.GPUSeries, rule.Name):
		return true
	}
	return readNamespace.MatchString(rule.Query) && !strings.Contains(rule.Query, strconv.Quote(ours))
}

// readNamespace matches the namespace of which an expression reads series.
var readNamespace = regexp.MustCompile(`\bnamespace="[^"]+"`)

// ruleFile matches the file that the operator makes of a PrometheusRule: its namespace, name and UID.
var ruleFile = regexp.MustCompile(`^(.+)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.ya?ml$`)

// own reports whether a group is the stack's.
func (w *walk) own(group prometheusv1.RuleGroup) bool {
	if group.Name != signals.RuleGroup {
		return false
	}
	match := ruleFile.FindStringSubmatch(path.Base(group.File))
	// A Prometheus that another operator runs has other files.
	return match == nil || match[1] == w.rulesNamespace()+"-"+signals.RuleGroup
}

// originOf describes a group by the PrometheusRule that it comes from, as far as its file tells.
func originOf(group prometheusv1.RuleGroup) string {
	file := path.Base(group.File)
	if match := ruleFile.FindStringSubmatch(file); match != nil {
		return fmt.Sprintf("group %s of PrometheusRule %s (its namespace and name)", group.Name, match[1])
	}
	if group.File == "" {
		return "group " + group.Name
	}
	return fmt.Sprintf("group %s of file %s", group.Name, file)
}

// foreignSeries lists the jobs from which a signal has samples that no scrape of the server has written.
func (w *walk) foreignSeries(ctx context.Context) ([]string, error) {
	p := w.Pipeline
	var foreign []string
	find := func(series, matcher string) error {
		query := fmt.Sprintf("count by (job) (%s{%s,%s})", series, w.ownPods(), matcher)
		samples, err := w.samples(ctx, query)
		for _, sample := range samples {
			job := fmt.Sprintf("job %q", string(sample.Metric["job"]))
			if sample.Metric["job"] == "" {
				job = "no job: a recording rule, or a remote write"
			}
			foreign = append(foreign, fmt.Sprintf("%s has %d series from %s", series, int(sample.Value), job))
		}
		return err
	}
	for _, series := range p.ServerSeries {
		if err := find(series, fmt.Sprintf("job!=%q", p.Serving.Service)); err != nil {
			return nil, err
		}
	}
	for _, series := range p.Rules {
		if err := find(series, `job!=""`); err != nil {
			return nil, err
		}
	}
	slices.Sort(foreign)
	return foreign, nil
}
