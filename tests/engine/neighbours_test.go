package engine

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	apiServicesPath  = "/apis/apiregistration.k8s.io/v1/apiservices"
	clusterRolesPath = "/apis/rbac.authorization.k8s.io/v1/clusterroles/"
	rulesCRDPath     = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/prometheusrules.monitoring.coreos.com"
)

// has makes the API server answer with these objects, by path and label selector, to whoever has the token; it has no others.
func (s *stack) has(answers map[string]string) {
	s.answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path+r.URL.Query().Get("labelSelector")]
		switch {
		case r.Header.Get("Authorization") != "Bearer a-token":
			w.WriteHeader(http.StatusUnauthorized)
		case ok:
			_, _ = fmt.Fprint(w, answer)
		case strings.HasPrefix(r.URL.Path, clusterRolesPath), r.URL.Path == rulesCRDPath:
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = fmt.Fprint(w, `{"items": []}`)
		}
	}))
}

// release returns the annotations of the objects of a Helm release, named after its namespace.
func release(namespace string) string {
	return fmt.Sprintf(`"annotations": {"meta.helm.sh/release-name": %[1]q, "meta.helm.sh/release-namespace": %[1]q}`, namespace)
}

// customMetricsAPI is the list of APIServices with that of an adapter in a namespace.
func customMetricsAPI(metadata, namespace string) string {
	return fmt.Sprintf(`{"items": [{"metadata": {"name": %q, %s}, "spec": {"group": "custom.metrics.k8s.io", "service": {"namespace": %q, "name": "adapter"}}}]}`,
		apiName, metadata, namespace)
}

// What a cluster has once and somebody else has is refused before anything is registered; what is the stack's own is not.
func TestWhatAClusterHasOnce(t *testing.T) {
	role := func(namespace string) string {
		return `{"metadata": {"name": "kps-operator", ` + release(namespace) + `}}`
	}
	for name, test := range map[string]struct {
		keys    map[string]any
		answers map[string]string
		says    []string // nothing means that it is deployed
	}{
		"an adapter of somebody else": {
			answers: map[string]string{apiServicesPath: customMetricsAPI(release("theirs"), "theirs")},
			says: []string{
				"APIService " + apiName + " (of Helm release theirs/theirs), which Service theirs/adapter answers", "Nothing was created",
				"`pulumi config set vllm-autoscaling:metrics existing` and `pulumi config set --path 'vllm-autoscaling:autoscaling.adapter' existing`",
			},
		},
		"a release with the names of a chart's": {
			answers: map[string]string{clusterRolesPath + "kps-operator": role("platform")},
			says:    []string{"ClusterRole kps-operator (of Helm release platform/platform)", "describe clusterrole/kps-operator"},
		},
		"an API that only values of a chart register": {
			keys: map[string]any{"charts.prometheusAdapter.values": map[string]any{"rules": map[string]any{"external": []any{map[string]any{"seriesQuery": "x"}}}}},
			answers: map[string]string{apiServicesPath: strings.ReplaceAll(customMetricsAPI(release("keda"), "keda"),
				"custom.metrics", "external.metrics")},
			says: []string{"v1beta1.external.metrics.k8s.io (of Helm release keda/keda)", "remove vllm-autoscaling:charts.prometheusAdapter.values.rules.external"},
		},
		"KEDA": {answers: map[string]string{apiServicesPath: strings.ReplaceAll(customMetricsAPI(release("keda"), "keda"), "custom.metrics", "external.metrics")}},
		"what the stack has itself": {answers: map[string]string{
			apiServicesPath:                   customMetricsAPI(`"labels": {"app.kubernetes.io/part-of": "vllm-autoscaling"}`, "monitoring"),
			clusterRolesPath + "kps-operator": role("monitoring"),
		}},
		"an operator's role, with that operator": {
			keys:    map[string]any{"monitoring.operator": "shared"},
			answers: map[string]string{clusterRolesPath + "kps-operator": role("platform"), rulesCRDPath: `{"metadata": {}}`},
		},
		"no operator to share": {
			keys: map[string]any{"monitoring.operator": "shared"},
			says: []string{"monitoring.operator = shared: the cluster has no CRDs", "pulumi config set --path 'vllm-autoscaling:monitoring.operator' own"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, "local", test.keys)
			s.has(test.answers)
			if len(test.says) == 0 {
				s.up()
				return
			}
			for _, dryRun := range []bool{true, false} {
				refused := s.run(engine.Update, dryRun)
				for _, says := range test.says {
					require.ErrorContains(t, refused.err, says)
				}
				assert.Equal(t, 1, strings.Count(refused.err.Error(), test.says[0]), "said once: %v", refused.err)
				for _, event := range refused.events {
					if event.Type == engine.ResourcePreEvent {
						urn := event.Payload().(engine.ResourcePreEventPayload).Metadata.URN
						assert.Contains(t, []string{"pulumi:pulumi:Stack", "pulumi:providers:kubernetes"}, string(urn.Type()))
					}
				}
			}
			assert.Empty(t, s.cluster.remaining())
		})
	}
}

