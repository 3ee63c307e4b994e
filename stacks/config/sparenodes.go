package config

import (
	"fmt"
	"time"
)

// SpareGPUs returns how many GPUs the pod that keeps a spare node requests: all of a node, or those of one replica where the stack does not
// create the nodes.
func (c *Config) SpareGPUs() int {
	if c.createsGPUPool() {
		return c.NodePools.GPU.GPUsPerNode
	}
	return c.GPU.PerReplica
}

// SpareStart returns how long a new replica takes on a spare node: the node is there and has the server's image.
func (c *Config) SpareStart() ColdStart {
	start := c.ColdStart()
	start.Node, start.Image = 0, 0
	return start
}

// spareStarts describes how long a replica on a spare node takes; "" without one.
func (c *Config) spareStarts() string {
	spare := c.Autoscaling.SpareNodes
	if spare == 0 {
		return ""
	}
	return fmt.Sprintf(", or about %s on a spare node (autoscaling.spareNodes is %d)", c.SpareStart().Total().Round(10*time.Second), spare)
}
