package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

// Types of AWS' resources.
const (
	EKSCluster     = "aws:eks/cluster:Cluster"
	EKSNodeGroup   = "aws:eks/nodeGroup:NodeGroup"
	EKSAddon       = "aws:eks/addon:Addon"
	AWSVpc         = "aws:ec2/vpc:Vpc"
	AWSSubnet      = "aws:ec2/subnet:Subnet"
	AWSRole        = "aws:iam/role:Role"
	AWSRolePolicy  = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
	awsEntry       = "aws:eks/accessEntry:AccessEntry"
	awsEntryPolicy = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
	awsPodIdentity = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
	awsGateway     = "aws:ec2/internetGateway:InternetGateway"
	awsTable       = "aws:ec2/routeTable:RouteTable"
	awsRoute       = "aws:ec2/route:Route"
	awsAssociation = "aws:ec2/routeTableAssociation:RouteTableAssociation"
	awsEIP         = "aws:ec2/eip:Eip"
	awsNAT         = "aws:ec2/natGateway:NatGateway"
	awsTemplate    = "aws:ec2/launchTemplate:LaunchTemplate"
	awsInlineRole  = "aws:iam/rolePolicy:RolePolicy"
	awsTag         = "aws:autoscaling/tag:Tag"
	awsKey         = "aws:kms/key:Key"
	awsLogGroup    = "aws:cloudwatch/logGroup:LogGroup"

	// AWSAccount is the account that the simulated AWS belongs to.
	AWSAccount = "123456789012"

	asgTag        = "k8s.io/cluster-autoscaler/"
	nodeTemplate  = asgTag + "node-template/"
	eksKubernetes = "1.34"
)

var clusterName = []string{"name"}

