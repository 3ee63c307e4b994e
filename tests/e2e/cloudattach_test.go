package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/cloud"
)

// attachment is a cluster that was created outside of Pulumi, and the stack that attaches to it.
type attachment struct {
	stack string
	// make creates the cluster "theirs" with nodes for everything except the model.
	make func(t *testing.T, m maker)
	// config selects the cluster.
	config map[string]any
	// pools is the number of node pools that are added to it.
	pools int
	// refused are unsuitable clusters, by what is wrong with them.
	refused map[string]refusal
}

// refusal is the cluster "wrong", which lacks something.
type refusal struct {
	make   func(t *testing.T, m maker)
	config map[string]any
	// says lists parts of the error, including the setting to change.
	says []string
}

// maker creates cloud resources outside of Pulumi.
type maker struct {
	clouds   *cloud.Cloud
	settings cloud.Settings
}

// make creates a resource and returns it.
func (m maker) make(t *testing.T, token string, inputs map[string]any) *cloud.Resource {
	t.Helper()
	r, err := m.clouds.Make(token, m.settings, inputs)
	require.NoError(t, err)
	return r
}

func existingCluster(name string) map[string]any {
	return map[string]any{"cluster": map[string]any{"existing": name}}
}

// ownGPUNodes uses the existing GPU nodes of the cluster.
var ownGPUNodes = map[string]any{"nodePools": map[string]any{"gpu": map[string]any{"create": false}}}

