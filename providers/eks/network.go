package eks

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// maxZones is how many private blocks fit beside the public ones.
const maxZones = 4

// zonesWithoutEKS are the zones, by their ids, in which EKS accepts no subnets of a cluster (EKS user guide, "Amazon EKS VPC
// and subnet requirements"). Which letter such a zone has differs between accounts.
var zonesWithoutEKS = []string{"use1-az3", "usw1-az2", "cac1-az3"}

// nodeSubnet is a private subnet.
type nodeSubnet struct {
	id   pulumi.StringInput
	zone string
}

// network is where the cluster lives.
type network struct {
	private []nodeSubnet
	// routes take nodes to the internet. A node that starts without them cannot fetch an image.
	routes []pulumi.Resource
}

// ids returns the private subnets' ids.
func (n *network) ids() pulumi.StringArray { return subnetIDs(n.private) }

func subnetIDs(subnets []nodeSubnet) pulumi.StringArray {
	ids := pulumi.StringArray{}
	for _, subnet := range subnets {
		ids = append(ids, subnet.id)
	}
	return ids
}

// lookUpSubnets returns subnets with their zones. With forCluster set it refuses those in which EKS creates no cluster.
func (b *builder) lookUpSubnets(key string, ids []string, forCluster bool) ([]nodeSubnet, error) {
	var subnets []nodeSubnet
	for i, id := range ids {
		found, err := ec2.LookupSubnet(b.ctx, &ec2.LookupSubnetArgs{Id: &id}, b.invokeOptions()...)
		if err != nil {
			return nil, fmt.Errorf("eks: looking up subnet %q in region %s: check %s, eks.region and the credentials: %w", id, b.args.Region, key, err)
		}
		if forCluster && slices.Contains(zonesWithoutEKS, found.AvailabilityZoneId) {
			return nil, withoutEKS(providers.Item(key, i), id, found.AvailabilityZoneId)
		}
		subnets = append(subnets, nodeSubnet{id: pulumi.String(id), zone: found.AvailabilityZone})
	}
	return subnets, nil
}

// checkZones refuses zones in which EKS creates no cluster.
func (b *builder) checkZones() error {
	for i, zone := range b.args.Zones {
		key := providers.Item("eks.zones", i)
		found, err := aws.GetAvailabilityZone(b.ctx, &aws.GetAvailabilityZoneArgs{Name: &zone}, b.invokeOptions()...)
		if err != nil {
			return fmt.Errorf("eks: looking up zone %q in region %s: check %s, eks.region and the credentials: %w", zone, b.args.Region, key, err)
		}
		if slices.Contains(zonesWithoutEKS, found.ZoneId) {
			return withoutEKS(key, zone, found.ZoneId)
		}
	}
	return nil
}

// withoutEKS is the problem of a zone, or of a subnet in it, in which EKS creates no cluster.
func withoutEKS(key, value, zoneID string) error {
	return providers.Problems{{
		Key: key, Value: providers.Shown(value),
		Allowed: fmt.Sprintf("any zone but %s, which this is in your account: EKS creates no cluster there", zoneID),
		Fix:     "use another; `aws ec2 describe-availability-zones --query 'AvailabilityZones[].[ZoneName,ZoneId]'` shows which letter is which zone",
	}}
}

