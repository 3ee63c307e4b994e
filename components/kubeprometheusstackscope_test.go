package components

import (
	"slices"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	krbacv1 "k8s.io/api/rbac/v1"
)

const (
	roleType        = "kubernetes:rbac.authorization.k8s.io/v1:Role"
	roleBindingType = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
)

// namesIn are the namespaces that a selector in a chart's values selects.
func namesIn(t *testing.T, selector any) []any {
	t.Helper()
	expressions := path(t, selector.(map[string]any), "matchExpressions").([]any)
	assert.Len(t, expressions, 1)
	expression := expressions[0].(map[string]any)
	assert.Equal(t, "kubernetes.io/metadata.name", expression["key"])
	assert.Equal(t, "In", expression["operator"])
	return expression["values"].([]any)
}

// An operator without instance namespaces takes every Prometheus of the cluster over.
func TestOperatorLeavesOthersAlone(t *testing.T) {
	args := kubePrometheusStackArgs()
	args.Namespace, args.WatchNamespaces = "observability", []string{"apps"}
	values := kubePrometheusStackValues(args)
	for _, kind := range []string{"prometheus", "alertmanager", "thanosRuler"} {
		assert.Equal(t, []any{"observability"}, path(t, values, "prometheusOperator", kind+"InstanceNamespaces"), kind)
	}
	webhooks := path(t, values, "prometheusOperator", "admissionWebhooks").(map[string]any)
	assert.Equal(t, "Ignore", webhooks["failurePolicy"], "without an answer nobody could change a rule")
	assert.Equal(t, []any{"apps", "observability"}, namesIn(t, webhooks["namespaceSelector"]), "rules of others are none of its business")
}

// Another operator of the cluster must not run the stack's Prometheus.
func TestOthersLeaveThePrometheusAlone(t *testing.T) {
	const id, annotation = "monitoring/kps-operator", "operator.prometheus.io/controller-id"
	withValues := func(values map[string]any) map[string]any {
		args := kubePrometheusStackArgs()
		args.Values = values
		return kubePrometheusStackValues(args)
	}
	for _, kind := range []string{"prometheus", "alertmanager"} {
		assert.Equal(t, id, path(t, withValues(nil), kind, "annotations", annotation))
	}
	assert.Equal(t, []any{"--controller-id=" + id}, path(t, withValues(nil), "prometheusOperator", "extraArgs"))

	t.Run("arguments of the user stay", func(t *testing.T) {
		given := []any{"--labels=a=b"}
		values := withValues(map[string]any{"prometheusOperator": map[string]any{"extraArgs": given}})
		assert.Equal(t, []any{"--labels=a=b", "--controller-id=" + id}, path(t, values, "prometheusOperator", "extraArgs"))
		assert.Len(t, given, 1)
	})
	t.Run("encrypted ones too", func(t *testing.T) {
		var seen any
		run(t, func(ctx *pulumi.Context, _ pulumi.ResourceOption) error {
			secret := pulumi.ToSecret(pulumi.Any([]any{"--labels=a=b"}))
			list := path(t, withValues(map[string]any{"prometheusOperator": map[string]any{"extraArgs": secret}}), "prometheusOperator", "extraArgs")
			ctx.Export("seen", list.(pulumi.Output).ApplyT(func(v []any) bool { seen = v; return true }))
			assert.True(t, pulumi.IsSecret(list.(pulumi.Output)))
			return nil
		})
		assert.Equal(t, []any{"--labels=a=b", "--controller-id=" + id}, seen)
	})
	t.Run("without an operator another one has to run it", func(t *testing.T) {
		values := withValues(map[string]any{"prometheusOperator": map[string]any{"enabled": false}})
		assert.NotContains(t, values["prometheus"], "annotations")
		assert.NotContains(t, values["prometheusOperator"], "extraArgs")
	})
}

