package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/observed"
)

// everythingObservedExists reads the dashboards and alerts from the cluster, as Grafana and the operator do, and checks that
// every query returns something.
func everythingObservedExists(t *testing.T, w *watch) {
	// Rates and quantiles need requests that end and some that wait: more than one server can run at a time.
	w.lab.SetGPUUtilization(constant(10))
	w.step(20)
	defer w.step(0)

	dashboards := deployedDashboards(t, w.lab)
	require.NotEmpty(t, dashboards)
	rules := observed.Rules(deployedAlerts(t, w.lab))
	require.NotEmpty(t, rules)
	missing, err := observed.Missing(rules)
	require.NoError(t, err)

	t.Run("every panel has data", func(t *testing.T) {
		for _, q := range dashboards {
			// An annotation marks moments; most of the time there is none.
			excused, err := q.ReadsOnly(missing)
			require.NoError(t, err)
			if excused || strings.Contains(q.Where, ": annotation ") {
				continue
			}
			eventuallyNoError(t, 2*time.Minute, func(ctx context.Context) error {
				samples, err := vector(ctx, w.lab, q.Expr)
				if err == nil && len(samples) == 0 {
					err = fmt.Errorf("%s: no data of\n%s", q.Where, q.Expr)
				}
				return err
			})
		}
	})
	t.Run("every series exists", func(t *testing.T) {
		seen := map[string]bool{}
		for _, q := range append(dashboards, rules...) {
			selectors, err := q.Selectors()
			require.NoError(t, err)
			for name, list := range selectors {
				if missing[name] || seen[name] {
					continue
				}
				seen[name] = true
				eventuallyNoError(t, 2*time.Minute, func(ctx context.Context) error {
					// One of them is enough, because some select the form that a series has elsewhere.
					for _, selector := range list {
						if samples, err := vector(ctx, w.lab, selector); err != nil || len(samples) > 0 {
							return err
						}
					}
					return fmt.Errorf("%s: no series among %q", q.Where, list)
				})
			}
		}
		t.Logf("%d series", len(seen))
	})
	t.Run("what the lab is excused from is not there", func(t *testing.T) {
		for name, reason := range observed.NotOnTheLab {
			samples, err := vector(testContext(t), w.lab, name)
			require.NoError(t, err)
			assert.Empty(t, samples, "the lab has %s after all (%s): take it off the list", name, reason)
		}
	})
}

func deployedDashboards(t *testing.T, l *lab.Lab) []observed.Query {
	t.Helper()
	list, err := l.Client().CoreV1().ConfigMaps(monitoring).List(testContext(t), metav1.ListOptions{LabelSelector: "grafana_dashboard=1"})
	require.NoError(t, err)
	var all []observed.Query
	for _, config := range list.Items {
		for _, model := range config.Data {
			queries, err := observed.Dashboard([]byte(model))
			require.NoError(t, err, config.Name)
			all = append(all, queries...)
		}
	}
	return all
}

func deployedAlerts(t *testing.T, l *lab.Lab) monitoringv1.PrometheusRuleSpec {
	t.Helper()
	raw, err := l.Client().CoreV1().RESTClient().Get().
		AbsPath("/apis/monitoring.coreos.com/v1/namespaces", monitoring, "prometheusrules/vllm-alerts").DoRaw(testContext(t))
	require.NoError(t, err)
	var rule monitoringv1.PrometheusRule
	require.NoError(t, json.Unmarshal(raw, &rule))
	return rule.Spec
}

// noAlertFires checks that Prometheus evaluates the alerts without an error and none of them fires.
func noAlertFires(t *testing.T, l *lab.Lab) {
	loaded := 0
	for _, group := range deployedAlerts(t, l).Groups {
		loaded += len(group.Rules)
	}
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		samples, err := vector(ctx, l, `sum(prometheus_rule_group_rules{rule_group=~".*;vllm-alerts.*"})`)
		if err == nil && (len(samples) != 1 || int(samples[0].Value) != loaded) {
			err = fmt.Errorf("Prometheus runs %v rules, want %d", samples, loaded)
		}
		return err
	})
	failures, err := vector(testContext(t), l, `prometheus_rule_evaluation_failures_total{rule_group=~".*;vllm-.*"} > 0`)
	require.NoError(t, err)
	assert.Empty(t, failures, "rules that Prometheus could not evaluate")
	firing, err := vector(testContext(t), l, `ALERTS{alertstate="firing",alertname!="Watchdog"}`)
	require.NoError(t, err)
	assert.Empty(t, firing)
	pending, err := vector(testContext(t), l, `ALERTS{alertstate="pending"}`)
	require.NoError(t, err)
	t.Logf("pending: %v", pending)
}

// lostScrapesAlert removes the label by which the server's ServiceMonitor selects its Service, and checks that there is an
// alert for each signal that Prometheus then lacks.
func lostScrapesAlert(t *testing.T, l *lab.Lab, signals ...string) {
	patch := []byte(`{"metadata":{"labels":{"app.kubernetes.io/name":"renamed"}}}`)
	_, err := l.Client().CoreV1().Services(serving).Patch(testContext(t), "vllm", types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
	eventuallyNoError(t, 2*time.Minute, func(ctx context.Context) error {
		alerts, err := vector(ctx, l, `ALERTS{alertname="VLLMSignalAbsent"}`)
		if err != nil {
			return err
		}
		for _, signal := range signals {
			if !slices.ContainsFunc(alerts, func(s *model.Sample) bool { return string(s.Metric["signal"]) == signal }) {
				return fmt.Errorf("no VLLMSignalAbsent of %s among %v", signal, alerts)
			}
		}
		return nil
	})
}
