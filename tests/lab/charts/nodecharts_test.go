package charts

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

func TestDevicePluginReadsWhatTheProgramSets(t *testing.T) {
	r := render(t, "nvidia-device-plugin", "nvidia-device-plugin", map[string]any{
		"fullnameOverride": "nvidia-device-plugin",
		"nodeSelector":     map[string]any{"nvidia.com/gpu.present": "true"},
		"tolerations":      []any{map[string]any{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}},
		"resources":        map[string]any{"requests": map[string]any{"cpu": "10m"}},
	})
	daemon := typed[appsv1.DaemonSet](t, r, "DaemonSet monitoring/nvidia-device-plugin")
	pod := daemon.Spec.Template.Spec
	assert.Equal(t, "nvcr.io/nvidia/k8s-device-plugin:v0.20.0", pod.Containers[0].Image)
	assert.Equal(t, map[string]string{"nvidia.com/gpu.present": "true"}, pod.NodeSelector)
	assert.Equal(t, []corev1.Toleration{{Key: "sku", Operator: corev1.TolerationOpEqual, Value: "gpu", Effect: corev1.TaintEffectNoSchedule}}, pod.Tolerations)
	assert.Equal(t, "system-node-critical", pod.PriorityClassName)
	assert.Equal(t, "10m", pod.Containers[0].Resources.Requests.Cpu().String())
	for key, value := range daemon.Spec.Selector.MatchLabels {
		assert.Equal(t, value, daemon.Spec.Template.Labels[key])
	}
	terms := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	assert.Len(t, terms, 3, "a node without one of the three labels gets no plugin, as upstream")
}

// TestNodeChartsReadAnAffinity checks the affinity with which the program selects the nodes of several GPU pools: it replaces the
// chart's own.
func TestNodeChartsReadAnAffinity(t *testing.T) {
	term := map[string]any{"matchExpressions": []any{map[string]any{"key": "vllm-autoscaling/pool", "operator": "Exists"}}}
	values := map[string]any{"affinity": map[string]any{"nodeAffinity": map[string]any{
		"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{"nodeSelectorTerms": []any{term}},
	}}}
	for _, chart := range []string{"nvidia-device-plugin", "dcgm-exporter"} {
		daemon := typed[appsv1.DaemonSet](t, render(t, chart, chart, values), "DaemonSet monitoring/"+chart)
		assert.Equal(t, []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: "vllm-autoscaling/pool", Operator: corev1.NodeSelectorOpExists},
		}}}, daemon.Spec.Template.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms, chart)
	}
}

// TestDevicePluginRefusesTheDefaultNamespace checks a refusal of the upstream chart, on which the stack would otherwise fail
// only on a real cluster.
func TestDevicePluginRefusesTheDefaultNamespace(t *testing.T) {
	c, err := Load("nvidia-device-plugin")
	require.NoError(t, err)
	install := action.NewInstall(&action.Configuration{Log: t.Logf})
	install.ReleaseName, install.Namespace, install.DryRun, install.ClientOnly = "x", "default", true, true
	_, err = install.Run(c, nil)
	assert.ErrorContains(t, err, "default namespace")
}

func TestClusterAutoscalerReadsWhatTheProgramSets(t *testing.T) {
	r := render(t, "cluster-autoscaler", "cluster-autoscaler", map[string]any{
		"fullnameOverride": "cluster-autoscaler", "cloudProvider": "aws", "awsRegion": "eu-central-1",
		"autoDiscovery":            map[string]any{"clusterName": "prod"},
		"rbac":                     map[string]any{"serviceAccount": map[string]any{"create": true, "name": "scaler"}},
		"extraArgs":                map[string]any{"skip-nodes-with-local-storage": true, "expander": "least-waste"},
		"containerSecurityContext": map[string]any{"readOnlyRootFilesystem": true},
		"securityContext":          map[string]any{"runAsUser": 65534},
	})
	deployment := typed[appsv1.Deployment](t, r, "Deployment monitoring/cluster-autoscaler")
	pod := deployment.Spec.Template.Spec
	command := pod.Containers[0].Command
	for _, want := range []string{
		"--cloud-provider=aws", "--expander=least-waste", "--skip-nodes-with-local-storage=true",
		"--node-group-auto-discovery=asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/prod",
	} {
		assert.Contains(t, command, want)
	}
	assert.Contains(t, pod.Containers[0].Env, corev1.EnvVar{Name: "AWS_REGION", Value: "eu-central-1"})
	assert.Equal(t, "scaler", pod.ServiceAccountName)
	assert.EqualValues(t, 65534, *pod.SecurityContext.RunAsUser)
	assert.True(t, *pod.Containers[0].SecurityContext.ReadOnlyRootFilesystem)
	typed[corev1.ServiceAccount](t, r, "ServiceAccount monitoring/scaler")
	binding := typed[rbacv1.ClusterRoleBinding](t, r, "ClusterRoleBinding cluster-autoscaler")
	assert.Equal(t, "scaler", binding.Subjects[0].Name)
	budget := typed[policyv1.PodDisruptionBudget](t, r, "PodDisruptionBudget monitoring/cluster-autoscaler")
	assert.Equal(t, 1, budget.Spec.MaxUnavailable.IntValue())
}

func TestClusterAutoscalerNeedsACluster(t *testing.T) {
	c, err := Load("cluster-autoscaler")
	require.NoError(t, err)
	install := action.NewInstall(&action.Configuration{Log: t.Logf})
	install.ReleaseName, install.Namespace, install.DryRun, install.ClientOnly = "x", "kube-system", true, true
	_, err = install.Run(c, nil)
	assert.ErrorContains(t, err, "autoDiscovery.clusterName")
}