// newNetwork registers a VPC with a public and a private subnet in each zone, unless subnets are
// given. Nodes live in the private ones and have no public address.
func (b *builder) newNetwork() (*network, error) {
	if !b.args.createsVPC() {
		subnets, err := b.lookUpSubnets("eks.subnetIds", b.args.SubnetIDs, true)
		if err != nil {
			return nil, err
		}
		return &network{private: subnets}, b.fitSystemPool(subnets)
	}
	if err := b.checkZones(); err != nil {
		return nil, err
	}
	vpc, err := ec2.NewVpc(b.ctx, b.resourceName("vpc"), &ec2.VpcArgs{
		CidrBlock: pulumi.String(b.args.VPCCIDR),
		// The private endpoint of the API server is a name that only resolves with both.
		EnableDnsHostnames: pulumi.Bool(true),
		EnableDnsSupport:   pulumi.Bool(true),
		Tags:               b.nameTag("vpc"),
	}, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("registering the VPC: %w", err)
	}
	gateway, err := ec2.NewInternetGateway(b.ctx, b.resourceName("internet"), &ec2.InternetGatewayArgs{
		VpcId: vpc.ID(), Tags: b.nameTag("internet"),
	}, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("registering the internet gateway: %w", err)
	}
	publicTable, internetRoute, err := b.newRouteTable("public", vpc, &ec2.RouteArgs{GatewayId: gateway.ID()})
	if err != nil {
		return nil, err
	}

	n := &network{}
	var natID pulumi.StringInput
	for i, zone := range b.args.Zones {
		letter := b.args.zoneLetter(zone)
		blocks, err := zoneBlocks(b.args.VPCCIDR, i)
		if err != nil {
			return nil, err
		}
		public, err := b.newSubnet("public-"+letter, vpc, zone, blocks.public, "kubernetes.io/role/elb")
		if err != nil {
			return nil, err
		}
		publicRoutes, err := b.associate("public-"+letter, public, publicTable)
		if err != nil {
			return nil, err
		}
		if i == 0 || b.args.NATPerZone {
			if natID, err = b.newNAT(letter, public, gateway, internetRoute, publicRoutes); err != nil {
				return nil, err
			}
		}
		private, err := b.newSubnet("private-"+letter, vpc, zone, blocks.private, "kubernetes.io/role/internal-elb")
		if err != nil {
			return nil, err
		}
		// A table for each zone even with one NAT gateway, so that adding the others changes routes in
		// place.
		table, route, err := b.newRouteTable("private-"+letter, vpc, &ec2.RouteArgs{NatGatewayId: natID.ToStringOutput().ToStringPtrOutput()})
		if err != nil {
			return nil, err
		}
		association, err := b.associate("private-"+letter, private, table)
		if err != nil {
			return nil, err
		}
		n.private = append(n.private, nodeSubnet{id: private.ID().ToStringOutput(), zone: zone})
		n.routes = append(n.routes, route, association)
	}
	return n, nil
}

// newSubnet registers a subnet. role is the label by which load balancer controllers find it.
func (b *builder) newSubnet(suffix string, vpc *ec2.Vpc, zone, cidr, role string) (*ec2.Subnet, error) {
	tags := b.nameTag(suffix)
	tags[role] = pulumi.String("1")
	subnet, err := ec2.NewSubnet(b.ctx, b.resourceName(suffix), &ec2.SubnetArgs{
		VpcId:            vpc.ID(),
		AvailabilityZone: pulumi.String(zone),
		CidrBlock:        pulumi.String(cidr),
		// Also in public subnets: gateways and load balancers bring addresses of their own, and nothing
		// else belongs there.
		MapPublicIpOnLaunch: pulumi.Bool(false),
		Tags:                tags,
	}, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("registering subnet %q: %w", suffix, err)
	}
	return subnet, nil
}

// newRouteTable registers a table with one route, to everywhere.
func (b *builder) newRouteTable(suffix string, vpc *ec2.Vpc, target *ec2.RouteArgs) (*ec2.RouteTable, *ec2.Route, error) {
	table, err := ec2.NewRouteTable(b.ctx, b.resourceName(suffix), &ec2.RouteTableArgs{
		VpcId: vpc.ID(), Tags: b.nameTag(suffix),
	}, b.options()...)
	if err != nil {
		return nil, nil, fmt.Errorf("registering route table %q: %w", suffix, err)
	}
	target.RouteTableId = table.ID()
	target.DestinationCidrBlock = pulumi.String("0.0.0.0/0")
	route, err := ec2.NewRoute(b.ctx, b.resourceName(suffix), target, b.options()...)
	if err != nil {
		return nil, nil, fmt.Errorf("registering the route of table %q: %w", suffix, err)
	}
	return table, route, nil
}

