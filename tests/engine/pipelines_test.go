package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/pulumi/pulumi/pkg/v3/resource/deploy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	operated = "prometheus-operator"
	managed  = "google-managed"

	existingMetrics = "existing"
	apiName         = "v1beta1.custom.metrics.k8s.io"
)

// TestManagedGoldenPreviews compares previews with testdata: the first one with the managed pipeline, and the switch in both
// directions.
func TestManagedGoldenPreviews(t *testing.T) {
	fresh := newCloudStack(t, "gke", map[string]any{"metrics": managed})
	compareWithGolden(t, "gke-google-managed", fresh.rendered())
	for from, to := range map[string]string{operated: managed, managed: operated} {
		s := newCloudStack(t, "gke", map[string]any{"metrics": from})
		s.deploy()
		s.set("metrics", to)
		compareWithGolden(t, "gke-switch-to-"+to, s.rendered())
	}
}

func TestManagedLifecycle(t *testing.T) {
	s := newCloudStack(t, "gke", map[string]any{"metrics": managed})
	require.NoError(t, s.preview().err)
	assert.Empty(t, s.cloud.remaining())
	s.up()
	assert.Empty(t, s.up().changes(), "a second up changes nothing")

	for _, r := range s.state.Resources {
		assert.NotContains(t, r.Type, "monitoring.coreos.com", "%s: nothing brings the Prometheus Operator's kinds", r.URN.Name())
		assert.NotEqual(t, "kubernetes:helm.sh/v3:Release", string(r.Type), r.URN.Name())
	}
	grant := s.find("IAMMember", "cluster-metrics-reader")
	assert.Equal(t, "roles/monitoring.viewer", text(grant.Inputs, "role"))
	assert.Equal(t, "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/my-project.svc.id.goog/subject/ns/monitoring/sa/custom-metrics-stackdriver-adapter",
		text(grant.Inputs, "member"))
	account := s.find("ServiceAccount", "custom-metrics-stackdriver-adapter")
	assert.Equal(t, "monitoring/custom-metrics-stackdriver-adapter", text(account.Inputs, "metadata.namespace")+"/"+text(account.Inputs, "metadata.name"),
		"the grant is for this one")
	labels := s.find("Namespace", "monitoring").Inputs["metadata"].ObjectValue()["labels"].ObjectValue()
	assert.Equal(t, "restricted", labels["pod-security.kubernetes.io/enforce"].StringValue())

	// The APIService is deleted first, before both namespaces; the adapter gets its permissions before it starts.
	var (
		adapter = [2]string{"Deployment", "custom-metrics-stackdriver-adapter"}
		api     = [2]string{"APIService", apiName}
		hpa     = [2]string{"HorizontalPodAutoscaler", "vllm"}
	)
	s.before([2]string{"IAMMember", "cluster-metrics-reader"}, adapter, api, hpa)
	s.before([2]string{"Service", "custom-metrics-stackdriver-adapter"}, api)
	s.before([2]string{"ClusterRoleBinding", "custom-metrics-stackdriver-adapter-auth-delegator"}, adapter)
	s.before([2]string{"RoleBinding", "custom-metrics-stackdriver-adapter-pod-reader"}, adapter)
	s.before([2]string{"Namespace", "vllm"}, api)
	s.before([2]string{"Namespace", "monitoring"}, api)
	s.before([2]string{"ClusterRules", "vllm-signals"}, hpa)
	s.before([2]string{"NodePool", "cluster-gpu"}, [2]string{"ClusterPodMonitoring", "vllm-gpu-utilization"})

	s.destroy()
	assert.Empty(t, s.cloud.remaining())
	assert.Empty(t, s.cluster.remaining())
}

// position returns the index of a change in an operation.
func position(t *testing.T, changes []string, change string) int {
	t.Helper()
	at := slices.Index(changes, change)
	require.GreaterOrEqual(t, at, 0, "%q is not among %v", change, changes)
	return at
}

