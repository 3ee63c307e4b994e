package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/pulumi/pulumi/pkg/v3/resource/deploy"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cloudStack is a stack that creates its cluster in a cloud.
type cloudStack struct {
	*stack
	cloud *fakeCloud
}

// newCloudStack returns a stack of a cloud that was never deployed. A key of value nil is left out.
func newCloudStack(t *testing.T, cloud string, keys map[string]any) *cloudStack {
	t.Helper()
	all := map[string]any{"cluster.apiAccessCidrs": []any{"1.2.3.4/32"}, "huggingFaceToken": token}
	maps.Copy(all, doubleOf(t, cloud).keys)
	maps.Copy(all, keys)
	s := &cloudStack{stack: newStack(t, cloud, all)}
	s.keys["cluster.kubeconfig"] = nil
	maps.DeleteFunc(s.keys, func(_ string, value any) bool { return value == nil })
	s.cloud = newFakeCloud(s.cluster)
	s.clouds = s.cloud.loaders()
	return s
}

// destroy runs a destroy, which must succeed.
func (s *cloudStack) destroy() operation {
	s.t.Helper()
	s.cloud.destroying = true
	defer func() { s.cloud.destroying = false }()
	return s.stack.destroy()
}

// deploy runs an up without a preview, which must succeed.
func (s *cloudStack) deploy() operation {
	s.t.Helper()
	done := s.run(engine.Update, false)
	require.NoError(s.t, done.err, "up")
	return done
}

// planned lists the changes in a preview, each resource once, such as "update Deployment vllm".
func (o operation) planned() []string {
	var all []string
	for _, event := range o.events {
		if event.Type != engine.ResourcePreEvent {
			continue
		}
		step := event.Payload().(engine.ResourcePreEventPayload).Metadata
		switch step.Op {
		case deploy.OpCreate, deploy.OpUpdate, deploy.OpDelete, deploy.OpReplace:
			all = append(all, fmt.Sprintf("%s %s %s", step.Op, step.URN.Type().Name(), step.URN.Name()))
		}
	}
	return all
}

func TestCloudLifecycle(t *testing.T) {
	eachCloud(t, func(t *testing.T, cloud string) {
		s := newCloudStack(t, cloud, nil)
		// The cluster and everything about it is still unknown.
		require.NoError(t, s.preview().err)
		assert.Empty(t, s.cloud.remaining())
		assert.Empty(t, s.cluster.remaining())

		for _, entry := range s.up().entries {
			assert.Equal(t, deploy.OpCreate, entry.Step.Op(), entry.Step.URN())
		}
		assert.NotEmpty(t, s.cloud.remaining())

		second := s.up()
		require.NotEmpty(t, second.entries)
		assert.Empty(t, second.changes())

		s.destroy()
		assert.Empty(t, s.cloud.remaining())
		assert.Empty(t, s.cluster.remaining())
		assert.Empty(t, s.state.Resources)
	})
}

