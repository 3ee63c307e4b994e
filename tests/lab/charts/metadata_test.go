package charts

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"vllm-autoscaling/components"
)

// owned is the metadata of a stack's owner. An annotation may look like a template.
var owned = components.Metadata{
	Labels:        map[string]string{"cost-center": "4711", "example.com/team": "ml"},
	Annotations:   map[string]string{"example.com/owner": "ML platform", "example.com/form": "{{ .Release.Name }} {{`x`}}\n'\"}}"},
	MonitorLabels: map[string]string{"release": "platform"},
}

// unlabelled are the objects whose chart has no value for their labels, by chart: of these kinds, and for "pods" the pods too.
// docs/existing-clusters.md lists them.
var unlabelled = map[string][]string{
	"nvidia-device-plugin": {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "DaemonSet", "pods"},
	"dcgm-exporter": {
		"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet", "Service",
	},
}

// crdHooks are the objects of kube-prometheus-stack's Job for the CRDs that have no value for labels. Helm deletes them after each
// upgrade.
var crdHooks = []string{"ClusterRole kps-crds-upgrade", "ClusterRoleBinding kps-crds-upgrade", "ConfigMap kps-crds-upgrade"}

// unannotated are the workloads whose chart has no value for their annotations; their pods have them.
var unannotated = []string{"DaemonSet nvidia-device-plugin", "DaemonSet nvidia-device-plugin-mps-control-daemon", "DaemonSet dcgm-exporter"}

// workloads are the kinds that get the annotations. Few charts have a value for those of other kinds.
var workloads = []string{"Deployment", "DaemonSet", "StatefulSet", "Job", "Prometheus", "Alertmanager"}

// TestChartsPassTheOwnersMetadata checks every object that the charts make: its labels, the annotations of workloads and pods, and
// that no selector has a label of them.
func TestChartsPassTheOwnersMetadata(t *testing.T) {
	for name, inputs := range releasesWith(t, owned) {
		t.Run(name, func(t *testing.T) {
			all := objects(t, inputs)
			for _, o := range all {
				what := o.GetKind() + " " + o.GetName()
				assert.False(t, selects(o.Object, false), "%s: a selector has a label of the owner's", what)
				if !slices.Contains(unlabelled[name], o.GetKind()) && !slices.Contains(crdHooks, what) && o.GetKind() != "CustomResourceDefinition" {
					assert.Subset(t, o.GetLabels(), owned.Labels, what)
				}
				if slices.Contains(workloads, o.GetKind()) && !slices.Contains(unannotated, what) {
					assert.Subset(t, o.GetAnnotations(), owned.Annotations, what)
				}
				if metadata, ok, err := unstructured.NestedMap(o.Object, "spec", "podMetadata"); ok {
					require.NoError(t, err)
					made := unstructured.Unstructured{Object: map[string]any{"metadata": metadata}}
					assert.Subset(t, made.GetLabels(), owned.Labels, what)
					assert.Subset(t, made.GetAnnotations(), owned.Annotations, what)
				} else if slices.Contains([]string{"Prometheus", "Alertmanager"}, o.GetKind()) {
					assert.Fail(t, "no metadata of the pods", what)
				}
			}
			for _, p := range pods(t, all) {
				if !slices.Contains(unlabelled[name], "pods") {
					assert.Subset(t, p.labels, owned.Labels, p.owner)
				}
				assert.Subset(t, p.meta, owned.Annotations, p.owner)
			}
		})
	}
}

// TestMonitorLabelsOfCharts checks that only the exporter's monitor has the labels for another Prometheus: those of
// kube-prometheus-stack are about the stack's own Prometheus and what every cluster's platform scrapes already.
func TestMonitorLabelsOfCharts(t *testing.T) {
	found := 0
	for name, inputs := range releasesWith(t, owned) {
		for _, o := range objects(t, inputs) {
			if o.GetLabels()["release"] == "platform" {
				found++
				assert.Equal(t, "dcgm-exporter ServiceMonitor", name+" "+o.GetKind())
			}
		}
	}
	assert.Equal(t, 1, found)
}

// TestPrometheusSelectsWhateverTheLabels checks that the stack's own Prometheus reads its monitors and rules with other labels too.
func TestPrometheusSelectsWhateverTheLabels(t *testing.T) {
	for _, o := range objects(t, releasesWith(t, owned)[KubePrometheusStack]) {
		if o.GetKind() != "Prometheus" {
			continue
		}
		for _, kind := range []string{"serviceMonitor", "podMonitor", "rule"} {
			selector, ok, err := unstructured.NestedMap(o.Object, "spec", kind+"Selector")
			require.NoError(t, err)
			assert.True(t, ok && len(selector) == 0, "%s: %v", kind, selector)
		}
		return
	}
	require.Fail(t, "no Prometheus")
}

// selects reports whether a selector below a value has a label of the owner's.
func selects(value any, inside bool) bool {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if _, of := owned.Labels[key]; inside && of || selects(value[key], inside || key == "selector" || key == "matchLabels" || key == "labelSelector") {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, func(v any) bool { return selects(v, inside) })
	}
	return false
}
