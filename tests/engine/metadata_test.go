package engine

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// owned are the labels and annotations of a stack's owner.
var (
	ownedLabels      = map[string]any{"cost-center": "ml-4711", "example.com/team": "inference"}
	ownedAnnotations = map[string]any{"example.com/owner": "ML platform, floor 3"}
	monitorLabels    = map[string]any{"release": "platform"}
	ownedKeys        = map[string]any{
		"labels": ownedLabels, "annotations": ownedAnnotations, "monitoring.monitorLabels": monitorLabels,
	}
)

// withoutMetadata are the kinds that get neither labels nor annotations, with the reason.
var withoutMetadata = map[string]string{
	"Release": "it is no object of the cluster: the objects of its chart get them through its values",
}

// releaseLabels are values of each release that hold the labels, as dotted paths; none where its chart has no value for them.
var releaseLabels = map[string][]string{
	"kps":                  {"commonLabels", "prometheus.prometheusSpec.podMetadata.labels", "grafana.extraLabels"},
	"prometheus-adapter":   {"customLabels"},
	"dcgm-exporter":        {"podLabels", "serviceMonitor.additionalLabels"},
	"nvidia-device-plugin": nil,
	"cluster-autoscaler":   {"additionalLabels"},
}

// releaseAnnotations are the same for the annotations.
var releaseAnnotations = map[string][]string{
	"kps":                  {"prometheus.prometheusSpec.podMetadata.annotations", "grafana.podAnnotations"},
	"prometheus-adapter":   {"customAnnotations"},
	"dcgm-exporter":        {"podAnnotations"},
	"nvidia-device-plugin": {"podAnnotations"},
	"cluster-autoscaler":   {"podAnnotations"},
}

var monitorKinds = []string{"ServiceMonitor", "PodMonitor", "PrometheusRule", "PodMonitoring", "ClusterPodMonitoring", "ClusterRules"}

// TestEveryObjectHasTheOwnersMetadata checks every Kubernetes resource of a stack: it has the labels and annotations of the
// configuration, in the template of its pods too, only monitors and rules have monitoring.monitorLabels, no selector has any of
// them, and the next update changes nothing.
func TestEveryObjectHasTheOwnersMetadata(t *testing.T) {
	onGPU := map[string]any{"gpu.mode": "nvidia", "huggingFaceToken": token, "apiKey": secret("key-of-clients"), "monitoring.clientNamespaces": []any{"ingress"}}
	template := podTemplate(t, `{metadata: {labels: {tier: gpu}, annotations: {example.com/mesh: "off"}}, spec: {runtimeClassName: nvidia}}`)
	for name, test := range map[string]struct {
		cloud string
		keys  map[string]any
		// kinds are some that the stack has to have: without them, the test would check too little.
		kinds []string
	}{
		"local, simulated":      {"local", nil, []string{"Namespace", "Deployment", "Service", "HorizontalPodAutoscaler", "PrometheusRule", "Release"}},
		"local, on GPUs":        {"local", onGPU, []string{"Secret", "ConfigMap", "NetworkPolicy", "ServiceMonitor", "Role", "APIService", "PodDisruptionBudget"}},
		"local, a pod template": {"local", map[string]any{"vllm.podTemplate": template}, []string{"Deployment"}},
		"local, a secret pod template": {"local", map[string]any{
			"vllm.podTemplate": template, "vllm.priorityClassName": secret("a-hidden-class"), "gpu.mode": "nvidia", "huggingFaceToken": token, "apiKey": token,
		}, []string{"Deployment"}},
		"gke": {"gke", nil, []string{"PodMonitor", "ServiceAccount"}},
		"gke, metrics by Google": {"gke", map[string]any{"metrics": managed},
			[]string{"PodMonitoring", "ClusterPodMonitoring", "ClusterRules", "ClusterRoleBinding", "Deployment"}},
		"eks": {"eks", nil, []string{"Release"}},
		"aks": {"aks", nil, []string{"Release"}},
	} {
		t.Run(name, func(t *testing.T) {
			keys := map[string]any{}
			maps.Copy(keys, ownedKeys)
			maps.Copy(keys, test.keys)
			var s *stack
			if test.cloud == "local" {
				s = newStack(t, test.cloud, keys)
			} else {
				s = newCloudStack(t, test.cloud, keys).stack
			}
			s.up()
			found := map[string]bool{}
			for _, r := range s.resources() {
				if !strings.HasPrefix(r.Type, "kubernetes:") {
					continue
				}
				kind := r.Type[strings.LastIndexByte(r.Type, ':')+1:]
				found[kind] = true
				checkSelectors(t, r.URN, r.Inputs, false)
				switch {
				case kind == "Release":
					checkRelease(t, r.Name, r.Inputs)
				case withoutMetadata[kind] == "":
					checkMetadata(t, r.URN, r.Inputs["metadata"], slices.Contains(monitorKinds, kind))
				}
				if template, ok := below(r.Inputs, "spec.template"); ok && kind != "Release" {
					checkMetadata(t, r.URN+" pods", template.(map[string]any)["metadata"], false)
				}
			}
			for _, kind := range test.kinds {
				assert.True(t, found[kind], "no %s", kind)
			}
			assert.Empty(t, s.up().changes())
		})
	}
}

