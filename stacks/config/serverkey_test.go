package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestServerKey(t *testing.T) {
	servers := read(t, CloudGKE, two(map[string]any{
		"servers.code.nodePool.machineType": "a2-highgpu-1g", "servers.docs.autoscaling.maxReplicas": 1, "nodePools.gpu.maxNodes": 10,
	})).ServerConfigs()
	chat, code, docs := servers[0], servers[1], servers[2]
	one := read(t, CloudGKE, onCloud(CloudGKE, nil)).ServerConfigs()[0]
	for key, want := range map[string][3]string{
		"model.maxNumSeqs":            {"servers.chat.model.maxNumSeqs", "servers.code.model.maxNumSeqs", "model.maxNumSeqs"},
		"autoscaling.scaleUp.pods":    {"servers.chat.autoscaling.scaleUp.pods", "servers.code.autoscaling.scaleUp.pods", "autoscaling.scaleUp.pods"},
		"gpu.perReplica":              {"servers.chat.gpu.perReplica", "servers.code.gpu.perReplica", "gpu.perReplica"},
		"nodePools.gpu.maxNodes":      {"nodePools.gpu.maxNodes", "servers.code.nodePool.maxNodes", "nodePools.gpu.maxNodes"},
		"autoscaling.adapterReplicas": {"autoscaling.adapterReplicas", "autoscaling.adapterReplicas", "autoscaling.adapterReplicas"},
		"monitoring.signalInterval":   {"monitoring.signalInterval", "monitoring.signalInterval", "monitoring.signalInterval"},
	} {
		assert.Equal(t, want, [3]string{chat.ServerKey(key), code.ServerKey(key), one.ServerKey(key)}, key)
	}
	assert.Equal(t, []string{"nodePools.gpu", "servers.code.nodePool", "nodePools.gpu", "nodePools.gpu"},
		[]string{chat.GPUPoolKey(), code.GPUPoolKey(), docs.GPUPoolKey(), one.GPUPoolKey()})
	assert.Equal(t, []bool{true, false, true, false}, []bool{chat.SharesPool(), code.SharesPool(), docs.SharesPool(), one.SharesPool()})
}
