package cloud

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"vllm-autoscaling/ops/recover"
	"vllm-autoscaling/tests/lab/controlplane"
)

// fakeControlPlane stores nodes and has no API server.
type fakeControlPlane struct {
	client kubernetes.Interface
	mu     sync.Mutex
	nodes  map[string]controlplane.Node
}

func (f *fakeControlPlane) Config() *rest.Config {
	return &rest.Config{Host: "https://127.0.0.1:1", BearerToken: "admin-token", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("ca")}}
}
func (f *fakeControlPlane) Client() kubernetes.Interface { return f.client }
func (f *fakeControlPlane) AdminCertificate() (certificate, key []byte, err error) {
	return []byte("certificate"), []byte("key"), nil
}

func (f *fakeControlPlane) AddNode(_ context.Context, n controlplane.Node) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes[n.Name] = n
	return nil
}

func (f *fakeControlPlane) RemoveNode(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.nodes, name)
	return nil
}

func (f *fakeControlPlane) all() []controlplane.Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.nodes))
}

// newTestCloud starts clouds whose operations take no time.
func newTestCloud(t *testing.T) (*Cloud, *fakeControlPlane) {
	t.Helper()
	plane := &fakeControlPlane{client: fake.NewClientset(), nodes: map[string]controlplane.Node{}}
	c, err := Start(Options{ControlPlane: plane, OperationTime: time.Millisecond, NodeStartTime: time.Millisecond, ScaleUpDelay: time.Nanosecond,
		IdleTime: time.Hour})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Stop()) })
	return c, plane
}

var settings = Settings{"project": "p", "region": "eu-west-1", "subscriptionId": AzureSubscription}

func mustMake(t *testing.T, c *Cloud, token string, inputs map[string]any) *Resource {
	t.Helper()
	r, err := c.Make(token, settings, inputs)
	require.NoError(t, err)
	return r
}

// with returns a copy of inputs with changes; nil removes an input.
func with(inputs map[string]any, changes map[string]any) map[string]any {
	all := maps.Clone(inputs)
	for key, value := range changes {
		all[key] = value
		if value == nil {
			delete(all, key)
		}
	}
	return all
}

// TestVersionsAreThoseOfTheProgram checks the providers' versions: the engine requires the plugin of the SDK's version.
func TestVersionsAreThoseOfTheProgram(t *testing.T) {
	goMod, err := os.ReadFile("../../../go.mod")
	require.NoError(t, err)
	for _, d := range doubles() {
		found := regexp.MustCompile(regexp.QuoteMeta(d.sdk) + ` v(\S+)`).FindSubmatch(goMod)
		require.NotNil(t, found, d.sdk)
		assert.Equal(t, string(found[1]), d.version, d.sdk)
	}
}

var gkeCluster = map[string]any{"name": "c", "location": "europe-west4-a", "initialNodeCount": 1.0, "deletionProtection": false,
	"workloadIdentityConfig": map[string]any{"workloadPool": "p.svc.id.goog"}}

func gkePoolOf(name string, config map[string]any) map[string]any {
	return map[string]any{"name": name, "cluster": "c", "location": "europe-west4-a", "initialNodeCount": 1.0, "nodeConfig": config,
		"autoscaling": map[string]any{"totalMinNodeCount": 0.0, "totalMaxNodeCount": 4.0}}
}

func l4(driver string) []any {
	gpu := map[string]any{"type": "nvidia-l4", "count": 1.0}
	if driver != "" {
		gpu["gpuDriverInstallationConfig"] = map[string]any{"gpuDriverVersion": driver}
	}
	return []any{gpu}
}

var (
	gpuTaint   = map[string]any{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}
	otherTaint = map[string]any{"key": "team", "value": "a", "effect": "NO_EXECUTE"}
)

