package verify

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// dead is an APIService whose Service has no endpoints.
func dead(name, namespace, service string, labels map[string]string) apiregistrationv1.APIService {
	_, group, _ := strings.Cut(name, ".")
	return apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       apiregistrationv1.APIServiceSpec{Group: group, Service: &apiregistrationv1.ServiceReference{Namespace: namespace, Name: service}},
		Status: apiregistrationv1.APIServiceStatus{Conditions: []apiregistrationv1.APIServiceCondition{{
			Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionFalse, Reason: "MissingEndpoints", Message: "no addresses",
		}}},
	}
}

// A dead version of the custom metrics API is named, with what serves it and whose it is, and never another version.
func TestADeadVersionOfTheCustomMetricsAPI(t *testing.T) {
	f := newFake()
	f.apis = append(f.apis, dead("v1beta2.custom.metrics.k8s.io", "custom-metrics", "custom-metrics-stackdriver-adapter",
		map[string]string{"addonmanager.kubernetes.io/mode": "Reconcile"}))
	failed := failsAt(t, f.run(t), "adapter",
		"APIService v1beta2.custom.metrics.k8s.io (served by custom-metrics/custom-metrics-stackdriver-adapter; addonmanager.kubernetes.io/mode=Reconcile) "+
			"is not available: MissingEndpoints: no addresses",
		"$ kubectl --context c delete apiservice v1beta2.custom.metrics.k8s.io", Passed)
	look := strings.Join(failed.Look, "\n")
	assert.Contains(t, look, "get apiservices v1beta2.custom.metrics.k8s.io -o yaml")
	assert.Contains(t, look, "-n custom-metrics get service,endpointslices,pods")
	assert.NotContains(t, look, "v1beta1")
	assert.NotContains(t, look, "prometheus-adapter", "the stack's own adapter works")
}

// Of our own adapter nothing is to be deleted.
func TestOurOwnAPIServiceIsNotToBeDeleted(t *testing.T) {
	f := newFake()
	f.apis = []apiregistrationv1.APIService{dead("v1beta1.custom.metrics.k8s.io", "monitoring", "prometheus-adapter", nil)}
	failed := failsAt(t, f.run(t), "adapter", "APIService v1beta1.custom.metrics.k8s.io (served by monitoring/prometheus-adapter) is not available",
		"logs deployment/prometheus-adapter", Passed)
	assert.NotContains(t, strings.Join(failed.Look, "\n"), "delete")
}

// What serves no signal does not fail the stage, but keeps namespaces and `pulumi destroy` from ending.
func TestDeadAPIServicesOfOthersAreWarnings(t *testing.T) {
	f := newFake()
	keda := dead("v1beta1.external.metrics.k8s.io", "keda", "keda-operator-metrics-apiserver", map[string]string{"app.kubernetes.io/part-of": "keda-operator"})
	keda.Annotations = map[string]string{"meta.helm.sh/release-name": "keda", "meta.helm.sh/release-namespace": "keda"}
	unchecked := dead("v1.stats.example.com", "default", "stats", nil)
	unchecked.Status.Conditions = nil
	unchecked.OwnerReferences = []metav1.OwnerReference{{Kind: "Stats", Name: "one"}}
	f.apis = append([]apiregistrationv1.APIService{keda, unchecked}, f.apis...)
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))
	assert.Equal(t, []string{
		"APIService v1beta1.external.metrics.k8s.io (served by keda/keda-operator-metrics-apiserver; Helm release keda/keda, " +
			"app.kubernetes.io/part-of=keda-operator) is not available: MissingEndpoints: no addresses: until it is, no namespace can be deleted, and " +
			"`pulumi destroy` waits. Bring back what serves it; if nothing does any more: kubectl --context c delete apiservice v1beta1.external.metrics.k8s.io",
		"APIService v1.stats.example.com (served by default/stats; owned by Stats one) is not available: the aggregator has not checked it yet: " +
			"until it is, no namespace can be deleted, and `pulumi destroy` waits. Bring back what serves it; if nothing does any more: " +
			"kubectl --context c delete apiservice v1.stats.example.com",
	}, report.Stages[7].Warnings)
}
