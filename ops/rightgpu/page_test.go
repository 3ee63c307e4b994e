package rightgpu

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/cost"
	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/stacks/config/models"
)

var update = flag.Bool("update", false, "write the tables of docs/gpus.md")

const (
	page  = "../../docs/gpus.md"
	begin = "<!-- tables: cd ops && go test ./rightgpu -run TestPage -update -->\n"
	end   = "<!-- end of tables -->\n"
	// columns is how many machine types of each cloud the tables have.
	columns = 3
)

// priced are the clouds whose machines have prices.
var priced = []string{config.CloudGKE, config.CloudEKS, config.CloudAKS}

// TestPage compares the tables of docs/gpus.md with what is computed now.
func TestPage(t *testing.T) {
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(content), begin)
	require.True(t, found, "the page has the mark %q", begin)
	tables, after, found := strings.Cut(rest, end)
	require.True(t, found, "the page has the mark %q", end)
	now := tablesNow(t)
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+begin+now+end+after), 0o600))
		return
	}
	assert.Equal(t, now, tables, "cd ops && go test ./rightgpu -run TestPage -update")
}

func tablesNow(t *testing.T) string {
	t.Helper()
	// The clouds have the same GPUs.
	capacities := map[simulate.Server]float64{}
	var text strings.Builder
	for _, cloud := range priced {
		found, _ := config.FindCloud(cloud)
		fmt.Fprintf(&text, "\n### %s\n\n| model | cheapest | second | third |\n|---|---|---|---|\n", found.Title)
		for _, model := range models.All() {
			fmt.Fprintf(&text, "| `%s` |", model.IDs[0])
			c := comparisonOf(t, cloud, model.IDs[0], nil)
			c.capacities = capacities
			offers := byAccelerator(c.offers(math.Inf(1)))
			for i := range columns {
				fmt.Fprintf(&text, " %s |", cell(offers, i))
			}
			text.WriteString("\n")
		}
	}
	text.WriteString("\n")
	return text.String()
}

// byAccelerator chooses an offer of each accelerator and sorts them by the price of a thousand requests.
func byAccelerator(offers []Offer) []Offer {
	groups := map[string][]Offer{}
	for _, o := range offers {
		groups[o.Accelerator] = append(groups[o.Accelerator], o)
	}
	var all []Offer
	for _, group := range groups {
		all = append(all, choose(group))
	}
	slices.SortFunc(all, func(a, b Offer) int {
		return cmp.Or(cmp.Compare(a.USDPerThousand, b.USDPerThousand), cmp.Compare(a.MachineType, b.MachineType))
	})
	return all
}

func cell(offers []Offer, i int) string {
	if i >= len(offers) {
		return "-"
	}
	o := offers[i]
	gpus := ""
	if o.GPUsPerReplica > 1 {
		gpus = fmt.Sprintf(", replicas of %d GPUs", o.GPUsPerReplica)
	}
	return fmt.Sprintf("**%s** `%s`%s, %s/s, %.2f/h", About(o.USDPerThousand), o.MachineType, gpus, About(o.RequestsPerSecond), o.USDPerHour)
}

// The pages state why each cloud's default accelerator is what it is, in figures.
func TestDefaultsOnThePages(t *testing.T) {
	const h100 = "Standard_NC40ads_H100_v5"
	offers := map[string]Offer{}
	for _, cloud := range priced {
		c := comparisonOf(t, cloud, "google/gemma-3-1b-it", cost.Overrides{h100: 7})
		for _, o := range byAccelerator(c.offers(math.Inf(1))) {
			offers[o.MachineType] = o
		}
	}
	of := func(machineType string) Offer {
		require.Contains(t, offers, machineType)
		return offers[machineType]
	}
	a100, a10 := of("Standard_NC24ads_A100_v4"), of("Standard_NV36ads_A10_v5")
	var figures []string
	for _, o := range []Offer{of("g2-standard-4"), of("a2-highgpu-1g"), of("g6.xlarge"), of("g6e.xlarge"), a100, a10} {
		figures = append(figures, fmt.Sprintf("| `%s` (%s) | %s | %s | %.2f |",
			o.MachineType, strings.TrimPrefix(o.Accelerator, "nvidia-"), About(o.USDPerThousand), About(o.RequestsPerSecond), o.USDPerHour))
	}
	// The price at which a thousand requests cost as much as on the default, and a fifth less.
	rate := of(h100).RequestsPerSecond
	same := 3.6 * rate * a100.USDPerThousand
	figures = append(figures, fmt.Sprintf("`%s` serves %s requests/s", h100, About(rate)),
		fmt.Sprintf("Below %.1f USD/h", same), fmt.Sprintf("below %.1f USD/h", (1-saving)*same))
	contains(t, page, figures...)
	contains(t, "../../docs/aks.md", About(a100.USDPerThousand)+" USD", About(a10.USDPerThousand)+" USD")
	contains(t, "../../providers/aks/cloud.go", About(a100.USDPerThousand)+" USD", About(a10.USDPerThousand)+" USD")
}

// contains checks that a file has texts.
func contains(t *testing.T, path string, texts ...string) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, text := range texts {
		if !strings.Contains(string(content), text) {
			t.Errorf("%s lacks %q", path, text) // assert.Contains prints the file.
		}
	}
}