func TestGKENodes(t *testing.T) {
	for name, test := range map[string]struct {
		// before reports whether there is already a pool without GPUs.
		before bool
		config map[string]any
		taints []string
		labels map[string]string
		gpus   int
	}{
		"a plain pool": {config: map[string]any{"machineType": "e2-standard-4"}, labels: map[string]string{"cloud.google.com/machine-family": "e2",
			"topology.kubernetes.io/zone": "europe-west4-a"}},
		"the declared GPU taint is the only one": {
			before: true, gpus: 1, taints: []string{"nvidia.com/gpu=present:NoSchedule"},
			config: map[string]any{"machineType": "g2-standard-4", "guestAccelerators": l4("LATEST"), "taints": []any{gpuTaint}},
			labels: map[string]string{"cloud.google.com/gke-accelerator": "nvidia-l4", "cloud.google.com/gke-gpu-driver-version": "latest"},
		},
		"GKE's own taint beside another pool": {
			before: true, gpus: 1, taints: []string{"nvidia.com/gpu=present:NoSchedule", "team=a:NoExecute"},
			config: map[string]any{"machineType": "g2-standard-4", "guestAccelerators": l4("DEFAULT"), "taints": []any{otherTaint}},
		},
		"no taint of GKE's on the first pool": {
			gpus: 1, config: map[string]any{"machineType": "g2-standard-4", "guestAccelerators": l4("DEFAULT")},
		},
		"without a driver no GPU": {
			config: map[string]any{"machineType": "g2-standard-4", "guestAccelerators": l4("")},
			labels: map[string]string{"cloud.google.com/gke-accelerator": "nvidia-l4"},
		},
		"spot": {config: map[string]any{"machineType": "e2-standard-4", "spot": true}, labels: map[string]string{"cloud.google.com/gke-spot": "true"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, plane := newTestCloud(t)
			mustMake(t, c, GKECluster, gkeCluster)
			if test.before {
				mustMake(t, c, GKENodePool, with(gkePoolOf("first", map[string]any{"machineType": "e2-standard-4"}), map[string]any{"initialNodeCount": 0.0}))
			}
			mustMake(t, c, GKENodePool, gkePoolOf("pool", test.config))
			nodes := plane.all()
			require.Len(t, nodes, 1)
			assert.Equal(t, test.gpus, nodes[0].GPUs)
			assert.ElementsMatch(t, test.taints, taintTexts(nodes[0]))
			for key, value := range test.labels {
				assert.Equal(t, value, nodes[0].Labels[key], key)
			}
		})
	}
}

func taintTexts(n controlplane.Node) []string {
	var all []string
	for _, taint := range n.Taints {
		all = append(all, fmt.Sprintf("%s=%s:%s", taint.Key, taint.Value, taint.Effect))
	}
	return all
}

// scene creates the resources that the tested one depends on.
type scene func(t *testing.T, c *Cloud)

func gkeScene(t *testing.T, c *Cloud) { mustMake(t, c, GKECluster, gkeCluster) }

func aksScene(t *testing.T, c *Cloud) {
	mustMake(t, c, AzureResourceGroup, map[string]any{"resourceGroupName": "g", "location": "westeurope"})
	mustMake(t, c, AKSCluster, aksInputs)
}

var aksInputs = map[string]any{"resourceGroupName": "g", "resourceName": "c", "location": "westeurope", "dnsPrefix": "c", "agentPoolProfiles": []any{
	map[string]any{"name": "system", "mode": "System", "vmSize": "Standard_D4s_v5", "enableAutoScaling": true, "count": 1.0, "minCount": 1.0, "maxCount": 2.0}}}

var agentPool = map[string]any{"resourceGroupName": "g", "resourceName": "c", "agentPoolName": "gpu", "vmSize": "Standard_NC24ads_A100_v4",
	"enableAutoScaling": true, "count": 1.0, "minCount": 0.0, "maxCount": 2.0, "nodeTaints": []any{"nvidia.com/gpu=present:NoSchedule"}}

const trust = `{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"x"}}]}`