// Whoever writes a rule that Prometheus reads decides how many GPUs run.
func TestPrometheusReadsTheStacksObjectsOnly(t *testing.T) {
	rules, monitors := []string{"rule", "probe", "scrapeConfig"}, []string{"serviceMonitor", "podMonitor"}
	selected := func(args *KubePrometheusStackArgs, kind string) []any {
		spec := path(t, kubePrometheusStackValues(args), "prometheus", "prometheusSpec").(map[string]any)
		return namesIn(t, spec[kind+"NamespaceSelector"])
	}
	args := kubePrometheusStackArgs()
	for _, kind := range rules {
		assert.Equal(t, []any{"monitoring"}, selected(args, kind), kind)
	}
	for _, kind := range monitors {
		assert.Equal(t, []any{"monitoring", "vllm"}, selected(args, kind), "%s: the server's is in its namespace", kind)
	}
	args.WatchNamespaces = []string{"vllm", "apps"}
	for _, kind := range slices.Concat(rules, monitors) {
		assert.Equal(t, []any{"apps", "monitoring", "vllm"}, selected(args, kind), kind)
	}
	configurations := path(t, kubePrometheusStackValues(args), "alertmanager", "alertmanagerSpec", "alertmanagerConfigNamespaceSelector")
	assert.Equal(t, []any{"apps", "monitoring", "vllm"}, namesIn(t, configurations))

	// Those of a named namespace write the series of their own; the stack's write those of the serving namespace.
	spec := path(t, kubePrometheusStackValues(args), "prometheus", "prometheusSpec").(map[string]any)
	assert.Equal(t, "namespace", spec["enforcedNamespaceLabel"])
	var excluded []any
	for _, object := range spec["excludedFromEnforcement"].([]any) {
		assert.Equal(t, "monitoring", object.(map[string]any)["namespace"])
		assert.Equal(t, "monitoring.coreos.com", object.(map[string]any)["group"])
		excluded = append(excluded, object.(map[string]any)["resource"])
	}
	assert.Equal(t, []any{"prometheusrules", "servicemonitors", "podmonitors", "probes", "scrapeconfigs"}, excluded)
}

func TestGrafanaReadsConfigMapsOnly(t *testing.T) {
	r := runKubePrometheusStack(t, kubePrometheusStackArgs())
	role := decode[krbacv1.Role](t, r.get(t, roleType, GrafanaRole))
	assert.Equal(t, "monitoring", role.Namespace)
	assert.Equal(t, []krbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch"}}}, role.Rules)
	binding := decode[krbacv1.RoleBinding](t, r.get(t, roleBindingType, GrafanaRole))
	assert.Equal(t, krbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: GrafanaRole}, binding.RoleRef)
	assert.Equal(t, []krbacv1.Subject{{Kind: "ServiceAccount", Name: "kps-grafana", Namespace: "monitoring"}}, binding.Subjects)
	assert.True(t, r.get(t, releaseType, "kps").dependsOn(roleBindingType, GrafanaRole), "its sidecars end without their rights")

	grafana := path(t, kubePrometheusStackValues(kubePrometheusStackArgs()), "grafana").(map[string]any)
	assert.Equal(t, map[string]any{"create": false, "namespaced": true}, grafana["rbac"])
	for _, sidecar := range []string{"dashboards", "datasources"} {
		assert.Equal(t, "monitoring", path(t, grafana, "sidecar", sidecar, "searchNamespace"), sidecar)
		assert.Equal(t, "configmap", path(t, grafana, "sidecar", sidecar, "resource"), sidecar)
	}
}

func TestKubeStateMetricsReadsNoSecrets(t *testing.T) {
	collectors := path(t, kubePrometheusStackValues(kubePrometheusStackArgs()), "kube-state-metrics", "collectors").([]any)
	assert.NotContains(t, collectors, "secrets")
	assert.NotContains(t, collectors, "configmaps")
	// The dashboards and alerts read these.
	for _, kind := range []string{"deployments", "horizontalpodautoscalers", "nodes", "persistentvolumeclaims", "pods", "poddisruptionbudgets"} {
		assert.Contains(t, collectors, kind)
	}
}
