package engine

import (
	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// eks is AWS.
var eks = &cloudDouble{
	stack:    "eks",
	keys:     map[string]any{"eks.region": "us-east-1", "eks.zones": []any{"us-east-1a", "us-east-1b"}},
	provider: "aws", version: semver.MustParse("6.83.2"),
	kinds: map[tokens.Type]cloudKind{
		"aws:ec2/vpc:Vpc":                                     {replaces: []string{"cidrBlock"}},
		"aws:ec2/subnet:Subnet":                               {replaces: []string{"vpcId", "availabilityZone", "cidrBlock"}},
		"aws:ec2/internetGateway:InternetGateway":             {},
		"aws:ec2/eip:Eip":                                     {replaces: []string{"domain"}},
		"aws:ec2/natGateway:NatGateway":                       {replaces: []string{"subnetId", "allocationId"}},
		"aws:ec2/routeTable:RouteTable":                       {replaces: []string{"vpcId"}},
		"aws:ec2/route:Route":                                 {replaces: []string{"routeTableId", "destinationCidrBlock"}},
		"aws:ec2/routeTableAssociation:RouteTableAssociation": {replaces: []string{"subnetId"}},
		"aws:ec2/launchTemplate:LaunchTemplate": {outputs: func(resource.PropertyMap, string) map[string]any {
			return map[string]any{"latestVersion": 1}
		}},
		"aws:iam/role:Role": {replaces: []string{"name"}, autonamed: "name", outputs: func(_ resource.PropertyMap, name string) map[string]any {
			return map[string]any{"arn": "arn:aws:iam::123456789012:role/" + name}
		}},
		"aws:iam/rolePolicy:RolePolicy":                     {replaces: []string{"role"}, autonamed: "name"},
		"aws:iam/rolePolicyAttachment:RolePolicyAttachment": {replaces: []string{"role", "policyArn"}},
		"aws:kms/key:Key": {outputs: func(_ resource.PropertyMap, name string) map[string]any {
			return map[string]any{"arn": "arn:aws:kms:us-east-1:123456789012:key/" + name}
		}},
		"aws:cloudwatch/logGroup:LogGroup": {replaces: []string{"name"}},
		"aws:eks/cluster:Cluster": {
			outlives: true,
			replaces: []string{"name", "roleArn", "encryptionConfig", "accessConfig.bootstrapClusterCreatorAdminPermissions", "bootstrapSelfManagedAddons"},
			id:       func(in resource.PropertyMap) string { return text(in, "name") },
			outputs: func(in resource.PropertyMap, _ string) map[string]any {
				out := map[string]any{
					"arn": "arn:aws:eks:us-east-1:123456789012:cluster/" + text(in, "name"), "endpoint": "https://0123456789ABCDEF.gr7.us-east-1.eks.amazonaws.com",
					"certificateAuthority": map[string]any{"data": caCertificate},
				}
				if !has(in, "version") {
					out["version"] = "1.34"
				}
				return out
			},
		},
		"aws:eks/addon:Addon": {replaces: []string{"clusterName", "addonName"}},
		"aws:eks/nodeGroup:NodeGroup": {
			outlives: true,
			replaces: []string{"clusterName", "nodeGroupNamePrefix", "nodeRoleArn", "subnetIds", "amiType", "capacityType", "instanceTypes", "diskSize",
				"launchTemplate.id"},
			refuses: refuseNodeGroup,
			outputs: func(_ resource.PropertyMap, name string) map[string]any {
				return map[string]any{"status": "ACTIVE", "nodeGroupName": name,
					"resources": []any{map[string]any{"autoscalingGroups": []any{map[string]any{"name": "eks-" + name}}}}}
			},
		},
		"aws:eks/podIdentityAssociation:PodIdentityAssociation":   {replaces: []string{"clusterName", "namespace", "serviceAccount"}},
		"aws:eks/accessEntry:AccessEntry":                         {replaces: []string{"clusterName", "principalArn"}},
		"aws:eks/accessPolicyAssociation:AccessPolicyAssociation": {replaces: []string{"clusterName", "principalArn", "policyArn"}},
		"aws:autoscaling/tag:Tag":                                 {replaces: []string{"autoscalingGroupName", "tag.key"}},
	},
	cluster: "Cluster cluster-cluster", kubernetes: "kubernetes cluster-kubernetes",
	systemPool: "NodeGroup cluster-system", gpuPool: "NodeGroup cluster-gpu-a",
	component: "EKSCluster", credentials: "command: aws",
	login: "aws eks update-kubeconfig --region us-east-1 --name vllm-autoscaling-eks --alias vllm-autoscaling-eks && kubectl --context vllm-autoscaling-eks",
	existing: map[string]map[string]any{
		"aws:eks/getCluster:getCluster": {
			"id": "theirs", "name": "theirs", "arn": "arn:aws:eks:us-east-1:123456789012:cluster/theirs", "status": "ACTIVE",
			"endpoint": "https://theirs.eks.amazonaws.com", "certificateAuthorities": []any{map[string]any{"data": caCertificate}},
			"vpcConfig": map[string]any{"subnetIds": []any{"subnet-b", "subnet-a"}}, "version": "1.34",
		},
		"aws:eks/getAddon:getAddon":           {"id": "theirs:eks-pod-identity-agent", "addonVersion": "v1.3.8-eksbuild.2"},
		"aws:eks/getNodeGroups:getNodeGroups": {"names": []any{"gpu"}},
		"aws:eks/getNodeGroup:getNodeGroup": {"amiType": "AL2023_x86_64_NVIDIA", "labels": map[string]any{"nvidia.com/gpu.present": "true"},
			"taints": []any{map[string]any{"key": "nvidia.com/gpu", "effect": "NO_SCHEDULE"}}},
	},
	existingKeys: map[string]any{"eks.zones": nil},
	answers: map[tokens.ModuleMember]func(resource.PropertyMap) (map[string]any, error){
		"aws:index/getAvailabilityZone:getAvailabilityZone": func(args resource.PropertyMap) (map[string]any, error) {
			return map[string]any{"name": text(args, "name"), "zoneId": "use1-az1"}, nil
		},
		"aws:ec2/getSubnet:getSubnet": func(args resource.PropertyMap) (map[string]any, error) {
			id := text(args, "id")
			return map[string]any{"id": id, "availabilityZone": "us-east-1" + id[len(id)-1:], "availabilityZoneId": "use1-az1"}, nil
		},
		"aws:cloudwatch/getLogGroups:getLogGroups": func(resource.PropertyMap) (map[string]any, error) {
			return map[string]any{"logGroupNames": []any{}}, nil
		},
	},
	attached: []string{"NodeGroup cluster-gpu-a", "NodeGroup cluster-gpu-b", "LaunchTemplate cluster-gpu", "PodIdentityAssociation cluster-autoscaler"},
	order: [][][2]string{
		{{"Cluster", "cluster-cluster"}, {"NodeGroup", "cluster-system"}, {"Addon", "cluster-aws-ebs-csi-driver"}, {"Release", "cluster-autoscaler"},
			{"Namespace", "monitoring"}, {"Release", "kps"}},
		{{"NodeGroup", "cluster-gpu-a"}, {"Tag", "cluster-gpu-a-taint-nvidia-com-gpu"}, {"Release", "cluster-autoscaler"},
			{"Release", "nvidia-device-plugin"}, {"Release", "dcgm-exporter"}},
		{{"PodIdentityAssociation", "cluster-autoscaler"}, {"Release", "cluster-autoscaler"}, {"Namespace", "vllm"}, {"Deployment", "vllm"}},
		{{"Release", "nvidia-device-plugin"}, {"Deployment", "vllm"}},
		{{"NodeGroup", "cluster-gpu-b"}, {"kubernetes", "cluster-kubernetes"}},
		{{"Route", "cluster-private-a"}, {"NodeGroup", "cluster-gpu-b"}},
	},
	installsNodeAutoscaler: true,
	// The generated names of node groups permit two at a time.
	newPoolFirst: true,
	// It registers so many resources that a part has to do.
	everyUp: 4, everyDestroy: 5,
}
