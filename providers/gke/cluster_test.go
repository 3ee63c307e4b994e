package gke

import (
	"context"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/internals"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/providers"
)

const (
	clusterToken = "gcp:container/cluster:Cluster"
	poolToken    = "gcp:container/nodePool:NodePool"
	accountToken = "gcp:serviceaccount/account:Account"
	memberToken  = "gcp:projects/iAMMember:IAMMember"
	kubeToken    = "pulumi:providers:kubernetes"
	cloudToken   = "pulumi:providers:gcp"
)

func provision(t *testing.T, args *Args) (*recorder, *providers.Cluster) {
	t.Helper()
	r := &recorder{}
	cluster, err := r.run(args)
	require.NoError(t, err)
	return r, cluster
}

func TestCreatesEverythingThatAClusterNeeds(t *testing.T) {
	r, _ := provision(t, validArgs())
	assert.Equal(t, []string{
		networkToken + " gke", routerToken + " gke", routerNATToken + " gke", subnetworkToken + " gke",
		clusterToken + " gke", poolToken + " gke-gpu", poolToken + " gke-system",
		memberToken + " gke-nodes-artifactregistry.reader", memberToken + " gke-nodes-logging.logWriter",
		memberToken + " gke-nodes-monitoring.metricWriter", memberToken + " gke-nodes-monitoring.viewer",
		memberToken + " gke-nodes-serviceusage.serviceUsageConsumer", memberToken + " gke-nodes-stackdriver.resourceMetadata.writer",
		accountToken + " gke-nodes", cloudToken + " gke", kubeToken + " gke", componentType + " gke",
	}, r.Names())
}

// Default providers are disabled in every stack, and a resource outside the component would be
// missing from its part of a preview.
func TestEveryResourceHasParentAndProvider(t *testing.T) {
	r, _ := provision(t, validArgs())
	for _, one := range r.Registered {
		if one.Type == componentType {
			continue
		}
		assert.True(t, strings.HasSuffix(one.Args.RegisterRPC.GetParent(), componentType+"::gke"), "parent of %s %s: %s",
			one.Type, one.Name, one.Args.RegisterRPC.GetParent())
		if strings.HasPrefix(one.Type, "pulumi:providers:") {
			continue
		}
		assert.Contains(t, one.Args.RegisterRPC.GetProvider(), cloudToken+"::gke", "provider of %s %s", one.Type, one.Name)
	}
}

func TestClusterInputs(t *testing.T) {
	args := validArgs()
	args.DeletionProtection = true
	r, _ := provision(t, args)
	cluster := r.One(t, clusterToken)
	for path, want := range map[string]any{
		"name":                  "serving",
		"project":               "my-project",
		"location":              "us-central1",
		"deletionProtection":    true,
		"removeDefaultNodePool": true,
		"initialNodeCount":      1.0,
		"enableAutopilot":       nil,
		"enableShieldedNodes":   true,
		"releaseChannel":        map[string]any{"channel": "REGULAR"},
		"workloadIdentityConfig": map[string]any{
			"workloadPool": "my-project.svc.id.goog"},
		"monitoringConfig": map[string]any{
			"enableComponents":  []any{"SYSTEM_COMPONENTS", "DCGM"},
			"managedPrometheus": map[string]any{"enabled": true}},
		"masterAuthorizedNetworksConfig": map[string]any{
			"cidrBlocks":                  []any{map[string]any{"cidrBlock": "1.2.3.4/32"}},
			"gcpPublicCidrsAccessEnabled": false},
		"privateClusterConfig": map[string]any{
			"enablePrivateNodes": true, "enablePrivateEndpoint": false, "masterIpv4CidrBlock": "172.16.0.32/28"},
		"network":    "link-of-" + networkToken,
		"subnetwork": "link-of-" + subnetworkToken,
		"ipAllocationPolicy": map[string]any{
			"clusterSecondaryRangeName": "pods", "servicesSecondaryRangeName": "services"},
		"datapathProvider":          "ADVANCED_DATAPATH",
		"clusterAutoscaling":        map[string]any{"autoscalingProfile": "OPTIMIZE_UTILIZATION"},
		"nodeConfig.serviceAccount": "nodes@example",
		"nodeConfig.diskType":       "pd-balanced",
		"enableL4IlbSubsetting":     true,
		"costManagementConfig":      map[string]any{"enabled": true},
		"maintenancePolicy":         nil,
		"resourceLabels":            nil,
	} {
		assert.Equal(t, want, cluster.Field(path), path)
	}
	rpc := cluster.Args.RegisterRPC
	assert.ElementsMatch(t, []string{"nodeConfig", "initialNodeCount", "enableL4IlbSubsetting"}, rpc.GetIgnoreChanges())
	assert.True(t, rpc.GetDeleteBeforeReplace())
	assert.True(t, cluster.DependsOn(routerNATToken, "gke"))
	assert.True(t, cluster.DependsOn(memberToken, "gke-nodes-logging.logWriter"))
}