var attachments = []attachment{
	{
		stack:  "gke",
		pools:  1,
		config: map[string]any{"gke": map[string]any{"project": "lab-project", "location": "europe-west4-a"}},
		make: func(t *testing.T, m maker) {
			m.make(t, cloud.GKECluster, gkeInputs("theirs", nil))
			m.make(t, cloud.GKENodePool, gkePoolInputs("theirs", "default", nil))
		},
		refused: map[string]refusal{
			"no such cluster": {says: []string{`"wrong"`, "gcloud container clusters list"}},
			"Autopilot": {
				make: func(t *testing.T, m maker) {
					m.make(t, cloud.GKECluster, gkeInputs("wrong", map[string]any{"enableAutopilot": true}))
				},
				says: []string{"Autopilot", "attach to a Standard cluster"},
			},
			"managed DCGM off": {
				make: func(t *testing.T, m maker) {
					m.make(t, cloud.GKECluster, gkeInputs("wrong", map[string]any{"monitoringConfig": map[string]any{"enableComponents": []any{"SYSTEM_COMPONENTS"}}}))
				},
				says: []string{"DCGM is off", "--monitoring=DCGM,SYSTEM"},
			},
			"no workload identity": {
				make: func(t *testing.T, m maker) {
					m.make(t, cloud.GKECluster, gkeInputs("wrong", map[string]any{"workloadIdentityConfig": nil}))
				},
				says: []string{"workload identity is off", "--workload-pool=lab-project.svc.id.goog"},
			},
			"no GPU driver": {
				make: func(t *testing.T, m maker) {
					m.make(t, cloud.GKECluster, gkeInputs("wrong", nil))
					m.make(t, cloud.GKENodePool, gkePoolInputs("wrong", "gpus", map[string]any{
						"machineType": "g2-standard-4", "guestAccelerators": []any{map[string]any{"type": "nvidia-l4", "count": 1.0}},
					}))
				},
				config: ownGPUNodes,
				says:   []string{"GPU driver", "gpus", "gpu-driver-version=default"},
			},
			"no GPU nodes": {
				make:   func(t *testing.T, m maker) { m.make(t, cloud.GKECluster, gkeInputs("wrong", nil)) },
				config: ownGPUNodes,
				says:   []string{"no node pool", "nodePools.gpu"},
			},
		},
	},
	{
		stack:  "eks",
		pools:  2, // one in each zone
		config: map[string]any{"eks": map[string]any{"region": "eu-central-1"}},
		make: func(t *testing.T, m maker) {
			eksCluster(t, m, "theirs", nil)
			eksSystemNodes(t, m, "theirs")
			for _, addon := range []string{"coredns", "aws-ebs-csi-driver"} {
				inputs := map[string]any{"clusterName": "theirs", "addonName": addon}
				if addon == "aws-ebs-csi-driver" {
					inputs["configurationValues"] = `{"defaultStorageClass":{"enabled":true}}`
					inputs["serviceAccountRoleArn"] = eksRole(t, m, "ebs", "service-role/AmazonEBSCSIDriverPolicy")
				}
				m.make(t, cloud.EKSAddon, inputs)
			}
		},
		refused: map[string]refusal{
			"no such cluster": {says: []string{`"wrong"`, "region eu-central-1"}},
			"Auto Mode": {
				make: func(t *testing.T, m maker) {
					eksCluster(t, m, "wrong", map[string]any{
						"computeConfig": map[string]any{"enabled": true}, "storageConfig": map[string]any{"blockStorage": map[string]any{"enabled": true}},
					})
				},
				says: []string{"Auto Mode", "computeConfig.enabled false"},
			},
			"no pod identity agent": {
				make: func(t *testing.T, m maker) {
					eksCluster(t, m, "wrong", nil)
					require.NoError(t, m.clouds.Remove(cloud.EKSAddon, "wrong:eks-pod-identity-agent"))
				},
				says: []string{"eks-pod-identity-agent", "aws eks create-addon"},
			},
			"GPU nodes without a driver": {
				make: func(t *testing.T, m maker) {
					eksCluster(t, m, "wrong", nil)
					eksSystemNodes(t, m, "wrong")
				},
				config: ownGPUNodes,
				says:   []string{"no node group for vLLM", "without NVIDIA's driver", "nodePools.gpu"},
			},
		},
	},
	{
		stack:  "aks",
		pools:  1,
		config: map[string]any{"aks": map[string]any{"resourceGroup": "theirs", "entra": map[string]any{"enabled": true}}},
		make: func(t *testing.T, m maker) {
			// With Entra and without local accounts, kubelogin is the only login.
			aksCluster(t, m, "theirs", map[string]any{"aadProfile": map[string]any{"managed": true, "enableAzureRBAC": true}, "disableLocalAccounts": true})
		},
		refused: map[string]refusal{
			"no such cluster": {says: []string{`"wrong"`, "az aks list"}},
			"Automatic": {
				make: func(t *testing.T, m maker) {
					aksCluster(t, m, "wrong", map[string]any{"sku": map[string]any{"name": "Automatic", "tier": "Standard"}})
				},
				says: []string{"AKS Automatic", "SKU Base"},
			},
			"no Entra": {
				make: func(t *testing.T, m maker) { aksCluster(t, m, "wrong", nil) },
				says: []string{"does not use Microsoft Entra ID", "az aks update", "--enable-aad"},
			},
			"local accounts disabled": {
				make: func(t *testing.T, m maker) {
					aksCluster(t, m, "wrong", map[string]any{"aadProfile": map[string]any{"managed": true}, "disableLocalAccounts": true})
				},
				config: map[string]any{"aks": map[string]any{"entra": nil}},
				says:   []string{"local accounts are disabled", "--enable-local-accounts"},
			},
			"GPU pool without the label": {
				make: func(t *testing.T, m maker) {
					aksCluster(t, m, "wrong", map[string]any{"aadProfile": map[string]any{"managed": true}})
					m.make(t, cloud.AKSAgentPool, map[string]any{
						"resourceGroupName": "theirs", "resourceName": "wrong", "agentPoolName": "a100", "vmSize": "Standard_NC24ads_A100_v4", "mode": "User",
						"enableAutoScaling": true, "count": 0.0, "minCount": 0.0, "maxCount": 1.0,
					})
				},
				config: ownGPUNodes,
				says:   []string{"a100", "nvidia.com/gpu.present=true", "az aks nodepool update"},
			},
		},
	},
}

