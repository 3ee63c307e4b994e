package eks

import (
	"strings"

	"vllm-autoscaling/providers"
)

// Args describe a cluster to create, or one to attach to: the request and EKS' own keys. All of it is known when a
// preview starts.
type Args struct {
	providers.Request
	Keys
}

// argsOf returns the arguments of a request.
func argsOf(r *providers.Request) *Args {
	args := &Args{Request: *r}
	if keys, ok := r.CloudKeys.(*Keys); ok {
		args.Keys = *keys
	}
	return args
}

// createsVPC reports whether the network is created here.
func (a *Args) createsVPC() bool { return !a.Attaches() && len(a.SubnetIDs) == 0 }

// installsDevicePlugin reports whether nothing else advertises the GPUs to the kubelet.
func (a *Args) installsDevicePlugin() bool {
	return a.CreatesGPUPools() && a.AMIType == AL2023 && !a.DevicePluginInstalled
}

// partition returns the first part of every ARN in the region.
func (a *Args) partition() string {
	if strings.HasPrefix(a.Region, "us-gov-") {
		return "aws-us-gov"
	}
	return "aws"
}
