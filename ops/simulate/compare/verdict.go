package compare

import (
	"fmt"
	"slices"
	"strings"
)

// Verdict compares the configuration, the first candidate, with the cheapest constant number of replicas that keeps the objective.
func Verdict(candidates []Candidate, ratio float64) string {
	configured := candidates[0]
	best, found := StaticBest(candidates, ratio)
	keeps := configured.Keeps(ratio)
	switch {
	case !found && !keeps:
		closest := Closest(slices.DeleteFunc(slices.Clone(candidates), func(c Candidate) bool { return c.Name != NameConfigured && !static(&c) }))
		return fmt.Sprintf("Neither the configuration nor a constant number of replicas keeps the objective for %.4g %% of the requests. "+
			"The closest is %s with %.2f %%.",
			100*ratio, closest.Name, 100*closest.Attainment)
	case !found:
		return "The configuration keeps the objective; no constant number of replicas does."
	case !keeps && best.GPUHours <= configured.GPUHours:
		return fmt.Sprintf("The configuration misses the objective, and a constant number of replicas keeps it for less: %s with %.2f GPU-hours instead of %.2f.",
			best.Name, best.GPUHours, configured.GPUHours)
	case !keeps:
		return fmt.Sprintf("The configuration misses the objective. The cheapest constant number of replicas that keeps it is %s, "+
			"with %.2f GPU-hours instead of %.2f.",
			best.Name, best.GPUHours, configured.GPUHours)
	case best.GPUHours == configured.GPUHours:
		return fmt.Sprintf("The configuration keeps the objective, and so does %s for the same GPU-hours: nothing had to be scaled.", best.Name)
	case best.GPUHours < configured.GPUHours:
		return fmt.Sprintf("The configuration keeps the objective, but a constant number of replicas does so for less: %s with %.2f GPU-hours instead of %.2f.",
			best.Name, best.GPUHours, configured.GPUHours)
	}
	return fmt.Sprintf("The configuration keeps the objective with %.0f %% less GPU-hours than %s, the cheapest constant number of replicas that does.",
		100*(1-configured.GPUHours/best.GPUHours), best.Name)
}

// Unreachable returns the error of an objective that no candidate keeps, with the closest of those that were tried.
func Unreachable(closest *Candidate, ratio float64, tried int) error {
	with := ""
	if len(closest.Set) > 0 {
		with = " (" + strings.Join(closest.Set, " ") + ")"
	}
	return fmt.Errorf("none of the %d configurations that were tried keeps the objective for %.4g %% of the requests. "+
		"The closest keeps it for %.2f %% with %.2f GPU-hours: %s%s. Give another objective with -objective, "+
		"or the pool more nodes with -set nodePools.gpu.maxNodes=<n>; -search=false shows the table",
		tried, 100*ratio, 100*closest.Attainment, closest.GPUHours, closest.Name, with)
}
