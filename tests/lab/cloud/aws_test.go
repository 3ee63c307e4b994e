package cloud

import (
	"testing"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestFailedNodeGroup checks what a missing quota leaves: the creation fails and records the group, an update that changes
// nothing succeeds, a read shows no error, and the group stays as it is.
func TestFailedNodeGroup(t *testing.T) {
	c, plane := newTestCloud(t)
	eksScene(t, c)
	c.LimitVCPUs("g", 4)
	p := newProvider(t, c, "aws", map[string]any{"region": "eu-west-1"})
	inputs := with(nodeGroup(c), map[string]any{"scalingConfig": map[string]any{"minSize": 2.0, "desiredSize": 2.0, "maxSize": 3.0}})
	_, err := p.Create(t.Context(), &pulumirpc.CreateRequest{Urn: urnOf(EKSNodeGroup), Properties: properties(t, inputs)})
	require.ErrorContains(t, err, "VcpuLimitExceeded")
	detail := status.Convert(err).Details()
	require.Len(t, detail, 1)
	failed, ok := detail[0].(*pulumirpc.ErrorResourceInitFailed)
	require.True(t, ok, "%T", detail[0])
	assert.Equal(t, "c:gpu", failed.GetId())
	assert.Empty(t, plane.all())

	updated, err := p.Update(t.Context(), &pulumirpc.UpdateRequest{Urn: urnOf(EKSNodeGroup), Id: "c:gpu", Olds: failed.GetProperties(),
		News: properties(t, inputs)})
	require.NoError(t, err, "nothing to change")
	assert.Equal(t, "CREATE_FAILED", updated.GetProperties().GetFields()["status"].GetStringValue())
	read, err := p.Read(t.Context(), &pulumirpc.ReadRequest{Urn: urnOf(EKSNodeGroup), Id: "c:gpu"})
	require.NoError(t, err)
	assert.Equal(t, "CREATE_FAILED", read.GetProperties().GetFields()["status"].GetStringValue())
	_, err = p.Update(t.Context(), &pulumirpc.UpdateRequest{Urn: urnOf(EKSNodeGroup), Id: "c:gpu", Olds: failed.GetProperties(),
		News: properties(t, with(inputs, map[string]any{"labels": map[string]any{"a": "b"}}))})
	require.ErrorContains(t, err, "cannot be updated")

	require.NoError(t, c.Remove(EKSNodeGroup, "c:gpu"))
	c.LimitVCPUs("g", 8)
	mustMake(t, c, EKSNodeGroup, inputs)
	assert.Len(t, plane.all(), 2)
}

// TestSizeOfANodeGroupIsRead checks that a refresh finds the size that the node autoscaler has set.
func TestSizeOfANodeGroupIsRead(t *testing.T) {
	c, _ := newTestCloud(t)
	eksScene(t, c)
	group := mustMake(t, c, EKSNodeGroup, nodeGroup(c))
	c.mu.Lock()
	c.pools[group.ID].desired = 2
	c.mu.Unlock()
	p := newProvider(t, c, "aws", map[string]any{"region": "eu-west-1"})
	read, err := p.Read(t.Context(), &pulumirpc.ReadRequest{Urn: urnOf(EKSNodeGroup), Id: group.ID})
	require.NoError(t, err)
	for _, shown := range []map[string]any{read.GetInputs().AsMap(), read.GetProperties().AsMap()} {
		assert.Equal(t, map[string]any{"minSize": 0.0, "desiredSize": 2.0, "maxSize": 3.0}, shown["scalingConfig"])
	}
}

// TestLogGroupComesBack checks that EKS writes to the log group of a deleted cluster once more, for which the group is
// created again, and that AWS then refuses to create it.
func TestLogGroupComesBack(t *testing.T) {
	c, _ := newTestCloud(t)
	eksNetworkScene(t, c)
	group := map[string]any{"name": "/aws/eks/c/cluster", "retentionInDays": 30.0, "tags": map[string]any{"Name": "c-logs"}}
	mustMake(t, c, AWSLogGroup, group)
	mustMake(t, c, EKSCluster, with(eksClusterInputs(c), map[string]any{"enabledClusterLogTypes": []any{"audit"}}))
	require.NoError(t, c.Remove(EKSCluster, "c"))
	require.NoError(t, c.Remove(AWSLogGroup, "/aws/eks/c/cluster"))
	left := c.Find(AWSLogGroup, "", "/aws/eks/c/cluster")
	require.NotNil(t, left)
	assert.Equal(t, map[string]any{"name": "/aws/eks/c/cluster"}, left.Inputs, "without tags and without an end to its retention")
	_, err := c.Make(AWSLogGroup, settings, group)
	require.ErrorContains(t, err, "ResourceAlreadyExistsException")
	require.NoError(t, c.Remove(AWSLogGroup, left.ID))
	assert.Nil(t, c.Find(AWSLogGroup, "", left.ID), "once")
}

// TestSecurityGroupsOfNodes checks that nodes with different security groups are found.
func TestSecurityGroupsOfNodes(t *testing.T) {
	for name, test := range map[string]struct {
		groups    []any
		incidents int
	}{
		"the cluster's": {nil, 1}, "theirs": {[]any{"sg-0b"}, 0}, "both": {[]any{"sg-0c", "sg-0b"}, 0}, "others": {[]any{"sg-0d"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			eksScene(t, c)
			theirs := mustMake(t, c, AWSTemplate, map[string]any{"name": "theirs", "vpcSecurityGroupIds": []any{"sg-0a", "sg-0b"}})
			mustMake(t, c, EKSNodeGroup, with(nodeGroup(c), map[string]any{"nodeGroupName": "workers",
				"launchTemplate": map[string]any{"id": theirs.ID, "version": "1"}}))
			ours := mustMake(t, c, AWSTemplate, with(map[string]any{"name": "ours"}, map[string]any{"vpcSecurityGroupIds": orNil(test.groups)}))
			mustMake(t, c, EKSNodeGroup, with(nodeGroup(c), map[string]any{"launchTemplate": map[string]any{"id": ours.ID, "version": "1"}}))
			assert.Len(t, c.Incidents(), test.incidents, "%v", c.Incidents())
		})
	}
}

func orNil(list []any) any {
	if list == nil {
		return nil
	}
	return list
}

// TestZonesWithoutEKS checks that no cluster is created in a zone without EKS control planes.
func TestZonesWithoutEKS(t *testing.T) {
	assert.Equal(t, "use1-az1", awsZoneID("us-east-1a"))
	assert.Equal(t, "euc1-az4", awsZoneID("eu-central-1b"))
	c, _ := newTestCloud(t)
	eksNetworkScene(t, c)
	inEastern := Settings{"region": "us-east-1"}
	vpc, err := c.Make(AWSVpc, inEastern, map[string]any{"cidrBlock": "10.1.0.0/16"})
	require.NoError(t, err)
	var subnets []any
	for zone, block := range map[string]string{"us-east-1a": "10.1.0.0/24", "us-east-1e": "10.1.1.0/24"} {
		subnet, err := c.Make(AWSSubnet, inEastern, map[string]any{"vpcId": vpc.ID, "availabilityZone": zone, "cidrBlock": block})
		require.NoError(t, err)
		subnets = append(subnets, subnet.ID)
	}
	_, err = c.Make(EKSCluster, inEastern, with(eksClusterInputs(c), map[string]any{"vpcConfig": map[string]any{"subnetIds": subnets}}))
	require.ErrorContains(t, err, "UnsupportedAvailabilityZoneException")
}

// TestRebalancing checks that a group over several zones is found to lose a node when its zones become unequal.
func TestRebalancing(t *testing.T) {
	for name, test := range map[string]struct {
		zones     []string
		nodes     map[string]string
		incidents int
	}{
		"balanced":      {[]string{"a", "b"}, map[string]string{"1": "a", "2": "b", "3": "a"}, 0},
		"after a scale": {[]string{"a", "b"}, map[string]string{"1": "a", "3": "a"}, 1},
		"one zone":      {[]string{"a"}, map[string]string{"1": "a", "3": "a"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			p := &pool{id: "p", name: "gpu", asg: "asg", gpuCount: 1, zones: test.zones, double: c.doubles["aws"]}
			v := &view{nodes: map[string]*corev1.Node{}}
			for node, zone := range test.nodes {
				p.nodes = append(p.nodes, node)
				v.nodes[node] = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelTopologyZone: zone}}}
			}
			c.mu.Lock()
			c.pools = map[string]*pool{"p": p}
			p.desired, p.removed = len(p.nodes), true // for the machines that the cloud starts and ends
			c.rebalance(v)
			delete(c.pools, "p")
			c.mu.Unlock()
			assert.Len(t, c.Incidents(), test.incidents)
		})
	}
}

// TestVersionOfTheAutoscaler checks that a cluster-autoscaler for another Kubernetes version is found.
func TestVersionOfTheAutoscaler(t *testing.T) {
	for tag, incidents := range map[string]int{"v1.34.0": 0, "v1.35.0": 1, "v1.3.4": 1} {
		c, _ := newTestCloud(t)
		g := workingGroup()
		g.deployments[0].Spec.Template.Spec.Containers[0].Image = "registry.k8s.io/autoscaling/cluster-autoscaler:" + tag
		p := g.make(t, c)
		grown(c, p, &view{pods: map[string][]*corev1.Pod{"": {modelPod("a", nil)}}, deployments: g.deployments})
		assert.Len(t, c.Incidents(), incidents, tag)
	}
}
