package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOpened(t *testing.T) {
	read := func(keys map[string]any) *Config {
		c, err := Read(source(t, CloudLocal, keys))
		require.NoError(t, err)
		return c
	}
	assert.Empty(t, read(nil).Opened())
	assert.Empty(t, read(map[string]any{"vllm.clientNamespaces": []any{"vllm"}}).Opened(), "the serving namespace is open by default")
	c := read(map[string]any{
		"vllm.clientNamespaces":       []any{"vllm", "apps"},
		"vllm.clientCidrs":            []any{"10.0.0.0/16"},
		"vllm.egressNamespaces":       []any{"proxy"},
		"vllm.egressCidrs":            []any{"10.1.0.0/16"},
		"monitoring.clientNamespaces": []any{"ingress-nginx"},
		"monitoring.clientCidrs":      []any{"10.2.0.0/16"},
		"monitoring.queryNamespaces":  []any{"grafana"},
		"monitoring.watchNamespaces":  []any{"team-a", "team-b"},
	})
	server := []string{
		"vllm.clientNamespaces [apps]", "vllm.clientCidrs [10.0.0.0/16]", "vllm.egressNamespaces [proxy]", "vllm.egressCidrs [10.1.0.0/16]",
	}
	assert.Equal(t, append(server, "monitoring.clientNamespaces [ingress-nginx]", "monitoring.clientCidrs [10.2.0.0/16]",
		"monitoring.queryNamespaces [grafana]", "monitoring.watchNamespaces [team-a team-b]"), c.Opened())
	c.Metrics = MetricsGoogleManaged
	assert.Equal(t, server, c.Opened(), "neither Prometheus nor Grafana is there to open")
}
