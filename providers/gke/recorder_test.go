package gke

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

// registration is one registered resource, as the engine sees it.
type registration struct {
	token, name string
	inputs      resource.PropertyMap
	args        pulumi.MockResourceArgs
}

// field is an input by its path, in plain values.
func (r registration) field(path string) any {
	properties, err := resource.ParsePropertyPath(path)
	if err != nil {
		panic(err)
	}
	value, ok := properties.Get(resource.NewProperty(r.inputs))
	if !ok {
		return nil
	}
	return value.Mappable()
}

// dependsOn says whether the registration waits for a resource of this token and name.
func (r registration) dependsOn(token, name string) bool {
	return slices.ContainsFunc(r.args.RegisterRPC.GetDependencies(), func(urn string) bool {
		return strings.HasSuffix(urn, token+"::"+name)
	})
}

// recorder records what a program registers and asks for, and stands for the cloud.
type recorder struct {
	sync.Mutex
	registered []registration
	calls      []pulumi.MockCallArgs
	// existing answers a look-up of a cluster, projects one of projects.
	existing, projects resource.PropertyMap
}

func (r *recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.Lock()
	defer r.Unlock()
	r.registered = append(r.registered, registration{token: args.TypeToken, name: args.Name, inputs: args.Inputs, args: args})
	state := args.Inputs.Copy()
	switch args.TypeToken {
	case "gcp:container/cluster:Cluster":
		state["endpoint"] = resource.NewProperty("203.0.113.9")
		state["masterAuth"] = resource.NewProperty(resource.PropertyMap{"clusterCaCertificate": resource.NewProperty("Q0E=")})
		return "projects/my-project/locations/us-central1/clusters/serving", state, nil
	case networkToken, subnetworkToken:
		state["selfLink"] = resource.NewProperty("link-of-" + args.TypeToken)
	case "gcp:serviceaccount/account:Account":
		state["email"] = resource.NewProperty("nodes@example")
		state["member"] = resource.NewProperty("serviceAccount:nodes@example")
	}
	return args.Name + "-id", state, nil
}

func (r *recorder) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	r.Lock()
	defer r.Unlock()
	r.calls = append(r.calls, args)
	if args.Token == projectsToken {
		return r.projects, nil
	}
	return r.existing, nil
}

// run runs New, waits for everything that it registered, and returns what came of it.
func (r *recorder) run(args *Args) (cluster *providers.Cluster, err error) {
	err = pulumi.RunErr(func(ctx *pulumi.Context) error {
		var newErr error
		cluster, newErr = New(ctx, "gke", args)
		return newErr
	}, pulumi.WithMocks("vllm-autoscaling", "gke", r))
	return cluster, err
}

// one is the only registration of a token, or of a token and a name.
func (r *recorder) one(t *testing.T, token string, name ...string) registration {
	t.Helper()
	var found []registration
	for _, one := range r.registered {
		if one.token == token && (len(name) == 0 || one.name == name[0]) {
			found = append(found, one)
		}
	}
	require.Len(t, found, 1, "%s %v in %v", token, name, r.tokens())
	return found[0]
}

// tokens lists what was registered.
func (r *recorder) tokens() []string {
	var tokens []string
	for _, one := range r.registered {
		tokens = append(tokens, one.token+" "+one.name)
	}
	slices.Sort(tokens)
	return tokens
}

// validArgs are the arguments that the tests start from: regional, with a GPU pool in two zones.
func validArgs() *Args {
	return &Args{
		Name: "serving", Project: "my-project", Location: "us-central1",
		AuthorizedCIDRs: []string{"203.0.113.7/32"},
		GPUPool: &providers.GPUPool{
			NodePool: providers.NodePool{MachineType: "g2-standard-8", MinNodes: 0, MaxNodes: 4,
				Zones: []string{"us-central1-a", "us-central1-b"}},
			Accelerator: "nvidia-l4",
		},
	}
}