// TestCloudChangesOnlyWhatItMust checks the changes that one setting causes. Where a cloud cannot change a resource in
// place, the preview shows the replacement, and the up does the same. A machine with more CPUs and memory changes what a replica requests.
func TestCloudChangesOnlyWhatItMust(t *testing.T) {
	// inZones is a change of what an EKS pool has in each zone.
	inZones := func(change string) []string {
		return []string{strings.ReplaceAll(change, "*", "a"), strings.ReplaceAll(change, "*", "b")}
	}
	// replaced are the EKS node groups of the GPU pool, and the tags that depend on their generated names.
	replaced := inZones("replace NodeGroup cluster-gpu-*")
	for _, tag := range []string{"autoscaling-options-scaledownunneededtime", "label-k8s-amazonaws-com-accelerator", "label-nvidia-com-gpu-present",
		"resources-ephemeral-storage", "resources-nvidia-com-gpu", "taint-nvidia-com-gpu"} {
		replaced = append(replaced, inZones("replace Tag cluster-gpu-*-"+tag)...)
	}
	for name, test := range map[string]struct {
		cloud, key string
		value      any
		want       []string
	}{
		"gke, more nodes":      {"gke", "nodePools.gpu.maxNodes", 6, []string{"update NodePool cluster-gpu"}},
		"gke, a warm node":     {"gke", "nodePools.gpu.minNodes", 1, []string{"update NodePool cluster-gpu"}},
		"gke, system nodes":    {"gke", "nodePools.system.maxNodes", 5, []string{"update NodePool cluster-system"}},
		"gke, channel":         {"gke", "gke.releaseChannel", "STABLE", []string{"update Cluster cluster"}},
		"gke, access":          {"gke", "cluster.apiAccessCidrs", []any{"1.2.3.0/24"}, []string{"update Cluster cluster"}},
		"gke, profile":         {"gke", "gke.autoscalingProfile", "BALANCED", []string{"update Cluster cluster"}},
		"gke, spot":            {"gke", "nodePools.gpu.spot", true, []string{"replace NodePool cluster-gpu"}},
		"gke, machine":         {"gke", "nodePools.gpu.machineType", "g2-standard-8", []string{"update NodePool cluster-gpu", "update Deployment vllm"}},
		"gke, disk":            {"gke", "nodePools.gpu.diskGiB", 200, []string{"update NodePool cluster-gpu"}},
		"gke, driver":          {"gke", "gke.gpuDriver", "LATEST", []string{"replace NodePool cluster-gpu"}},
		"gke, taint":           {"gke", "gke.leaveGpuTaintToGke", true, []string{"update NodePool cluster-gpu"}},
		"gke, type of disk":    {"gke", "gke.gpuDiskType", "pd-ssd", []string{"update NodePool cluster-gpu"}},
		"gke, labels":          {"gke", "gke.resourceLabels", map[string]any{"team": "ml"}, []string{"update Cluster cluster"}},
		"gke, other GPU":       {"gke", "nodePools.gpu.accelerator", "nvidia-a100-40gb", []string{"replace NodePool cluster-gpu", "update Deployment vllm"}},
		"gke, replicas":        {"gke", "autoscaling.maxReplicas", 3, []string{"update HorizontalPodAutoscaler vllm"}},
		"gke, monitoring":      {"gke", "monitoring.storage", "30Gi", []string{"update Release kps", "update PrometheusRule vllm-alerts"}},
		"gke, chart of no use": {"gke", "charts.clusterAutoscaler.version", "9.58.0", nil},
		"eks, more nodes":      {"eks", "nodePools.gpu.maxNodes", 6, inZones("update NodeGroup cluster-gpu-*")},
		"eks, least nodes":     {"eks", "nodePools.gpu.minNodes", 4, inZones("update NodeGroup cluster-gpu-*")},
		"eks, system nodes":    {"eks", "nodePools.system.maxNodes", 5, []string{"update NodeGroup cluster-system"}},
		"eks, version": {"eks", "cluster.kubernetesVersion", "1.35", []string{"update Cluster cluster-cluster",
			"update NodeGroup cluster-system", "update NodeGroup cluster-gpu-a", "update NodeGroup cluster-gpu-b", "update Release cluster-autoscaler"}},
		"eks, image release": {"eks", "eks.releaseVersion", "1.34.2-20251209", inZones("update NodeGroup cluster-gpu-*")},
		"eks, access":        {"eks", "cluster.apiAccessCidrs", []any{"1.2.3.0/24"}, []string{"update Cluster cluster-cluster"}},
		"eks, disk": {"eks", "nodePools.gpu.diskGiB", 200, slices.Concat([]string{"update LaunchTemplate cluster-gpu"},
			inZones("update NodeGroup cluster-gpu-*"), inZones("update Tag cluster-gpu-*-resources-ephemeral-storage"))},
		"eks, idle time": {"eks", "eks.idleTime", "20m", inZones("update Tag cluster-gpu-*-autoscaling-options-scaledownunneededtime")},
		"eks, spot":      {"eks", "nodePools.gpu.spot", true, replaced},
		"eks, machine":   {"eks", "nodePools.gpu.machineType", "g6.2xlarge", append(slices.Clone(replaced), "update Deployment vllm")},
		"eks, image": {"eks", "eks.amiType", "BOTTLEROCKET_x86_64_NVIDIA", append(slices.Clone(replaced), "update LaunchTemplate cluster-gpu",
			"delete Release nvidia-device-plugin", "delete DevicePlugin device-plugin")},
		"eks, node autoscaler": {"eks", "charts.clusterAutoscaler.values", map[string]any{"x": 1}, []string{"update Release cluster-autoscaler"}},
		"eks, device plugin":   {"eks", "charts.devicePlugin.version", "0.20.1", []string{"update Release nvidia-device-plugin"}},
		"aks, more nodes":      {"aks", "nodePools.gpu.maxNodes", 6, []string{"update AgentPool cluster-gpu"}},
		"aks, a warm node":     {"aks", "nodePools.gpu.minNodes", 1, []string{"update AgentPool cluster-gpu"}},
		"aks, system nodes":    {"aks", "nodePools.system.maxNodes", 5, []string{"update ManagedCluster cluster"}},
		"aks, version":         {"aks", "cluster.kubernetesVersion", "1.35", []string{"update ManagedCluster cluster", "update AgentPool cluster-gpu"}},
		"aks, window": {"aks", "aks.maintenanceWindow.day", "Sunday", []string{"create MaintenanceConfiguration cluster-upgrades",
			"create MaintenanceConfiguration cluster-node-images"}},
		"aks, access":    {"aks", "cluster.apiAccessCidrs", []any{"1.2.3.0/24"}, []string{"update ManagedCluster cluster"}},
		"aks, tier":      {"aks", "aks.tier", "Standard", []string{"update ManagedCluster cluster"}},
		"aks, idle time": {"aks", "aks.idleTime", "20m", []string{"update ManagedCluster cluster"}},
		"aks, machine":   {"aks", "nodePools.gpu.machineType", "Standard_NC48ads_A100_v4", []string{"replace AgentPool cluster-gpu"}},
		"aks, disk":      {"aks", "nodePools.gpu.diskGiB", 200, []string{"replace AgentPool cluster-gpu"}},
		"aks, zones":     {"aks", "nodePools.gpu.zones", []any{"1"}, []string{"replace AgentPool cluster-gpu"}},
		"aks, spot and a taint": {"aks", "nodePools.gpu.spot", true, []string{"replace AgentPool cluster-gpu", "update Deployment vllm",
			"update Release nvidia-device-plugin", "update Release dcgm-exporter"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newCloudStack(t, test.cloud, nil)
			s.deploy()
			s.set(test.key, test.value)
			plan := s.preview()
			require.NoError(t, plan.err)
			assert.ElementsMatch(t, test.want, plan.planned())

			done := s.deploy().changes()
			var replaced []string
			for _, change := range done {
				if rest, ok := strings.CutPrefix(change, "replace "); ok {
					replaced = append(replaced, rest)
				}
			}
			for _, want := range test.want {
				assert.Contains(t, done, want, "the up does what the preview says")
			}
			for _, pool := range replaced {
				// Two GPU pools at a time need quota that few have, but keep the service up.
				newFirst := doubleOf(t, test.cloud).newPoolFirst
				first := slices.Index(done, choose(newFirst, "create-replacement ", "delete-replaced ")+pool)
				second := slices.Index(done, choose(newFirst, "delete-replaced ", "create-replacement ")+pool)
				assert.True(t, 0 <= first && first < second, "%s in %v", pool, done)
			}
			assert.Empty(t, s.preview().planned(), "and then everything is the same again")
		})
	}
}