// An API that a stack of this program has registered in another namespace is another stack's for a stack that would create it, and
// its own for the stack that has it.
func TestTheAPIOfAnotherStack(t *testing.T) {
	answers := map[string]string{apiServicesPath: customMetricsAPI(`"labels": {"app.kubernetes.io/part-of": "vllm-autoscaling"}`, "other")}
	second := newStack(t, "local", nil)
	second.has(answers)
	refused := second.preview()
	require.ErrorContains(t, refused.err, "of another stack of this program in namespace other")
	assert.Equal(t, 1, strings.Count(refused.err.Error(), apiName+" (of"))

	first := newStack(t, "local", map[string]any{"namespaces.monitoring": "other"})
	first.up()
	first.has(answers)
	first.set("namespaces.monitoring", "moved")
	require.NoError(t, first.preview().err, "the API is in its state")
}

// Each part of the platform's monitoring is proposed with the commands that use it, and with its key no more.
func TestProposals(t *testing.T) {
	operator := `{"items": [{"metadata": {"namespace": "platform", "name": "prometheus-operator", ` + release("platform") + `}, "spec": {"template": {"spec": {
		"containers": [{"image": "quay.io/prometheus-operator/prometheus-operator:v0.80.1"}]}}}}]}`
	answers := map[string]string{
		"/apis/apps/v1/daemonsets": `{"items": [{"metadata": {"namespace": "platform", "name": "node-exporter", ` + release("platform") + `},
			"spec": {"template": {"spec": {"hostNetwork": true, "containers": [{"ports": [{"containerPort": 9100}]}]}}}}]}`,
		"/api/v1/servicesapp.kubernetes.io/name=kube-state-metrics": `{"items": [{"metadata": {"namespace": "platform", "name": "ksm"},
			"spec": {"ports": [{"name": "telemetry"}, {"name": "http-metrics"}]}}]}`,
		"/apis/apps/v1/deploymentsapp.kubernetes.io/name=prometheus-operator": operator,
		rulesCRDPath: `{"metadata": {"annotations": {"operator.prometheus.io/version": "0.80.1"}}}`,
	}
	set := func(key, value string) string {
		return fmt.Sprintf("`pulumi config set --path 'vllm-autoscaling:monitoring.%s' %s`", key, value)
	}
	proposals := map[string][]string{
		"nodeExporter": {"warning: DaemonSet platform/node-exporter (of Helm release platform/platform) takes the port", set("nodeExporter", "none")},
		"kubeStateMetrics": {"warning: Service platform/ksm is a kube-state-metrics", set("kubeStateMetrics", "shared"),
			set("kubeStateMetricsService.namespace", "platform"), set("kubeStateMetricsService.port", "http-metrics")},
		"operator": {"warning: Deployment platform/prometheus-operator (of Helm release platform/platform) is a Prometheus Operator",
			set("operator", "shared")},
		"upgradeCRDs": {"warning: CRDs of the Prometheus Operator of version 0.80.1 are there already", set("upgradeCRDs", "true")},
	}
	s := newStack(t, "local", nil)
	s.has(answers)
	check := func(want ...string) {
		t.Helper()
		said := s.said.String()
		for key, texts := range proposals {
			for _, text := range texts {
				assert.Equal(t, slices.Contains(want, key), strings.Contains(said, text), "%s: %s\n%s", key, text, said)
			}
		}
	}
	require.NoError(t, s.preview().err)
	check(slices.Collect(maps.Keys(proposals))...)
	s.up()
	check(slices.Collect(maps.Keys(proposals))...)

	for key, value := range map[string]any{"nodeExporter": "none", "kubeStateMetrics": "own", "operator": "own", "upgradeCRDs": false} {
		s.set("monitoring."+key, value)
	}
	require.NoError(t, s.preview().err)
	check()
	s.set("monitoring.operator", "shared")
	delete(s.keys, "monitoring.upgradeCRDs")
	require.NoError(t, s.preview().err)
	check()
	assert.NotContains(t, s.said.String(), "no Prometheus Operator was found")
	delete(answers, "/apis/apps/v1/deploymentsapp.kubernetes.io/name=prometheus-operator")
	require.NoError(t, s.preview().err)
	assert.Contains(t, s.said.String(), "monitoring.operator = shared: no Prometheus Operator was found")
}

// CRDs of the version of the stack's own operator are as they should be.
func TestCRDsOfTheStacksOperator(t *testing.T) {
	s := newStack(t, "local", nil)
	answers := map[string]string{
		"/apis/apps/v1/deploymentsapp=kube-prometheus-stack-operator": `{"items": [{"metadata": {"namespace": "monitoring", "name": "kps-operator", ` +
			release("monitoring") + `}, "spec": {"template": {"spec": {"containers": [{"image": "quay.io/prometheus-operator/prometheus-operator:v0.85.0"}]}}}}]}`,
		rulesCRDPath: `{"metadata": {"annotations": {"operator.prometheus.io/version": "0.85.0"}}}`,
	}
	s.has(answers)
	require.NoError(t, s.preview().err)
	assert.NotContains(t, s.said.String(), "CRDs of the Prometheus Operator")
	answers[rulesCRDPath] = `{"metadata": {"annotations": {"operator.prometheus.io/version": "0.70.0"}}}`
	require.NoError(t, s.preview().err)
	assert.Contains(t, s.said.String(), "CRDs of the Prometheus Operator of version 0.70.0 are not of the version of the stack's operator, 0.85.0")
}

// Whoever may not read the cluster's objects gets no proposal, and no error.
func TestProposalsWithoutAccess(t *testing.T) {
	s := newStack(t, "local", map[string]any{"monitoring.operator": "shared"})
	s.answer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	require.NoError(t, s.preview().err)
	assert.NotContains(t, s.said.String(), "Prometheus Operator")
}
