package gke

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// The SDK's package for networks takes more memory to compile than most build machines have, so the
// four resources that are needed are registered here, with the provider's tokens and property names.
const (
	networkToken    = "gcp:compute/network:Network"
	subnetworkToken = "gcp:compute/subnetwork:Subnetwork"
	routerToken     = "gcp:compute/router:Router"
	routerNATToken  = "gcp:compute/routerNat:RouterNat"
)

// Names of the subnetwork's secondary ranges.
const (
	podsRange     = "pods"
	servicesRange = "services"
)

// network is a VPC network.
type network struct {
	pulumi.CustomResourceState
	SelfLink pulumi.StringOutput `pulumi:"selfLink"`
}

// networkArgs are the inputs of a network.
type networkArgs struct {
	Name    string
	Project string
}

func newNetwork(ctx *pulumi.Context, name string, args networkArgs, opts ...pulumi.ResourceOption) (*network, error) {
	resource := &network{}
	return resource, register(ctx, networkToken, name, pulumi.Map{
		"name":    pulumi.String(args.Name),
		"project": pulumi.String(args.Project),
		// A subnetwork in every region would be reachable from the nodes, and take up addresses.
		"autoCreateSubnetworks": pulumi.Bool(false),
		"routingMode":           pulumi.String("REGIONAL"),
	}, resource, opts)
}

// subnetwork is a region's part of a network.
type subnetwork struct {
	pulumi.CustomResourceState
	SelfLink pulumi.StringOutput `pulumi:"selfLink"`
}

// subnetworkArgs are the inputs of a subnetwork.
type subnetworkArgs struct {
	Name, Project, Region             string
	Network                           pulumi.StringInput
	NodesCIDR, PodsCIDR, ServicesCIDR string
}

func newSubnetwork(ctx *pulumi.Context, name string, args subnetworkArgs, opts ...pulumi.ResourceOption) (*subnetwork, error) {
	resource := &subnetwork{}
	secondary := func(rangeName, cidr string) pulumi.Map {
		return pulumi.Map{"rangeName": pulumi.String(rangeName), "ipCidrRange": pulumi.String(cidr)}
	}
	return resource, register(ctx, subnetworkToken, name, pulumi.Map{
		"name":              pulumi.String(args.Name),
		"project":           pulumi.String(args.Project),
		"region":            pulumi.String(args.Region),
		"network":           args.Network,
		"ipCidrRange":       pulumi.String(args.NodesCIDR),
		"secondaryIpRanges": pulumi.Array{secondary(podsRange, args.PodsCIDR), secondary(servicesRange, args.ServicesCIDR)},
		// Nodes without a public address reach Google's registries and APIs without paying for NAT.
		"privateIpGoogleAccess": pulumi.Bool(true),
	}, resource, opts)
}

// router is what a NAT belongs to.
type router struct {
	pulumi.CustomResourceState
	Name pulumi.StringOutput `pulumi:"name"`
}

// routerArgs are the inputs of a router.
type routerArgs struct {
	Name, Project, Region string
	Network               pulumi.StringInput
}

func newRouter(ctx *pulumi.Context, name string, args routerArgs, opts ...pulumi.ResourceOption) (*router, error) {
	resource := &router{}
	return resource, register(ctx, routerToken, name, pulumi.Map{
		"name":    pulumi.String(args.Name),
		"project": pulumi.String(args.Project),
		"region":  pulumi.String(args.Region),
		"network": args.Network,
	}, resource, opts)
}

// routerNAT lets nodes without a public address reach out, for images and models.
type routerNAT struct {
	pulumi.CustomResourceState
}

// routerNATArgs are the inputs of a NAT.
type routerNATArgs struct {
	Name, Project, Region string
	Router                pulumi.StringInput
}

func newRouterNAT(ctx *pulumi.Context, name string, args routerNATArgs, opts ...pulumi.ResourceOption) (*routerNAT, error) {
	resource := &routerNAT{}
	return resource, register(ctx, routerNATToken, name, pulumi.Map{
		"name":                          pulumi.String(args.Name),
		"project":                       pulumi.String(args.Project),
		"region":                        pulumi.String(args.Region),
		"router":                        args.Router,
		"natIpAllocateOption":           pulumi.String("AUTO_ONLY"),
		"sourceSubnetworkIpRangesToNat": pulumi.String("ALL_SUBNETWORKS_ALL_IP_RANGES"),
		// What the NAT dropped for want of ports is worth a log line; what it let through is not.
		"logConfig": pulumi.Map{"enable": pulumi.Bool(true), "filter": pulumi.String("ERRORS_ONLY")},
	}, resource, opts)
}

func register(ctx *pulumi.Context, token, name string, inputs pulumi.Map, resource pulumi.CustomResource, opts []pulumi.ResourceOption) error {
	if err := ctx.RegisterResource(token, name, inputs, resource, opts...); err != nil {
		return fmt.Errorf("registering %s %q: %w", token, name, err)
	}
	return nil
}

// placement is the network as a cluster needs it.
type placement struct {
	// Network and Subnetwork are names or paths.
	Network, Subnetwork pulumi.StringInput
	// PodsRange and ServicesRange are secondary ranges of the subnetwork; nil lets GKE choose.
	PodsRange, ServicesRange pulumi.StringPtrInput
	// Egress is what nodes have to wait for, and to outlive, to reach the outside.
	Egress []pulumi.Resource
}

// newPlacement returns the network that the keys name, or registers one.
func (b *builder) newPlacement() (*placement, error) {
	ctx, name, a, opts := b.ctx, b.name, b.args, b.options()
	if !a.createsNetwork() {
		given := &placement{Network: pulumi.String(a.Network), Subnetwork: pulumi.String(a.Subnetwork)}
		if a.PodsRange != "" {
			given.PodsRange, given.ServicesRange = pulumi.StringPtr(a.PodsRange), pulumi.StringPtr(a.ServicesRange)
		}
		return given, nil
	}
	vpc, err := newNetwork(ctx, name, networkArgs{Name: a.Name, Project: a.Project}, opts...)
	if err != nil {
		return nil, err
	}
	subnet, err := newSubnetwork(ctx, name, subnetworkArgs{
		Name: a.Name, Project: a.Project, Region: a.region(), Network: vpc.SelfLink,
		NodesCIDR: a.NodesCIDR, PodsCIDR: a.PodsCIDR, ServicesCIDR: a.ServicesCIDR,
	}, opts...)
	if err != nil {
		return nil, err
	}
	gateway, err := newRouter(ctx, name, routerArgs{Name: a.Name, Project: a.Project, Region: a.region(), Network: vpc.SelfLink}, opts...)
	if err != nil {
		return nil, err
	}
	nat, err := newRouterNAT(ctx, name, routerNATArgs{Name: a.Name, Project: a.Project, Region: a.region(), Router: gateway.Name}, opts...)
	if err != nil {
		return nil, err
	}
	return &placement{
		Network: vpc.SelfLink, Subnetwork: subnet.SelfLink,
		PodsRange: pulumi.StringPtr(podsRange), ServicesRange: pulumi.StringPtr(servicesRange),
		Egress: []pulumi.Resource{nat},
	}, nil
}