// gkeInputs returns the inputs of a suitable cluster with changes; nil removes an input.
func gkeInputs(name string, changes map[string]any) map[string]any {
	return changedInputs(map[string]any{
		"name": name, "location": "europe-west4-a", "initialNodeCount": 1.0, "removeDefaultNodePool": true, "networkingMode": "VPC_NATIVE",
		"workloadIdentityConfig": map[string]any{"workloadPool": "lab-project.svc.id.goog"},
		"monitoringConfig":       map[string]any{"enableComponents": []any{"SYSTEM_COMPONENTS", "DCGM"}},
		// Only its owner may delete it.
		"deletionProtection": true,
	}, changes)
}

func gkePoolInputs(cluster, name string, config map[string]any) map[string]any {
	return map[string]any{
		"name": name, "cluster": cluster, "location": "europe-west4-a", "initialNodeCount": 1.0,
		"autoscaling": map[string]any{"totalMinNodeCount": 1.0, "totalMaxNodeCount": 3.0},
		"nodeConfig":  changedInputs(map[string]any{"machineType": "e2-standard-4"}, config),
	}
}

func changedInputs(inputs, changes map[string]any) map[string]any {
	for key, value := range changes {
		if value == nil {
			delete(inputs, key)
		} else {
			inputs[key] = value
		}
	}
	return inputs
}

const eksTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":["eks.amazonaws.com","ec2.amazonaws.com","pods.eks.amazonaws.com"]}}]}`

// eksRole creates a role with policies managed by AWS and returns its ARN.
func eksRole(t *testing.T, m maker, name string, policies ...string) string {
	t.Helper()
	role := m.make(t, cloud.AWSRole, map[string]any{"name": name, "assumeRolePolicy": eksTrust})
	for _, policy := range policies {
		m.make(t, cloud.AWSRolePolicy, map[string]any{"role": name, "policyArn": "arn:aws:iam::aws:policy/" + policy})
	}
	return role.Outputs["arn"].(string)
}

func eksCluster(t *testing.T, m maker, name string, changes map[string]any) {
	t.Helper()
	vpc := m.make(t, cloud.AWSVpc, map[string]any{"cidrBlock": "10.20.0.0/16"})
	var subnets []any
	for zone, block := range map[string]string{"eu-central-1a": "10.20.0.0/18", "eu-central-1b": "10.20.64.0/18"} {
		subnets = append(subnets, m.make(t, cloud.AWSSubnet, map[string]any{"vpcId": vpc.ID, "cidrBlock": block, "availabilityZone": zone}).ID)
	}
	m.make(t, cloud.EKSCluster, changedInputs(map[string]any{
		"name": name, "roleArn": eksRole(t, m, name+"-cluster", "AmazonEKSClusterPolicy"),
		"vpcConfig":    map[string]any{"subnetIds": subnets, "endpointPublicAccess": true},
		"accessConfig": map[string]any{"authenticationMode": "API"},
	}, changes))
	for _, addon := range []string{"vpc-cni", "kube-proxy", "eks-pod-identity-agent"} {
		m.make(t, cloud.EKSAddon, map[string]any{"clusterName": name, "addonName": addon})
	}
}

func eksSystemNodes(t *testing.T, m maker, cluster string) {
	t.Helper()
	subnets := m.clouds.Find(cloud.EKSCluster, "name", cluster).Inputs["vpcConfig"].(map[string]any)["subnetIds"]
	m.make(t, cloud.EKSNodeGroup, map[string]any{
		"clusterName": cluster, "nodeGroupName": "workers", "subnetIds": subnets, "instanceTypes": []any{"m6i.xlarge"}, "amiType": "AL2023_x86_64_STANDARD",
		"nodeRoleArn":   eksRole(t, m, cluster+"-nodes", "AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy"),
		"scalingConfig": map[string]any{"minSize": 2.0, "desiredSize": 2.0, "maxSize": 3.0},
	})
}

