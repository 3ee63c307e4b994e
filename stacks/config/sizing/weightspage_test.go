package sizing

import (
	"fmt"
	"strings"
	"testing"

	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/stacks/config/models"
)

// TestWeightsPage compares the table of quantised weights with the rule.
func TestWeightsPage(t *testing.T) {
	formats := []models.Weights{{Name: "16 bits"}, models.FP8, models.Int4, models.NF4}
	var text strings.Builder
	text.WriteString("| model | kept in 16 bits, 10^9 |")
	for _, format := range formats {
		name := format.Name
		if format.Quantized() {
			name += fmt.Sprintf(", %.3g bytes", format.Bytes)
		}
		fmt.Fprintf(&text, " %s |", name)
	}
	text.WriteString("\n|---|---|" + strings.Repeat("---|", len(formats)) + "\n")
	for _, model := range models.All() {
		fmt.Fprintf(&text, "| `%s` | %.2f of %g |", model.IDs[0], model.Kept(), model.Parameters)
		for _, format := range formats {
			model.Weights = format
			fmt.Fprintf(&text, " %.1f (%s) |", Of(model, 2, 2).LoadedBytes()/GiB, smallest(model))
		}
		text.WriteString("\n")
	}
	compareTable(t, text.String())
}

// smallest returns the memory of the smallest GPU on which vLLM starts with the defaults.
func smallest(model models.Model) string {
	for _, a := range accelerators.All() {
		if a.ComputeCapability < max(model.MinCapability, model.Weights.MinCapability) {
			continue
		}
		if Compute(Of(model, 2, 2), serverFor(model, a)).Starts() {
			return fmt.Sprintf("%g GiB", a.MemoryGiB)
		}
	}
	return "none"
}

// TestCheckpointsPage compares the table of checkpoints with the catalogue.
func TestCheckpointsPage(t *testing.T) {
	var text strings.Builder
	text.WriteString("| checkpoint | format | files, GB | loaded, GiB |\n|---|---|---|---|\n")
	for _, model := range models.Checkpoints() {
		fmt.Fprintf(&text, "| `%s` | %s | %.1f | %.1f |\n", model.IDs[0], model.Weights.Name, model.FileBytes()/1e9, Of(model, 2, 2).LoadedBytes()/GiB)
	}
	compareTable(t, text.String())
}