func choose[T any](condition bool, yes, no T) T {
	if condition {
		return yes
	}
	return no
}

// TestCloudSettingsThatReplaceTheCluster checks that the preview of a new cluster also shows everything in it as replaced.
func TestCloudSettingsThatReplaceTheCluster(t *testing.T) {
	for name, test := range map[string]struct {
		cloud, key string
		value      any
	}{
		"gke, name":          {"gke", "cluster.name", "other"},
		"gke, location":      {"gke", "gke.location", "us-central1-b"},
		"gke, control plane": {"gke", "gke.controlPlaneCidr", "172.16.9.0/28"},
		"eks, name":          {"eks", "cluster.name", "other"},
		"aks, name":          {"aks", "cluster.name", "other"},
		"aks, location":      {"aks", "aks.location", "westus"},
		"aks, system disk":   {"aks", "nodePools.system.diskGiB", 128},
		"aks, pod network":   {"aks", "aks.podCidr", "10.200.0.0/16"},
	} {
		t.Run(name, func(t *testing.T) {
			double := doubleOf(t, test.cloud)
			s := newCloudStack(t, test.cloud, nil)
			s.deploy()
			s.set(test.key, test.value)
			plan := s.preview()
			require.NoError(t, plan.err)
			for _, want := range []string{double.cluster, double.kubernetes, "Deployment vllm", "Release kps", "Namespace vllm"} {
				assert.Contains(t, plan.planned(), "replace "+want)
			}
			s.deploy()
			assert.Empty(t, s.preview().planned())
			s.destroy()
			assert.Empty(t, s.cloud.remaining())
			assert.Empty(t, s.cluster.remaining())
		})
	}
}

