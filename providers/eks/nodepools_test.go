package eks

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

func TestGPUPool(t *testing.T) {
	args := created()
	args.Tags = map[string]string{"team": "ml"}
	r, _ := run(t, args)
	group := r.One(t, nodeGroupType, "llm-gpu-a")
	inputs := plain(group)
	assert.Equal(t, "llm", inputs["clusterName"])
	assert.Equal(t, "gpu-a-", inputs["nodeGroupNamePrefix"])
	assert.NotContains(t, inputs, "nodeGroupName", "a replacement comes before its predecessor goes")
	assert.Equal(t, "AL2023_x86_64_NVIDIA", inputs["amiType"])
	assert.Equal(t, "ON_DEMAND", inputs["capacityType"])
	assert.Equal(t, []any{"g6.xlarge"}, inputs["instanceTypes"])
	assert.Equal(t, map[string]any{"nvidia.com/gpu.present": "true", "k8s.amazonaws.com/accelerator": "nvidia-l4"}, inputs["labels"])
	assert.Equal(t, []any{map[string]any{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}}, inputs["taints"])
	assert.Equal(t, map[string]any{"minSize": 0.0, "maxSize": 5.0, "desiredSize": 0.0}, inputs["scalingConfig"])
	assert.Equal(t, []string{"scalingConfig.desiredSize"}, group.Args.RegisterRPC.GetIgnoreChanges())
	assert.Equal(t, map[string]any{"id": "llm-gpu-id", "version": "3"}, inputs["launchTemplate"], "a new version of the template must roll the nodes")
	assert.NotContains(t, inputs, "diskSize", "EKS refuses it beside a launch template")
	for _, policy := range []string{"AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy"} {
		assert.True(t, r.WaitsFor(group, attachmentType, "llm-gpu-node-"+policy), policy)
	}
	assert.True(t, r.WaitsFor(group, routeType, "llm-private-a"), "a node without a route joins nothing")
	for typ, name := range map[string]string{routeType: "llm-public", associationType: "llm-public-a", internetType: "llm-internet", natType: "llm-nat-a"} {
		assert.True(t, r.WaitsFor(group, typ, name), "a node is cut off while %s %q goes first", typ, name)
	}
	assert.True(t, r.WaitsFor(group, clusterType, "llm-cluster"))

	template := plain(r.One(t, templateType, "llm-gpu"))
	assert.Equal(t, []any{map[string]any{"deviceName": "/dev/xvda", "ebs": map[string]any{
		"volumeType": "gp3", "volumeSize": 100.0, "encrypted": "true", "deleteOnTermination": "true", "throughput": 500.0,
	}}}, template["blockDeviceMappings"])
	assert.Equal(t, map[string]any{"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1.0}, template["metadataOptions"])
	assert.NotContains(t, template, "networkInterfaces")
	kinds := map[any]any{}
	for _, specification := range template["tagSpecifications"].([]any) {
		kinds[specification.(map[string]any)["resourceType"]] = specification.(map[string]any)["tags"]
	}
	tags := map[string]any{"team": "ml", "Name": "llm-gpu"}
	assert.Equal(t, map[any]any{"instance": tags, "volume": tags, "network-interface": tags}, kinds)
}

func TestGPUPoolAsAsked(t *testing.T) {
	args := created()
	args.GPUPool = &providers.GPUPool{NodePool: providers.NodePool{
		MachineType: "g6.12xlarge", MinNodes: 1, MaxNodes: 3, DiskGiB: 200, Spot: true, Zones: []string{"eu-central-1b"},
	}}
	args.AlternativeInstanceTypes, args.AMIType, args.IdleTime = []string{"g5.12xlarge"}, Bottlerocket, 2*time.Minute
	args.GPUsPerReplica = 4
	r, cluster := run(t, args)
	inputs := plain(r.One(t, nodeGroupType, "llm-gpu-b"))
	assert.Equal(t, "BOTTLEROCKET_x86_64_NVIDIA", inputs["amiType"])
	assert.Equal(t, "SPOT", inputs["capacityType"])
	assert.Equal(t, []any{"g6.12xlarge", "g5.12xlarge"}, inputs["instanceTypes"])
	assert.Equal(t, []any{"llm-private-b-id"}, inputs["subnetIds"])
	assert.Equal(t, map[string]any{"minSize": 1.0, "maxSize": 3.0, "desiredSize": 1.0}, inputs["scalingConfig"])
	disks := plain(r.One(t, templateType, "llm-gpu"))["blockDeviceMappings"].([]any)
	require.Len(t, disks, 2)
	for i, want := range []struct {
		device string
		size   any
	}{{"/dev/xvda", nil}, {"/dev/xvdb", 200.0}} {
		disk := disks[i].(map[string]any)
		ebs := disk["ebs"].(map[string]any)
		assert.Equal(t, []any{want.device, want.size, "true", "gp3"}, []any{disk["deviceName"], ebs["volumeSize"], ebs["encrypted"], ebs["volumeType"]})
	}
	assert.False(t, cluster.InstallDevicePlugin, "Bottlerocket has one")
	assert.Equal(t, 4, cluster.GPU.PerReplica)
	assert.Equal(t, "4", asgTags(t, r, "llm-gpu-b")["resources/nvidia.com/gpu"])
	assert.Equal(t, "160Gi", asgTags(t, r, "llm-gpu-b")["resources/ephemeral-storage"])
	assert.Equal(t, "2m0s", asgTags(t, r, "llm-gpu-b")["autoscaling-options/scaledownunneededtime"])
}

// TestAGroupInEachZone checks that no group is over several zones, where Auto Scaling would end nodes to balance them, and
// that the groups together have the pool's least number of nodes and each of them room for all.
func TestAGroupInEachZone(t *testing.T) {
	args := created()
	args.Zones = append(args.Zones, "eu-central-1c")
	args.GPUPool.MinNodes = 4
	r, _ := run(t, args)
	for name, want := range map[string]struct {
		subnet string
		least  float64
	}{"llm-gpu-a": {"llm-private-a-id", 2}, "llm-gpu-b": {"llm-private-b-id", 1}, "llm-gpu-c": {"llm-private-c-id", 1}} {
		inputs := plain(r.One(t, nodeGroupType, name))
		assert.Equal(t, []any{want.subnet}, inputs["subnetIds"])
		assert.Equal(t, map[string]any{"minSize": want.least, "maxSize": 5.0, "desiredSize": want.least}, inputs["scalingConfig"], name)
		assert.Equal(t, map[string]any{"id": "llm-gpu-id", "version": "3"}, inputs["launchTemplate"], "equal nodes")
		assert.Equal(t, map[string]any{"vllm-autoscaling.pool": "gpu"}, inputs["tags"])
		assert.NotEmpty(t, asgTags(t, r, name), "a group without nodes is described by its own tags")
	}
	assert.Len(t, r.All(nodeGroupType), 4)
}

// TestNodeGroupThatFailed checks that what runs on nodes is not registered on a node group that EKS has given up on.
func TestNodeGroupThatFailed(t *testing.T) {
	for failed, blocked := range map[string][2]string{
		"llm-gpu-a": {asgTagType, "llm-gpu-a-taint-nvidia-com-gpu"}, "llm-system": {addonType, "llm-coredns"},
	} {
		t.Run(failed, func(t *testing.T) {
			r := &record{failed: failed}
			_, err := r.run(created())
			require.ErrorContains(t, err, "EKS could not create node group "+failed)
			require.ErrorContains(t, err, "pulumi up --replace 'urn:pulumi:")
			require.ErrorContains(t, err, "::"+failed+"'")
			assert.NotContains(t, r.NamesOf(blocked[0]), blocked[1])
		})
	}
}

func TestReleasesOfTheImages(t *testing.T) {
	args := created()
	args.ReleaseVersion, args.SystemReleaseVersion = "1.34.2-20251209", "1.34.1-20251101"
	r, _ := run(t, args)
	assert.Equal(t, "1.34.2-20251209", plain(r.One(t, nodeGroupType, "llm-gpu-b"))["releaseVersion"])
	assert.Equal(t, "1.34.1-20251101", plain(r.One(t, nodeGroupType, "llm-system"))["releaseVersion"])
	r, _ = run(t, created())
	assert.NotContains(t, plain(r.One(t, nodeGroupType, "llm-gpu-b")), "releaseVersion")
}

// TestASystemNodeInEachZone checks that the zone of Prometheus' volume has a node.
func TestASystemNodeInEachZone(t *testing.T) {
	zones := []string{"eu-central-1a", "eu-central-1b", "eu-central-1c"}
	subnets := []string{"subnet-0a", "subnet-0b", "subnet-0c"}
	sizes := func(change func(*Args)) any {
		args := created()
		change(args)
		r, _ := run(t, args)
		return plain(r.One(t, nodeGroupType, "llm-system"))["scalingConfig"]
	}
	least := func(n float64) map[string]any { return map[string]any{"minSize": n, "maxSize": 4.0, "desiredSize": n} }
	assert.Equal(t, least(3), sizes(func(a *Args) { a.Zones = zones }))
	assert.Equal(t, least(2), sizes(func(a *Args) { a.Zones = zones; a.SystemPool.Zones = zones[:1] }))
	assert.Equal(t, least(3), sizes(func(a *Args) { a.Zones, a.SubnetIDs = nil, subnets }))
	args := created()
	args.Zones, args.SubnetIDs, args.SystemPool.MinNodes = nil, subnets, 2
	_, err := (&record{}).run(args)
	require.ErrorContains(t, err, "nodePools.system.minNodes = 2: allowed: at least 3")
}

func TestSystemPool(t *testing.T) {
	r, _ := run(t, created())
	group := r.One(t, nodeGroupType, "llm-system")
	inputs := plain(group)
	assert.Equal(t, "AL2023_x86_64_STANDARD", inputs["amiType"])
	assert.Equal(t, []any{"m6i.large"}, inputs["instanceTypes"])
	assert.Equal(t, map[string]any{"minSize": 2.0, "maxSize": 4.0, "desiredSize": 2.0}, inputs["scalingConfig"])
	assert.Equal(t, []string{"scalingConfig.desiredSize"}, group.Args.RegisterRPC.GetIgnoreChanges())
	assert.Empty(t, inputs["taints"], "hooks and DNS need a node without a taint")
	assert.Equal(t, []any{"llm-private-a-id", "llm-private-b-id"}, inputs["subnetIds"])
	ebs := plain(r.One(t, templateType, "llm-system"))["blockDeviceMappings"].([]any)[0].(map[string]any)["ebs"].(map[string]any)
	assert.Equal(t, "true", ebs["encrypted"])
}
