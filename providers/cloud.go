package providers

import (
	"math"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers/accelerators"
)

// Cloud describes one place that stacks run on: everything that would otherwise be a switch on the cloud's name. Each
// cloud's package returns one, and package stacks/config has the table of all.
type Cloud struct {
	// Name is the value of the key cloud. The cloud's own keys, its page in docs and its package have the same name.
	Name string
	// Title is the name of the product, such as "Google Kubernetes Engine".
	Title string
	// NewKeys returns a pointer to the cloud's own keys, with the defaults that the reference of the configuration
	// shows; nil for a cloud without keys of its own.
	NewKeys func() any
	// Validate returns everything that is wrong with a request. It looks at nothing but the request.
	Validate func(request *Request) Problems
	// New registers the cluster, or looks it up, and returns it. Resources are named after name. Nothing is registered
	// in the cloud for an invalid request, or for an existing cluster that lacks something.
	New func(ctx *pulumi.Context, name string, request *Request) (*Cluster, error)
	// Login returns the program that the cluster's kubeconfig calls to log in, and the command that installs it; "" for a
	// kubeconfig that calls none. It is nil for a cloud whose kubeconfigs are not made here.
	Login func(request *Request) (program, install string)

	// MakesNodes reports whether stacks create node pools there, in a cluster of their own or in an existing one.
	MakesNodes bool
	// Versions reports whether the Kubernetes version can be chosen.
	Versions bool
	// MaxName is the longest name of a cluster to create, in characters.
	MaxName int
	// ValidName reports whether the cloud accepts the name of a cluster to create, and the names that are made of it. Only
	// where MakesNodes is set.
	ValidName func(request *Request) bool
	// BucketScheme is the scheme of the buckets that the cloud's identities open; "" where identities are the cluster's owner's.
	BucketScheme string
	// ManagedMetrics lists the values of the key metrics, besides the stack's own pipeline, that exist only there.
	ManagedMetrics []string

	// Machines are the machine types with GPUs.
	Machines accelerators.Catalogue
	// Alternatives lists the machine types that nodes of the GPU pool may have besides the pool's own, given the cloud's own keys as
	// NewKeys returns them; nil for a cloud whose pools have one machine type.
	Alternatives func(keys any) []string
	// LocalDisk returns the size in GiB of the disks of a machine type on which GPU nodes keep images and volumes instead of the pool's
	// disk, given the cloud's own keys; 0 for none. It is nil for a cloud whose nodes never do.
	LocalDisk func(keys any, machineType string) int
	// DefaultAccelerator is the GPU where neither it nor a machine type is given.
	DefaultAccelerator string
	// SystemPool has the defaults of the system pool.
	SystemPool NodePool
	// GPUPool has the default size of a GPU node's disk.
	GPUPool NodePool
	// Examples are allowed values of keys that all clouds share, by key, as the reference shows them.
	Examples map[string]string
	// Required has an allowed value of each of the cloud's own keys that a stack which creates a cluster cannot leave out, by
	// key and as decoded from YAML.
	Required map[string]any
	// Node describes what a node's pods can use of its machine.
	Node NodeRoom
	// Gateways describes the way in for clients that the cloud offers.
	Gateways Gateways
	// SpotNotice is how long a pod on a spot machine has left when the cloud takes the machine back.
	SpotNotice time.Duration
}

// NodeRoom describes what a cloud keeps of a node's CPUs and memory.
type NodeRoom struct {
	// Reserved returns the CPUs and the memory in GiB that the cloud documents as reserved on a node of a size.
	Reserved func(cpus int, memoryGiB float64) (reservedCPUs, reservedGiB float64)
	// HiddenShare is the share of a machine's memory that its operating system never gets, from 0 to 1. An estimate.
	HiddenShare float64
}

// Step is a share of everything up to a bound, as clouds document reservations.
type Step struct{ UpTo, Share float64 }

// Steps returns the sum of the shares of each step of an amount.
func Steps(amount float64, steps []Step) float64 {
	total, from := 0.0, 0.0
	for _, s := range steps {
		total += math.Max(0, math.Min(amount, s.UpTo)-from) * s.Share
		from = s.UpTo
	}
	return total
}

// CPUSteps are the shares of a node's CPUs that GKE documents as reserved
// (https://cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes) and EKS has taken over.
var CPUSteps = []Step{{1, 0.06}, {2, 0.01}, {4, 0.005}, {math.Inf(1), 0.0025}}

// Fill sets a field that has its zero value.
func Fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// FillPool fills in the defaults of a system pool; its upper limit is at least its lower one.
func FillPool(pool *NodePool, defaults NodePool) {
	Fill(&pool.MachineType, defaults.MachineType)
	Fill(&pool.MinNodes, defaults.MinNodes)
	Fill(&pool.MaxNodes, max(defaults.MaxNodes, pool.MinNodes))
	Fill(&pool.DiskGiB, defaults.DiskGiB)
}

// With returns options with further ones, without touching the caller's.
func With(opts []pulumi.ResourceOption, more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	all := make([]pulumi.ResourceOption, 0, len(opts)+len(more))
	return append(append(all, opts...), more...)
}
