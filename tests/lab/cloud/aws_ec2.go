package cloud

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// awsEC2Kinds lists the simulated resource types of Amazon EC2.
func awsEC2Kinds() []*kind {
	return []*kind{awsVPCKind(), awsInternetGatewayKind(), awsSubnetKind(), awsRouteTableKind(), awsRouteKind(), awsRouteTableAssociationKind(),
		awsElasticIPKind(), awsNATGatewayKind(), awsLaunchTemplateKind()}
}

// awsVPCReference is an input that names a VPC.
func awsVPCReference(path string, then deletion) reference {
	return reference{path: path, token: AWSVpc, by: []string{"id"}, then: then}
}

// awsSubnetReference is an input that names subnets, and keeps them from being deleted.
func awsSubnetReference(path string) reference {
	return reference{path: path, token: AWSSubnet, by: []string{"id"}}
}

func awsVPCKind() *kind {
	return &kind{
		token: AWSVpc, replace: []string{"cidrBlock", "instanceTenancy"}, computed: []string{"arn", "mainRouteTableId", "defaultSecurityGroupId", "ownerId"},
		validate: func(in object) []string { return cidrs(in.texts("cidrBlock")) },
		create: func(_ *Cloud, r *Resource, s Settings) error {
			return awsID(r, s, "vpc", "ec2", "vpc/")
		},
	}
}

func awsInternetGatewayKind() *kind {
	return &kind{
		token: awsGateway, computed: []string{"arn", "ownerId"}, references: []reference{awsVPCReference("vpcId", blocks)},
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
	}
}

func awsSubnetKind() *kind {
	return &kind{
		token: AWSSubnet, replace: []string{"vpcId", "availabilityZone", "cidrBlock", "ipv6CidrBlock", "outpostArn"},
		computed:   []string{"arn", "availabilityZoneId", "ownerId"},
		validate:   func(in object) []string { return cidrs(in.texts("cidrBlock")) },
		references: []reference{awsVPCReference("vpcId", blocks)},
		create:     createSubnet,
	}
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
	r.Outputs["availabilityZoneId"] = ""
	if zone := in.text("availabilityZone"); zone != "" {
		r.Outputs["availabilityZoneId"] = awsZoneID(zone)
	}
	return awsID(r, s, "subnet", "ec2", "subnet/")
}

// zonesWithoutEKS are the zones, by id, in which EKS creates no control planes.
var zonesWithoutEKS = []string{"use1-az3", "usw1-az2", "cac1-az3"}

// awsZoneID returns the id of a zone of the simulated account, such as use1-az1 of us-east-1a. Each account has letters of
// its own: here e is the third one.
func awsZoneID(zone string) string {
	region, letter := zone[:len(zone)-1], zone[len(zone)-1:]
	parts := strings.Split(region, "-")
	short := parts[0]
	for _, part := range parts[1:] {
		short += part[:1]
	}
	number := map[string]int{"a": 1, "b": 4, "c": 5, "d": 6, "e": 3, "f": 2}[letter]
	return fmt.Sprintf("%s-az%d", short, number)
}

func awsRouteTableKind() *kind {
	return &kind{
		token: awsTable, replace: []string{"vpcId"}, computed: []string{"arn", "ownerId"}, references: []reference{awsVPCReference("vpcId", blocks)},
		create: func(_ *Cloud, r *Resource, s Settings) error { return awsID(r, s, "rtb", "ec2", "route-table/") },
	}
}

