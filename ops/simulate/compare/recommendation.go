package compare

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Commands returns the commands that make assignments KEY=VALUE in a stack's file.
func Commands(stack string, assignments []string) []string {
	var commands []string
	for _, assignment := range assignments {
		key, value, _ := strings.Cut(assignment, "=")
		commands = append(commands, fmt.Sprintf("pulumi config set --path --stack %s vllm-autoscaling:%s %s", stack, key, value))
	}
	return commands
}

// WriteRecommendation writes which configuration is recommended, with its commands, what it was judged on, and how far from the
// oracle it is. Without a recommended candidate it writes the commands of a constant number of replicas that is cheaper.
func WriteRecommendation(to io.Writer, stack string, candidates []Candidate, ratio float64) error {
	text := &strings.Builder{}
	recommended, found := Find(candidates, NameRecommended)
	if found {
		writeRecommended(text, stack, &candidates[0], &recommended)
	}
	cheapest := &candidates[0]
	if found {
		cheapest = &recommended
	}
	if best, ok := Find(candidates, NameStaticBest); ok && len(best.Set) > 0 && (best.GPUHours < cheapest.GPUHours || !cheapest.Keeps(ratio)) {
		_, _ = fmt.Fprintf(text, "\nA constant number of replicas, %d, takes %.2f GPU-hours instead of %.2f on this load and keeps the objective for %.2f %%:\n\n",
			best.Most, best.GPUHours, cheapest.GPUHours, 100*best.Attainment)
		writeCommands(text, stack, best.Set)
	}
	if oracle, ok := Find(candidates, NameOracle); ok && oracle.GPUHours > 0 && cheapest.Keeps(ratio) {
		_, _ = fmt.Fprintf(text, "\nThe oracle, which asks for each replica before it is needed, takes %.2f GPU-hours: %s takes %.2f times as many.\n",
			oracle.GPUHours, cheapest.Name, cheapest.GPUHours/oracle.GPUHours)
	}
	_, err := io.WriteString(to, text.String())
	return err
}

// Recommended returns the recommended candidate in a sentence or two.
func Recommended(configured, recommended *Candidate) string {
	text := "The configuration as it is. No other that was tried keeps the objective for fewer GPU-hours."
	if len(recommended.Set) > 0 {
		text = fmt.Sprintf("%.2f GPU-hours instead of %.2f, and %.2f %% within the objective.",
			recommended.GPUHours, configured.GPUHours, 100*recommended.Attainment)
	}
	if recommended.Constant() {
		text += fmt.Sprintf(" It is a constant number of replicas, %d: no autoscaling that was tried keeps the objective for less.", recommended.Most)
	}
	return text
}

func writeRecommended(text *strings.Builder, stack string, configured, recommended *Candidate) {
	_, _ = fmt.Fprintf(text, "\nRecommended: %s\n", Recommended(configured, recommended))
	if len(recommended.Set) > 0 {
		_, _ = fmt.Fprintln(text)
		writeCommands(text, stack, recommended.Set)
	}
	writeRobustness(text, recommended.Robustness)
}

func writeCommands(text *strings.Builder, stack string, assignments []string) {
	for _, command := range Commands(stack, assignments) {
		_, _ = fmt.Fprintln(text, "  "+command)
	}
}

// writeRobustness writes what else the recommended configuration was judged on.
func writeRobustness(text *strings.Builder, robustness []Judgement) {
	if len(robustness) == 0 {
		return
	}
	_, _ = fmt.Fprintln(text)
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "  judged on\tmet\tGPU-hours")
	missed := 0
	for _, j := range robustness {
		met, hours := fmt.Sprintf("%.2f %%", 100*j.Attainment), "-"
		if !j.Met {
			met += ", too few"
			missed++
		}
		if j.GPUHours > 0 {
			hours = fmt.Sprintf("%.2f", j.GPUHours)
		}
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", j.On, met, hours)
	}
	_ = table.Flush()
	if missed > 0 {
		_, _ = fmt.Fprintf(text, "\nIt misses the objective on %d of these %d: search with a higher ratio in -objective for more margin.\n", missed, len(robustness))
	}
}
