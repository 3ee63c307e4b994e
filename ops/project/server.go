package project

import (
	"vllm-autoscaling/ops/server"
	"vllm-autoscaling/stacks/config"
)

// Server returns the configuration of the server of a stack that has a name; "" is the only server of a stack of one.
func Server(c *config.Config, name string) (*config.Config, error) {
	var names []string
	for _, s := range c.ServerConfigs() {
		names = append(names, s.Server)
	}
	i, err := server.Choose(names, name)
	if err != nil {
		return nil, err
	}
	return c.ServerConfigs()[i], nil
}
