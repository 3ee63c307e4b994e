package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// awsEKSKinds lists the simulated resource types of Amazon EKS.
func awsEKSKinds() []*kind {
	return []*kind{eksClusterKind(), eksNodeGroupKind(), eksAddonKind(), eksAccessEntryKind(), eksAccessPolicyAssociationKind(), eksPodIdentityAssociationKind()}
}

// eksClusterReference is the input of what belongs to an EKS cluster and is deleted with it.
var eksClusterReference = reference{path: "clusterName", token: EKSCluster, by: clusterName, then: follows}

var clusterName = []string{"name"}

func eksClusterKind() *kind {
	return &kind{
		token: EKSCluster, name: "name", slow: true,
		replace: []string{"name", "roleArn", "bootstrapSelfManagedAddons", "accessConfig.bootstrapClusterCreatorAdminPermissions",
			"encryptionConfig", "kubernetesNetworkConfig", "outpostConfig"},
		computed: []string{"arn", "endpoint", "certificateAuthority", "status", "platformVersion", "identities", "version", "clusterId", "createdAt"},
		references: []reference{awsSubnetReference("vpcConfig.subnetIds"), awsRoleReference("roleArn", stays),
			{path: "encryptionConfig.provider.keyArn", token: awsKey, by: []string{"arn"}, then: stays}},
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
		vanish: func(ctx context.Context, c *Cloud, r *Resource) error {
			if len(object(r.Inputs).list("enabledClusterLogTypes")) > 0 {
				c.mu.Lock()
				c.lateLogs[eksLogGroup(r.ID)] = true
				c.mu.Unlock()
			}
			return c.closeGate(ctx, r.ID)
		},
	}
}

// eksLogGroup returns the name of the log group of a cluster.
func eksLogGroup(cluster string) string { return "/aws/eks/" + cluster + "/cluster" }

// eksSecurityGroup returns the security group that EKS creates for a cluster.
func eksSecurityGroup(cluster string) string { return "sg-0" + cluster }

func createEKSCluster(c *Cloud, r *Resource, s Settings) error {
	in := object(r.Inputs)
	r.ID, r.Region = in.text("name"), s["region"]
	if c.find(EKSCluster, "", r.ID) != nil {
		return fmt.Errorf("api error ResourceInUseException: Cluster already exists with name: %s", r.ID)
	}
	zones := map[string]bool{}
	for _, id := range in.texts("vpcConfig.subnetIds") {
		zone := object(c.find(AWSSubnet, "", id).Inputs).text("availabilityZone")
		zones[zone] = true
		if slices.Contains(zonesWithoutEKS, awsZoneID(zone)) {
			return fmt.Errorf("api error UnsupportedAvailabilityZoneException: Cannot create cluster '%s' because EKS does not support creating "+
				"control plane instances in %s, the targeted availability zone", r.ID, zone)
		}
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
	// EKS creates a missing log group itself, and nothing deletes it then.
	if len(in.list("enabledClusterLogTypes")) > 0 {
		if name := eksLogGroup(r.ID); c.find(AWSLogGroup, "", name) == nil {
			c.createLogGroup(name, r.Region)
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

func eksAddonKind() *kind {
	return &kind{
		token: EKSAddon, slow: true, replace: []string{"clusterName", "addonName"}, computed: []string{"arn", "createdAt", "modifiedAt"},
		references: []reference{eksClusterReference, awsRoleReference("podIdentityAssociations.roleArn", stays), awsRoleReference("serviceAccountRoleArn", stays)},
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
				delete(c.driverRoles, in.text("clusterName"))
			}
			return nil
		},
	}
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

// settleAddon fails where EKS waits in vain: an add-on made of Deployments becomes active only when there are nodes.
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
		return fmt.Errorf("unexpected state 'DEGRADED', wanted target 'ACTIVE'. last error: %s: "+
			"InsufficientNumberOfReplicas: The add-on is unhealthy because it doesn't have the desired number of replicas", r.ID)
	}
	if in.text("addonName") != "aws-ebs-csi-driver" {
		return nil
	}
	c.mu.Lock()
	c.driverRoles[cluster.ID] = orElse(in.text("podIdentityAssociations.0.roleArn"), in.text("serviceAccountRoleArn"))
	c.mu.Unlock()
	if enablesClass(in.text("configurationValues")) {
		return c.installStorage(ctx, cluster)
	}
	return nil
}

func (c *Cloud) hasAddon(cluster, name string) bool {
	return c.find(EKSAddon, "", cluster+":"+name) != nil
}

func eksAccessEntryKind() *kind {
	return &kind{
		token: awsEntry, replace: []string{"clusterName", "principalArn", "type"}, computed: []string{"accessEntryArn", "createdAt"},
		references: []reference{eksClusterReference},
		create: func(c *Cloud, r *Resource, _ Settings) error {
			in := object(r.Inputs)
			cluster := object(c.find(EKSCluster, "name", in.text("clusterName")).Inputs)
			if mode := cluster.text("accessConfig.authenticationMode"); mode == "" || mode == "CONFIG_MAP" {
				return errors.New("api error InvalidRequestException: The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP]")
			}
			r.ID = in.text("clusterName") + ":" + in.text("principalArn")
			return nil
		},
	}
}

func eksAccessPolicyAssociationKind() *kind {
	return &kind{
		token: awsEntryPolicy, replace: []string{"clusterName", "principalArn", "policyArn", "accessScope"},
		references: []reference{eksClusterReference, {path: "principalArn", token: awsEntry, by: []string{"principalArn"}, then: follows}},
		create: func(_ *Cloud, r *Resource, _ Settings) error {
			in := object(r.Inputs)
			r.ID = strings.Join([]string{in.text("clusterName"), in.text("principalArn"), in.text("policyArn")}, "#")
			return nil
		},
	}
}

func eksPodIdentityAssociationKind() *kind {
	return &kind{
		token: awsPodIdentity, replace: []string{"clusterName", "namespace", "serviceAccount"}, computed: []string{"associationId", "associationArn"},
		references: []reference{eksClusterReference, awsRoleReference("roleArn", stays)},
		importID:   func(r *Resource) string { return named(r, "clusterName") + "," + r.ID },
		create: func(_ *Cloud, r *Resource, _ Settings) error {
			r.ID = "a-" + randomHex(17)
			return nil
		},
	}
}

// ebsRuns reports whether the EBS driver runs in a cluster and has its permissions. An add-on that was deleted with
// "preserve" leaves its driver running as long as there are nodes.
func (c *Cloud) ebsRuns(cluster string) bool {
	role := c.driverRoles[cluster]
	if role == "" || !c.attached(role, "AmazonEBSCSIDriverPolicy") {
		return false
	}
	for _, p := range c.pools {
		if p.cluster == cluster && len(p.taints) == 0 && len(p.nodes) > 0 {
			return true
		}
	}
	return false
}

// enablesClass reports whether an add-on's configuration enables the default class.
func enablesClass(configuration string) bool {
	var values struct {
		DefaultStorageClass struct{ Enabled bool } `json:"defaultStorageClass"`
	}
	return strings.TrimSpace(configuration) != "" && json.Unmarshal([]byte(configuration), &values) == nil && values.DefaultStorageClass.Enabled
}