func awsRouteKind() *kind {
	return &kind{
		token: awsRoute, replace: []string{"routeTableId", "destinationCidrBlock"}, computed: []string{"state", "origin"},
		references: []reference{
			{path: "routeTableId", token: awsTable, by: []string{"id"}, then: follows},
			{path: "gatewayId", token: awsGateway, by: []string{"id"}, then: stays},
			{path: "natGatewayId", token: awsNAT, by: []string{"id"}, then: stays},
		},
		importID: func(r *Resource) string { return named(r, "routeTableId") + "_" + named(r, "destinationCidrBlock") },
		create: func(_ *Cloud, r *Resource, _ Settings) error {
			in := object(r.Inputs)
			r.ID = "r-" + in.text("routeTableId") + digits(in.text("destinationCidrBlock"))
			r.Outputs["state"] = "active"
			return nil
		},
	}
}

func awsRouteTableAssociationKind() *kind {
	return &kind{
		token: awsAssociation, replace: []string{"subnetId", "gatewayId"},
		references: []reference{{path: "routeTableId", token: awsTable, by: []string{"id"}}, {path: "subnetId", token: AWSSubnet, by: []string{"id"}, then: follows}},
		importID:   func(r *Resource) string { return named(r, "subnetId") + "/" + named(r, "routeTableId") },
		create: func(c *Cloud, r *Resource, _ Settings) error {
			subnet := object(r.Inputs).text("subnetId")
			if len(c.all(awsAssociation, func(o *Resource) bool { return object(o.Inputs).text("subnetId") == subnet })) > 0 {
				return fmt.Errorf("api error Resource.AlreadyAssociated: subnet %s has a route table already", subnet)
			}
			r.ID = "rtbassoc-" + randomHex(17)
			return nil
		},
	}
}

func awsElasticIPKind() *kind {
	return &kind{
		token: awsEIP, replace: []string{"domain", "networkBorderGroup"}, computed: []string{"allocationId", "publicIp", "arn"},
		create: func(_ *Cloud, r *Resource, s Settings) error {
			err := awsID(r, s, "eipalloc", "ec2", "elastic-ip/")
			r.Outputs["allocationId"], r.Outputs["publicIp"] = r.ID, "203.0.113.17"
			return err
		},
	}
}

func awsNATGatewayKind() *kind {
	return &kind{
		token: awsNAT, slow: true, replace: []string{"subnetId", "allocationId", "connectivityType", "privateIp"},
		computed:   []string{"publicIp", "networkInterfaceId"},
		references: []reference{awsSubnetReference("subnetId"), {path: "allocationId", token: awsEIP, by: []string{"id"}}},
		create: func(c *Cloud, r *Resource, s Settings) error {
			in := object(r.Inputs)
			vpcID := object(c.find(AWSSubnet, "", in.text("subnetId")).Inputs).text("vpcId")
			if c.find(awsGateway, "vpcId", vpcID) == nil {
				return fmt.Errorf("api error Gateway.NotAttached: Network %s has no Internet gateway attached", vpcID)
			}
			return awsID(r, s, "nat", "ec2", "natgateway/")
		},
	}
}

func awsLaunchTemplateKind() *kind {
	return &kind{
		token: AWSTemplate, name: "name", replace: []string{"name", "namePrefix"}, computed: []string{"arn", "latestVersion", "defaultVersion"},
		volatile: []string{"latestVersion", "defaultVersion"},
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
	}
}

func validateTemplate(in object) []string {
	var wrong []string
	for _, device := range in.objects("blockDeviceMappings") {
		wrong = append(wrong, oneOf(device, "ebs.volumeType", "standard", "io1", "io2", "gp2", "gp3", "sc1", "st1")...)
		// gp3 allows a quarter of a MiB/s for each I/O operation a second, of which it has 3000 by default.
		if most := max(device.number("ebs.iops"), 3000) / 4; device.number("ebs.throughput") > most {
			wrong = append(wrong, fmt.Sprintf("throughput %d is more than the %d that the volume's I/O operations allow", device.number("ebs.throughput"), most))
		}
	}
	return slices.Concat(wrong, validateReservation(in), oneOf(in, "metadataOptions.httpTokens", "optional", "required"),
		oneOf(in, "metadataOptions.httpEndpoint", "enabled", "disabled"))
}
