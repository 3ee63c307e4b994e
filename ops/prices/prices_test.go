package prices

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/stacks/config"
)

// unpriced are the machine types of the catalogue for which the sources differ, or that are not sold on demand. A new type must get a
// price, or be listed here on purpose.
var unpriced = map[string][]string{
	config.CloudGKE: {"a3-megagpu-8g", "a3-ultragpu-8g", "a4-highgpu-8g"},
	config.CloudEKS: {"gr6.4xlarge", "gr6.8xlarge", "p4de.24xlarge", "p5.4xlarge", "p5.48xlarge", "p5en.48xlarge", "p5e.48xlarge"},
	config.CloudAKS: {"Standard_NV36adms_A10_v5", "Standard_NV72ads_A10_v5", "Standard_NC40ads_H100_v5",
		"Standard_NC80adis_H100_v5", "Standard_ND96isr_H200_v5"},
}

var clouds = []string{config.CloudGKE, config.CloudEKS, config.CloudAKS}

// machinesWith lists the machine types of a cloud that carry an accelerator.
func machinesWith(cloud, accelerator string) []accelerators.Machine {
	found, _ := config.FindCloud(cloud)
	return found.Machines.With(accelerator)
}

func TestEveryMachineOfTheCatalogueIsPricedOrListed(t *testing.T) {
	for _, cloud := range clouds {
		var without []string
		for _, a := range accelerators.All() {
			for _, machine := range machinesWith(cloud, a.Name) {
				if _, ok := Machine(cloud, machine.Type); !ok {
					without = append(without, machine.Type)
				}
			}
		}
		assert.ElementsMatch(t, unpriced[cloud], without, cloud)
	}
}

// The default machines of the program have a price.
func TestDefaultsArePriced(t *testing.T) {
	for cloud, types := range map[string][]string{
		config.CloudGKE: {"g2-standard-4", "e2-standard-4"},
		config.CloudEKS: {"g6.xlarge", "m6i.large"},
		config.CloudAKS: {"Standard_NC24ads_A100_v4", "Standard_D4s_v5"},
	} {
		for _, machineType := range types {
			_, ok := Machine(cloud, machineType)
			assert.True(t, ok, "%s %s", cloud, machineType)
		}
		_, ok := FeeOf(cloud, ControlPlane)
		assert.True(t, ok, cloud)
	}
}

func TestPricesSayWhereTheyAreFrom(t *testing.T) {
	date := regexp.MustCompile(`^20[0-9]{2}-[0-9]{2}-[0-9]{2}$`)
	check := func(name string, price Price) {
		assert.Positive(t, price.USDPerHour, name)
		assert.Less(t, price.USDPerHour, 200.0, name)
		assert.NotEmpty(t, price.Region, name)
		assert.True(t, strings.HasPrefix(price.Source, "https://"), name)
		assert.Regexp(t, date, price.Date, name)
	}
	for _, cloud := range clouds {
		require.NotEmpty(t, Machines(cloud))
		for _, machineType := range Machines(cloud) {
			price, ok := Machine(cloud, machineType)
			require.True(t, ok)
			check(machineType, price)
		}
		for fee, price := range fees[cloud] {
			check(string(fee), price)
		}
	}
}

// A machine with more GPUs of a kind costs more: a slip of a digit would show.
func TestMoreGPUsCostMore(t *testing.T) {
	for _, cloud := range clouds {
		for _, a := range accelerators.All() {
			cheapest := map[int]float64{}
			for _, machine := range machinesWith(cloud, a.Name) {
				price, ok := Machine(cloud, machine.Type)
				if !ok {
					continue
				}
				if known, ok := cheapest[machine.GPUs]; !ok || price.USDPerHour < known {
					cheapest[machine.GPUs] = price.USDPerHour
				}
			}
			var counts []int
			for n := range cheapest {
				counts = append(counts, n)
			}
			slices.Sort(counts)
			for i := 1; i < len(counts); i++ {
				assert.Greater(t, cheapest[counts[i]], cheapest[counts[i-1]], "%s %s x%d", cloud, a.Name, counts[i])
			}
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, c := range [][2]string{{config.CloudGKE, "x9-huge"}, {"local", "g6.xlarge"}, {config.CloudEKS, ""}} {
		_, ok := Machine(c[0], c[1])
		assert.False(t, ok, c)
	}
	_, ok := FeeOf(config.CloudAKS, NATGateway)
	assert.False(t, ok)
	_, ok = Machine(config.CloudAKS, "STANDARD_nc24ads_a100_V4")
	assert.True(t, ok, "Azure does not tell upper from lower case")
}
