package config

import (
	"fmt"
	"slices"
)

// Opened returns what the stack file opens to others beside the defaults, each as a key with its values. What not all of several
// servers open begins with the server's name.
func (c *Config) Opened() []string {
	var opened []string
	each := c.ServerConfigs()
	for _, server := range each {
		for _, key := range server.opened() {
			if slices.ContainsFunc(each, func(other *Config) bool { return !slices.Contains(other.opened(), key) }) {
				key = "server " + server.Server + ": " + key
			}
			if !slices.Contains(opened, key) {
				opened = append(opened, key)
			}
		}
	}
	return opened
}

// opened returns what a stack of one server opens.
func (c *Config) opened() []string {
	var opened []string
	add := func(key string, values []string) {
		if len(values) > 0 {
			opened = append(opened, fmt.Sprintf("%s %v", key, values))
		}
	}
	// The serving namespace is open anyway.
	add("vllm.clientNamespaces", slices.DeleteFunc(slices.Clone(c.VLLM.ClientNamespaces), func(n string) bool { return n == c.Namespaces.Serving }))
	add("vllm.clientCidrs", c.VLLM.ClientCIDRs)
	if c.Exposed() {
		add("expose.hostname", []string{c.Expose.Hostname})
		namespaces, cidrs, _ := c.gatewaySources()
		add("expose, to the gateway's data plane", slices.DeleteFunc(slices.Concat(namespaces, cidrs), func(n string) bool { return n == c.Namespaces.Serving }))
	}
	add("vllm.egressNamespaces", c.VLLM.EgressNamespaces)
	add("vllm.egressCidrs", c.VLLM.EgressCIDRs)
	if m := c.Monitoring; c.ExistingMetrics() {
		add("monitoring.prometheus.namespace", []string{m.Prometheus.Namespace})
	} else if !c.ManagesMetrics() {
		add("monitoring.clientNamespaces", m.ClientNamespaces)
		add("monitoring.clientCidrs", m.ClientCIDRs)
		add("monitoring.queryNamespaces", m.QueryNamespaces)
		add("monitoring.watchNamespaces", m.WatchNamespaces)
	}
	return opened
}
