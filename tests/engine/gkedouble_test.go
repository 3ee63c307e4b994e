package engine

import (
	"fmt"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// gke is Google Cloud.
var gke = &cloudDouble{
	stack:    "gke",
	keys:     map[string]any{"gke.project": "my-project", "gke.location": "us-central1-a"},
	provider: "gcp", version: semver.MustParse("7.38.0"),
	kinds: map[tokens.Type]cloudKind{
		"gcp:compute/network:Network":       {replaces: []string{"name", "project", "autoCreateSubnetworks"}, outputs: selfLink("networks")},
		"gcp:compute/subnetwork:Subnetwork": {replaces: []string{"name", "project", "region", "network"}, outputs: selfLink("subnetworks")},
		"gcp:compute/router:Router":         {replaces: []string{"name", "project", "region", "network"}},
		"gcp:compute/routerNat:RouterNat":   {replaces: []string{"name", "project", "region", "router"}},
		"gcp:projects/iAMMember:IAMMember":  {replaces: []string{"project", "role", "member"}},

		"gcp:storage/bucketIAMMember:BucketIAMMember": {replaces: []string{"bucket", "role", "member"}},

		"gcp:serviceaccount/account:Account": {replaces: []string{"accountId", "project"}, outputs: func(in resource.PropertyMap, _ string) map[string]any {
			email := text(in, "accountId") + "@" + text(in, "project") + ".iam.gserviceaccount.com"
			return map[string]any{"email": email, "member": "serviceAccount:" + email}
		}},
		"gcp:container/cluster:Cluster": {
			outlives: true,
			replaces: []string{"name", "location", "project", "network", "subnetwork", "initialNodeCount", "nodeConfig", "ipAllocationPolicy",
				"networkingMode", "datapathProvider", "enableAutopilot", "privateClusterConfig.enablePrivateNodes", "privateClusterConfig.masterIpv4CidrBlock"},
			id: func(in resource.PropertyMap) string {
				return fmt.Sprintf("projects/%s/locations/%s/clusters/%s", text(in, "project"), text(in, "location"), text(in, "name"))
			},
			outputs: func(resource.PropertyMap, string) map[string]any {
				return map[string]any{"endpoint": "203.0.113.9", "masterAuth": map[string]any{"clusterCaCertificate": caCertificate}}
			},
		},
		"gcp:container/nodePool:NodePool": {
			outlives: true,
			replaces: []string{"name", "project", "location", "cluster", "initialNodeCount", "nodeConfig.guestAccelerators", "nodeConfig.spot",
				"nodeConfig.gvnic", "nodeConfig.gcfsConfig", "nodeConfig.shieldedInstanceConfig", "nodeConfig.serviceAccount",
				"nodeConfig.bootDiskKmsKey", "nodeConfig.reservationAffinity", "nodeConfig.secondaryBootDisks"},
			refuses: refuseGKEPool,
		},
	},
	answers: map[tokens.ModuleMember]func(resource.PropertyMap) (map[string]any, error){
		"gcp:projects/getProject:getProject": func(resource.PropertyMap) (map[string]any, error) {
			return map[string]any{"projects": []any{map[string]any{"projectId": "my-project", "number": "123456789012"}}}, nil
		},
	},
	cluster: "Cluster cluster", kubernetes: "kubernetes cluster", systemPool: "NodePool cluster-system", gpuPool: "NodePool cluster-gpu",
	component: "GKECluster", credentials: "gke-gcloud-auth-plugin",
	login: "gcloud container clusters get-credentials vllm-autoscaling-gke --project my-project --location us-central1-a && " +
		"kubectl --context gke_my-project_us-central1-a_vllm-autoscaling-gke",
	existing: map[string]map[string]any{"gcp:container/getCluster:getCluster": {
		"id": "projects/my-project/locations/us-central1-a/clusters/theirs", "name": "theirs", "endpoint": "203.0.113.10",
		"masterAuths": []any{map[string]any{"clusterCaCertificate": caCertificate}}, "masterVersion": "1.34.1-gke.1829001",
		"monitoringConfigs":       []any{map[string]any{"enableComponents": []any{"SYSTEM_COMPONENTS", "DCGM"}}},
		"workloadIdentityConfigs": []any{map[string]any{"workloadPool": "my-project.svc.id.goog"}}, "networkingMode": "VPC_NATIVE", "datapathProvider": "ADVANCED_DATAPATH",
		"nodePools": []any{map[string]any{"name": "gpu", "nodeConfigs": []any{map[string]any{
			"guestAccelerators": []any{map[string]any{"type": "nvidia-l4", "count": 1,
				"gpuDriverInstallationConfigs": []any{map[string]any{"gpuDriverVersion": "LATEST"}}}},
			"taints": []any{map[string]any{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}},
		}}}},
	}},
	attached: []string{"Account cluster-nodes", "NodePool cluster-gpu"},
	order: [][][2]string{
		{{"RouterNat", "cluster"}, {"Cluster", "cluster"}, {"NodePool", "cluster-system"}, {"NodePool", "cluster-gpu"}, {"Namespace", "vllm"},
			{"Deployment", "vllm"}},
		{{"NodePool", "cluster-gpu"}, {"kubernetes", "cluster"}},
		{{"IAMMember", "cluster-nodes-monitoring.metricWriter"}, {"NodePool", "cluster-gpu"}},
	},
	managedGPUMetrics: true, providerProtects: true,
	everyUp: 1, everyDestroy: 2,
}

func selfLink(collection string) func(resource.PropertyMap, string) map[string]any {
	return func(in resource.PropertyMap, _ string) map[string]any {
		return map[string]any{"selfLink": "https://www.googleapis.com/compute/v1/projects/" + text(in, "project") + "/" + collection + "/" + text(in, "name")}
	}
}
