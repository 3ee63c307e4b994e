package providers

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// PoolLabel is the label, and the key of the taint, of the nodes of a server's own pool. Both have the value of PoolValue, and
// the effect of the taint is NoSchedule. Nodes of the main pool have neither, so that no pod of one pool is scheduled on the
// other, whatever GPUs they have. No cloud reserves the prefix.
const PoolLabel = "vllm-autoscaling/pool"

// MaxPoolName is the longest name of a server with a pool of its own, in characters: the names of the pool's resources are made
// of it, and EKS allows 37 for the beginning of a node group's name.
const MaxPoolName = 20

// mainPool is the suffix of the main pool's resources, and the beginning of the suffix of the others'.
const mainPool = "gpu"

var poolNameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// ServingPool is a GPU pool with what the replicas on it request: the main pool, or one server's own.
type ServingPool struct {
	GPUPool
	// Name is the server's name, at most MaxPoolName characters; "" for the main pool.
	Name string
	// GPUsPerReplica is the number of GPUs of one replica; 0 means 1.
	GPUsPerReplica int
}

// Own reports whether the pool is one server's own.
func (s *ServingPool) Own() bool { return s.Name != "" }

// Suffix returns what the names of the pool's resources have beyond that of the cluster: gpu, or gpu-<server>.
func (s *ServingPool) Suffix() string {
	if !s.Own() {
		return mainPool
	}
	return mainPool + "-" + s.Name
}

// CheckGPUs adds a problem where a replica requests more GPUs than a node has.
func (s *ServingPool) CheckGPUs(p *Problems) {
	if s.GPUsPerNode > 0 && s.GPUsPerReplica > s.GPUsPerNode {
		p.Add(s.ServerKey(KeyPerReplica), s.GPUsPerReplica, fmt.Sprintf("at most %d, the GPUs of one %s", s.GPUsPerNode, s.MachineType),
			"choose a larger "+s.PoolKey(KeyMachineType))
	}
}

// Label returns the labels of nodes, or a selector of them, with PoolLabel where the pool is a server's own. The given ones
// stay as they are.
func (r *Request) Label(pool *ServingPool, labels map[string]string) map[string]string {
	all := maps.Clone(labels)
	if pool.Own() {
		all[PoolLabel] = r.PoolValue(pool)
	}
	return all
}

// Tolerate returns the tolerations of pods for nodes, with that of the taint PoolLabel where the pool is a server's own.
func (r *Request) Tolerate(pool *ServingPool, tolerations []Toleration) []Toleration {
	all := slices.Clone(tolerations)
	if pool.Own() {
		all = append(all, Toleration{Key: PoolLabel, Operator: "Equal", Value: r.PoolValue(pool), Effect: "NoSchedule"})
	}
	return all
}

// PoolValue returns the value of PoolLabel: the server's name. In an existing cluster a hash of the stack's name follows,
// because another stack there may have a server of the same name.
func (r *Request) PoolValue(pool *ServingPool) string {
	if !r.Attaches() {
		return pool.Name
	}
	return pool.Name + "-" + shortHash(r.Name)
}

// OwnSchedulings returns how the pods of servers with pools of their own get GPUs there, by the server's name; nil for none.
func (r *Request) OwnSchedulings(on func(pool *ServingPool) GPUScheduling) map[string]GPUScheduling {
	var own map[string]GPUScheduling
	for _, pool := range r.GPUPools() {
		if !pool.Own() {
			continue
		}
		if own == nil {
			own = map[string]GPUScheduling{}
		}
		own[pool.Name] = on(pool)
	}
	return own
}

// shortHash returns eight digits that stand for a text.
func shortHash(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:8] }

// ShortName returns a name of at most longest characters: the name, or its beginning and a hash of it.
func ShortName(name string, longest int) string {
	if len(name) <= longest {
		return name
	}
	hash := shortHash(name)
	return strings.TrimRight(name[:longest-len(hash)-1], "-") + "-" + hash
}

// CreatesGPUPools reports whether GPU pools are created, the main one or others.
func (r *Request) CreatesGPUPools() bool { return r.GPUPool != nil || len(r.OwnPools) > 0 }

// GPUPools returns copies of the GPU pools to create: the main one, where there is one, and then the others by name.
func (r *Request) GPUPools() []*ServingPool {
	var pools []*ServingPool
	if r.GPUPool != nil {
		pools = append(pools, &ServingPool{GPUPool: *r.GPUPool, GPUsPerReplica: r.GPUsPerReplica})
	}
	own := slices.SortedFunc(slices.Values(r.OwnPools), func(a, b ServingPool) int { return cmp.Compare(a.Name, b.Name) })
	for i := range own {
		Fill(&own[i].GPUsPerReplica, 1)
		pools = append(pools, &own[i])
	}
	return pools
}

// FillGPUPools fills in the defaults of all GPU pools. Those that the caller holds stay as they are.
func (r *Request) FillGPUPools(fill func(pool *GPUPool)) {
	if r.GPUPool != nil {
		pool := *r.GPUPool
		fill(&pool)
		r.GPUPool = &pool
	}
	r.OwnPools = slices.Clone(r.OwnPools)
	for i := range r.OwnPools {
		fill(&r.OwnPools[i].GPUPool)
	}
}

// CheckOwnPools adds the problems of the names of the servers' own pools.
func (r *Request) CheckOwnPools(p *Problems) {
	seen := map[string]bool{}
	for i := range r.OwnPools {
		pool := &r.OwnPools[i]
		switch {
		case len(pool.Name) > MaxPoolName || !poolNameForm.MatchString(pool.Name):
			p.Add(pool.PoolKey(""), pool.Name, fmt.Sprintf("a server whose name has at most %d lower-case letters, digits and dashes, with a letter or digit "+
				"at both ends: the names of the pool's resources are made of it", MaxPoolName), "rename the server, or let it use "+KeyGPUPool)
		case seen[pool.Name]:
			p.Add(pool.PoolKey(""), pool.Name, "one pool for each server; this one has two", "remove one of them")
		}
		seen[pool.Name] = true
	}
}