func TestNodePoolInputs(t *testing.T) {
	args := validArgs()
	args.GPUPool.MinNodes = 2
	args.GPUPool.Spot = true
	args.DiskKMSKey = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
	r, _ := provision(t, args)
	shared := map[string]any{
		"project":                                "my-project",
		"location":                               "us-central1",
		"cluster":                                "serving",
		"nodeCount":                              nil, // Together with autoscaling it would undo it.
		"autoscaling.locationPolicy":             "ANY",
		"autoscaling.minNodeCount":               nil, // Per zone.
		"autoscaling.maxNodeCount":               nil,
		"management":                             map[string]any{"autoRepair": true, "autoUpgrade": true},
		"networkConfig":                          map[string]any{"enablePrivateNodes": true},
		"nodeConfig.serviceAccount":              "nodes@example",
		"nodeConfig.diskType":                    "pd-balanced",
		"nodeConfig.bootDiskKmsKey":              "projects/p/locations/l/keyRings/r/cryptoKeys/k",
		"nodeConfig.gvnic.enabled":               true,
		"nodeConfig.workloadMetadataConfig.mode": "GKE_METADATA",
		"nodeConfig.shieldedInstanceConfig.enableSecureBoot":          true,
		"nodeConfig.shieldedInstanceConfig.enableIntegrityMonitoring": true,
	}
	for name, own := range map[string]map[string]any{
		"gke-system": {
			"name":                          "system",
			"initialNodeCount":              1.0,
			"autoscaling.totalMinNodeCount": 1.0,
			"autoscaling.totalMaxNodeCount": 3.0,
			"nodeLocations":                 nil,
			"nodeConfig.machineType":        "e2-standard-4",
			"nodeConfig.diskSizeGb":         50.0,
			"nodeConfig.spot":               false,
			"nodeConfig.taints":             nil,
			"nodeConfig.guestAccelerators":  nil,
			"nodeConfig.labels":             nil,
			"nodeConfig.gcfsConfig":         nil,
			"upgradeSettings":               nil,
		},
		"gke-gpu": {
			"name":                          "gpu",
			"initialNodeCount":              1.0, // A minimum of two over two zones.
			"autoscaling.totalMinNodeCount": 2.0,
			"autoscaling.totalMaxNodeCount": 4.0,
			"nodeLocations":                 []any{"us-central1-a", "us-central1-b"},
			"nodeConfig.machineType":        "g2-standard-8",
			"nodeConfig.diskSizeGb":         100.0,
			"nodeConfig.spot":               true,
			"nodeConfig.labels":             map[string]any{"nvidia.com/gpu.present": "true"},
			"nodeConfig.taints": []any{map[string]any{
				"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}},
			"nodeConfig.guestAccelerators": []any{map[string]any{
				"type": "nvidia-l4", "count": 1.0,
				"gpuDriverInstallationConfig": map[string]any{"gpuDriverVersion": "DEFAULT"}}},
			"nodeConfig.gcfsConfig": map[string]any{"enabled": true},
			"upgradeSettings":       map[string]any{"strategy": "SURGE", "maxSurge": 0.0, "maxUnavailable": 1.0},
		},
	} {
		pool := r.One(t, poolToken, name)
		for _, fields := range []map[string]any{shared, own} {
			for path, want := range fields {
				assert.Equal(t, want, pool.Field(`["`+strings.ReplaceAll(path, ".", `"]["`)+`"]`), "%s: %s", name, path)
			}
		}
		rpc := pool.Args.RegisterRPC
		assert.Equal(t, filledByGKE, rpc.GetIgnoreChanges(), name)
		assert.True(t, rpc.GetDeleteBeforeReplace(), name)
		assert.True(t, pool.DependsOn(clusterToken, "gke"), name)
		assert.True(t, pool.DependsOn(routerNATToken, "gke"), name)
		assert.True(t, pool.DependsOn(memberToken, "gke-nodes-artifactregistry.reader"), name)
	}
	// Created in parallel, the GPU nodes can end up untainted and hold GKE's own pods.
	assert.True(t, r.One(t, poolToken, "gke-gpu").DependsOn(poolToken, "gke-system"))
}

func TestImageDisk(t *testing.T) {
	args := validArgs()
	args.ImageDisk = "projects/p/global/images/vllm"
	r, _ := provision(t, args)
	disks := []any{map[string]any{"diskImage": "projects/p/global/images/vllm", "mode": "CONTAINER_IMAGE_CACHE"}}
	pool := r.One(t, poolToken, "gke-gpu")
	assert.Equal(t, disks, pool.Field("nodeConfig.secondaryBootDisks"))
	assert.Equal(t, true, pool.Field("nodeConfig.gcfsConfig.enabled"), "it needs image streaming")
	assert.Nil(t, r.One(t, poolToken, "gke-system").Field("nodeConfig.secondaryBootDisks"))
}

// TestDisks checks that a pool has a disk that its machines can start from: the newer families have no Persistent Disk.
func TestDisks(t *testing.T) {
	for name, c := range map[string]struct {
		system, machine, accelerator, choice string
		spot                                 bool
		wantSystem, wantGPU                  string
	}{
		"default":       {"", "g2-standard-8", "nvidia-l4", "", false, "pd-balanced", "pd-balanced"},
		"chosen":        {"", "g2-standard-8", "nvidia-l4", "pd-ssd", false, "pd-balanced", "pd-ssd"},
		"N4":            {"n4-standard-4", "g2-standard-8", "nvidia-l4", "", false, "hyperdisk-balanced", "pd-balanced"},
		"H100":          {"", "a3-highgpu-8g", "nvidia-h100-80gb", "", false, "pd-balanced", "pd-balanced"},
		"H100, chosen":  {"", "a3-highgpu-8g", "nvidia-h100-80gb", "hyperdisk-balanced", false, "pd-balanced", "hyperdisk-balanced"},
		"H200":          {"", "a3-ultragpu-8g", "nvidia-h200-141gb", "", true, "pd-balanced", "hyperdisk-balanced"},
		"T4, the cheap": {"", "n1-standard-8", "nvidia-t4", "pd-standard", false, "pd-balanced", "pd-standard"},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			args.SystemPool.MachineType, args.GPUPool.MachineType, args.GPUPool.Accelerator = c.system, c.machine, c.accelerator
			args.GPUDiskType, args.GPUPool.Spot = c.choice, c.spot
			r, _ := provision(t, args)
			assert.Equal(t, c.wantSystem, r.One(t, poolToken, "gke-system").Field("nodeConfig.diskType"))
			assert.Equal(t, c.wantSystem, r.One(t, clusterToken).Field("nodeConfig.diskType"), "that of the pool which GKE makes first")
			assert.Equal(t, c.wantGPU, r.One(t, poolToken, "gke-gpu").Field("nodeConfig.diskType"))
		})
	}
}

