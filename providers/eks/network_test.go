package eks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNetwork(t *testing.T) {
	args := created()
	args.Zones = append(args.Zones, "eu-central-1c")
	r, _ := run(t, args)

	vpc := plain(r.One(t, vpcType, "llm-vpc"))
	assert.Equal(t, "10.0.0.0/16", vpc["cidrBlock"])
	assert.Equal(t, true, vpc["enableDnsHostnames"], "the private endpoint is a name")

	type subnet struct{ zone, cidr string }
	want := map[string]subnet{
		"llm-private-a": {"eu-central-1a", "10.0.0.0/19"}, "llm-public-a": {"eu-central-1a", "10.0.128.0/22"},
		"llm-private-b": {"eu-central-1b", "10.0.32.0/19"}, "llm-public-b": {"eu-central-1b", "10.0.132.0/22"},
		"llm-private-c": {"eu-central-1c", "10.0.64.0/19"}, "llm-public-c": {"eu-central-1c", "10.0.136.0/22"},
	}
	assert.Len(t, r.All(subnetType), len(want))
	for name, w := range want {
		inputs := plain(r.One(t, subnetType, name))
		assert.Equal(t, w, subnet{inputs["availabilityZone"].(string), inputs["cidrBlock"].(string)}, name)
		assert.Equal(t, false, inputs["mapPublicIpOnLaunch"], "nodes must not get public addresses: %s", name)
		role := "kubernetes.io/role/elb"
		if strings.Contains(name, "private") {
			role = "kubernetes.io/role/internal-elb"
		}
		assert.Equal(t, "1", inputs["tags"].(map[string]any)[role], name)
	}

	assert.Equal(t, []string{"llm-nat-a"}, r.NamesOf(natType), "one NAT gateway unless asked for more")
	nat := r.One(t, natType, "llm-nat-a")
	assert.Equal(t, "llm-public-a-id", plain(nat)["subnetId"])
	assert.Equal(t, "llm-nat-a-id", plain(nat)["allocationId"])
	assert.True(t, r.WaitsFor(nat, internetType, "llm-internet"), "the internet gateway cannot be detached before it goes")
	assert.Equal(t, "vpc", plain(r.One(t, eipType, "llm-nat-a"))["domain"])

	assert.Equal(t, "llm-internet-id", plain(r.One(t, routeType, "llm-public"))["gatewayId"])
	for _, letter := range []string{"a", "b", "c"} {
		route := plain(r.One(t, routeType, "llm-private-"+letter))
		assert.Equal(t, "llm-nat-a-id", route["natGatewayId"])
		assert.Equal(t, "0.0.0.0/0", route["destinationCidrBlock"])
		assert.Equal(t, "llm-private-"+letter+"-id", route["routeTableId"])
		private := plain(r.One(t, associationType, "llm-private-"+letter))
		assert.Equal(t, []any{"llm-private-" + letter + "-id", "llm-private-" + letter + "-id"}, []any{private["subnetId"], private["routeTableId"]})
		public := plain(r.One(t, associationType, "llm-public-"+letter))
		assert.Equal(t, []any{"llm-public-" + letter + "-id", "llm-public-id"}, []any{public["subnetId"], public["routeTableId"]})
	}
	assert.Len(t, r.All(routeTableType), 4)
}

func TestNATInEveryZone(t *testing.T) {
	args := created()
	args.NATPerZone = true
	r, _ := run(t, args)
	assert.Equal(t, []string{"llm-nat-a", "llm-nat-b"}, r.NamesOf(natType))
	assert.Equal(t, "llm-nat-b-id", plain(r.One(t, routeType, "llm-private-b"))["natGatewayId"])
	assert.Equal(t, "llm-public-b-id", plain(r.One(t, natType, "llm-nat-b"))["subnetId"])
}

// TestBlocksNeverOverlap holds for each size of VPC and number of zones that Validate allows.
func TestBlocksNeverOverlap(t *testing.T) {
	for vpc, want := range map[string]blocks{
		"10.0.0.0/16":      {"10.0.96.0/19", "10.0.140.0/22"},
		"172.16.16.0/20":   {"172.16.22.0/23", "172.16.24.192/26"},
		"192.168.128.0/18": {"192.168.152.0/21", "192.168.163.0/24"},
	} {
		last, err := zoneBlocks(vpc, maxZones-1)
		require.NoError(t, err)
		assert.Equal(t, want, last, vpc)
	}
}

func TestGivenSubnetsMakeNoNetwork(t *testing.T) {
	args := created()
	args.Zones, args.SubnetIDs = nil, []string{"subnet-0a", "subnet-0b"}
	args.GPUSubnetIDs = []string{"subnet-0b"}
	r, _ := run(t, args)
	for _, reg := range r.Registered {
		if strings.HasPrefix(reg.Type, "aws:ec2/") {
			assert.Equal(t, templateType, reg.Type, "the network is not ours: %s", reg.Name)
		}
	}
	vpc := plain(r.One(t, clusterType, "llm-cluster"))["vpcConfig"].(map[string]any)
	assert.Equal(t, []any{"subnet-0a", "subnet-0b"}, vpc["subnetIds"])
	assert.Equal(t, []any{"subnet-0a", "subnet-0b"}, plain(r.One(t, nodeGroupType, "llm-system"))["subnetIds"])
	assert.Equal(t, []any{"subnet-0b"}, plain(r.One(t, nodeGroupType, "llm-gpu-b"))["subnetIds"])
}
