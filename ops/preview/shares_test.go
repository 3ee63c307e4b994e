package preview

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/cost"
)

// withServers returns changes of a recording that add the key servers.
func withServers(t *testing.T, servers string) []string {
	t.Helper()
	value, err := json.Marshal(servers)
	require.NoError(t, err)
	const model = `"vllm-autoscaling:model":"{}"`
	// The recordings have an address of the documentation, which the program refuses.
	return []string{"203.0.113.7/32", "1.2.3.4/32", model, model + `,"vllm-autoscaling:servers":` + string(value)}
}

func TestSharesOfSeveralServers(t *testing.T) {
	servers := withServers(t, `{"chat": {"autoscaling": {"maxReplicas": 3}}, "code": {"autoscaling": {"maxReplicas": 1}}}`)
	for name, test := range map[string]struct {
		report *Report
		shown  bool
	}{
		"several servers": {New(edited(t, "eks.create", servers...), Options{}), true},
		"one server":      {New(edited(t, "eks.create", servers[:2]...), Options{}), false},
		"a destroy":       {New(edited(t, "eks.destroy", servers...), Options{Mode: Destroy}), false},
		"a refused configuration": {New(edited(t, "eks.create", withServers(t,
			`{"chat": {"autoscaling": {"maxReplicas": 0}}, "code": {}}`)...), Options{}), false},
		"a stack on an own cluster": {New(edited(t, "local.create", servers[2:]...), Options{}), false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.shown, strings.Contains(test.report.Text(), sharesTitle))
			assert.Equal(t, test.shown, strings.Contains(test.report.Markdown(0), "### "+sharesTitle))
		})
	}
	report := New(edited(t, "eks.create", servers...), Options{})
	require.Len(t, report.Servers, 2)
	assert.Equal(t, "chat", report.Servers[0].Server)
	assert.Equal(t, 3, report.Servers[0].MaxReplicas)
	assert.Contains(t, asJSON(t, report), `"servers"`)
}

func TestSharesText(t *testing.T) {
	estimate := cost.Estimate{Items: []cost.Item{{What: "GPU nodes", Resource: "gpu", Kind: "g6.12xlarge", GPU: true, Each: 4.6016, Min: 1, Max: 2}}}
	report := &Report{Stack: "eks", Mode: Update, After: &estimate, Servers: []cost.Share{
		{Server: "chat", Pool: "nodePools.gpu", MachineType: "g6.12xlarge", PerNode: 4, MinReplicas: 1, MaxReplicas: 5,
			MinGPUHours: 1, MaxGPUHours: 5, Min: 1.1504, Max: 5.752},
		{Server: "code", Pool: "servers.code.nodePool", MachineType: "g6.xlarge", PerNode: 1, MinReplicas: 1, MaxReplicas: 2,
			MinGPUHours: 1, MaxGPUHours: 2, Min: 0.8048, Max: 1.6096, Spot: true},
		{Server: "docs", Pool: "servers.docs.nodePool", MachineType: "p9.huge", PerNode: 3, MinReplicas: 1, MaxReplicas: 1,
			MinGPUHours: 8.0 / 3, MaxGPUHours: 8.0 / 3, Unknown: true},
	}}
	assert.Contains(t, report.Text(), `
GPU nodes by server, for one hour
  chat on nodePools.gpu, each 1/4 of a g6.12xlarge
    1 replica: 1 GPU-h, 1.15 USD; 5 replicas: 5 GPU-h, 5.75 USD
  code on servers.code.nodePool, each a g6.xlarge
    1 replica: 1 GPU-h, up to 0.80 USD; 2 replicas: 2 GPU-h, up to 1.61 USD
  docs on servers.docs.nodePool, each 1/3 of a p9.huge
    1 replica: 2.667 GPU-h, price unknown; 1 replica: 2.667 GPU-h, price unknown
  Of each node, a replica counts with the share that it takes.`)
	assert.Contains(t, report.Markdown(0), "\n### GPU nodes by server, for one hour\n\n| | fewest replicas | most replicas |\n|---|---:|---:|\n"+
		"| `chat` on `nodePools.gpu`, each 1/4 of a `g6.12xlarge` | 1 replica: 1 GPU-h, 1.15 USD | 5 replicas: 5 GPU-h, 5.75 USD |\n")
}

// Each server has its own hint, with its own keys.
func TestRightGPUOfSeveralServers(t *testing.T) {
	report := New(edited(t, "eks.create", withServers(t,
		`{"chat": {"model": {"id": "google/gemma-3-4b-it"}, "autoscaling": {"maxReplicas": 3}}, "code": {"autoscaling": {"maxReplicas": 1}}}`)...), Options{})
	require.Len(t, report.RightGPU, 1)
	assert.Contains(t, report.Text(), "\nA cheaper machine type for server chat\n")
	assert.Contains(t, report.Text(), "Give the server a GPU pool of its own with: "+
		"pulumi config set --path --stack eks vllm-autoscaling:servers.chat.nodePool.machineType ")
	assert.Contains(t, report.Markdown(0), "\n### A cheaper machine type for server chat\n")
}