func awsKinds() []*kind {
	vpc := func(path string, then deletion) reference {
		return reference{path: path, token: AWSVpc, by: []string{"id"}, then: then}
	}
	subnet := func(path string) reference { return reference{path: path, token: AWSSubnet, by: []string{"id"}} }
	role := func(path string, then deletion) reference {
		return reference{path: path, token: AWSRole, by: []string{"name", "id", "arn"}, then: then}
	}
	ofCluster := reference{path: "clusterName", token: EKSCluster, by: clusterName, then: follows}
	return []*kind{
		{
			token: AWSVpc, replace: []string{"cidrBlock", "instanceTenancy"}, computed: []string{"arn", "mainRouteTableId", "defaultSecurityGroupId", "ownerId"},
			validate: func(in object) []string { return cidrs(in.texts("cidrBlock")) },
			create: func(_ *Cloud, r *Resource, s Settings) error {
				return awsID(r, s, "vpc", "ec2", "vpc/")
			},
		},
		{
			token: awsGateway, computed: []string{"arn", "ownerId"}, references: []reference{vpc("vpcId", blocks)},
			create: func(_ *Cloud, r *Resource, s Settings) error {
				return awsID(r, s, "igw", "ec2", "internet-gateway/")
			},
			refuseDelete: func(c *Cloud, r *Resource) error {
				mapped := c.all(awsNAT, func(nat *Resource) bool {
					return object(c.find(AWSSubnet, "", object(nat.Inputs).text("subnetId")).Inputs).text("vpcId") == object(r.Inputs).text("vpcId")
				})
				if len(mapped) > 0 {
					return fmt.Errorf("api error DependencyViolation: Network %s has some mapped public address(es)", object(r.Inputs).text("vpcId"))
				}
				return nil
			},
		},
		{
			token: AWSSubnet, replace: []string{"vpcId", "availabilityZone", "cidrBlock", "ipv6CidrBlock", "outpostArn"}, computed: []string{"arn", "availabilityZoneId", "ownerId"},
			validate:   func(in object) []string { return cidrs(in.texts("cidrBlock")) },
			references: []reference{vpc("vpcId", blocks)},
			create:     createSubnet,
		},
		{
			token: awsTable, replace: []string{"vpcId"}, computed: []string{"arn", "ownerId"}, references: []reference{vpc("vpcId", blocks)},
			create: func(_ *Cloud, r *Resource, s Settings) error { return awsID(r, s, "rtb", "ec2", "route-table/") },
		},
		{
			token: awsRoute, replace: []string{"routeTableId", "destinationCidrBlock"}, computed: []string{"state", "origin"},
			references: []reference{
				{path: "routeTableId", token: awsTable, by: []string{"id"}, then: follows},
				{path: "gatewayId", token: awsGateway, by: []string{"id"}, then: stays},
				{path: "natGatewayId", token: awsNAT, by: []string{"id"}, then: stays},
			},
			create: func(_ *Cloud, r *Resource, _ Settings) error {
				in := object(r.Inputs)
				r.ID = "r-" + in.text("routeTableId") + digits(in.text("destinationCidrBlock"))
				r.Outputs["state"] = "active"
				return nil
			},
		},
		{
			token: awsAssociation, replace: []string{"subnetId", "gatewayId"},
			references: []reference{{path: "routeTableId", token: awsTable, by: []string{"id"}}, {path: "subnetId", token: AWSSubnet, by: []string{"id"}, then: follows}},
			create: func(c *Cloud, r *Resource, _ Settings) error {
				subnet := object(r.Inputs).text("subnetId")
				if len(c.all(awsAssociation, func(o *Resource) bool { return object(o.Inputs).text("subnetId") == subnet })) > 0 {
					return fmt.Errorf("api error Resource.AlreadyAssociated: subnet %s has a route table already", subnet)
				}
				r.ID = "rtbassoc-" + randomHex(17)
				return nil
			},
		},
		{
			token: awsEIP, replace: []string{"domain", "networkBorderGroup"}, computed: []string{"allocationId", "publicIp", "arn"},
			create: func(_ *Cloud, r *Resource, s Settings) error {
				err := awsID(r, s, "eipalloc", "ec2", "elastic-ip/")
				r.Outputs["allocationId"], r.Outputs["publicIp"] = r.ID, "203.0.113.17"
				return err
			},
		},
		{
			token: awsNAT, slow: true, replace: []string{"subnetId", "allocationId", "connectivityType", "privateIp"}, computed: []string{"publicIp", "networkInterfaceId"},
			references: []reference{subnet("subnetId"), {path: "allocationId", token: awsEIP, by: []string{"id"}}},
			create: func(c *Cloud, r *Resource, s Settings) error {
				in := object(r.Inputs)
				vpcID := object(c.find(AWSSubnet, "", in.text("subnetId")).Inputs).text("vpcId")
				if c.find(awsGateway, "vpcId", vpcID) == nil {
					return fmt.Errorf("api error Gateway.NotAttached: Network %s has no Internet gateway attached", vpcID)
				}
				return awsID(r, s, "nat", "ec2", "natgateway/")
			},
		},
		{
			token: awsTemplate, name: "name", replace: []string{"name", "namePrefix"}, computed: []string{"arn", "latestVersion", "defaultVersion"}, volatile: []string{"latestVersion", "defaultVersion"},
			validate: validateTemplate,
			create: func(_ *Cloud, r *Resource, s Settings) error {
				r.Outputs["latestVersion"], r.Outputs["defaultVersion"] = 1.0, 1.0
				return awsID(r, s, "lt", "ec2", "launch-template/")
			},
			update: func(_ *Cloud, r *Resource, _ object) error {
				version, _ := r.Outputs["latestVersion"].(float64)
				r.Outputs["latestVersion"] = version + 1
				if object(r.Inputs).flag("updateDefaultVersion") {
					r.Outputs["defaultVersion"] = version + 1
				}
				return nil
			},
		},
		{
			token: AWSRole, name: "name", replace: []string{"name", "namePrefix", "path"}, computed: []string{"arn", "uniqueId", "createDate"},
			validate: func(in object) []string { return policyProblems(in, "assumeRolePolicy", "Principal") },
			create: func(_ *Cloud, r *Resource, _ Settings) error {
				r.ID = object(r.Inputs).text("name")
				r.Outputs["arn"] = "arn:aws:iam::" + AWSAccount + ":role/" + r.ID
				return nil
			},
			refuseDelete: func(c *Cloud, r *Resource) error {
				if len(c.all(AWSRolePolicy, func(a *Resource) bool { return object(a.Inputs).text("role") == r.ID })) > 0 {
					return errors.New("api error DeleteConflict: Cannot delete entity, must detach all policies first")
				}
				return nil
			},
		},
		{
			token: awsInlineRole, name: "name", replace: []string{"name", "namePrefix", "role"}, references: []reference{role("role", blocks)},
			validate: func(in object) []string { return policyProblems(in, "policy", "Resource") },
			create: func(_ *Cloud, r *Resource, _ Settings) error {
				r.ID = object(r.Inputs).text("role") + ":" + object(r.Inputs).text("name")
				return nil
			},
		},
		{
			token: AWSRolePolicy, replace: []string{"role", "policyArn"}, references: []reference{role("role", blocks)},
			create: func(_ *Cloud, r *Resource, _ Settings) error {
				in := object(r.Inputs)
				if _, name, found := strings.Cut(in.text("policyArn"), ":policy/"); !found || !slices.Contains(awsPolicies, name) {
					return fmt.Errorf("api error NoSuchEntity: Policy %s does not exist or is not attachable", in.text("policyArn"))
				}
				r.ID = in.text("role") + "-" + randomHex(20)
				return nil
			},
		},
		{
			token: awsKey, computed: []string{"arn", "keyId"},
			schema: computeSchema("", map[string]*schema.Type{
				"description": textType, "enableKeyRotation": flagType, "deletionWindowInDays": wholeType, "tags": tagsType, "policy": textType, "multiRegion": flagType,
			}),
			validate: func(in object) []string {
				if days := in.number("deletionWindowInDays"); in.has("deletionWindowInDays") && (days < 7 || days > 30) {
					return []string{fmt.Sprintf("expected deletionWindowInDays to be in the range (7 - 30), got %d", days)}
				}
				return nil
			},
			create: func(_ *Cloud, r *Resource, s Settings) error {
				r.ID, r.Region = randomHex(8)+"-"+randomHex(4)+"-"+randomHex(4)+"-"+randomHex(4)+"-"+randomHex(12), s["region"]
				r.Outputs["keyId"], r.Outputs["arn"] = r.ID, fmt.Sprintf("arn:aws:kms:%s:%s:key/%s", r.Region, AWSAccount, r.ID)
				return nil
			},
			refuseDelete: func(c *Cloud, r *Resource) error {
				for _, cluster := range c.all(EKSCluster, func(o *Resource) bool {
					return object(o.Inputs).text("encryptionConfig.provider.keyArn") == r.Outputs["arn"]
				}) {
					return fmt.Errorf("the Secrets of %s could not be read any more", cluster)
				}
				return nil
			},
		},
		{
			token: awsLogGroup, name: "name", replace: []string{"name", "namePrefix"}, computed: []string{"arn"},
			schema: computeSchema("", map[string]*schema.Type{
				"name": textType, "namePrefix": textType, "retentionInDays": wholeType, "tags": tagsType, "kmsKeyId": textType, "skipDestroy": flagType,
			}),
			create: func(_ *Cloud, r *Resource, s Settings) error {
				r.ID, r.Region = object(r.Inputs).text("name"), s["region"]
				r.Outputs["arn"] = fmt.Sprintf("arn:aws:logs:%s:%s:log-group:%s", r.Region, AWSAccount, r.ID)
				return nil
			},
			refuseDelete: func(c *Cloud, r *Resource) error {
				// EKS would make it again, outside of the stack and for ever.
				name := strings.TrimSuffix(strings.TrimPrefix(r.ID, "/aws/eks/"), "/cluster")
				if cluster := c.find(EKSCluster, "name", name); cluster != nil && len(object(cluster.Inputs).list("enabledClusterLogTypes")) > 0 {
					return fmt.Errorf("cluster %s still writes to it", name)
				}
				return nil
			},
		},
		eksClusterKind(subnet, role),
		eksNodeGroupKind(subnet, role),
		{
			token: EKSAddon, slow: true, replace: []string{"clusterName", "addonName"}, computed: []string{"arn", "createdAt", "modifiedAt"},
			references: []reference{ofCluster, role("podIdentityAssociations.roleArn", stays), role("serviceAccountRoleArn", stays)},
			validate: func(in object) []string {
				wrong := slices.Concat(oneOf(in, "resolveConflictsOnCreate", "NONE", "OVERWRITE"), oneOf(in, "resolveConflictsOnUpdate", "NONE", "OVERWRITE", "PRESERVE"))
				if text := in.text("configurationValues"); text != "" && !json.Valid([]byte(text)) {
					wrong = append(wrong, "configurationValues is not valid JSON")
				}
				return wrong
			},
			create: createAddon,
			settle: func(ctx context.Context, c *Cloud, r *Resource) error { return c.settleAddon(ctx, r) },
			vanish: func(_ context.Context, c *Cloud, r *Resource) error {
				if in := object(r.Inputs); in.text("addonName") == "aws-ebs-csi-driver" && !in.flag("preserve") {
					c.mu.Lock()
					defer c.mu.Unlock()
					delete(c.ebsRoles, in.text("clusterName"))
				}
				return nil
			},
		},
		{
			token: awsEntry, replace: []string{"clusterName", "principalArn", "type"}, computed: []string{"accessEntryArn", "createdAt"}, references: []reference{ofCluster},
			create: func(c *Cloud, r *Resource, _ Settings) error {
				in := object(r.Inputs)
				cluster := object(c.find(EKSCluster, "name", in.text("clusterName")).Inputs)
				if mode := cluster.text("accessConfig.authenticationMode"); mode == "" || mode == "CONFIG_MAP" {
					return errors.New("api error InvalidRequestException: The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP]")
				}
				r.ID = in.text("clusterName") + ":" + in.text("principalArn")
				return nil
			},
		},
		{
			token: awsEntryPolicy, replace: []string{"clusterName", "principalArn", "policyArn", "accessScope"},
			references: []reference{ofCluster, {path: "principalArn", token: awsEntry, by: []string{"principalArn"}, then: follows}},
			create: func(_ *Cloud, r *Resource, _ Settings) error {
				in := object(r.Inputs)
				r.ID = strings.Join([]string{in.text("clusterName"), in.text("principalArn"), in.text("policyArn")}, "#")
				return nil
			},
		},
		{
			token: awsPodIdentity, replace: []string{"clusterName", "namespace", "serviceAccount"}, computed: []string{"associationId", "associationArn"},
			references: []reference{ofCluster, role("roleArn", stays)},
			create: func(_ *Cloud, r *Resource, _ Settings) error {
				r.ID = "a-" + randomHex(17)
				return nil
			},
		},
		{
			token: awsTag, replace: []string{"autoscalingGroupName", "tag.key"},
			references: []reference{{path: "autoscalingGroupName", token: EKSNodeGroup, by: []string{"asg"}, then: follows}},
			create: func(_ *Cloud, r *Resource, _ Settings) error {
				r.ID = object(r.Inputs).text("autoscalingGroupName") + "," + object(r.Inputs).text("tag.key")
				return nil
			},
		},
	}
}

