package gke

import (
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/providertest"
)

// recorder stands for Google Cloud.
type recorder struct {
	providertest.Recorder
	// existing answers a look-up of a cluster, projects one of projects.
	existing, projects resource.PropertyMap
}

func created(args pulumi.MockResourceArgs) (string, resource.PropertyMap) {
	state := args.Inputs.Copy()
	switch args.TypeToken {
	case "gcp:container/cluster:Cluster":
		state["endpoint"] = resource.NewProperty("203.0.113.9")
		state["masterAuth"] = resource.NewProperty(resource.PropertyMap{"clusterCaCertificate": resource.NewProperty("Q0E=")})
		return "projects/my-project/locations/us-central1/clusters/serving", state
	case networkToken, subnetworkToken:
		state["selfLink"] = resource.NewProperty("link-of-" + args.TypeToken)
	case "gcp:serviceaccount/account:Account":
		state["email"] = resource.NewProperty("nodes@example")
		state["member"] = resource.NewProperty("serviceAccount:nodes@example")
	}
	return "", state
}

// run runs New, waits for everything that it registered, and returns what came of it.
func (r *recorder) run(args *Args) (*providers.Cluster, error) {
	r.Created = created
	r.Answer = func(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
		if args.Token == projectsToken {
			return r.projects, nil
		}
		return r.existing, nil
	}
	return r.Run("gke", func(ctx *pulumi.Context) (*providers.Cluster, error) { return New(ctx, "gke", args) })
}

// validArgs returns the arguments that the tests start from: regional, with a GPU pool in two zones.
func validArgs() *Args {
	return &Args{
		Request: providers.Request{
			Name: "serving", APIAccessCIDRs: []string{"1.2.3.4/32"},
			GPUPool: &providers.GPUPool{
				NodePool: providers.NodePool{MachineType: "g2-standard-8", MinNodes: 0, MaxNodes: 4,
					Zones: []string{"us-central1-a", "us-central1-b"}},
				Accelerator: "nvidia-l4",
			},
		},
		Keys: Keys{Project: "my-project", Location: "us-central1"},
	}
}