func TestMaintenanceAndLabels(t *testing.T) {
	args := validArgs()
	args.MaintenanceWindow = MaintenanceWindow{Start: "2026-01-03T02:00:00Z", End: "2026-01-03T10:00:00Z", Recurrence: "FREQ=WEEKLY;BYDAY=SA,SU"}
	args.MaintenanceExclusions = []MaintenanceExclusion{
		{Name: "year-end", Start: "2026-12-18T00:00:00Z", End: "2027-01-04T00:00:00Z"},
		{Name: "summer", Start: "2027-06-01T00:00:00Z", End: "2027-09-01T00:00:00Z", Scope: "NO_MINOR_OR_NODE_UPGRADES"},
	}
	args.ResourceLabels = map[string]string{"team": "ml"}
	r, _ := provision(t, args)
	cluster := r.One(t, clusterToken)
	assert.Equal(t, map[string]any{
		"recurringWindow": map[string]any{"startTime": "2026-01-03T02:00:00Z", "endTime": "2026-01-03T10:00:00Z", "recurrence": "FREQ=WEEKLY;BYDAY=SA,SU"},
		"maintenanceExclusions": []any{
			map[string]any{"exclusionName": "year-end", "startTime": "2026-12-18T00:00:00Z", "endTime": "2027-01-04T00:00:00Z",
				"exclusionOptions": map[string]any{"scope": "NO_UPGRADES"}},
			map[string]any{"exclusionName": "summer", "startTime": "2027-06-01T00:00:00Z", "endTime": "2027-09-01T00:00:00Z",
				"exclusionOptions": map[string]any{"scope": "NO_MINOR_OR_NODE_UPGRADES"}},
		},
	}, cluster.Field("maintenancePolicy"))
	assert.Equal(t, map[string]any{"team": "ml"}, cluster.Field("resourceLabels"))
	assert.Empty(t, args.MaintenanceExclusions[0].Scope, "the arguments are unchanged")
}

