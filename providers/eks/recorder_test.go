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
	clusterType       = "aws:eks/cluster:Cluster"
	nodeGroupType     = "aws:eks/nodeGroup:NodeGroup"
	addonType         = "aws:eks/addon:Addon"
	accessEntryType   = "aws:eks/accessEntry:AccessEntry"
	accessPolicyType  = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
	podIdentityType   = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
	roleType          = "aws:iam/role:Role"
	rolePolicyType    = "aws:iam/rolePolicy:RolePolicy"
	attachmentType    = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
	vpcType           = "aws:ec2/vpc:Vpc"
	subnetType        = "aws:ec2/subnet:Subnet"
	natType           = "aws:ec2/natGateway:NatGateway"
	eipType           = "aws:ec2/eip:Eip"
	internetType      = "aws:ec2/internetGateway:InternetGateway"
	routeTableType    = "aws:ec2/routeTable:RouteTable"
	routeType         = "aws:ec2/route:Route"
	associationType   = "aws:ec2/routeTableAssociation:RouteTableAssociation"
	templateType      = "aws:ec2/launchTemplate:LaunchTemplate"
	asgTagType        = "aws:autoscaling/tag:Tag"
	awsProviderType   = "pulumi:providers:aws"
	kubeProviderType  = "pulumi:providers:kubernetes"
	certificate       = "Y2VydGlmaWNhdGU="
	createdEndpoint   = "https://0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com"
	autoscalingOfPool = "eks-gpu-20260101-group"
)

// record stands for AWS. Answers to look-ups are set by the test.
type record struct {
	providertest.Recorder
	answers map[string]func(resource.PropertyMap) (resource.PropertyMap, error)
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
		set(map[string]any{"resources": []any{map[string]any{"autoscalingGroups": []any{map[string]any{"name": autoscalingOfPool}}}}})
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

// created returns the arguments of a cluster with all defaults.
func created() *Args {
	return &Args{
		Request: providers.Request{Name: "llm", APIAccessCIDRs: []string{}, GPUPool: &providers.GPUPool{}},
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
	r.Created = createdByAWS
	r.Answer = func(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
		if answer, ok := r.answers[args.Token]; ok {
			return answer(args.Args)
		}
		return nil, fmt.Errorf("unexpected look-up %s %v", args.Token, args.Args)
	}
	return r.Run("eks", func(ctx *pulumi.Context) (*providers.Cluster, error) { return New(ctx, "llm", args) })
}

func plain(reg providertest.Registration) map[string]any { return reg.Plain() }