// awsPolicies are policies that AWS manages.
var awsPolicies = []string{"AmazonEKSClusterPolicy", "AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly",
	"AmazonEC2ContainerRegistryReadOnly", "AmazonEKS_CNI_Policy", "AmazonSSMManagedInstanceCore", "service-role/AmazonEBSCSIDriverPolicy"}

// awsID gives a resource an id such as vpc-0123 and an ARN.
func awsID(r *Resource, s Settings, prefix, service, path string) error {
	r.Region = s["region"]
	r.ID = prefix + "-0" + randomHex(16)
	r.Outputs["arn"] = fmt.Sprintf("arn:aws:%s:%s:%s:%s%s", service, r.Region, AWSAccount, path, r.ID)
	return nil
}

func digits(s string) string {
	return strings.Map(func(c rune) rune {
		if c < '0' || c > '9' {
			return -1
		}
		return c
	}, s)
}

// policyProblems says what is wrong with a policy document.
func policyProblems(in object, path, needed string) []string {
	text := in.text(path)
	if text == "" {
		return nil
	}
	var document struct{ Statement []map[string]any }
	if err := json.Unmarshal([]byte(text), &document); err != nil || len(document.Statement) == 0 {
		return []string{fmt.Sprintf("%q contains an invalid JSON policy", path)}
	}
	for _, statement := range document.Statement {
		if statement["Effect"] == nil || statement["Action"] == nil || statement[needed] == nil {
			return []string{fmt.Sprintf("%q: a statement lacks Effect, Action or %s", path, needed)}
		}
	}
	return nil
}

