package cloud

import (
	"fmt"
	"strings"
)

// GKECapacity is what a Google Cloud project and its zones have left for GPU machines.
type GKECapacity struct {
	// Quota is the number of GPUs that the project may have; nil means enough.
	Quota *int
	// OutOfStock reports whether the zones have no machine with a GPU left. Machines that run stay.
	OutOfStock bool
}

// SetGKECapacity sets what is left for GPU machines. Without a call there is always enough.
func (c *Cloud) SetGKECapacity(capacity GKECapacity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gkeCapacity = capacity
}

// refusedPool is the refusal of a node pool, with the id that the provider records all the same: it sets the id before it
// sends the request, and keeps it when the request is refused.
type refusedPool struct {
	id    string
	cause error
}

func (e *refusedPool) Error() string { return "error creating NodePool: " + e.cause.Error() }

// withinGKEQuota returns GKE's refusal of a new pool whose first nodes are over the quota, nil for none. Node pools without
// GPUs, and those that start empty, need none.
func (c *Cloud) withinGKEQuota(p *pool) error {
	quota := c.gkeCapacity.Quota
	if quota == nil || p.gpuCount == 0 || p.desired == 0 {
		return nil
	}
	if short := c.gkeGPUsInUse() + p.desired*p.gpuCount - *quota; short > 0 {
		metric := strings.ToUpper(strings.ReplaceAll(p.labels[p.acceleratorLabel], "-", "_")) + "_GPUS"
		return &refusedPool{id: p.id, cause: fmt.Errorf("googleapi: Error 403: Insufficient regional quota to satisfy request: resource %q: request "+
			"requires '%d.0' and is short '%d.0'. project has a quota of '%d.0'", metric, p.desired*p.gpuCount, short, *quota)}
	}
	return nil
}

func (c *Cloud) gkeGPUsInUse() int {
	used := 0
	for _, p := range c.pools {
		if p.double.name == "gcp" {
			used += (len(p.nodes) + len(p.starting)) * p.gpuCount
		}
	}
	return used
}

// lacksMachines reports whether a pool cannot get another machine now. The caller holds the lock.
func (c *Cloud) lacksMachines(p *pool) bool {
	if p.double.name != "gcp" || p.gpuCount == 0 {
		return false
	}
	quota := c.gkeCapacity.Quota
	return c.gkeCapacity.OutOfStock || quota != nil && c.gkeGPUsInUse()+p.gpuCount > *quota
}

// poolInError returns the provider's error for a new pool that did not get its first nodes, nil for one that has them or can
// get them. The provider drops the reason, which only the operation and the instance groups have.
func (c *Cloud) poolInError(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pools[id]; p != nil && len(p.nodes)+len(p.starting) < p.desired && c.lacksMachines(p) {
		return fmt.Errorf("NodePool %s was created in the error state %q", p.name, "RUNNING_WITH_ERROR")
	}
	return nil
}
