package providers

import (
	"fmt"
	"strings"
)

// Request is what a stack requests of a cloud, in the terms that all clouds share. All of it is known when a preview
// starts. Each field has the name of its key.
type Request struct {
	// Namespace is the namespace of the configuration's keys, for the commands in problems.
	Namespace string
	// Given reports whether the stack's file has a key; nil means that nothing is known of the file.
	Given func(key string) bool
	// CloudKeys are the cloud's own keys, a pointer as Cloud.NewKeys returns it; nil for a cloud without any.
	CloudKeys any

	// Name is the name of the cluster to create. GKE also names after it what it adds to an existing cluster.
	Name string
	// Existing is the name of a cluster to attach to; "" creates one. The owner of an existing cluster keeps network,
	// version, add-ons and access; only a GPU pool and what it needs are added.
	Existing string
	// KubernetesVersion is a minor version, such as 1.35; "" leaves the choice to the cloud. Only where
	// Cloud.Versions is set.
	KubernetesVersion string
	// APIAccessCIDRs are the IPv4 networks that reach the API server over the internet; nil means that the stack's
	// file does not have the key.
	APIAccessCIDRs []string
	// DeletionProtection guards the cluster. Before a destroy it has to be switched off by an update of its own.
	DeletionProtection bool
	// SystemPool runs everything but the model. Ignored with Existing. Zero values mean Cloud.SystemPool's.
	SystemPool NodePool
	// GPUPool runs the model; nil, allowed with Existing only, means that the cluster has GPU nodes. A size of 0 of its
	// disk means Cloud.GPUPool's.
	GPUPool *GPUPool
	// GPUsPerReplica is the number of GPUs of one replica on the main pool.
	GPUsPerReplica int
	// OwnPools are further GPU pools, each for the replicas of one server alone. Only where Cloud.MakesNodes is set.
	OwnPools []ServingPool
	// StorageClass is the class of Prometheus' volume; "" means the cluster's default class.
	StorageClass string
	// GatewayAPI reports whether the cluster has to serve the Gateway API with the cloud's own controller. Only where a cluster is
	// created.
	GatewayAPI bool
	// MetricsReader is a ServiceAccount of the cluster that reads the metrics which the cloud collects and stores; nil
	// for none. Only where Cloud.ManagedMetrics is set.
	MetricsReader *ServiceAccount
	// Buckets are the folders with weights that servers of the stack read. Only where a cluster is created.
	Buckets []BucketAccess

	// Local describes a cluster that a kubeconfig reaches. Only where Cloud.MakesNodes is false.
	Local Local
}

// Local is what a program cannot find out about a cluster that a kubeconfig reaches.
type Local struct {
	// Kubeconfig is a path; "" means the first existing file of $KUBECONFIG, else ~/.kube/config.
	Kubeconfig string
	// Context is a context of that file; "" means its current-context.
	Context string
	// GPU describes how a pod gets a GPU there.
	GPU GPUScheduling
	// GPUMetrics describes where the DCGM series come from.
	GPUMetrics GPUMetrics
	// AggregatedAPIPort is a port on which the control plane reaches pods, 1 to 65535.
	AggregatedAPIPort int
}

// Attaches reports whether the cluster is there already.
func (r *Request) Attaches() bool { return r.Existing != "" }

// ClusterName returns the cluster's name in the cloud, created or attached.
func (r *Request) ClusterName() string {
	if r.Attaches() {
		return r.Existing
	}
	return r.Name
}

// Gives reports whether the stack's file has a key.
func (r *Request) Gives(key string) bool { return r.Given != nil && r.Given(key) }

// Set returns the command that sets a key.
func (r *Request) Set(key, value string) string {
	return fmt.Sprintf("pulumi config set --path '%s:%s' %s", r.Namespace, key, value)
}

// CheckAccess adds a problem where a cluster to create would be open to nobody because the key is missing, and for each
// network that cannot reach a public API server.
func (r *Request) CheckAccess(p *Problems) {
	if r.Attaches() {
		return
	}
	if r.APIAccessCIDRs == nil {
		p.Add(KeyAPIAccessCIDRs, nil, "the networks that may reach the API server, yours among them",
			r.setOwnAddress(0)+" with your own address; 0.0.0.0/0 opens it to everyone")
	}
	r.checkAPIAccess(p)
}

// RefuseNameOfExisting adds a problem where a name is given beside that of an existing cluster, on clouds that create
// nothing of that name.
func (r *Request) RefuseNameOfExisting(p *Problems) {
	if r.Attaches() && r.Gives(KeyName) {
		p.Add(KeyName, r.Name, fmt.Sprintf("no name beside %s (%s): nothing of that name is created", KeyExisting, r.Existing),
			"remove the key, or "+KeyExisting)
	}
}

// RequireGPUPool adds a problem where a cluster to create would have no GPU nodes.
func (r *Request) RequireGPUPool(p *Problems) {
	if !r.Attaches() && r.GPUPool == nil {
		p.Add(KeyCreateGPUPool, false, "true for a cluster to create; only an existing cluster can bring GPU nodes of its own",
			"remove the key, or set "+KeyExisting)
	}
}

// Bounds are the limits of a node pool on one cloud.
type Bounds struct {
	// MinNodes is the lowest lower limit, MaxNodes the highest upper limit; 0 as MaxNodes means that there is none.
	MinNodes, MaxNodes int
	// MinDiskGiB and MaxDiskGiB bound the disk of a node; 0 as MaxDiskGiB means that there is no upper limit.
	MinDiskGiB, MaxDiskGiB int
}

// Check adds the problems of a pool below its key, such as KeyGPUPool.
func (b Bounds) Check(p *Problems, key string, pool NodePool) {
	if pool.MinNodes < b.MinNodes || b.MaxNodes > 0 && pool.MinNodes > b.MaxNodes {
		p.Add(key+KeyMinNodes, pool.MinNodes, span(b.MinNodes, b.MaxNodes)+" nodes", "")
	}
	if least := max(1, pool.MinNodes); pool.MaxNodes < least || b.MaxNodes > 0 && pool.MaxNodes > b.MaxNodes {
		p.Add(key+KeyMaxNodes, pool.MaxNodes, fmt.Sprintf("%s nodes: at least 1, and at least %s%s", span(least, b.MaxNodes), key, KeyMinNodes), "")
	}
	if pool.DiskGiB < b.MinDiskGiB || b.MaxDiskGiB > 0 && pool.DiskGiB > b.MaxDiskGiB {
		p.Add(key+KeyDiskGiB, pool.DiskGiB,
			span(b.MinDiskGiB, b.MaxDiskGiB)+" GiB, with room for the operating system, the images and, on GPU nodes, the model", "")
	}
}

// span returns a range of numbers as text.
func span(low, high int) string {
	if high == 0 {
		return fmt.Sprintf("at least %d", low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

// OneOf returns the values that are allowed as text.
func OneOf(values []string) string { return "one of: " + strings.Join(values, ", ") }
