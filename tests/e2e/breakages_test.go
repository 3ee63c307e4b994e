package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"vllm-autoscaling/components"
)

// patch applies a merge patch, and another one as the repair.
func (v *verifier) patch(t *testing.T, kind schema.GroupVersionResource, namespace, name, broken, repaired string) func() {
	t.Helper()
	apply := func(patch string) {
		_, err := v.dynamic.Resource(kind).Namespace(namespace).Patch(testContext(t), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	apply(broken)
	return func() { apply(repaired) }
}

// remove deletes an object, and creates it again as the repair.
func (v *verifier) remove(t *testing.T, kind schema.GroupVersionResource, namespace, name string) func() {
	t.Helper()
	client := v.dynamic.Resource(kind).Namespace(namespace)
	object, err := client.Get(testContext(t), name, metav1.GetOptions{})
	require.NoError(t, err)
	require.NoError(t, client.Delete(testContext(t), name, metav1.DeleteOptions{}))
	return func() {
		for _, field := range []string{"resourceVersion", "uid", "managedFields", "creationTimestamp"} {
			unstructured.RemoveNestedField(object.Object, "metadata", field)
		}
		_, err := client.Create(testContext(t), object, metav1.CreateOptions{})
		require.NoError(t, err)
	}
}

// endpoint changes the endpoint of the server's ServiceMonitor.
func (v *verifier) endpoint(t *testing.T, change func(map[string]any)) func() {
	t.Helper()
	client := v.dynamic.Resource(serviceMonitors).Namespace(serving)
	object, err := client.Get(testContext(t), components.VLLMName, metav1.GetOptions{})
	require.NoError(t, err)
	before, found, err := unstructured.NestedSlice(object.Object, "spec", "endpoints")
	require.NoError(t, err)
	require.True(t, found)
	require.Len(t, before, 1)
	set := func(endpoints []any) {
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"endpoints": endpoints}})
		require.NoError(t, err)
		_, err = client.Patch(testContext(t), components.VLLMName, types.MergePatchType, patch, metav1.PatchOptions{})
		require.NoError(t, err)
	}
	after, _, err := unstructured.NestedSlice(object.DeepCopy().Object, "spec", "endpoints")
	require.NoError(t, err)
	change(after[0].(map[string]any))
	set(after)
	return func() { set(before) }
}

// otherImage runs a program in the pods that is ready and serves other metrics.
func otherImage(t *testing.T, v *verifier) func() {
	t.Helper()
	return v.template(t, serving, components.VLLMName, func(pod *corev1.PodSpec) {
		container := &pod.Containers[0]
		container.Image = "example.invalid/dcgm-exporter:1"
		container.Args, container.Command = nil, nil
		container.Env = append(container.Env, corev1.EnvVar{Name: "DCGM_EXPORTER_LISTEN", Value: fmt.Sprintf(":%d", apiPort)})
	})
}

// slowRules causes samples that are too old. Depending on the intervals, the adapter could drop the metric before that,
// because it lists metrics with a sample since the last listing; it is configured to keep them.
func slowRules(t *testing.T, v *verifier) func() {
	t.Helper()
	restoreAdapter := v.template(t, monitoring, components.PrometheusAdapterRelease, func(pod *corev1.PodSpec) {
		pod.Containers[0].Args = append(pod.Containers[0].Args, "--metrics-max-age=5m")
	})
	client := v.dynamic.Resource(prometheusRules).Namespace(monitoring)
	set := func(interval any) (before any) {
		object, err := client.Get(testContext(t), components.GPURulesName, metav1.GetOptions{})
		require.NoError(t, err)
		groups, found, err := unstructured.NestedSlice(object.Object, "spec", "groups")
		require.NoError(t, err)
		require.True(t, found)
		group := groups[0].(map[string]any)
		before, group["interval"] = group["interval"], interval
		require.NoError(t, unstructured.SetNestedSlice(object.Object, groups, "spec", "groups"))
		_, err = client.Update(testContext(t), object, metav1.UpdateOptions{})
		require.NoError(t, err)
		return before
	}
	before := set("40s")
	return func() {
		set(before)
		restoreAdapter()
	}
}

// template changes the pods of a Deployment.
func (v *verifier) template(t *testing.T, namespace, name string, change func(*corev1.PodSpec)) (restore func()) {
	t.Helper()
	client := v.lab.Client().AppsV1().Deployments(namespace)
	original, err := client.Get(testContext(t), name, metav1.GetOptions{})
	require.NoError(t, err)
	set := func(template corev1.PodTemplateSpec) {
		eventuallyNoError(t, 10*time.Second, func(ctx context.Context) error {
			now, err := client.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			now.Spec.Template = template
			_, err = client.Update(ctx, now, metav1.UpdateOptions{})
			return err
		})
	}
	changed := original.Spec.Template.DeepCopy()
	change(&changed.Spec)
	set(*changed)
	return func() { set(original.Spec.Template) }
}

// foreignRule records a series of the server, in a namespace whose rules Prometheus evaluates.
func foreignRule(t *testing.T, v *verifier) func() {
	t.Helper()
	client := v.dynamic.Resource(prometheusRules).Namespace(monitoring)
	_, err := client.Create(testContext(t), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": map[string]any{"name": "bill"},
		"spec": map[string]any{"groups": []any{map[string]any{"name": "bill", "interval": "2s", "rules": []any{map[string]any{
			"record": "vllm:num_requests_running", "expr": "vector(0)", "labels": map[string]any{"namespace": serving, "pod": "nobody"},
		}}}}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	return func() { require.NoError(t, client.Delete(testContext(t), "bill", metav1.DeleteOptions{})) }
}

// adapterWithoutInFlight removes one rule from the adapter's file, which it reads when it starts.
func adapterWithoutInFlight(t *testing.T, v *verifier) func() {
	t.Helper()
	client := v.lab.Client().CoreV1().ConfigMaps(monitoring)
	original, err := client.Get(testContext(t), components.PrometheusAdapterRules, metav1.GetOptions{})
	require.NoError(t, err)
	set := func(text string) {
		patch, err := json.Marshal(map[string]any{"data": map[string]string{"config.yaml": text}})
		require.NoError(t, err)
		_, err = client.Patch(testContext(t), components.PrometheusAdapterRules, types.MergePatchType, patch, metav1.PatchOptions{})
		require.NoError(t, err)
		require.NoError(t, v.lab.Client().CoreV1().Pods(monitoring).DeleteCollection(testContext(t), metav1.DeleteOptions{},
			metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=prometheus-adapter"}))
	}
	text := original.Data["config.yaml"]
	require.Contains(t, text, "as: vllm_requests_in_flight")
	// Under another name, the rule has no effect.
	set(strings.ReplaceAll(text, "as: vllm_requests_in_flight", "as: another_name"))
	return func() { set(text) }
}
