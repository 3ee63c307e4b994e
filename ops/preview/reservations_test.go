package preview

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/ops/cost"
)

// TestNoteOfReservedMachines checks that the note below the prices tells what a reservation costs.
func TestNoteOfReservedMachines(t *testing.T) {
	const reserved, prepaid = "cost the same whether they run or not", "is paid in advance"
	for name, test := range map[string]struct {
		item              cost.Item
		reserved, prepaid bool
	}{
		"on demand": {cost.Item{}, false, false}, "reserved": {cost.Item{Reserved: true}, true, false}, "a block": {cost.Item{Prepaid: true}, false, true},
	} {
		note := priceNote(cost.Estimate{Items: []cost.Item{test.item}})
		for text, said := range map[string]bool{reserved: test.reserved, prepaid: test.prepaid} {
			if said {
				assert.Contains(t, note, text, name)
			} else {
				assert.NotContains(t, note, text, name)
			}
		}
	}
}
