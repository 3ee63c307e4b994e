package eks

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

// Types as the engine knows them.
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

// registration is one resource as the engine was asked to register it.
type registration struct {
	Type, Name    string
	Inputs        resource.PropertyMap
	Provider      string
	Parent        string
	Dependencies  []string
	IgnoreChanges []string
	Protect       bool
}

// record answers registrations like AWS and remembers them. Answers to look-ups are set by the test.
type record struct {
	mu            sync.Mutex
	registrations []registration
	calls         map[string]func(resource.PropertyMap) (resource.PropertyMap, error)
}

func (r *record) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reg := registration{Type: args.TypeToken, Name: args.Name, Inputs: args.Inputs, Provider: args.Provider}
	if rpc := args.RegisterRPC; rpc != nil {
		reg.Parent, reg.Dependencies = rpc.GetParent(), rpc.GetDependencies()
		reg.IgnoreChanges, reg.Protect = rpc.GetIgnoreChanges(), rpc.GetProtect()
	}
	r.registrations = append(r.registrations, reg)

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
	return args.Name + "-id", outputs, nil
}

func (r *record) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	if answer, ok := r.calls[args.Token]; ok {
		return answer(args.Args)
	}
	return nil, fmt.Errorf("unexpected look-up %s %v", args.Token, args.Args)
}

// answer is a fixed answer to a look-up.
func answer(values map[string]any) func(resource.PropertyMap) (resource.PropertyMap, error) {
	return func(resource.PropertyMap) (resource.PropertyMap, error) {
		return resource.NewPropertyMapFromMap(values), nil
	}
}

// created are the arguments of a cluster with all defaults.
func created() *Args {
	return &Args{
		Region: "eu-central-1", Name: "llm",
		Network: Network{Zones: []string{"eu-central-1a", "eu-central-1b"}},
		GPUPool: &GPUPool{},
	}
}

// attached are the arguments of a cluster that stands already.
func attached() *Args {
	return &Args{Region: "eu-central-1", Existing: "theirs", GPUPool: &GPUPool{}}
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
	var cluster *providers.Cluster
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		var err error
		cluster, err = New(ctx, "llm", args)
		return err
	}, pulumi.WithMocks("project", "eks", r))
	return cluster, err
}

// get is the one registration of a type and name.
func (r *record) get(t *testing.T, typ, name string) registration {
	t.Helper()
	found := slices.DeleteFunc(r.all(typ), func(reg registration) bool { return reg.Name != name })
	require.Len(t, found, 1, "registrations of %s %q among %v", typ, name, r.names(typ))
	return found[0]
}

// all are the registrations of a type, by name.
func (r *record) all(typ string) []registration {
	var found []registration
	for _, reg := range r.registrations {
		if reg.Type == typ {
			found = append(found, reg)
		}
	}
	slices.SortFunc(found, func(a, b registration) int { return strings.Compare(a.Name, b.Name) })
	return found
}

func (r *record) names(typ string) []string {
	names := []string{}
	for _, reg := range r.all(typ) {
		names = append(names, reg.Name)
	}
	return names
}

// waitsFor says whether the registration depends on a resource of the given type and name, itself or
// through others.
func (r *record) waitsFor(reg registration, typ, name string) bool {
	seen := map[string]bool{}
	var visit func(reg registration) bool
	visit = func(reg registration) bool {
		for _, urn := range reg.Dependencies {
			if strings.HasSuffix(urn, "$"+typ+"::"+name) || strings.HasSuffix(urn, "::"+typ+"::"+name) {
				return true
			}
			if seen[urn] {
				continue
			}
			seen[urn] = true
			for _, other := range r.registrations {
				if strings.HasSuffix(urn, "$"+other.Type+"::"+other.Name) && visit(other) {
					return true
				}
			}
		}
		return false
	}
	return visit(reg)
}

// plain is the inputs as maps and lists, without the mark of secrets.
func plain(reg registration) map[string]any {
	revealed := resource.PropertyMap{}
	for key, value := range reg.Inputs {
		if value.IsSecret() {
			value = value.SecretValue().Element
		}
		revealed[key] = value
	}
	return revealed.Mappable()
}
