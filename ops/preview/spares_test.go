package preview

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/ops/cost"
)

func TestSparesText(t *testing.T) {
	estimate := cost.Estimate{Items: []cost.Item{{What: "GPU nodes", Resource: "gpu", Kind: "g6.xlarge", GPU: true, Each: 0.8048, Min: 2, Max: 3}}}
	spare := cost.Spare{Server: "vllm", Pool: "nodePools.gpu", Nodes: 1, MachineType: "g6.xlarge", GPUHours: 1, USDPerHour: 0.8048,
		Start: 72 * time.Second, Without: 342 * time.Second}
	report := &Report{Stack: "eks", Mode: Update, After: &estimate, Spares: []cost.Spare{spare}}
	assert.Contains(t, report.Text(), `
Spare GPU nodes
  vllm: 1 node of g6.xlarge on nodePools.gpu, 1 GPU-h in an hour: 0.80 USD/h, 588 USD in a month of 730 hours, which the total includes. `+
		`A new replica is ready after about 1m10s on one, and about 5m40s without (estimates, docs/cold-start.md).
`)
	assert.Contains(t, report.Markdown(0), "\n### Spare GPU nodes\n\n- `vllm`: 1 node of `g6.xlarge` on `nodePools.gpu`, ")

	spare.Nodes, spare.Spot = 2, true
	assert.Contains(t, spareLine(spare), "2 nodes of `g6.xlarge`")
	assert.Contains(t, spareLine(spare), "up to 0.80 USD/h")
	spare.Unknown = true
	assert.Contains(t, spareLine(spare), "price unknown")

	for name, other := range map[string]*Report{
		"none":      {Stack: "eks", Mode: Update, After: &estimate},
		"a destroy": {Stack: "eks", Mode: Destroy, Before: &estimate, Spares: []cost.Spare{spare}},
	} {
		assert.False(t, strings.Contains(other.Text()+other.Markdown(0), sparesTitle), name)
	}
}

// The spare nodes are those of the configuration that the preview is of.
func TestSparesOfAStack(t *testing.T) {
	changes := []string{"203.0.113.7/32", "1.2.3.4/32", `"{\"maxReplicas\":4,`, `"{\"spareNodes\":2,\"maxReplicas\":4,`}
	report := New(edited(t, "eks.create", changes...), Options{})
	if assert.Len(t, report.Spares, 1) {
		assert.Equal(t, 2, report.Spares[0].Nodes)
	}
	assert.Contains(t, report.Text(), sparesTitle)
}