func eksNetworkScene(t *testing.T, c *Cloud) {
	vpc := mustMake(t, c, AWSVpc, map[string]any{"cidrBlock": "10.0.0.0/16"})
	for i, zone := range []string{"eu-west-1a", "eu-west-1b"} {
		mustMake(t, c, AWSSubnet, map[string]any{"vpcId": vpc.ID, "availabilityZone": zone, "cidrBlock": fmt.Sprintf("10.0.%d.0/24", i)})
	}
	for name, policies := range map[string][]string{
		"cluster": {"AmazonEKSClusterPolicy"}, "nodes": {"AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"}, "bare": nil,
	} {
		mustMake(t, c, AWSRole, map[string]any{"name": name, "assumeRolePolicy": trust})
		for _, policy := range policies {
			mustMake(t, c, AWSRolePolicy, map[string]any{"role": name, "policyArn": "arn:aws:iam::aws:policy/" + policy})
		}
	}
}

func roleArn(name string) string { return "arn:aws:iam::" + AWSAccount + ":role/" + name }

func eksClusterInputs(c *Cloud) map[string]any {
	return map[string]any{"name": "c", "roleArn": roleArn("cluster"), "vpcConfig": map[string]any{"subnetIds": subnetIDs(c)},
		"accessConfig": map[string]any{"authenticationMode": "API"}}
}