func validateTemplate(in object) []string {
	var wrong []string
	for _, device := range in.objects("blockDeviceMappings") {
		wrong = append(wrong, oneOf(device, "ebs.volumeType", "standard", "io1", "io2", "gp2", "gp3", "sc1", "st1")...)
		// gp3 allows a quarter of a MiB/s for each I/O operation, of which it has 3000 unless told otherwise.
		if most := max(device.number("ebs.iops"), 3000) / 4; device.number("ebs.throughput") > most {
			wrong = append(wrong, fmt.Sprintf("throughput %d is more than the %d that the volume's I/O operations allow", device.number("ebs.throughput"), most))
		}
	}
	return slices.Concat(wrong, oneOf(in, "metadataOptions.httpTokens", "optional", "required"), oneOf(in, "metadataOptions.httpEndpoint", "enabled", "disabled"))
}

func createSubnet(c *Cloud, r *Resource, s Settings) error {
	in := object(r.Inputs)
	vpc := c.find(AWSVpc, "", in.text("vpcId"))
	inside, err := netip.ParsePrefix(object(vpc.Inputs).text("cidrBlock"))
	if err != nil {
		return fmt.Errorf("api error InvalidVpcRange: %w", err)
	}
	block, err := netip.ParsePrefix(in.text("cidrBlock"))
	if err != nil || !inside.Contains(block.Addr()) || block.Bits() < inside.Bits() {
		return fmt.Errorf("api error InvalidSubnet.Range: The CIDR '%s' is invalid", in.text("cidrBlock"))
	}
	for _, other := range c.all(AWSSubnet, func(o *Resource) bool { return object(o.Inputs).text("vpcId") == vpc.ID }) {
		if err := disjoint([]string{object(other.Inputs).text("cidrBlock"), block.String()}); err != nil {
			return fmt.Errorf("api error InvalidSubnet.Conflict: %w", err)
		}
	}
	if zone := in.text("availabilityZone"); zone != "" && (!strings.HasPrefix(zone, s["region"]) || len(zone) != len(s["region"])+1) {
		return fmt.Errorf("api error InvalidParameterValue: Value (%s) for parameter availabilityZone is invalid in %s", zone, s["region"])
	}
	return awsID(r, s, "subnet", "ec2", "subnet/")
}

// attached says whether a policy of AWS is attached to a role.
func (c *Cloud) attached(roleArn, policy string) bool {
	role := c.find(AWSRole, "arn", roleArn)
	return role != nil && len(c.all(AWSRolePolicy, func(a *Resource) bool {
		return object(a.Inputs).text("role") == role.ID && strings.HasSuffix(object(a.Inputs).text("policyArn"), "/"+policy)
	})) > 0
}

