package cost

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSpares(t *testing.T) {
	assert.Empty(t, Spares(stackOf(t), nil))

	one := Spares(stackOf(t, "autoscaling.spareNodes=2", "nodePools.gpu.machineType=g6.12xlarge"), nil)
	require.Len(t, one, 1)
	assert.Equal(t, "vllm", one[0].Server)
	assert.InDelta(t, 8, one[0].GPUHours, 1e-9, "all four GPUs of each")
	assert.InDelta(t, 2*4.6016, one[0].USDPerHour, 1e-9)
	assert.Less(t, one[0].Start, one[0].Without)

	several := Spares(stackOf(t, "servers.chat.autoscaling.spareNodes=1", "servers.code.autoscaling.maxReplicas=2",
		"servers.docs.nodePool.machineType=g6.xlarge", "servers.docs.nodePool.spot=true", "servers.docs.autoscaling.spareNodes=3"), nil)
	require.Len(t, several, 2)
	assert.Equal(t, []string{"chat", "nodePools.gpu"}, []string{several[0].Server, several[0].Pool})
	assert.Equal(t, []string{"docs", "servers.docs.nodePool"}, []string{several[1].Server, several[1].Pool})
	assert.InDelta(t, 3*0.8048, several[1].USDPerHour, 1e-9)
	assert.True(t, several[1].Spot)
	priced := Spares(stackOf(t, "autoscaling.spareNodes=1", "nodePools.gpu.machineType=g6.xlarge", "nodePools.gpu.spot=true"), Overrides{"g6.xlarge": 0.5})
	assert.InDelta(t, 0.5, priced[0].USDPerHour, 1e-9)
	assert.False(t, priced[0].Spot, "the price is the stack's own")
}
