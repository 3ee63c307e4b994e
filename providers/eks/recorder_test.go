package eks

import (
	"fmt"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/providertest"
)

// Resource types, as the engine names them.
const (
	clusterType      = "aws:eks/cluster:Cluster"
	nodeGroupType    = "aws:eks/nodeGroup:NodeGroup"
	addonType        = "aws:eks/addon:Addon"
	accessEntryType  = "aws:eks/accessEntry:AccessEntry"
	accessPolicyType = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
	podIdentityType  = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
	roleType         = "aws:iam/role:Role"
	rolePolicyType   = "aws:iam/rolePolicy:RolePolicy"
	attachmentType   = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
	vpcType          = "aws:ec2/vpc:Vpc"
	subnetType       = "aws:ec2/subnet:Subnet"
	natType          = "aws:ec2/natGateway:NatGateway"
	eipType          = "aws:ec2/eip:Eip"
	internetType     = "aws:ec2/internetGateway:InternetGateway"
	routeTableType   = "aws:ec2/routeTable:RouteTable"
	routeType        = "aws:ec2/route:Route"
	associationType  = "aws:ec2/routeTableAssociation:RouteTableAssociation"
	templateType     = "aws:ec2/launchTemplate:LaunchTemplate"
	asgTagType       = "aws:autoscaling/tag:Tag"
	awsProviderType  = "pulumi:providers:aws"
	kubeProviderType = "pulumi:providers:kubernetes"
	certificate      = "Y2VydGlmaWNhdGU="
	createdEndpoint  = "https://0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com"
)

// autoscalingOf is the Auto Scaling group of a node group.
func autoscalingOf(group string) string { return "eks-" + group }

// record stands for AWS. Answers to look-ups are set by the test.
type record struct {
	providertest.Recorder
	answers map[string]func(resource.PropertyMap) (resource.PropertyMap, error)
	// failed is a node group that EKS could not create.
	failed string
}

func createdByAWS(args pulumi.MockResourceArgs) (string, resource.PropertyMap) {
	outputs := args.Inputs.Copy()
	set := func(values map[string]any) {
		for key, value := range resource.NewPropertyMapFromMap(values) {
			outputs[key] = value
		}
	}
	switch args.TypeToken {
	case clusterType:
		set(map[string]any{
			"arn": "arn:aws:eks:eu-central-1:123456789012:cluster/" + args.Inputs["name"].StringValue(), "endpoint": createdEndpoint,
			"certificateAuthority": map[string]any{"data": certificate}, "version": "1.34",
		})
	case nodeGroupType:
		set(map[string]any{"status": "ACTIVE", "nodeGroupName": args.Name,
			"resources": []any{map[string]any{"autoscalingGroups": []any{map[string]any{"name": autoscalingOf(args.Name)}}}}})
	case templateType:
		set(map[string]any{"latestVersion": 3})
	case roleType:
		set(map[string]any{"name": args.Name + "-name", "arn": "arn:aws:iam::123456789012:role/" + args.Name})
	case keyType:
		set(map[string]any{"arn": "arn:aws:kms:eu-central-1:123456789012:key/created"})
	}
	return "", outputs
}

// answer is a fixed answer to a look-up.
func answer(values map[string]any) func(resource.PropertyMap) (resource.PropertyMap, error) {
	return func(resource.PropertyMap) (resource.PropertyMap, error) {
		return resource.NewPropertyMapFromMap(values), nil
	}
}

// lookups answers the look-ups of zones, subnets and log groups: subnets are in the zone of their last letter, and there is no
// log group.
var lookups = map[string]func(resource.PropertyMap) (resource.PropertyMap, error){
	"aws:index/getAvailabilityZone:getAvailabilityZone": func(args resource.PropertyMap) (resource.PropertyMap, error) {
		name := args["name"].StringValue()
		return resource.NewPropertyMapFromMap(map[string]any{"name": name, "zoneId": "euc1-az" + name[len(name)-1:]}), nil
	},
	"aws:ec2/getSubnet:getSubnet": func(args resource.PropertyMap) (resource.PropertyMap, error) {
		id := args["id"].StringValue()
		letter := id[len(id)-1:]
		return resource.NewPropertyMapFromMap(map[string]any{"id": id, "availabilityZone": "eu-central-1" + letter, "availabilityZoneId": "euc1-az" + letter}), nil
	},
	"aws:cloudwatch/getLogGroups:getLogGroups": answer(map[string]any{"logGroupNames": []any{}}),
}

// created returns the arguments of a cluster with all defaults.
func created() *Args {
	return &Args{
		Request: providers.Request{Name: "llm", APIAccessCIDRs: []string{"1.2.3.4/32"}, GPUPool: &providers.GPUPool{}},
		Keys:    Keys{Region: "eu-central-1", AMIType: AL2023, Zones: []string{"eu-central-1a", "eu-central-1b"}},
	}
}

// attached returns the arguments of a cluster that stands already.
func attached() *Args {
	return &Args{Request: providers.Request{Existing: "theirs", GPUPool: &providers.GPUPool{}}, Keys: Keys{Region: "eu-central-1", AMIType: AL2023}}
}

// run creates a cluster that must succeed.
func run(t *testing.T, args *Args) (*record, *providers.Cluster) {
	t.Helper()
	r := &record{}
	cluster, err := r.run(args)
	require.NoError(t, err)
	return r, cluster
}

func (r *record) run(args *Args) (*providers.Cluster, error) {
	r.Created = func(args pulumi.MockResourceArgs) (string, resource.PropertyMap) {
		id, outputs := createdByAWS(args)
		if args.TypeToken == nodeGroupType && args.Name == r.failed {
			outputs["status"] = resource.NewProperty("CREATE_FAILED")
		}
		return id, outputs
	}
	r.Answer = func(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
		for _, answers := range []map[string]func(resource.PropertyMap) (resource.PropertyMap, error){r.answers, lookups} {
			if answer, ok := answers[args.Token]; ok {
				return answer(args.Args)
			}
		}
		return nil, fmt.Errorf("unexpected look-up %s %v", args.Token, args.Args)
	}
	return r.Run("eks", func(ctx *pulumi.Context) (*providers.Cluster, error) { return New(ctx, "llm", args) })
}

func plain(reg providertest.Registration) map[string]any { return reg.Plain() }
