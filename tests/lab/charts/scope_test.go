package charts

import (
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const controllerID = "operator.prometheus.io/controller-id"

// one returns the only object of a kind as its Go type.
func one[T any](t *testing.T, all []*unstructured.Unstructured, kind string) *T {
	t.Helper()
	var found []*unstructured.Unstructured
	for _, o := range all {
		if o.GetKind() == kind {
			found = append(found, o)
		}
	}
	require.Len(t, found, 1, kind)
	var typed T
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(found[0].Object, &typed))
	return &typed
}

// An operator that manages every namespace takes the Prometheus of other teams over.
func TestOperatorManagesItsNamespaceOnly(t *testing.T) {
	all := objects(t, programReleases(t)[KubePrometheusStack])
	found := pods(t, all)
	at := slices.IndexFunc(found, func(p pod) bool { return p.owner == "Deployment kps-operator" })
	require.GreaterOrEqual(t, at, 0)
	args := found[at].spec.Containers[0].Args
	for _, want := range []string{"--prometheus-instance-namespaces=monitoring", "--alertmanager-instance-namespaces=monitoring",
		"--thanos-ruler-instance-namespaces=monitoring"} {
		assert.Contains(t, args, want)
	}
	flag := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--controller-id=") })
	require.GreaterOrEqual(t, flag, 0)
	id := strings.TrimPrefix(args[flag], "--controller-id=")
	assert.Equal(t, id, one[monitoringv1.Prometheus](t, all, "Prometheus").Annotations[controllerID], "else its own operator leaves it alone")
	assert.Equal(t, id, one[monitoringv1.Alertmanager](t, all, "Alertmanager").Annotations[controllerID])
}

// A rule of any namespace that writes the signals would decide how many GPUs run.
func TestPrometheusReadsTheStacksNamespacesOnly(t *testing.T) {
	all := objects(t, programReleases(t)[KubePrometheusStack])
	spec := one[monitoringv1.Prometheus](t, all, "Prometheus").Spec
	in := func(namespaces ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn, Values: namespaces},
		}}
	}
	assert.Equal(t, in("monitoring"), spec.RuleNamespaceSelector)
	assert.Equal(t, in("monitoring"), spec.ProbeNamespaceSelector)
	assert.Equal(t, in("monitoring"), spec.ScrapeConfigNamespaceSelector)
	assert.Equal(t, in("monitoring", "vllm"), spec.ServiceMonitorNamespaceSelector)
	assert.Equal(t, in("monitoring", "vllm"), spec.PodMonitorNamespaceSelector)
	assert.Equal(t, in("monitoring"), one[monitoringv1.Alertmanager](t, all, "Alertmanager").Spec.AlertmanagerConfigNamespaceSelector)
	assert.Equal(t, "namespace", spec.EnforcedNamespaceLabel)
	for _, object := range spec.ExcludedFromEnforcement {
		assert.Equal(t, "monitoring", object.Namespace, "%v", object)
	}
	for _, kind := range []string{"prometheusrules", "servicemonitors", "podmonitors"} {
		assert.True(t, slices.ContainsFunc(spec.ExcludedFromEnforcement, func(o monitoringv1.ObjectReference) bool {
			return o.Resource == kind && o.Name == ""
		}), "%s: the stack's own write series of other namespaces", kind)
	}
}

// On a cluster whose nodes have a node exporter already, the port is taken, and the chart's stays Pending.
func TestNodeExporterCanBeLeftOut(t *testing.T) {
	inputs := programReleases(t)[KubePrometheusStack]
	has := func() bool {
		return slices.ContainsFunc(pods(t, objects(t, inputs)), func(p pod) bool { return p.owner == "DaemonSet kps-prometheus-node-exporter" })
	}
	assert.True(t, has())
	inputs["values"].(map[string]any)["nodeExporter"] = map[string]any{"enabled": false}
	assert.False(t, has())
}