// TestThePodTemplateWinsOverTheOwnersMetadata checks that the pod of the server has the label of its own template, where the stack's
// is another.
func TestThePodTemplateWinsOverTheOwnersMetadata(t *testing.T) {
	s := newStack(t, "local", map[string]any{
		"labels": ownedLabels, "vllm.podTemplate": podTemplate(t, `metadata: {labels: {cost-center: "serving"}}`),
	})
	s.up()
	deployment := plain(s.find("Deployment", "vllm").Inputs)
	pod, _ := below(deployment, "spec.template.metadata.labels.cost-center")
	object, _ := below(deployment, "metadata.labels.cost-center")
	assert.Equal(t, []any{"serving", "ml-4711"}, []any{pod, object})
}

// TestTheOwnersMetadataReplacesNothing checks that labels and annotations of a stack that is deployed are added and removed in place.
func TestTheOwnersMetadataReplacesNothing(t *testing.T) {
	s := newStack(t, "local", nil)
	s.up()
	before := s.inputs()
	for key, value := range ownedKeys {
		s.set(key, value)
	}
	changes := s.up().changes()
	for _, change := range changes {
		assert.True(t, strings.HasPrefix(change, "update "), change)
	}
	assert.Contains(t, changes, "update Deployment vllm")
	assert.Contains(t, changes, "update Namespace vllm")
	for key := range ownedKeys {
		delete(s.keys, key)
	}
	s.up()
	assert.Equal(t, before, s.inputs(), "and without the keys everything is as before")
}

// TestMonitorLabelsChangeMonitorsAndRulesOnly checks what a change of monitoring.monitorLabels updates.
func TestMonitorLabelsChangeMonitorsAndRulesOnly(t *testing.T) {
	s := newStack(t, "local", nil)
	s.up()
	s.set("monitoring.monitorLabels", monitorLabels)
	assert.ElementsMatch(t, []string{"update ServiceMonitor vllm", "update PrometheusRule vllm-signals", "update PrometheusRule vllm-alerts"}, s.up().changes())
}

// inputs returns the inputs of every resource of the state, by its URN.
func (s *stack) inputs() map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, r := range s.resources() {
		all[r.URN] = r.Inputs
	}
	return all
}

func checkMetadata(t *testing.T, what string, metadata any, monitor bool) {
	t.Helper()
	fields, _ := metadata.(map[string]any)
	labels, _ := fields["labels"].(map[string]any)
	annotations, _ := fields["annotations"].(map[string]any)
	assert.Subset(t, labels, ownedLabels, what)
	assert.Subset(t, annotations, ownedAnnotations, what)
	if monitor {
		assert.Subset(t, labels, monitorLabels, what)
		return
	}
	assert.NotContains(t, labels, "release", what)
}

func checkRelease(t *testing.T, name string, inputs map[string]any) {
	t.Helper()
	labels, known := releaseLabels[name]
	require.True(t, known, "release %s: add it to releaseLabels and releaseAnnotations", name)
	for _, path := range labels {
		entries, ok := below(inputs, "values."+path)
		require.True(t, ok, "%s: %s", name, path)
		assert.Subset(t, entries, ownedLabels, path)
	}
	for _, path := range releaseAnnotations[name] {
		entries, ok := below(inputs, "values."+path)
		require.True(t, ok, "%s: %s", name, path)
		assert.Subset(t, entries, ownedAnnotations, path)
	}
	if name == "dcgm-exporter" {
		entries, _ := below(inputs, "values.serviceMonitor.additionalLabels")
		assert.Subset(t, entries, monitorLabels)
	}
}

// checkSelectors checks that no selector below a value has an entry of the owner's.
func checkSelectors(t *testing.T, what string, value any, inside bool) {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			for _, owned := range []map[string]any{ownedLabels, ownedAnnotations, monitorLabels} {
				assert.False(t, inside && owned[key] != nil && owned[key] == inner, "%s: a selector has %s", what, key)
			}
			lower := strings.ToLower(key)
			checkSelectors(t, what, inner, inside || strings.HasSuffix(lower, "selector") || strings.HasPrefix(lower, "match"))
		}
	case []any:
		for _, inner := range value {
			checkSelectors(t, what, inner, inside)
		}
	}
}

// below returns the value at a dotted path of inputs.
func below(inputs map[string]any, path string) (any, bool) {
	var value any = inputs
	for part := range strings.SplitSeq(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = object[part]; !ok {
			return nil, false
		}
	}
	return value, true
}
