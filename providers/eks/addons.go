package eks

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// EKS' names of its add-ons.
const (
	addonCNI         = "vpc-cni"
	addonKubeProxy   = "kube-proxy"
	addonPodIdentity = "eks-pod-identity-agent"
	addonCoreDNS     = "coredns"
	addonEBS         = "aws-ebs-csi-driver"
)

const (
	// cniConfig has NetworkPolicies enforced, such as the one that limits who may call vLLM. The CNI's
	// default is to ignore them.
	cniConfig = `{"enableNetworkPolicy":"true"}`

	// onConflict has an add-on replace what another writer left of its objects.
	onConflict = "OVERWRITE"

	// volumeDriverAccount is the service account of the EBS CSI driver's controller.
	volumeDriverAccount = "ebs-csi-controller-sa"
	// volumeDriverConfig makes the driver's class the default one (driver 1.31 and later). From
	// Kubernetes 1.30 on EKS has no default class, and a claim without a class waits for ever.
	volumeDriverConfig = `{"defaultStorageClass":{"enabled":true}}`
)

// newEarlyAddons registers the DaemonSets without which no node becomes ready. They are active
// without any node.
func (b *builder) newEarlyAddons(plane *controlPlane) ([]pulumi.Resource, error) {
	var addons []pulumi.Resource
	for _, name := range []string{addonCNI, addonKubeProxy, addonPodIdentity} {
		args := &eks.AddonArgs{}
		if name == addonCNI {
			args.ConfigurationValues = pulumi.String(cniConfig)
		}
		addon, err := b.newAddon(plane, name, args)
		if err != nil {
			return nil, err
		}
		addons = append(addons, addon)
	}
	return addons, nil
}

// newVolumeDriverRole registers the role of the EBS CSI driver.
func (b *builder) newVolumeDriverRole() (*role, error) {
	return b.newRole("ebs-csi", trustPods(), "service-role/AmazonEBSCSIDriverPolicy")
}

// newLateAddons registers what runs as Deployments: they only become active on nodes.
func (b *builder) newLateAddons(plane *controlPlane, volumes *role, system *eks.NodeGroup) ([]pulumi.Resource, error) {
	after := pulumi.DependsOn(append([]pulumi.Resource{system}, volumes.ready...))
	// A property that replaces nothing while it is unknown, so that a node group that failed stops the update here.
	overwrite := whenCreated(system, func([]eks.NodeGroupResource) (string, error) { return onConflict, nil })
	dns, err := b.newAddon(plane, addonCoreDNS, &eks.AddonArgs{ResolveConflictsOnUpdate: overwrite}, after)
	if err != nil {
		return nil, err
	}
	driver, err := b.newAddon(plane, addonEBS, &eks.AddonArgs{
		ResolveConflictsOnUpdate: overwrite,
		ConfigurationValues:      pulumi.String(volumeDriverConfig),
		PodIdentityAssociations: eks.AddonPodIdentityAssociationArray{eks.AddonPodIdentityAssociationArgs{
			ServiceAccount: pulumi.String(volumeDriverAccount), RoleArn: volumes.Arn,
		}},
		// On destroy, the driver outlives its add-on by the minutes that the nodes take to go. Volumes
		// are deleted a moment after their claims, and would stay and cost if it went first.
		Preserve: pulumi.Bool(true),
	}, after)
	if err != nil {
		return nil, err
	}
	return []pulumi.Resource{dns, driver}, nil
}

// newAddon registers an add-on, at the version that was asked for or at AWS' own choice when it is created.
func (b *builder) newAddon(plane *controlPlane, name string, args *eks.AddonArgs, opts ...pulumi.ResourceOption) (*eks.Addon, error) {
	args.ClusterName = plane.name
	args.AddonName = pulumi.String(name)
	// Nothing else installs it in a new cluster, so what stands in the way is a leftover.
	args.ResolveConflictsOnCreate = pulumi.String(onConflict)
	if args.ResolveConflictsOnUpdate == nil {
		args.ResolveConflictsOnUpdate = pulumi.String(onConflict)
	}
	if version := b.args.AddonVersions[name]; version != "" {
		args.AddonVersion = pulumi.String(version)
	}
	addon, err := eks.NewAddon(b.ctx, b.resourceName(name), args, b.options(opts...)...)
	if err != nil {
		return nil, fmt.Errorf("registering add-on %q: %w", name, err)
	}
	return addon, nil
}