func aksCluster(t *testing.T, m maker, name string, changes map[string]any) {
	t.Helper()
	if m.clouds.Find(cloud.AzureResourceGroup, "name", "theirs") == nil {
		m.make(t, cloud.AzureResourceGroup, map[string]any{"resourceGroupName": "theirs", "location": "westeurope"})
	}
	m.make(t, cloud.AKSCluster, changedInputs(map[string]any{
		"resourceGroupName": "theirs", "resourceName": name, "location": "westeurope", "dnsPrefix": name,
		"agentPoolProfiles": []any{map[string]any{
			"name": "agents", "mode": "System", "vmSize": "Standard_D4s_v5", "enableAutoScaling": true, "count": 1.0, "minCount": 1.0, "maxCount": 3.0,
		}},
	}, changes))
}

// TestCloudAttach attaches to existing clusters.
func TestCloudAttach(t *testing.T) {
	for _, a := range attachments {
		t.Run(a.stack, func(t *testing.T) {
			t.Parallel()
			l := startCloudLab(t)
			m := maker{clouds: l.Clouds(), settings: cloud.Settings{"project": "lab-project", "region": "eu-central-1"}}
			for _, wrong := range slices.Sorted(maps.Keys(a.refused)) {
				t.Run("refused: "+wrong, func(t *testing.T) { refuses(t, l, m, a, a.refused[wrong]) })
			}
			t.Run("deploy and destroy", func(t *testing.T) { attaches(t, l, m, a) })
			assert.Empty(t, l.Clouds().Incidents())
		})
	}
}

// attachStack is the name of a stack without a file in the project, because those create clusters.
func (a attachment) attachStack(t *testing.T, l *lab.Lab, name string, config ...map[string]any) *deployment {
	t.Helper()
	objects := append([]map[string]any{
		{"cloud": a.stack, "pulumi:disable-default-providers": []string{"*"}}, quick, small, a.config,
	}, config...)
	return newCloudStack(t, l, name, objects...)
}

// refuses checks that the preview fails before anything is registered, with what to change.
func refuses(t *testing.T, l *lab.Lab, m maker, a attachment, wrong refusal) {
	t.Helper()
	before := len(l.Clouds().Resources())
	if wrong.make != nil {
		wrong.make(t, m)
	}
	made := len(l.Clouds().Resources())
	stack := a.attachStack(t, l, "attached", existingCluster("wrong"), wrong.config)
	err := stack.Preview(testContext(t), false)
	require.Error(t, err)
	for _, text := range wrong.says {
		assert.ErrorContains(t, err, text)
	}
	assert.Len(t, l.Clouds().Resources(), made)
	// Newest first, because newer resources refer to older ones.
	all := l.Clouds().Resources()
	for _, r := range slices.Backward(all[before:]) {
		if r.Token == cloud.GKECluster {
			require.NoError(t, l.Clouds().Unprotect(r.ID))
		}
		require.NoError(t, l.Clouds().Remove(r.Token, r.ID))
	}
}

// attaches checks that only the GPU pool is added, the pipeline works, and destroy deletes only that.
func attaches(t *testing.T, l *lab.Lab, m maker, a attachment) {
	t.Helper()
	ctx := testContext(t)
	a.make(t, m)
	theirs, nodes := cloudIDs(l), len(l.Clouds().Pools())
	stack := a.attachStack(t, l, "attached", existingCluster("theirs"), gpuNodes)
	require.NoError(t, stack.Up(ctx))
	assert.Len(t, l.Clouds().Pools(), nodes+a.pools, "the GPU pool")
	pods, err := l.ReadyPodURLs(ctx, serving, selector, apiPort)
	require.NoError(t, err)
	assert.Len(t, pods, 1)
	require.NoError(t, stack.Preview(ctx, true))
	ctx, cancel := context.WithTimeoutCause(ctx, 4*time.Minute, fmt.Errorf("destroy took 4 minutes"))
	defer cancel()
	require.NoError(t, stack.Destroy(ctx))
	assert.Empty(t, stack.resources(t))
	assert.Equal(t, theirs, cloudIDs(l), "what was there is there, and nothing else")
	onlyCRDsLeft(ctx, t, l)
}

func cloudIDs(l *lab.Lab) []string {
	var ids []string
	for _, r := range l.Clouds().Resources() {
		ids = append(ids, r.String())
	}
	return ids
}