func subnetIDs(c *Cloud) []any {
	var ids []any
	for _, r := range c.Resources() {
		if r.Token == AWSSubnet {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func eksScene(t *testing.T, c *Cloud) {
	eksNetworkScene(t, c)
	mustMake(t, c, EKSCluster, eksClusterInputs(c))
}

func nodeGroup(c *Cloud) map[string]any {
	return map[string]any{"clusterName": "c", "nodeGroupName": "gpu", "nodeRoleArn": roleArn("nodes"), "subnetIds": subnetIDs(c),
		"instanceTypes": []any{"g6.xlarge"},
		"amiType":       "AL2023_x86_64_NVIDIA", "scalingConfig": map[string]any{"minSize": 0.0, "desiredSize": 0.0, "maxSize": 3.0},
		"labels": map[string]any{"nvidia.com/gpu.present": "true"}, "taints": []any{gpuTaint}}
}

// TestRefusedCreations checks inputs that the cloud's API or its provider refuses.
func TestRefusedCreations(t *testing.T) {
	fixed := func(inputs map[string]any) func(*Cloud) map[string]any {
		return func(*Cloud) map[string]any { return inputs }
	}
	groupWith := func(changes map[string]any) func(*Cloud) map[string]any {
		return func(c *Cloud) map[string]any { return with(nodeGroup(c), changes) }
	}
	for name, test := range map[string]struct {
		scene   scene
		token   string
		inputs  func(*Cloud) map[string]any
		message string
	}{
		"an unknown input":         {nil, GKECluster, fixed(with(gkeCluster, map[string]any{"colour": "red"})), `unknown key "colour"`},
		"an input of another type": {nil, GKECluster, fixed(with(gkeCluster, map[string]any{"initialNodeCount": "one"})), "initialNodeCount must be of type integer"},
		"a missing input":          {nil, GKENodePool, fixed(map[string]any{"name": "x"}), `missing required property "cluster"`},
		"a component that there is not": {nil, GKECluster,
			fixed(with(gkeCluster, map[string]any{"monitoringConfig": map[string]any{"enableComponents": []any{"GPU"}}})),
			"monitoringConfig.enableComponents"},
		"no such network":              {nil, GKECluster, fixed(with(gkeCluster, map[string]any{"network": "nope"})), `network "nope" not found`},
		"a second cluster of the name": {gkeScene, GKECluster, fixed(gkeCluster), "Already exists"},
		"no initial node":              {nil, GKECluster, fixed(with(gkeCluster, map[string]any{"initialNodeCount": nil})), "initial_node_count"},
		"a duplicated taint": {gkeScene, GKENodePool,
			fixed(gkePoolOf("p", map[string]any{"machineType": "e2-medium", "taints": []any{gpuTaint, gpuTaint}})), "duplicate taint nvidia.com/gpu"},
		"an effect of another cloud": {gkeScene, GKENodePool,
			fixed(gkePoolOf("p", map[string]any{"taints": []any{map[string]any{"key": "a", "value": "b", "effect": "NoSchedule"}}})),
			"effect"},
		"a GPU that the machine does not carry": {gkeScene, GKENodePool,
			fixed(gkePoolOf("p", map[string]any{"machineType": "g2-standard-24", "guestAccelerators": l4("DEFAULT")})), "carries 2 nvidia-l4"},
		"both kinds of limits": {gkeScene, GKENodePool, fixed(with(gkePoolOf("p", nil), map[string]any{"nodeConfig": nil,
			"autoscaling": map[string]any{"totalMaxNodeCount": 1.0, "maxNodeCount": 1.0}})),
			"conflicts with"},
		"a count beside limits": {gkeScene, GKENodePool, fixed(with(gkePoolOf("p", nil), map[string]any{"nodeConfig": nil, "nodeCount": 1.0})), "nodeCount"},

		"zones": {eksNetworkScene, EKSCluster, func(c *Cloud) map[string]any {
			return with(eksClusterInputs(c), map[string]any{"vpcConfig": map[string]any{"subnetIds": subnetIDs(c)[:1]}})
		}, "two different AZs"},
		"a role without its policy": {eksNetworkScene, EKSCluster, func(c *Cloud) map[string]any {
			return with(eksClusterInputs(c), map[string]any{"roleArn": roleArn("bare")})
		}, "AmazonEKSClusterPolicy"},
		"a node role without its policies": {eksScene, EKSNodeGroup, groupWith(map[string]any{"nodeRoleArn": roleArn("bare")}), "AmazonEKSWorkerNodePolicy"},
		"Amazon Linux 2":                   {eksScene, EKSNodeGroup, groupWith(map[string]any{"amiType": "AL2_x86_64_GPU"}), "no longer supported"},
		"an image that there is not":       {eksScene, EKSNodeGroup, groupWith(map[string]any{"amiType": "AL2023_NVIDIA"}), "amiType"},
		"sizes": {eksScene, EKSNodeGroup,
			groupWith(map[string]any{"scalingConfig": map[string]any{"minSize": 2.0, "desiredSize": 0.0, "maxSize": 3.0}}), "between minimum"},
		"nodes without a CNI": {func(t *testing.T, c *Cloud) {
			eksNetworkScene(t, c)
			mustMake(t, c, EKSCluster, with(eksClusterInputs(c), map[string]any{"bootstrapSelfManagedAddons": false}))
		}, EKSNodeGroup, groupWith(map[string]any{"scalingConfig": map[string]any{"minSize": 1.0, "desiredSize": 1.0, "maxSize": 3.0}}), "vpc-cni"},
		"DNS without nodes": {eksScene, EKSAddon, fixed(map[string]any{"clusterName": "c", "addonName": "coredns"}), "DEGRADED"},
		"an overlapping subnet": {eksNetworkScene, AWSSubnet, func(c *Cloud) map[string]any {
			return map[string]any{"vpcId": c.Find(AWSVpc, "cidrBlock", "10.0.0.0/16").ID, "cidrBlock": "10.0.1.0/25", "availabilityZone": "eu-west-1a"}
		}, "overlaps"},
		"a policy that AWS does not have": {eksNetworkScene, AWSRolePolicy,
			fixed(map[string]any{"role": "bare", "policyArn": "arn:aws:iam::aws:policy/AmazonEKSPolicy"}), "NoSuchEntity"},
		"a policy that is no JSON": {nil, AWSRole, fixed(map[string]any{"name": "r", "assumeRolePolicy": "{"}), "invalid JSON policy"},

		"a pool's name": {aksScene, AKSAgentPool, fixed(with(agentPool, map[string]any{"agentPoolName": "GPU-pool"})), "lower-case letters"},
		"a taint of another form": {aksScene, AKSAgentPool, fixed(with(agentPool, map[string]any{"nodeTaints": []any{"nvidia.com/gpu:NoSchedule"}})),
			"key=value:Effect"},
		"a duplicated taint of AKS": {aksScene, AKSAgentPool,
			fixed(with(agentPool, map[string]any{"nodeTaints": []any{"a=b:NoSchedule", "a=c:NoSchedule"}})), "duplicate taint"},
		"a reserved label": {aksScene, AKSAgentPool,
			fixed(with(agentPool, map[string]any{"nodeLabels": map[string]any{"kubernetes.azure.com/accelerator": "x"}})), "reserved prefix"},
		"limits":   {aksScene, AKSAgentPool, fixed(with(agentPool, map[string]any{"count": 5.0})), "between minCount"},
		"no group": {nil, AKSCluster, fixed(aksInputs), `resourceGroupName "g" not found`},
		"a DNS prefix with an underscore": {func(t *testing.T, c *Cloud) {
			mustMake(t, c, AzureResourceGroup, map[string]any{"resourceGroupName": "g", "location": "westeurope"})
		}, AKSCluster, fixed(with(aksInputs, map[string]any{"dnsPrefix": "my_cluster"})), "letters, digits and hyphens"},
		"local accounts without another way": {func(t *testing.T, c *Cloud) {
			mustMake(t, c, AzureResourceGroup, map[string]any{"resourceGroupName": "g", "location": "westeurope"})
		}, AKSCluster, fixed(with(aksInputs, map[string]any{"disableLocalAccounts": true})), "Entra"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			if test.scene != nil {
				test.scene(t, c)
			}
			_, err := c.Make(test.token, settings, test.inputs(c))
			require.ErrorContains(t, err, test.message)
		})
	}
}

// TestRefusedDeletions checks deletions that the cloud refuses until something else is deleted.
func TestRefusedDeletions(t *testing.T) {
	for name, test := range map[string]struct {
		scene          scene
		token, by, key string
		message        string
	}{
		"a protected cluster": {func(t *testing.T, c *Cloud) {
			mustMake(t, c, GKECluster, with(gkeCluster, map[string]any{"deletionProtection": nil}))
		}, GKECluster, "name", "c", "deletion_protection"},
		"a network with a subnetwork": {func(t *testing.T, c *Cloud) {
			mustMake(t, c, gcpNetwork, map[string]any{"name": "n"})
			mustMake(t, c, gcpSubnetwork, map[string]any{"name": "s", "network": "n", "region": "europe-west4", "ipCidrRange": "10.0.0.0/20"})
		}, gcpNetwork, "name", "n", "in use by gcp:compute/subnetwork"},
		"a cluster with node groups": {func(t *testing.T, c *Cloud) {
			eksScene(t, c)
			mustMake(t, c, EKSNodeGroup, nodeGroup(c))
		}, EKSCluster, "name", "c", "Cluster has nodegroups attached"},
		"a role with policies":    {eksNetworkScene, AWSRole, "name", "cluster", "must detach all policies"},
		"a subnet with a cluster": {eksScene, AWSSubnet, "cidrBlock", "10.0.0.0/24", "in use by aws:eks/cluster"},
		"a VPC with subnets":      {eksNetworkScene, AWSVpc, "cidrBlock", "10.0.0.0/16", "in use by aws:ec2/subnet"},
		"a cluster without its role's policy": {func(t *testing.T, c *Cloud) {
			eksScene(t, c)
			for _, r := range c.Resources() {
				if r.Token == AWSRolePolicy && r.Inputs["role"] == "cluster" {
					require.NoError(t, c.Remove(r.Token, r.ID))
				}
			}
		}, EKSCluster, "name", "c", "network interfaces"},
		"a locked cluster": {func(t *testing.T, c *Cloud) {
			aksScene(t, c)
			mustMake(t, c, azureLock, map[string]any{"scope": c.Find(AKSCluster, "name", "c").ID, "lockName": "l", "level": "CanNotDelete"})
		}, AKSCluster, "name", "c", "ScopeLocked"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			test.scene(t, c)
			r := c.Find(test.token, test.by, test.key)
			require.NotNil(t, r)
			require.ErrorContains(t, c.Remove(test.token, r.ID), test.message)
			assert.NotNil(t, c.Find(test.token, test.by, test.key))
		})
	}
}

// TestWhatGoesWithACluster checks that a deleted cluster takes its pools, their nodes and what is bound to it along.
func TestWhatGoesWithACluster(t *testing.T) {
	c, plane := newTestCloud(t)
	aksScene(t, c)
	mustMake(t, c, AKSAgentPool, agentPool)
	require.Len(t, plane.all(), 2)
	require.NoError(t, c.Remove(AzureResourceGroup, c.Find(AzureResourceGroup, "name", "g").ID))
	assert.Empty(t, c.Resources())
	assert.Empty(t, plane.all())
	assert.Empty(t, c.Pools())
}

func TestAKSNodes(t *testing.T) {
	c, plane := newTestCloud(t)
	aksScene(t, c)
	mustMake(t, c, AKSAgentPool, with(agentPool, map[string]any{"scaleSetPriority": "Spot"}))
	nodes := slices.DeleteFunc(plane.all(), func(n controlplane.Node) bool { return n.Labels["agentpool"] != "gpu" })
	require.Len(t, nodes, 1)
	node := nodes[0]
	assert.ElementsMatch(t, []string{"nvidia.com/gpu=present:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"}, taintTexts(node),
		"AKS adds the spot taint")
	assert.Equal(t, "spot", node.Labels["kubernetes.azure.com/scalesetpriority"])
	assert.Equal(t, "nvidia", node.Labels["kubernetes.azure.com/accelerator"])
	assert.Zero(t, node.GPUs, "until the device plugin runs on it")
}

// TestCloudCompletesWhatItHasBegun checks that a resource is created also when its caller has ended.
func TestCloudCompletesWhatItHasBegun(t *testing.T) {
	c, _ := newTestCloud(t)
	provider, err := c.Provider("gcp")
	require.NoError(t, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	inputs, err := marshal(resource.NewPropertyMapFromMap(with(gkeCluster, map[string]any{"project": "p"})))
	require.NoError(t, err)
	_, err = provider.Create(gone, &pulumirpc.CreateRequest{Urn: "urn:pulumi:s::p::" + GKECluster + "::c", Properties: inputs})
	require.NoError(t, err)
	found := c.Find(GKECluster, "name", "c")
	require.NotNil(t, found)
	assert.True(t, strings.HasPrefix(found.URN, "urn:pulumi:s"))
}

// A resource whose import takes another id than its own is found by that one.
func TestImportedByAnotherID(t *testing.T) {
	c, _ := newTestCloud(t)
	eksNetworkScene(t, c)
	attached := c.all(AWSRolePolicy, func(*Resource) bool { return true })
	require.NotEmpty(t, attached)
	k := c.kinds[AWSRolePolicy]
	assert.Same(t, attached[0], c.imported(k, named(attached[0], "role")+"/"+named(attached[0], "policyArn")))
	assert.Nil(t, c.imported(k, attached[0].ID))
}

// `make recover` must be able to adopt everything that the stacks create.
func TestEveryResourceHasAnImportID(t *testing.T) {
	c, _ := newTestCloud(t)
	require.NotEmpty(t, c.kinds)
	for token := range c.kinds {
		if strings.Count(token, ":") == 2 { // not what the clouds create by themselves
			form, _ := recover.ImportID(token)
			assert.NotEmpty(t, form, token)
		}
	}
}
