package policies

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/compare"
)

// named returns those of a list that have the names.
func named[T any](t *testing.T, all []T, name func(T) string, names ...string) (chosen []T) {
	t.Helper()
	for _, one := range all {
		for _, wanted := range names {
			if name(one) == wanted {
				chosen = append(chosen, one)
			}
		}
	}
	require.Len(t, chosen, len(names))
	return chosen
}

func subjectsNamed(t *testing.T, names ...string) []Subject {
	return named(t, Subjects(), func(s Subject) string { return s.Name }, names...)
}

func loadsNamed(t *testing.T, names ...string) []Load {
	return named(t, Loads(), func(l Load) string { return l.Name }, names...)
}

// The program's defaults take at most 0.45 times the GPU-hours of those of 202218d, and no fewer requests keep the objective.
// docs/policies.md has all combinations. A change of a default that fails here loses what was gained.
func TestDefaultsAreCheaperAndNoWorse(t *testing.T) {
	b := &Bench{
		Subjects: subjectsNamed(t, "gke-1b-l4", "gke-4b-l4", "gke-12b-a100-80"), Loads: loadsNamed(t, "day", "chat", "long-answers"),
		Objective: objective, Replicas: 6, Seed: 1,
	}
	cases, err := b.Run(context.Background())
	require.NoError(t, err)
	for _, c := range cases {
		earlier, _ := c.candidate(Baseline)
		defaults, _ := c.candidate(compare.NameConfigured)
		assert.LessOrEqual(t, c.Ratio(&defaults), cheap, "%s, %s", c.Subject, c.Load)
		assert.GreaterOrEqual(t, defaults.Attainment, earlier.Attainment-tolerance, "%s, %s", c.Subject, c.Load)
		assert.LessOrEqual(t, defaults.TurnsPerHour, earlier.TurnsPerHour+1, "%s, %s", c.Subject, c.Load)
	}
}

// Requests in flight do not show that a GPU computes prompts: without its utilization, requests wait where prompts are long.
func TestLongPromptsNeedTheGPUSignal(t *testing.T) {
	b := &Bench{
		Subjects: subjectsNamed(t, "gke-4b-l4"), Loads: loadsNamed(t, "long-prompts"), Objective: objective, Replicas: 6, Seed: 1,
		Variants: [][]string{{"autoscaling.signals.gpuUtilization.enabled=false"}},
	}
	cases, err := b.Run(context.Background())
	require.NoError(t, err)
	earlier, _ := cases[0].candidate(Baseline)
	defaults, _ := cases[0].candidate(compare.NameConfigured)
	without, ok := cases[0].candidate(nameVariant + strings.Join(b.Variants[0], " "))
	require.True(t, ok)
	assert.GreaterOrEqual(t, defaults.Attainment, earlier.Attainment)
	assert.Less(t, without.Attainment, earlier.Attainment-0.2)
}