// TestCloudDeletionProtection checks that a destroy fails until an up has removed the protection.
func TestCloudDeletionProtection(t *testing.T) {
	eachCloud(t, func(t *testing.T, cloud string) {
		s := newCloudStack(t, cloud, map[string]any{"cluster.deletionProtection": true})
		s.deploy()
		if doubleOf(t, cloud).providerProtects {
			// This provider refuses by itself, but is a double here.
			assert.True(t, s.find("Cluster", "cluster").Inputs["deletionProtection"].BoolValue())
			return
		}
		// Every destroy begins with a preview, which fails.
		require.ErrorContains(t, s.run(engine.Destroy, true).err, "protected")

		s.set("cluster.deletionProtection", false)
		s.deploy()
		s.destroy()
		assert.Empty(t, s.cloud.remaining())
	})
}

// TestCloudOrder checks that nodes are deleted after what runs on them: pods without nodes never end, and volumes without
// their driver stay and cost money.
func TestCloudOrder(t *testing.T) {
	eachCloud(t, func(t *testing.T, cloud string) {
		double := doubleOf(t, cloud)
		s := newCloudStack(t, cloud, nil)
		s.up()
		for _, chain := range double.order {
			s.before(chain...)
		}
		installed := func(kind, name string) bool {
			return slices.ContainsFunc(s.state.Resources, func(r *resource.State) bool { return string(r.Type.Name()) == kind && r.URN.Name() == name })
		}
		assert.Equal(t, double.installsNodeAutoscaler, installed("Release", "cluster-autoscaler"), "only where the cloud has no node autoscaler of its own")
		assert.Equal(t, !double.managedGPUMetrics, installed("Release", "nvidia-device-plugin"), "only where the cloud brings no device plugin")
		assert.Equal(t, !double.managedGPUMetrics, installed("Release", "dcgm-exporter"), "only where the cloud brings no exporter")
		assert.Equal(t, double.managedGPUMetrics, installed("PodMonitor", "dcgm-exporter"), "the cloud's exporter is scraped, not installed")
	})
}

