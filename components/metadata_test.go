package components

import (
	"testing"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

// TestAddMetadata checks that an object keeps its own labels and annotations, whether they are known or not, and that only a monitor
// has the labels of monitors.
func TestAddMetadata(t *testing.T) {
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		if err := AddMetadata(ctx, Metadata{
			Labels:        map[string]string{"team": "ml", "own": "no", "release": "labels"},
			Annotations:   map[string]string{"owner": "ml"},
			MonitorLabels: map[string]string{"release": "platform"},
		}); err != nil {
			return err
		}
		for name, metadata := range map[string]metav1.ObjectMetaArgs{
			"none":   {},
			"known":  {Labels: pulumi.StringMap{"own": pulumi.String("yes")}, Annotations: skipAwait()},
			"output": {Labels: pulumi.StringMap{"own": pulumi.String("yes")}.ToStringMapOutput()},
		} {
			metadata.Name = pulumi.String(name)
			if _, err := corev1.NewConfigMap(ctx, name, &corev1.ConfigMapArgs{Metadata: metadata}, provider); err != nil {
				return err
			}
		}
		_, err := newServiceMonitor(ctx, "serving", "monitor", monitoringv1.ServiceMonitorSpec{}, []pulumi.ResourceOption{provider})
		return err
	})
	for name, want := range map[string]struct{ labels, annotations map[string]any }{
		"none":   {map[string]any{"team": "ml", "own": "no", "release": "labels"}, map[string]any{"owner": "ml"}},
		"known":  {map[string]any{"team": "ml", "own": "yes", "release": "labels"}, map[string]any{"owner": "ml", "pulumi.com/skipAwait": "true"}},
		"output": {map[string]any{"team": "ml", "own": "yes", "release": "labels"}, map[string]any{"owner": "ml"}},
		"monitor": {map[string]any{"team": "ml", "own": "no", "release": "platform", "app.kubernetes.io/part-of": "vllm-autoscaling",
			"app.kubernetes.io/managed-by": "pulumi"}, map[string]any{"owner": "ml"}},
	} {
		found := false
		for _, reg := range r.registrations {
			if reg.Name != name {
				continue
			}
			found = true
			metadata := reg.Inputs.Mappable()["metadata"].(map[string]any)
			assert.Equal(t, want.labels, metadata["labels"], name)
			assert.Equal(t, want.annotations, metadata["annotations"], name)
		}
		require.True(t, found, name)
	}
}

// TestWithoutMetadataNothingChanges checks that objects without labels and annotations stay without the fields.
func TestWithoutMetadataNothingChanges(t *testing.T) {
	for name, metadata := range map[string]Metadata{"nothing": {}, "monitors only": {MonitorLabels: map[string]string{"a": "b"}}} {
		r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			if err := AddMetadata(ctx, metadata); err != nil {
				return err
			}
			_, err := corev1.NewConfigMap(ctx, "object", &corev1.ConfigMapArgs{Metadata: metav1.ObjectMetaArgs{Name: pulumi.String("object")}}, provider)
			return err
		})
		object := r.registrations[len(r.registrations)-1]
		assert.Equal(t, map[string]any{"name": "object"}, object.Inputs.Mappable()["metadata"], name)
	}
}

func TestChartValuesOfMetadata(t *testing.T) {
	chart := metadataValues{labels: []string{"a.b"}, annotations: []string{"a.c"}, monitors: []string{"m"}, templates: []string{"t"}}
	assert.Empty(t, Metadata{}.values(chart))
	assert.Equal(t, map[string]any{
		"a": map[string]any{"b": map[string]any{"team": "ml"}, "c": map[string]any{"x.y/z": "{{ v }}"}},
		"m": map[string]any{"team": "ml", "release": "platform"},
		"t": map[string]any{"x.y/z": "{{`{{`}} v }}"},
	}, Metadata{
		Labels: map[string]string{"team": "ml"}, Annotations: map[string]string{"x.y/z": "{{ v }}"}, MonitorLabels: map[string]string{"release": "platform"},
	}.values(chart))
}

func TestReservedKeys(t *testing.T) {
	for key, reserved := range map[string]struct{ label, monitor, annotation bool }{
		"team":                      {},
		"example.com/team":          {},
		"notkubernetes.io/team":     {},
		"kueue.x-k8s.io/queue-name": {},
		"app":                       {label: true},
		"release":                   {label: true},
		"app.kubernetes.io/name":    {true, true, true},
		"node.kubernetes.io/a":      {true, true, true},
		"metrics.k8s.io/a":          {true, true, true},
		"vllm-autoscaling/a":        {true, true, true},
		"meta.helm.sh/release-name": {true, true, true},
		"pulumi.com/skipAwait":      {true, true, true},
		controllerAnnotation:        {true, true, true},
		"kubernetes.io/description": {true, true, false},
		"checksum/config":           {annotation: true},
		namespaceNameLabel:          {true, true, true},
		dashboardLabel:              {label: true},
	} {
		assert.Equal(t, reserved.label, ReservedLabel(key) != "", "label %s", key)
		assert.Equal(t, reserved.monitor, ReservedMonitorLabel(key) != "", "label %s of monitors", key)
		assert.Equal(t, reserved.annotation, ReservedAnnotation(key) != "", "annotation %s", key)
	}
	// Every label that the program selects by or sets is reserved.
	for _, labels := range []map[string]string{vllmSelector(VLLMName), stackdriverSelector(), commonLabels(), {instanceLabel: ""}} {
		for key := range labels {
			assert.NotEmpty(t, ReservedLabel(key), key)
		}
	}
}
