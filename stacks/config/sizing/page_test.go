package sizing

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/stacks/config/models"
)

var update = flag.Bool("update", false, "write the table of docs/sizing.md")

const (
	page = "../../../docs/sizing.md"
	end  = "<!-- end of table -->\n"
)

// TestSizingPage compares the tables of docs/sizing.md with the rule, for every model and every GPU.
func TestSizingPage(t *testing.T) {
	compareTable(t, sizingTable(t))
}

// compareTable compares the table of docs/sizing.md that a test generates with its content, or writes it.
func compareTable(t *testing.T, want string) {
	t.Helper()
	command := "go test ./stacks/config/sizing -run " + t.Name() + " -update"
	begin := "<!-- table: " + command + " -->\n"
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(content), begin)
	require.True(t, found, "the page has the mark %q", begin)
	table, after, found := strings.Cut(rest, end)
	require.True(t, found, "the page has the mark %q", end)
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+begin+want+end+after), 0o600))
		return
	}
	assert.Equal(t, want, table, command)
}

// TestSizingPageExample compares the numbers of the example and the comparison in docs/sizing.md with the rule.
func TestSizingPageExample(t *testing.T) {
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	fit := Compute(footprint(t, "google/gemma-3-12b-it"), server(t, "nvidia-l4", func(s *Server) { s.GPUs = 2 }))
	for _, shown := range []string{
		fmt.Sprintf("= %.2f GiB", fit.Budget), fmt.Sprintf("= %.2f GiB", fit.Weights), fmt.Sprintf("=  %.2f GiB", fit.Overhead),
		fmt.Sprintf("=  %.2f GiB", fit.Cache), fmt.Sprintf("=  %.2f GiB", fit.Sequence), fmt.Sprintf("%.1f requests of full length", fit.FullLength()),
	} {
		assert.Contains(t, string(content), shown)
	}
	a100 := Compute(footprint(t, "google/gemma-4-26B-A4B-it"), server(t, "nvidia-a100-80gb",
		func(s *Server) { s.MaxModelLen, s.MaxNumSeqs, s.Eager = 131072, 256, true }))
	before, after := loggedTokens(footprint(t, "google/gemma-4-31B-it"), 50e9, 262144)
	for _, shown := range []string{
		fmt.Sprintf("| %.2f GiB |", Compute(footprint(t, "google/gemma-3-1b-it"), server(t, "nvidia-l4", nil)).Weights),
		fmt.Sprintf("| %.2f GiB |", Compute(footprint(t, "google/gemma-3-27b-it"), server(t, "nvidia-l4", func(s *Server) { s.GPUs = 4 })).Weights),
		fmt.Sprintf("| %.1f GiB, %.1f GiB |", a100.Weights, a100.Cache),
		fmt.Sprintf("| %s; %s |", thousands(before), thousands(after)),
	} {
		assert.Contains(t, string(content), shown)
	}
}

// thousands rounds to three digits.
func thousands(n float64) string {
	if n < 100000 {
		return fmt.Sprintf("%d,%d00", int(n+50)/1000, int(n+50)%1000/100)
	}
	return fmt.Sprintf("%d,000", int(n+500)/1000)
}

func sizingTable(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	// GPUs with the same memory and generation share a column.
	var columns []accelerators.Accelerator
	for _, a := range accelerators.All() {
		if n := len(columns); n > 0 && columns[n-1].UsableGiB == a.UsableGiB && columns[n-1].ComputeCapability >= accelerators.BFloat16 &&
			a.ComputeCapability >= accelerators.BFloat16 {
			continue
		}
		columns = append(columns, a)
	}
	text.WriteString("| model | parameters, 10^9 | context |")
	for _, a := range columns {
		fmt.Fprintf(&text, " %s |", a.Name)
	}
	text.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, model := range models.All() {
		fmt.Fprintf(&text, "| `%s` | %g | %d |", model.IDs[0], model.Parameters, model.ContextLength)
		for _, a := range columns {
			fmt.Fprintf(&text, " %s |", cell(model, a))
		}
		text.WriteString("\n")
	}
	text.WriteString("\nT4 and V100 do not calculate in bfloat16. nvidia-l4 stands for A10 and A10G too, nvidia-h100-80gb for the H100 Mega.\n")
	return text.String()
}

// cell returns the default of model.maxNumSeqs and, in parentheses, how many requests of 8192 tokens fit at a time.
func cell(model models.Model, a accelerators.Accelerator) string {
	if a.ComputeCapability < model.MinCapability {
		return "no"
	}
	for gpus := 1; gpus <= 8 && model.Heads%gpus == 0; gpus *= 2 {
		s := serverFor(model, a)
		s.GPUs = gpus
		s.MaxNumSeqs = Sequences(Of(model, 2, 2), s, keepsInterToken(model, a, gpus))
		if s.MaxNumSeqs == 0 {
			continue
		}
		text := fmt.Sprintf("%d (%.0f)", s.MaxNumSeqs, Compute(Of(model, 2, 2), s).FullLength())
		if gpus > 1 {
			text = fmt.Sprintf("%d GPUs: %s", gpus, text)
		}
		return text
	}
	return "no"
}