func (b *builder) associate(suffix string, subnet *ec2.Subnet, table *ec2.RouteTable) (pulumi.Resource, error) {
	association, err := ec2.NewRouteTableAssociation(b.ctx, b.resourceName(suffix), &ec2.RouteTableAssociationArgs{
		SubnetId: subnet.ID(), RouteTableId: table.ID(),
	}, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("associating subnet %q with its routes: %w", suffix, err)
	}
	return association, nil
}

// newNAT registers a NAT gateway in a public subnet. The gateway depends on the resources of its route to the internet: on
// destroy, nodes and their volume driver use it until they are deleted, and AWS refuses to detach an internet gateway while
// addresses in the VPC are mapped.
func (b *builder) newNAT(letter string, public *ec2.Subnet, internet ...pulumi.Resource) (pulumi.StringInput, error) {
	suffix := "nat-" + letter
	address, err := ec2.NewEip(b.ctx, b.resourceName(suffix), &ec2.EipArgs{
		Domain: pulumi.String("vpc"), Tags: b.nameTag(suffix),
	}, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("registering the address of NAT gateway %q: %w", suffix, err)
	}
	nat, err := ec2.NewNatGateway(b.ctx, b.resourceName(suffix), &ec2.NatGatewayArgs{
		SubnetId: public.ID(), AllocationId: address.ID().ToStringOutput().ToStringPtrOutput(), Tags: b.nameTag(suffix),
	}, b.options(pulumi.DependsOn(internet))...)
	if err != nil {
		return nil, fmt.Errorf("registering NAT gateway %q: %w", suffix, err)
	}
	return nat.ID().ToStringOutput(), nil
}

// blocks are the networks of one zone.
type blocks struct{ private, public string }

// zoneBlocks divides a VPC: its lower half into four private networks, since each pod has an address
// of the VPC, and the beginning of its upper half into small public ones. Blocks depend on the
// zone's position only, so that a zone added at the end moves no other. The rest stays free.
func zoneBlocks(vpc string, zone int) (blocks, error) {
	prefix, err := netip.ParsePrefix(vpc)
	if err != nil {
		return blocks{}, fmt.Errorf("network %q: %w", vpc, err)
	}
	const privateBits, publicBits = 3, 6
	return blocks{
		private: nthSubnet(prefix, privateBits, zone),
		public:  nthSubnet(prefix, publicBits, 1<<(publicBits-1)+zone),
	}, nil
}

// nthSubnet returns the nth of the networks that are smaller by a number of bits.
func nthSubnet(prefix netip.Prefix, moreBits, n int) string {
	bits := prefix.Bits() + moreBits
	address := prefix.Addr().As4()
	start := binary.BigEndian.Uint32(address[:]) | uint32(n)<<(32-bits)
	binary.BigEndian.PutUint32(address[:], start)
	return netip.PrefixFrom(netip.AddrFrom4(address), bits).String()
}

// subnetsIn returns the subnets in the given zones, or all.
func (p *controlPlane) subnetsIn(zones []string) []nodeSubnet {
	if len(zones) == 0 {
		return p.subnets
	}
	return slices.DeleteFunc(slices.Clone(p.subnets), func(s nodeSubnet) bool { return !slices.Contains(zones, s.zone) })
}

// zonesOf returns the zones of subnets, each once.
func zonesOf(subnets []nodeSubnet) []string {
	var zones []string
	for _, subnet := range subnets {
		if !slices.Contains(zones, subnet.zone) {
			zones = append(zones, subnet.zone)
		}
	}
	return zones
}

// zoneLetter returns what a zone has beyond its region, such as "a" of us-east-1a.
func (a *Args) zoneLetter(zone string) string {
	return strings.TrimPrefix(strings.TrimPrefix(zone, a.Region), "-")
}
