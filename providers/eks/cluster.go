package eks

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Access policies of EKS, which are no IAM policies (EKS user guide, "Review access policy
// permissions"). The view policy leaves Secrets out.
const (
	clusterAdminPolicy = "AmazonEKSClusterAdminPolicy"
	viewPolicy         = "AmazonEKSViewPolicy"
)

// newCluster registers the control plane with its role, key, logs and access.
func (b *builder) newCluster(network *network) (*eks.Cluster, error) {
	role, err := b.newRole("cluster", trustService("eks.amazonaws.com"), "AmazonEKSClusterPolicy")
	if err != nil {
		return nil, err
	}
	key, err := b.secretsKey()
	if err != nil {
		return nil, err
	}
	keyUse, err := iam.NewRolePolicy(b.ctx, b.resourceName("cluster-secrets"), &iam.RolePolicyArgs{
		Role: role.Name,
		Policy: key.ToStringOutput().ApplyT(func(arn string) (string, error) {
			return policyDocument(allow([]string{"kms:DescribeKey", "kms:Encrypt", "kms:Decrypt", "kms:ListGrants"}, arn))
		}).(pulumi.StringOutput),
	}, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("registering the cluster role's use of its key: %w", err)
	}
	waitFor := append(role.ready, keyUse)
	if len(b.args.ControlPlaneLogs) > 0 {
		logs, err := b.logGroup()
		if err != nil {
			return nil, err
		}
		waitFor = append(waitFor, logs...)
	}

	vpc := eks.ClusterVpcConfigArgs{
		SubnetIds: network.ids(),
		// Nodes stay inside the VPC even where the public endpoint is open to some.
		EndpointPrivateAccess: pulumi.Bool(true),
		EndpointPublicAccess:  pulumi.Bool(false),
	}
	if len(b.args.APIAccessCIDRs) > 0 {
		// Never with an empty list of networks: EKS reads that as everyone.
		vpc.EndpointPublicAccess = pulumi.Bool(true)
		vpc.PublicAccessCidrs = pulumi.ToStringArray(b.args.APIAccessCIDRs)
	}
	args := &eks.ClusterArgs{
		// Fixed, because policies, log group and kubeconfig name it.
		Name:      pulumi.String(b.args.Name),
		RoleArn:   role.Arn,
		VpcConfig: vpc,
		AccessConfig: eks.ClusterAccessConfigArgs{
			// Entries only: a mistake in the ConfigMap aws-auth locks everyone out.
			AuthenticationMode: pulumi.String("API"),
			// Whoever creates the cluster also has to install the pipeline. It cannot be changed later.
			BootstrapClusterCreatorAdminPermissions: pulumi.Bool(true),
		},
		// The add-ons are installed as such below, with versions and permissions of their own.
		BootstrapSelfManagedAddons: pulumi.Bool(false),
		EnabledClusterLogTypes:     pulumi.ToStringArray(b.args.ControlPlaneLogs),
		EncryptionConfig: eks.ClusterEncryptionConfigArgs{
			Provider:  eks.ClusterEncryptionConfigProviderArgs{KeyArn: key},
			Resources: pulumi.ToStringArray([]string{"secrets"}),
		},
		UpgradePolicy: eks.ClusterUpgradePolicyArgs{SupportType: pulumi.String(b.args.supportType())},
	}
	if b.args.KubernetesVersion != "" {
		args.Version = pulumi.String(b.args.KubernetesVersion)
	}
	cluster, err := eks.NewCluster(b.ctx, b.resourceName("cluster"), args, b.options(
		// Without the role's permissions EKS can no longer delete the network interfaces and security
		// groups that it made, and the subnets could never go. The log group has to be first because
		// EKS would create it itself, without an end to its retention and outside this program.
		pulumi.DependsOn(waitFor),
		pulumi.Protect(b.args.DeletionProtection),
	)...)
	if err != nil {
		return nil, fmt.Errorf("registering EKS cluster %q: %w", b.args.Name, err)
	}
	for _, grant := range []struct {
		kind, policy string
		principals   []string
	}{
		{"admin", clusterAdminPolicy, b.args.Admins},
		{"viewer", viewPolicy, b.args.Viewers},
	} {
		for _, principal := range grant.principals {
			if err := b.newAccess(cluster, grant.kind, grant.policy, principal); err != nil {
				return nil, err
			}
		}
	}
	return cluster, nil
}

// supportType returns EKS' name of what happens at the end of a version's standard support.
func (a *Args) supportType() string {
	if a.ExtendedSupport {
		return "EXTENDED"
	}
	return "STANDARD"
}

// newAccess lets an IAM role or user into the cluster.
func (b *builder) newAccess(cluster *eks.Cluster, kind, policy, principal string) error {
	name := b.resourceName(kind + "-" + principalName(principal))
	entry, err := eks.NewAccessEntry(b.ctx, name, &eks.AccessEntryArgs{
		ClusterName: cluster.Name, PrincipalArn: pulumi.String(principal),
	}, b.options()...)
	if err != nil {
		return fmt.Errorf("registering the access of %s: %w", principal, err)
	}
	if _, err := eks.NewAccessPolicyAssociation(b.ctx, name, &eks.AccessPolicyAssociationArgs{
		ClusterName:  cluster.Name,
		PrincipalArn: entry.PrincipalArn,
		PolicyArn:    pulumi.String(fmt.Sprintf("arn:%s:eks::aws:cluster-access-policy/%s", b.args.partition(), policy)),
		AccessScope:  eks.AccessPolicyAssociationAccessScopeArgs{Type: pulumi.String("cluster")},
		// The policy's ARN alone would let EKS associate it with an entry that is about to be deleted.
	}, b.options(pulumi.DependsOn([]pulumi.Resource{entry}))...); err != nil {
		return fmt.Errorf("registering what %s may do: %w", principal, err)
	}
	return nil
}

var notInName = regexp.MustCompile(`[^0-9A-Za-z]+`)

// principalName returns the part of an ARN that identifies the principal: account, kind and path.
func principalName(arn string) string {
	_, rest, _ := strings.Cut(arn, ":iam::")
	return notInName.ReplaceAllString(rest, "-")
}