func TestGPUTaintCanBeLeftToGKE(t *testing.T) {
	args := validArgs()
	args.LeaveGPUTaintToGKE = true
	r, cluster := provision(t, args)
	assert.Nil(t, r.One(t, poolToken, "gke-gpu").Field("nodeConfig.taints"))
	assert.Equal(t, []providers.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}}, cluster.GPU.Tolerations,
		"GKE taints the nodes all the same")
}

func TestFirstNodes(t *testing.T) {
	for name, c := range map[string]struct {
		location string
		zones    []string
		min      int
		system   float64
		gpu      float64
	}{
		"zonal":                         {"us-central1-a", nil, 3, 3, 3},
		"nodes for some zones only":     {"us-central1", []string{"us-central1-a", "us-central1-b", "us-central1-c"}, 2, 1, 0},
		"an empty pool":                 {"us-central1", []string{"us-central1-a", "us-central1-b"}, 0, 1, 0},
		"nodes for every zone and more": {"us-central1", []string{"us-central1-a", "us-central1-b", "us-central1-c"}, 5, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			args.Location, args.GPUPool.Zones, args.SystemPool.Zones = c.location, c.zones, c.zones
			args.GPUPool.MinNodes, args.SystemPool.MinNodes = c.min, c.min
			args.GPUPool.MaxNodes = 8
			r, _ := provision(t, args)
			assert.Equal(t, c.system, r.One(t, poolToken, "gke-system").Field("initialNodeCount"))
			assert.Equal(t, c.gpu, r.One(t, poolToken, "gke-gpu").Field("initialNodeCount"))
		})
	}
}

func TestNodeRolesAreTheLeast(t *testing.T) {
	r, _ := provision(t, validArgs())
	var roles []string
	for _, one := range r.Registered {
		if one.Type == memberToken {
			roles = append(roles, one.Field("role").(string))
			assert.Equal(t, "serviceAccount:nodes@example", one.Field("member"))
		}
	}
	assert.ElementsMatch(t, []string{"roles/logging.logWriter", "roles/monitoring.metricWriter", "roles/monitoring.viewer",
		"roles/stackdriver.resourceMetadata.writer", "roles/artifactregistry.reader", "roles/serviceusage.serviceUsageConsumer"}, roles)
	assert.Equal(t, "serving-nodes", r.One(t, accountToken).Field("accountId"))
}