// TestCloudBrokenOffUp checks that an up which fails at any change, in the cloud or in the cluster, is completed by the next
// one, and can also be destroyed.
func TestCloudBrokenOffUp(t *testing.T) {
	eachCloud(t, func(t *testing.T, cloud string) {
		whole := newCloudStack(t, cloud, nil)
		whole.up()
		inCloud, inCluster := whole.cloud.remaining(), whole.cluster.remaining()
		every := doubleOf(t, cloud).everyUp
		for at := 1; at <= len(whole.cloud.created); at += every {
			s := newCloudStack(t, cloud, nil)
			s.cloud.failAt = at
			require.Error(t, s.run(engine.Update, false).err)
			s.cloud.failAt = 0
			broken := s.state

			s.deploy()
			require.Equal(t, inCloud, s.cloud.remaining(), "completed after a break at change %d of the cloud", at)
			require.Equal(t, inCluster, s.cluster.remaining())

			d := newCloudStack(t, cloud, nil)
			d.cloud.failAt = at
			require.Error(t, d.run(engine.Update, false).err)
			require.NotNil(t, broken)
			d.cloud.failAt = 0
			d.destroy()
			require.Empty(t, d.cloud.remaining(), "destroyed after a break at change %d of the cloud", at)
		}
		for at := 1; at <= len(inCluster); at += 3 {
			d := newCloudStack(t, cloud, nil)
			d.cluster.failAt = at
			require.Error(t, d.run(engine.Update, false).err)
			d.cluster.failAt = 0
			d.destroy()
			require.Empty(t, d.cloud.remaining(), "destroyed after a break at change %d of the cluster", at)
			require.Empty(t, d.cluster.remaining())
		}
	})
}

// A destroy that fails at any change is completed by the next one.
func TestCloudBrokenOffDestroy(t *testing.T) {
	eachCloud(t, func(t *testing.T, cloud string) {
		whole := newCloudStack(t, cloud, nil)
		whole.up()
		every := doubleOf(t, cloud).everyDestroy
		for at := 1; at <= len(whole.cloud.created); at += every {
			s := newCloudStack(t, cloud, nil)
			s.deploy()
			s.cloud.failAt = at
			require.Error(t, s.run(engine.Destroy, false).err)
			s.cloud.failAt = 0
			s.destroy()
			require.Empty(t, s.cloud.remaining(), "after a destroy that broke off at change %d", at)
		}
	})
}

// TestAttached checks that a stack on an existing cluster adds a pool and deletes only that.
func TestAttached(t *testing.T) {
	eachCloud(t, func(t *testing.T, cloud string) {
		s := newAttachedStack(t, cloud, nil)
		require.NoError(t, s.preview().err)
		s.up()
		for _, what := range doubleOf(t, cloud).attached {
			assert.Contains(t, s.cloud.created, what)
		}
		for _, what := range s.cloud.created {
			assert.NotRegexp(t, "^(Cluster|ManagedCluster|Vpc|Network|ResourceGroup) |-system", what, "it is there already")
		}
		assert.Empty(t, s.up().changes())
		s.destroy()
		assert.Empty(t, s.cloud.remaining())
		assert.Empty(t, s.cluster.remaining())

		// With the cluster's own GPU nodes nothing is created in the cloud.
		own := newAttachedStack(t, cloud, map[string]any{"nodePools.gpu.create": false})
		own.up()
		assert.Empty(t, own.cloud.created)
		own.destroy()
		assert.Empty(t, own.cluster.remaining())
	})
}

// newAttachedStack returns a stack on the existing cluster "theirs".
func newAttachedStack(t *testing.T, cloud string, keys map[string]any) *cloudStack {
	t.Helper()
	double := doubleOf(t, cloud)
	all := map[string]any{"cluster.existing": "theirs", "cluster.apiAccessCidrs": nil}
	maps.Copy(all, double.existingKeys)
	maps.Copy(all, keys)
	s := newCloudStack(t, cloud, all)
	for token, found := range double.existing {
		s.answer(token, found)
	}
	return s
}