func eksClusterKind(subnet func(string) reference, role func(string, deletion) reference) *kind {
	return &kind{
		token: EKSCluster, name: "name", slow: true,
		replace: []string{"name", "roleArn", "bootstrapSelfManagedAddons", "accessConfig.bootstrapClusterCreatorAdminPermissions",
			"encryptionConfig", "kubernetesNetworkConfig", "outpostConfig"},
		computed:   []string{"arn", "endpoint", "certificateAuthority", "status", "platformVersion", "identities", "version", "clusterId", "createdAt"},
		references: []reference{subnet("vpcConfig.subnetIds"), role("roleArn", stays), {path: "encryptionConfig.provider.keyArn", token: awsKey, by: []string{"arn"}, then: stays}},
		validate: func(in object) []string {
			return slices.Concat(
				oneOf(in, "accessConfig.authenticationMode", "API", "API_AND_CONFIG_MAP", "CONFIG_MAP"),
				oneOf(in, "upgradePolicy.supportType", "STANDARD", "EXTENDED"),
				eachOneOf(in, "enabledClusterLogTypes", "api", "audit", "authenticator", "controllerManager", "scheduler"),
				cidrs(in.texts("vpcConfig.publicAccessCidrs")))
		},
		create: createEKSCluster,
		update: func(_ *Cloud, r *Resource, _ object) error {
			if r.Outputs["version"] == nil {
				r.Outputs["version"] = eksKubernetes
			}
			return nil
		},
		refuseDelete: func(c *Cloud, r *Resource) error {
			if groups := c.all(EKSNodeGroup, func(g *Resource) bool { return object(g.Inputs).text("clusterName") == named(r, "name") }); len(groups) > 0 {
				return errors.New("api error ResourceInUseException: Cluster has nodegroups attached")
			}
			if !c.attached(object(r.Inputs).text("roleArn"), "AmazonEKSClusterPolicy") {
				return errors.New("the cluster's role lacks AmazonEKSClusterPolicy: its network interfaces could not be deleted")
			}
			return nil
		},
		vanish: func(ctx context.Context, c *Cloud, r *Resource) error { return c.closeGate(ctx, r.ID) },
	}
}

func createEKSCluster(c *Cloud, r *Resource, s Settings) error {
	in := object(r.Inputs)
	r.ID, r.Region = in.text("name"), s["region"]
	if c.find(EKSCluster, "", r.ID) != nil {
		return fmt.Errorf("api error ResourceInUseException: Cluster already exists with name: %s", r.ID)
	}
	zones := map[string]bool{}
	for _, id := range in.texts("vpcConfig.subnetIds") {
		zones[object(c.find(AWSSubnet, "", id).Inputs).text("availabilityZone")] = true
	}
	if len(zones) < 2 {
		return errors.New("api error InvalidParameterException: Subnets specified must be in at least two different AZs")
	}
	if !c.attached(in.text("roleArn"), "AmazonEKSClusterPolicy") {
		return fmt.Errorf("api error InvalidParameterException: role %s has no AmazonEKSClusterPolicy attached yet", in.text("roleArn"))
	}
	if in.has("vpcConfig.publicAccessCidrs") && !in.flag("vpcConfig.endpointPublicAccess") {
		return errors.New("api error InvalidParameterException: publicAccessCidrs need endpointPublicAccess")
	}
	auto := in.flag("computeConfig.enabled")
	if other := in.flag("storageConfig.blockStorage.enabled"); auto != other {
		return errors.New("api error InvalidParameterException: computeConfig and storageConfig of EKS Auto Mode must be set together")
	}
	if version := in.text("version"); version != "" && !strings.HasPrefix(version, "1.3") {
		return fmt.Errorf("api error InvalidParameterException: unsupported Kubernetes version %s", version)
	}
	// EKS makes the group itself when it is missing, and nobody deletes it then.
	if len(in.list("enabledClusterLogTypes")) > 0 {
		if name := "/aws/eks/" + r.ID + "/cluster"; c.find(awsLogGroup, "", name) == nil {
			c.resources = append(c.resources, &Resource{Token: awsLogGroup, ID: name, Region: r.Region,
				Inputs: map[string]any{"name": name}, Outputs: map[string]any{"name": name}})
		}
	}
	g, err := c.openGate(r.ID)
	if err != nil {
		return err
	}
	r.Outputs["arn"] = fmt.Sprintf("arn:aws:eks:%s:%s:cluster/%s", r.Region, AWSAccount, r.ID)
	r.Outputs["endpoint"] = "https://" + g.address
	r.Outputs["certificateAuthority"] = map[string]any{"data": c.authority()}
	r.Outputs["certificateAuthorities"] = []any{map[string]any{"data": c.authority()}}
	r.Outputs["status"], r.Outputs["version"] = "ACTIVE", orElse(in.text("version"), eksKubernetes)
	return nil
}