func TestNetworkInputs(t *testing.T) {
	r, _ := provision(t, validArgs())
	link := "link-of-" + networkToken
	assert.Equal(t, map[string]any{"name": "serving", "project": "my-project", "autoCreateSubnetworks": false, "routingMode": "REGIONAL"},
		r.One(t, networkToken).Inputs.Mappable())
	assert.Equal(t, map[string]any{"name": "serving", "project": "my-project", "region": "us-central1", "network": link,
		"ipCidrRange": "10.0.0.0/20", "privateIpGoogleAccess": true,
		"secondaryIpRanges": []any{map[string]any{"rangeName": "pods", "ipCidrRange": "10.4.0.0/14"},
			map[string]any{"rangeName": "services", "ipCidrRange": "10.8.0.0/20"}}},
		r.One(t, subnetworkToken).Inputs.Mappable())
	assert.Equal(t, map[string]any{"name": "serving", "project": "my-project", "region": "us-central1", "network": link},
		r.One(t, routerToken).Inputs.Mappable())
	assert.Equal(t, map[string]any{"name": "serving", "project": "my-project", "region": "us-central1", "router": "serving",
		"natIpAllocateOption": "AUTO_ONLY", "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
		"logConfig": map[string]any{"enable": true, "filter": "ERRORS_ONLY"}},
		r.One(t, routerNATToken).Inputs.Mappable())
}

func TestGivenNetworkIsOnlyUsed(t *testing.T) {
	for name, c := range map[string]struct {
		pods, services string
		policy         map[string]any
	}{
		"ranges given":       {"p", "s", map[string]any{"clusterSecondaryRangeName": "p", "servicesSecondaryRangeName": "s"}},
		"ranges left to GKE": {"", "", map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			args.Network, args.Subnetwork, args.PodsRange, args.ServicesRange = "vpc", "sub", c.pods, c.services
			r, _ := provision(t, args)
			for _, token := range r.Names() {
				assert.NotContains(t, token, "gcp:compute/")
			}
			cluster := r.One(t, clusterToken)
			assert.Equal(t, "vpc", cluster.Field("network"))
			assert.Equal(t, "sub", cluster.Field("subnetwork"))
			assert.Equal(t, c.policy, cluster.Field("ipAllocationPolicy"))
		})
	}
}

func TestCloudProviderDoesNotHangOnTheEnvironment(t *testing.T) {
	t.Setenv("GOOGLE_ZONE", "europe-west4-c")
	t.Setenv("GOOGLE_REGION", "europe-west4")
	t.Setenv("GOOGLE_PROJECT", "another")
	for location, zone := range map[string]string{"us-central1": "us-central1-a", "us-central1-f": "us-central1-f"} {
		args := validArgs()
		args.Location = location
		r, _ := provision(t, args)
		cloud := r.One(t, cloudToken)
		assert.Equal(t, "my-project", cloud.Field("project"))
		assert.Equal(t, "us-central1", cloud.Field("region"))
		assert.Equal(t, zone, cloud.Field("zone"))
	}
}

func TestKubernetesProvider(t *testing.T) {
	r, _ := provision(t, validArgs())
	kube := r.One(t, kubeToken)
	assert.Equal(t, "projects/my-project/locations/us-central1/clusters/serving", kube.Field("clusterIdentifier"))
	assert.Equal(t, true, kube.Field("enableConfigMapMutable"), "a changed dashboard is no new object")
	assert.True(t, kube.DependsOn(poolToken, "gke-gpu"))
	assert.True(t, kube.DependsOn(poolToken, "gke-system"))
	require.True(t, kube.Inputs["kubeconfig"].IsSecret(), "the kubeconfig is not a secret")
	checkKubeconfig(t, kube.Inputs["kubeconfig"].SecretValue().Element.StringValue(), "gke_my-project_us-central1_serving", "203.0.113.9")
}

