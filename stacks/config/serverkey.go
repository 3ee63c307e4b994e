package config

import (
	"slices"
	"strings"
)

// GPUPoolKey returns the key of the GPU pool that the server's replicas run on, without the project: that of the stack, or the
// server's own.
func (c *Config) GPUPoolKey() string {
	if c.ownPool {
		return c.ServerKey(serverPool)
	}
	return mainPool
}

// SharesPool reports whether other servers use the server's GPU pool.
func (c *Config) SharesPool() bool { return len(c.neighbours) > 0 }

// ServerKey returns the key of the stack file that sets a key for this server only, both without the project: a key below
// servers for what a server may set, and otherwise the key itself.
func (c *Config) ServerKey(key string) string {
	if !c.named {
		return key
	}
	if rest, ok := strings.CutPrefix(key, mainPool); ok && c.ownPool && (rest == "" || rest[0] == '.') {
		key = serverPool + rest
	}
	section, _, _ := strings.Cut(key, ".")
	if _, stacks := stackKeys[key]; stacks || !slices.Contains(sectionNames(), section) {
		return key
	}
	return "servers." + c.Server + "." + key
}
