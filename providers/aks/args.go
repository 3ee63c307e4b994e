package aks

import "vllm-autoscaling/providers"

// Args describe a cluster to create, or one to attach to: the request and AKS' own keys. All of it is known when a
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

// resourceGroup returns the group that the cluster is in.
func (a *Args) resourceGroup() string {
	if a.ResourceGroup != "" {
		return a.ResourceGroup
	}
	return a.Name + "-rg"
}