func eksNodeGroupKind(subnet func(string) reference, role func(string, deletion) reference) *kind {
	return &kind{
		token: EKSNodeGroup, slow: true, needs: []string{"subnetIds"},
		replace: []string{"amiType", "capacityType", "clusterName", "diskSize", "instanceTypes", "launchTemplate.id", "launchTemplate.name",
			"nodeGroupName", "nodeGroupNamePrefix", "nodeRoleArn", "remoteAccess", "subnetIds"},
		computed: []string{"arn", "nodeGroupName", "resources", "status", "asg", "version", "releaseVersion"},
		references: []reference{
			{path: "clusterName", token: EKSCluster, by: clusterName}, subnet("subnetIds"), role("nodeRoleArn", stays),
			{path: "launchTemplate.id", token: awsTemplate, by: []string{"id"}, then: stays},
		},
		validate: func(in object) []string {
			var wrong []string
			for _, taint := range in.objects("taints") {
				wrong = append(wrong, oneOf(taint, "effect", "NO_SCHEDULE", "PREFER_NO_SCHEDULE", "NO_EXECUTE")...)
			}
			if in.has("launchTemplate") && (in.has("remoteAccess") || in.has("diskSize")) {
				wrong = append(wrong, "launchTemplate conflicts with remoteAccess and diskSize")
			}
			return slices.Concat(wrong, oneOf(in, "capacityType", "ON_DEMAND", "SPOT", "CAPACITY_BLOCK"),
				oneOf(in, "amiType", "AL2_x86_64", "AL2_x86_64_GPU", "AL2_ARM_64", "CUSTOM", "BOTTLEROCKET_ARM_64", "BOTTLEROCKET_x86_64",
					"BOTTLEROCKET_ARM_64_NVIDIA", "BOTTLEROCKET_x86_64_NVIDIA", "AL2023_x86_64_STANDARD", "AL2023_ARM_64_STANDARD",
					"AL2023_x86_64_NEURON", "AL2023_x86_64_NVIDIA", "AL2023_ARM_64_NVIDIA"))
		},
		create: createNodeGroup,
		settle: func(ctx context.Context, c *Cloud, r *Resource) error { return c.waitForPool(ctx, r.ID) },
		update: func(c *Cloud, r *Resource, old object) error {
			p, err := eksPool(c, r)
			if err != nil {
				return err
			}
			if current := c.pools[r.ID]; current != nil {
				p.desired = current.desired
			}
			if in := object(r.Inputs); !equal(old.at("scalingConfig"), in.at("scalingConfig")) {
				// The three sizes are sent together, whoever has changed the desired one meanwhile.
				p.desired = in.number("scalingConfig.desiredSize")
			}
			r.Outputs["nodeGroupName"] = p.name
			return c.changePool(p)
		},
		refuseDelete: func(c *Cloud, r *Resource) error {
			if !c.attached(object(r.Inputs).text("nodeRoleArn"), "AmazonEKSWorkerNodePolicy") {
				return errors.New("Ec2InstanceProfileDeleteFailure: the node role lost its policies before its nodes went")
			}
			return nil
		},
		vanish: func(ctx context.Context, c *Cloud, r *Resource) error { return c.removePool(ctx, r.ID) },
	}
}

func createNodeGroup(c *Cloud, r *Resource, s Settings) error {
	in := object(r.Inputs)
	name := in.text("nodeGroupName")
	if name == "" {
		name = in.text("nodeGroupNamePrefix") + "2026112210" + digits(randomHex(40))[:8] + "00000001"
	}
	r.Outputs["nodeGroupName"] = name
	r.ID, r.Region = in.text("clusterName")+":"+name, s["region"]
	if in.text("amiType") == "AL2_x86_64_GPU" || in.text("amiType") == "AL2_x86_64" {
		return fmt.Errorf("api error InvalidParameterException: AMI type %s is no longer supported", in.text("amiType"))
	}
	for _, policy := range []string{"AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy"} {
		if !c.attached(in.text("nodeRoleArn"), policy) {
			return fmt.Errorf("AccessDenied: node role %s has no %s attached", in.text("nodeRoleArn"), policy)
		}
	}
	if !c.attached(in.text("nodeRoleArn"), "AmazonEC2ContainerRegistryPullOnly") && !c.attached(in.text("nodeRoleArn"), "AmazonEC2ContainerRegistryReadOnly") {
		return fmt.Errorf("AccessDenied: node role %s may not pull images", in.text("nodeRoleArn"))
	}
	asg := "eks-" + name + "-" + randomHex(8)
	r.Outputs["asg"] = asg
	r.Outputs["resources"] = []any{map[string]any{"autoscalingGroups": []any{map[string]any{"name": asg}}, "remoteAccessSecurityGroupId": ""}}
	r.Outputs["arn"] = fmt.Sprintf("arn:aws:eks:%s:%s:nodegroup/%s/%s/%s", s["region"], AWSAccount, in.text("clusterName"), name, randomHex(8))
	r.Outputs["status"], r.Outputs["version"] = "ACTIVE", orElse(in.text("version"), eksKubernetes)
	p, err := eksPool(c, r)
	if err != nil {
		return err
	}
	p.desired = in.number("scalingConfig.desiredSize")
	if p.desired > 0 {
		if err := c.joinable(in); err != nil {
			return err
		}
	}
	c.pools[r.ID] = p
	return nil
}

// joinable says why nodes could not join the cluster.
func (c *Cloud) joinable(in object) error {
	cluster := object(c.find(EKSCluster, "name", in.text("clusterName")).Inputs)
	if cluster.has("bootstrapSelfManagedAddons") && !cluster.flag("bootstrapSelfManagedAddons") && !c.hasAddon(in.text("clusterName"), "vpc-cni") {
		return errors.New("NodeCreationFailure: Unhealthy nodes in the kubernetes cluster (no CNI: the add-on vpc-cni is missing)")
	}
	for _, id := range in.texts("subnetIds") {
		association := c.find(awsAssociation, "subnetId", id)
		if association == nil {
			continue // of the VPC's main table
		}
		routes := c.all(awsRoute, func(route *Resource) bool {
			r := object(route.Inputs)
			return r.text("routeTableId") == object(association.Inputs).text("routeTableId") && (r.has("natGatewayId") || r.has("gatewayId"))
		})
		if len(routes) == 0 {
			return fmt.Errorf("NodeCreationFailure: Instances failed to join the kubernetes cluster (subnet %s has no route to the internet)", id)
		}
	}
	return nil
}

