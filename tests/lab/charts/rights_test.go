package charts

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// reads reports whether rules let a subject read a resource of the core group, other than by name.
func reads(rules []rbacv1.PolicyRule, resource string) bool {
	return slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool {
		has := func(list []string, names ...string) bool {
			return slices.ContainsFunc(list, func(s string) bool { return s == "*" || slices.Contains(names, s) })
		}
		return has(rule.APIGroups, "") && has(rule.Resources, resource) && has(rule.Verbs, "get", "list", "watch") && len(rule.ResourceNames) == 0
	})
}

// readers returns who may read a resource, as "account: cluster" or "account: namespace".
func readers(t *testing.T, all []*unstructured.Unstructured, resource string) []string {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	for _, o := range all {
		if kind := o.GetKind(); kind == "Role" || kind == "ClusterRole" {
			var role rbacv1.ClusterRole
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role))
			rules[kind+" "+o.GetNamespace()+"/"+o.GetName()] = role.Rules
		}
	}
	var found []string
	for _, o := range all {
		kind := o.GetKind()
		if kind != "RoleBinding" && kind != "ClusterRoleBinding" {
			continue
		}
		var binding rbacv1.RoleBinding
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &binding))
		role := binding.RoleRef.Kind + " /" + binding.RoleRef.Name
		if binding.RoleRef.Kind == "Role" {
			role = fmt.Sprintf("Role %s/%s", o.GetNamespace(), binding.RoleRef.Name)
		}
		if !reads(rules[role], resource) {
			continue
		}
		scope := "cluster"
		if kind == "RoleBinding" {
			scope = o.GetNamespace()
		}
		for _, subject := range binding.Subjects {
			found = append(found, subject.Name+": "+scope)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// programObjects returns every object that Helm creates for the program's releases, and what the program adds to them.
func programObjects(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for _, inputs := range programReleases(t) {
		all = append(all, objects(t, inputs)...)
	}
	return append(all, ownObjects(t)...)
}

// Who reads the Secrets of a cluster has every token and key in it.
func TestWhoReadsSecrets(t *testing.T) {
	want := []string{
		// The operator watches the Secrets with which monitors and Alertmanager authenticate, and writes those with the
		// configuration of Prometheus.
		"kps-operator: cluster",
	}
	if os.Getenv("LAB_CHARTS") == "" {
		// The hook Job that makes the certificate of the webhooks.
		want = append([]string{"kps-admission-create: monitoring", "kps-admission-patch: monitoring"}, want...)
	} else {
		want = append([]string{"kps-admission: monitoring"}, want...)
	}
	assert.ElementsMatch(t, want, readers(t, programObjects(t), "secrets"))
}

// ConfigMaps hold settings, and sometimes what should have been in a Secret.
func TestWhoReadsConfigMaps(t *testing.T) {
	found := readers(t, programObjects(t), "configmaps")
	assert.Contains(t, found, "kps-grafana: monitoring", "dashboards are ConfigMaps")
	assert.NotContains(t, found, "kps-grafana: cluster")
	assert.NotContains(t, found, "kps-kube-state-metrics: cluster")
}

// The test of who reads would pass with a chart of no roles at all.
func TestDefaultsOfTheChartReadEverySecret(t *testing.T) {
	var all []*unstructured.Unstructured
	for _, o := range render(t, KubePrometheusStack, "kps", programValues()) {
		all = append(all, o)
	}
	found := readers(t, all, "secrets")
	for _, account := range []string{"kps-grafana", "kps-kube-state-metrics", "kps-operator"} {
		assert.Contains(t, found, account+": cluster", "upstream's default; a stand-in that reads less would hide what the program changes")
	}
}

// A token in a pod that calls no API is of use only to who breaks into it.
func TestPodsWithoutAnAPIHaveNoToken(t *testing.T) {
	without := map[string]bool{"DaemonSet kps-prometheus-node-exporter": false, "DaemonSet dcgm-exporter": false}
	for _, inputs := range programReleases(t) {
		all := objects(t, inputs)
		for _, p := range pods(t, all) {
			if _, listed := without[p.owner]; listed {
				require.NotNil(t, p.spec.AutomountServiceAccountToken, p.owner)
				without[p.owner] = !*p.spec.AutomountServiceAccountToken
			}
		}
		for _, o := range all {
			if o.GetKind() == "Alertmanager" {
				mounts, found, err := unstructured.NestedBool(o.Object, "spec", "automountServiceAccountToken")
				require.NoError(t, err)
				assert.True(t, found && !mounts, "Alertmanager")
				without["Alertmanager"] = found && !mounts
			}
		}
	}
	for owner, done := range without {
		assert.True(t, done, owner)
	}
	assert.Contains(t, without, "Alertmanager")
}

// A webhook on the rules of all teams, whose operator is away, would keep them from changing any.
func TestWebhooksLetOthersBe(t *testing.T) {
	found := 0
	for _, o := range objects(t, programReleases(t)[KubePrometheusStack]) {
		if kind := o.GetKind(); kind != "ValidatingWebhookConfiguration" && kind != "MutatingWebhookConfiguration" {
			continue
		}
		found++
		hooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
		require.NoError(t, err)
		require.NotEmpty(t, hooks)
		for _, hook := range hooks {
			policy, _, err := unstructured.NestedString(hook.(map[string]any), "failurePolicy")
			require.NoError(t, err)
			assert.Equal(t, "Ignore", policy)
			selector, _, err := unstructured.NestedSlice(hook.(map[string]any), "namespaceSelector", "matchExpressions")
			require.NoError(t, err)
			assert.Contains(t, selector, map[string]any{"key": "kubernetes.io/metadata.name", "operator": "In", "values": []any{"monitoring"}})
		}
	}
	assert.Equal(t, 2, found, "one that completes rules, one that checks them")
}