// TestCloudRefused checks that a cluster that lacks something, or an invalid setting, ends with one message in terms of the
// configuration, before anything is registered in the cloud.
func TestCloudRefused(t *testing.T) {
	const gkeCluster, eksCluster, aksCluster = "gcp:container/getCluster:getCluster", "aws:eks/getCluster:getCluster",
		"azure-native:containerservice/v20240901:getManagedCluster"
	for name, test := range map[string]struct {
		cloud string
		keys  map[string]any
		// lacking changes the result of the look-up with that token; without a token the cluster is created.
		token   string
		lacking map[string]any
		says    []string
	}{
		"gke, Autopilot asked for": {"gke", map[string]any{"gke.autopilot": true}, "", nil, []string{"vllm-autoscaling:gke.autopilot", "Standard"}},
		"gke, Autopilot attached":  {"gke", nil, gkeCluster, map[string]any{"enableAutopilot": true}, []string{"Autopilot cluster"}},
		"gke, without DCGM": {"gke", nil, gkeCluster,
			map[string]any{"monitoringConfigs": []any{map[string]any{"enableComponents": []any{"SYSTEM_COMPONENTS"}}}},
			[]string{"DCGM is off", "--monitoring=DCGM,SYSTEM"}},
		"gke, no workload identity": {"gke", nil, gkeCluster, map[string]any{"workloadIdentityConfigs": []any{}}, []string{"--workload-pool=my-project.svc.id.goog"}},
		"gke, no driver": {"gke", map[string]any{"nodePools.gpu.create": false}, gkeCluster, map[string]any{"nodePools": []any{map[string]any{
			"name": "gpu", "nodeConfigs": []any{map[string]any{"guestAccelerators": []any{map[string]any{"type": "nvidia-l4", "count": 1}}}}}}},
			[]string{"does not manage the GPU driver of its node pool gpu", "or set nodePools.gpu to have one created"}},
		"eks, Auto Mode": {"eks", nil, eksCluster, map[string]any{"computeConfigs": []any{map[string]any{"enabled": true}}}, []string{"Auto Mode"}},
		"eks, no pod identity": {"eks", nil, "aws:eks/getAddon:getAddon", nil, []string{"lacks the add-on eks-pod-identity-agent",
			"aws eks create-addon", "or set eks.nodeAutoscalerInstalled"}},
		"eks, no GPU nodes": {"eks", map[string]any{"nodePools.gpu.create": false}, "aws:eks/getNodeGroups:getNodeGroups",
			map[string]any{"names": []any{}}, []string{"set nodePools.gpu to add one"}},
		"aks, local accounts": {"aks", nil, aksCluster, map[string]any{"disableLocalAccounts": true}, []string{"set aks.entra, or run", "--enable-local-accounts"}},
		"aks, no GPU nodes": {"aks", map[string]any{"nodePools.gpu.create": false}, aksCluster, map[string]any{"agentPoolProfiles": []any{}},
			[]string{"no GPU pool with the label"}},
		"gke, not there": {"gke", nil, gkeCluster, nil, []string{`looking up GKE cluster "theirs"`, "gcloud container clusters list"}},
		"eks, not there": {"eks", nil, eksCluster, nil, []string{`looking up the existing cluster "theirs"`,
			"check cluster.existing, eks.region and the credentials"}},
		"aks, not there":        {"aks", nil, aksCluster, nil, []string{`looking up the existing cluster "theirs"`, "az aks list"}},
		"eks, T4":               {"eks", map[string]any{"nodePools.gpu.machineType": "g4dn.xlarge"}, "", nil, []string{"capability 8.0", "nvidia-l4 (g6.xlarge, "}},
		"aks, too many":         {"aks", map[string]any{"autoscaling.maxReplicas": 9}, "", nil, []string{"nodePools.gpu.maxNodes' 9", "autoscaling.maxReplicas' 5"}},
		"gke, nobody may enter": {"gke", map[string]any{"cluster.apiAccessCidrs": nil}, "", nil, []string{"vllm-autoscaling:cluster.apiAccessCidrs"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newCloudStack(t, test.cloud, test.keys)
			if test.token != "" {
				s = newAttachedStack(t, test.cloud, test.keys)
				found := maps.Clone(doubleOf(t, test.cloud).existing[test.token])
				maps.Copy(found, test.lacking)
				s.answer(test.token, choose(test.lacking == nil, nil, found))
			}
			for _, dryRun := range []bool{true, false} {
				refused := s.run(engine.Update, dryRun)
				for _, says := range test.says {
					require.ErrorContains(t, refused.err, says)
				}
				assert.NotRegexp(t, `GPUPool|NodeAutoscalerInstalled|AuthorizedCIDRs`, refused.err.Error(), "keys, not the program's own names")
			}
			assert.Empty(t, s.cloud.remaining())
			assert.Empty(t, s.cluster.remaining())
		})
	}
}