func (c *Cloud) hasAddon(cluster, name string) bool {
	return c.find(EKSAddon, "", cluster+":"+name) != nil
}

func createAddon(c *Cloud, r *Resource, s Settings) error {
	in := object(r.Inputs)
	known := []string{"vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "aws-ebs-csi-driver", "metrics-server"}
	if !slices.Contains(known, in.text("addonName")) {
		return fmt.Errorf("api error InvalidParameterException: Addon %s specified is not supported", in.text("addonName"))
	}
	if in.has("podIdentityAssociations") && !c.hasAddon(in.text("clusterName"), "eks-pod-identity-agent") {
		return errors.New("api error InvalidParameterException: pod identity associations need the add-on eks-pod-identity-agent")
	}
	r.ID, r.Region = in.text("clusterName")+":"+in.text("addonName"), s["region"]
	r.Outputs["arn"] = fmt.Sprintf("arn:aws:eks:%s:%s:addon/%s/%s/%s", s["region"], AWSAccount, in.text("clusterName"), in.text("addonName"), randomHex(8))
	if !in.has("addonVersion") {
		r.Outputs["addonVersion"] = "v1.0.0-eksbuild.1"
	}
	return nil
}

// settleAddon waits as EKS does: an add-on made of Deployments becomes active on nodes only.
func (c *Cloud) settleAddon(ctx context.Context, r *Resource) error {
	in := object(r.Inputs)
	if name := in.text("addonName"); name != "coredns" && name != "aws-ebs-csi-driver" && name != "metrics-server" {
		return nil
	}
	c.mu.Lock()
	cluster := c.find(EKSCluster, "name", in.text("clusterName"))
	c.mu.Unlock()
	if cluster == nil {
		return errors.New("api error ResourceNotFoundException: No cluster found")
	}
	if c.untaintedNodes(ctx, cluster.ID) == 0 {
		return fmt.Errorf("unexpected state 'DEGRADED', wanted target 'ACTIVE'. last error: %s: InsufficientNumberOfReplicas: The add-on is unhealthy because it doesn't have the desired number of replicas", r.ID)
	}
	if in.text("addonName") != "aws-ebs-csi-driver" {
		return nil
	}
	c.mu.Lock()
	c.ebsRoles[cluster.ID] = orElse(in.text("podIdentityAssociations.0.roleArn"), in.text("serviceAccountRoleArn"))
	c.mu.Unlock()
	if enablesClass(in.text("configurationValues")) {
		return c.installStorage(ctx, storageOf[EKSCluster])
	}
	return nil
}

// gpusByEC2Type are the numbers of GPUs of instance types; sizes of the g families from g5 on are alike.
func gpusByEC2Type(instanceType string) int {
	family, size, _ := strings.Cut(instanceType, ".")
	switch family {
	case "g4dn", "g5", "g6", "g6e":
		if n, ok := map[string]int{"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}[size]; ok {
			return n
		}
		return 1
	case "p3":
		return map[string]int{"2xlarge": 1, "8xlarge": 4, "16xlarge": 8}[size]
	case "p4d", "p4de", "p5", "p5e", "p5en":
		return 8
	}
	return 0
}

// eksPool works out the nodes of a group.
func eksPool(c *Cloud, r *Resource) (*pool, error) {
	in := object(r.Inputs)
	cluster := c.find(EKSCluster, "name", in.text("clusterName"))
	if cluster == nil {
		return nil, errors.New("api error ResourceNotFoundException: No cluster found for name: " + in.text("clusterName"))
	}
	instanceType := "t3.medium"
	if types := in.texts("instanceTypes"); len(types) > 0 {
		instanceType = types[0]
	}
	p := &pool{
		id: r.ID, cluster: cluster.ID, cloud: "aws", name: named(r, "nodeGroupName"), machineType: instanceType, asg: named(r, "asg"),
		machine:    fmt.Sprint(in.at("launchTemplate")),
		nodeSuffix: "." + r.Region + ".compute.internal", namePrefix: "ip-10-0-" + digits(randomHex(40))[:2] + "-",
		min: in.number("scalingConfig.minSize"), max: in.number("scalingConfig.maxSize"),
		labels: in.labels("labels"), acceleratorLabel: "k8s.amazonaws.com/accelerator",
		// EKS has no autoscaler of its own: cluster-autoscaler in the cluster has to be there.
		autoscaled: true, needsAutoscaler: true,
	}
	if p.max < 1 || p.min > p.max || in.number("scalingConfig.desiredSize") > p.max || in.number("scalingConfig.desiredSize") < p.min {
		return nil, fmt.Errorf("api error InvalidParameterException: desired capacity %d must be between minimum %d and maximum %d, and the maximum at least 1",
			in.number("scalingConfig.desiredSize"), p.min, p.max)
	}
	for _, id := range in.texts("subnetIds") {
		if subnet := c.find(AWSSubnet, "", id); subnet != nil {
			p.zones = append(p.zones, object(subnet.Inputs).text("availabilityZone"))
		}
	}
	for key := range p.labels {
		if strings.Contains(key, "kubernetes.io/") || strings.HasPrefix(key, "eks.amazonaws.com/") {
			return nil, fmt.Errorf("api error InvalidParameterException: Label cannot contain reserved prefixes: %s", key)
		}
	}
	for _, taint := range in.objects("taints") {
		if err := p.taint(taint.text("key"), taint.text("value"), gcpEffects[taint.text("effect")]); err != nil {
			return nil, fmt.Errorf("api error InvalidParameterException: %w", err)
		}
	}
	p.labels["eks.amazonaws.com/nodegroup"] = p.name
	p.labels["eks.amazonaws.com/nodegroup-image"] = "ami-0" + randomHex(16)
	p.labels["eks.amazonaws.com/capacityType"] = orElse(in.text("capacityType"), "ON_DEMAND")
	switch ami := in.text("amiType"); {
	case strings.HasPrefix(ami, "BOTTLEROCKET") && strings.HasSuffix(ami, "_NVIDIA"):
		p.gpus = gpusAtOnce
	case strings.HasSuffix(ami, "_NVIDIA"):
		p.gpus = gpusByPlugin
	default:
		p.gpus = gpusNever // no driver
	}
	p.gpuCount = gpusByEC2Type(instanceType)
	return p, nil
}

// awsInvokes are AWS' data sources.
func awsInvokes() map[string]invoke {
	missing := func(kind, name string) error {
		return fmt.Errorf("reading EKS %s (%s): couldn't find resource", kind, name)
	}
	return map[string]invoke{
		"aws:eks/getCluster:getCluster": func(c *Cloud, s Settings, args object) (object, error) {
			r := c.find(EKSCluster, "", args.text("name"))
			if r == nil || r.Region != s["region"] {
				return nil, missing("Cluster", args.text("name"))
			}
			out := object(r.Outputs)
			vpc := object{"subnetIds": orEmpty(out.at("vpcConfig.subnetIds")), "vpcId": "", "clusterSecurityGroupId": "sg-0" + r.ID,
				"endpointPrivateAccess": out.flag("vpcConfig.endpointPrivateAccess"), "endpointPublicAccess": out.flag("vpcConfig.endpointPublicAccess"),
				"publicAccessCidrs": orEmpty(out.at("vpcConfig.publicAccessCidrs")), "securityGroupIds": []any{}}
			return object{
				"id": r.ID, "name": r.ID, "arn": out["arn"], "endpoint": out["endpoint"], "status": out["status"], "version": out["version"], "roleArn": out["roleArn"],
				"certificateAuthorities": out["certificateAuthorities"], "computeConfigs": one(out["computeConfig"]), "vpcConfig": map[string]any(vpc),
				"accessConfigs": one(out["accessConfig"]), "enabledClusterLogTypes": orEmpty(out["enabledClusterLogTypes"]),
			}, nil
		},
		"aws:eks/getAddon:getAddon": func(c *Cloud, _ Settings, args object) (object, error) {
			id := args.text("clusterName") + ":" + args.text("addonName")
			r := c.find(EKSAddon, "", id)
			if r == nil {
				return nil, missing("Add-On", id)
			}
			return object{"id": id, "addonName": args["addonName"], "clusterName": args["clusterName"], "arn": r.Outputs["arn"], "addonVersion": r.Outputs["addonVersion"]}, nil
		},
		"aws:eks/getNodeGroups:getNodeGroups": func(c *Cloud, _ Settings, args object) (object, error) {
			names := []any{}
			for _, r := range c.all(EKSNodeGroup, func(r *Resource) bool { return object(r.Inputs).text("clusterName") == args.text("clusterName") }) {
				names = append(names, r.Outputs["nodeGroupName"])
			}
			return object{"id": args["clusterName"], "clusterName": args["clusterName"], "names": names}, nil
		},
		"aws:eks/getNodeGroup:getNodeGroup": func(c *Cloud, _ Settings, args object) (object, error) {
			id := args.text("clusterName") + ":" + args.text("nodeGroupName")
			r := c.find(EKSNodeGroup, "", id)
			if r == nil {
				return nil, missing("Node Group", id)
			}
			out := object(r.Outputs)
			return object{
				"id": id, "clusterName": out["clusterName"], "nodeGroupName": out["nodeGroupName"], "amiType": orElse(out.text("amiType"), "AL2023_x86_64_STANDARD"),
				"capacityType": orElse(out.text("capacityType"), "ON_DEMAND"), "instanceTypes": orEmpty(out["instanceTypes"]), "labels": out["labels"],
				"taints": orEmpty(out["taints"]), "subnetIds": orEmpty(out["subnetIds"]), "status": out["status"], "arn": out["arn"], "version": out["version"],
				"nodeRoleArn": out["nodeRoleArn"], "resources": out["resources"], "scalingConfigs": one(out["scalingConfig"]),
			}, nil
		},
	}
}