// checkKubeconfig also sees to it that nothing in it changes from run to run.
func checkKubeconfig(t *testing.T, content, name, host string) {
	t.Helper()
	var parsed map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(content), &parsed))
	assert.Equal(t, map[string]any{
		"apiVersion": "v1", "kind": "Config", "preferences": map[string]any{}, "current-context": name,
		"clusters": []any{map[string]any{"name": name, "cluster": map[string]any{
			"server": "https://" + host, "certificate-authority-data": "Q0E="}}},
		"contexts": []any{map[string]any{"name": name, "context": map[string]any{"cluster": name, "user": name}}},
		"users": []any{map[string]any{"name": name, "user": map[string]any{"exec": map[string]any{
			"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "gke-gcloud-auth-plugin", "provideClusterInfo": true,
			"installHint": "Install gke-gcloud-auth-plugin: gcloud components install gke-gcloud-auth-plugin"}}}},
	}, parsed)
}

func TestClusterSaysWhatGKEIs(t *testing.T) {
	args := validArgs()
	args.GPUPool.MachineType, args.GPUsPerReplica = "g2-standard-24", 2
	_, cluster := provision(t, args)
	require.NoError(t, cluster.Validate())
	assert.Equal(t, "serving", cluster.Name)
	assert.Len(t, cluster.Ready, 2)
	assert.Equal(t, providers.GPUScheduling{
		ResourceName: "nvidia.com/gpu", PerReplica: 2,
		NodeSelector: map[string]string{"nvidia.com/gpu.present": "true", "cloud.google.com/gke-accelerator": "nvidia-l4"},
		Tolerations:  []providers.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}},
	}, cluster.GPU)
	assert.Equal(t, providers.GPUMetrics{Source: providers.Managed, Managed: providers.ManagedExporter{
		Namespace: "gke-managed-system", PodLabels: map[string]string{"app.kubernetes.io/name": "gke-managed-dcgm-exporter"}, Port: "metrics",
	}}, cluster.GPUMetrics)
	assert.Equal(t, map[string]string{"LD_LIBRARY_PATH": "/usr/local/nvidia/lib64:/usr/local/cuda/lib64"}, cluster.ServerEnv)
	assert.Equal(t, 10250, cluster.AggregatedAPIPort)
	assert.False(t, cluster.InstallDevicePlugin)
	assert.False(t, cluster.ControlPlaneScrapes)
	assert.False(t, cluster.CoreDNSScrapes, "kube-dns, CoreDNS or Cloud DNS")
	assert.Nil(t, cluster.NodeAutoscaler)
}

// In the first preview the cloud's outputs are unknown, which must not be treated as a cluster without an endpoint. Mocks do
// not support unknown secrets, so the test checks the output alone.
func TestKubeconfigOfAnUnknownCluster(t *testing.T) {
	unknown := pulumi.UnsafeUnknownOutput(nil).ApplyT(func(any) string { return "" }).(pulumi.StringOutput)
	result, err := internals.UnsafeAwaitOutput(context.Background(), validArgs().kubeconfigOf(unknown, unknown.ToStringPtrOutput()))
	require.NoError(t, err)
	assert.False(t, result.Known)
	assert.True(t, result.Secret)
}

func TestKubeconfigOfAClusterThatIsNotUpYet(t *testing.T) {
	_, err := internals.UnsafeAwaitOutput(context.Background(), validArgs().kubeconfigOf(pulumi.String(""), nil))
	require.ErrorContains(t, err, "cluster gke_my-project_us-central1_serving has no endpoint or no CA certificate yet")
}

func TestProblemsStopEverything(t *testing.T) {
	r := &recorder{}
	args := validArgs()
	args.Project = ""
	_, err := r.run(args)
	require.ErrorContains(t, err, `GKE cluster "serving": gke.project`)
	assert.Empty(t, r.Registered)
}