// The API moves to the new adapter by an update of one object, after the new adapter's start and before the old one's end.
// Only after that the autoscaler uses the new names. In between it finds no metric, and then it keeps the replicas.
func TestSwitchOfPipelines(t *testing.T) {
	for _, test := range []struct {
		from, to       string
		started, ended string
		service        string
		metric         string
	}{
		{operated, managed, "create Deployment custom-metrics-stackdriver-adapter", "delete Release prometheus-adapter",
			"custom-metrics-stackdriver-adapter", "prometheus.googleapis.com|vllm:requests_in_flight:sum|gauge"},
		{managed, operated, "create Release prometheus-adapter", "delete Deployment custom-metrics-stackdriver-adapter",
			"prometheus-adapter", "vllm_requests_in_flight"},
	} {
		t.Run("to "+test.to, func(t *testing.T) {
			fresh := newCloudStack(t, "gke", map[string]any{"metrics": test.to})
			fresh.deploy()

			s := newCloudStack(t, "gke", map[string]any{"metrics": test.from})
			s.deploy()
			s.set("metrics", test.to)
			changes := s.deploy().changes()
			handover, asks := position(t, changes, "update APIService "+apiName), position(t, changes, "update HorizontalPodAutoscaler vllm")
			assert.Less(t, position(t, changes, test.started), handover, "nothing would serve the API: %v", changes)
			assert.Less(t, handover, asks, "the new names are known to the new adapter only: %v", changes)
			assert.Less(t, asks, position(t, changes, test.ended), "%v", changes)
			for _, change := range changes {
				assert.NotContains(t, change, "Deployment vllm", "no server restarts")
				assert.NotContains(t, change, "NodePool")
				assert.NotContains(t, change, "replace")
			}
			assert.Equal(t, test.service, text(s.find("APIService", apiName).Inputs, "spec.service.name"))
			assert.Contains(t, fmt.Sprint(s.find("HorizontalPodAutoscaler", "vllm").Inputs.Mappable()), test.metric)
			assert.Equal(t, fresh.cluster.remaining(), s.cluster.remaining(), "as if it had never been otherwise")
			assert.Equal(t, fresh.cloud.remaining(), s.cloud.remaining())
			assert.Empty(t, s.deploy().changes())
			s.destroy()
			assert.Empty(t, s.cluster.remaining())
		})
	}
}

// A switch that breaks off at any change has lost neither the API nor the autoscaler, and the next up completes it.
func TestBrokenOffSwitch(t *testing.T) {
	for from, to := range map[string]string{operated: managed, managed: operated} {
		t.Run("to "+to, func(t *testing.T) {
			whole := newCloudStack(t, "gke", map[string]any{"metrics": from})
			whole.deploy()
			whole.set("metrics", to)
			whole.cluster.forget()
			whole.deploy()
			steps := len(whole.cluster.created) + len(whole.cluster.updated) + len(whole.cluster.deleted)
			want := whole.cluster.remaining()
			for at := 1; at <= steps; at += 6 {
				s := newCloudStack(t, "gke", map[string]any{"metrics": from})
				s.deploy()
				s.set("metrics", to)
				s.cluster.failAt = at
				broken := s.run(engine.Update, false)
				require.Error(t, broken.err, "change %d of %d", at, steps)
				s.cluster.failAt = 0
				for _, entry := range broken.entries {
					if name := entry.Step.URN().Name(); name == apiName || string(entry.Step.Type().Name()) == "HorizontalPodAutoscaler" {
						assert.Contains(t, []string{string(deploy.OpSame), string(deploy.OpUpdate)}, string(entry.Step.Op()), "%s, broken off at change %d", name, at)
					}
				}
				s.deploy()
				require.Equal(t, want, s.cluster.remaining(), "completed after a break at change %d", at)
			}
		})
	}
}
