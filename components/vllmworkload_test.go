package components

import (
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kcorev1 "k8s.io/api/core/v1"
	kpolicyv1 "k8s.io/api/policy/v1"
)

// The number of replicas is the autoscaler's: a value here would be set back at every update.
func TestVLLMNeverStatesReplicas(t *testing.T) {
	for _, args := range []*VLLMArgs{vllmArgs(), simulatorArgs()} {
		reg := runVLLM(t, args).get(t, deploymentType, VLLMName)
		assert.NotContains(t, path(t, plain(reg), "spec"), "replicas")
	}
}

func TestVLLMRollout(t *testing.T) {
	for _, test := range []struct {
		surge       bool
		more, fewer int
	}{
		{surge: true, more: 1, fewer: 0},  // No serving replica is lost.
		{surge: false, more: 0, fewer: 1}, // A surge would wait for a spare GPU.
	} {
		args := vllmArgs()
		args.Surge = test.surge
		rolling := vllmDeployment(t, args).Spec.Strategy.RollingUpdate
		require.NotNil(t, rolling)
		assert.Equal(t, test.more, rolling.MaxSurge.IntValue(), "surge %v", test.surge)
		assert.Equal(t, test.fewer, rolling.MaxUnavailable.IntValue(), "surge %v", test.surge)
	}
	deployment := vllmDeployment(t, vllmArgs())
	assert.GreaterOrEqual(t, int(*deployment.Spec.ProgressDeadlineSeconds), 30*60+15*60, "start-up budget, node and image")
	assert.Equal(t, vllmSelector(VLLMName), deployment.Spec.Selector.MatchLabels)
	assert.Subset(t, deployment.Spec.Template.Labels, vllmSelector(VLLMName))
	// Objects that depend on the Deployment, such as the HPA, must not wait for the first GPU node.
	assert.Equal(t, "true", deployment.Annotations["pulumi.com/skipAwait"])
	assert.NotContains(t, deployment.Spec.Template.Annotations, "pulumi.com/skipAwait")
}

func TestVLLMService(t *testing.T) {
	service := decode[kcorev1.Service](t, runVLLM(t, vllmArgs()).get(t, serviceType, VLLMName))
	assert.Equal(t, vllmSelector(VLLMName), service.Spec.Selector)
	require.Len(t, service.Spec.Ports, 1)
	assert.Equal(t, VLLMPortName, service.Spec.Ports[0].Name)
	assert.EqualValues(t, 8000, service.Spec.Ports[0].Port)
	assert.Equal(t, VLLMPortName, service.Spec.Ports[0].TargetPort.StrVal)
	// Its endpoints come with the first loaded model, long after Pulumi would have given up.
	assert.Equal(t, "true", service.Annotations["pulumi.com/skipAwait"])

	ports := vllmContainer(t, vllmArgs()).Ports
	require.Len(t, ports, 1)
	assert.Equal(t, VLLMPortName, ports[0].Name)
	assert.EqualValues(t, 8000, ports[0].ContainerPort)
}

// The monitor, the Service and the port are three names that have to agree, or nothing is scraped.
func TestVLLMServiceMonitorFindsTheService(t *testing.T) {
	r := runVLLM(t, vllmArgs())
	service := decode[kcorev1.Service](t, r.get(t, serviceType, VLLMName))
	reg := r.get(t, serviceMonitorType, VLLMName)
	monitor := decode[monitoringv1.ServiceMonitor](t, reg)
	assert.Equal(t, "monitoring.coreos.com/v1", monitor.APIVersion)
	assert.Equal(t, "ServiceMonitor", monitor.Kind)
	assert.Subset(t, service.Labels, monitor.Spec.Selector.MatchLabels)
	assert.NotEmpty(t, monitor.Spec.Selector.MatchLabels, "would select every Service")
	require.Len(t, monitor.Spec.Endpoints, 1)
	endpoint := monitor.Spec.Endpoints[0]
	assert.Equal(t, service.Spec.Ports[0].Name, endpoint.Port)
	assert.Equal(t, "/metrics", endpoint.Path)
	assert.EqualValues(t, "2s", endpoint.Interval)
	assert.EqualValues(t, "2s", endpoint.ScrapeTimeout)
	assert.NotContains(t, plain(reg), "status")
	assert.NotContains(t, path(t, plain(reg), "metadata"), "creationTimestamp")
}

func TestVLLMDisruptionBudget(t *testing.T) {
	budget := decode[kpolicyv1.PodDisruptionBudget](t, runVLLM(t, vllmArgs()).get(t, budgetType, VLLMName))
	assert.Equal(t, 1, budget.Spec.MaxUnavailable.IntValue())
	assert.Nil(t, budget.Spec.MinAvailable, "would make the node of a single replica impossible to drain")
	assert.Equal(t, vllmSelector(VLLMName), budget.Spec.Selector.MatchLabels)
	assert.Equal(t, kpolicyv1.AlwaysAllow, *budget.Spec.UnhealthyPodEvictionPolicy)
}
