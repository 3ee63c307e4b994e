package preview

import (
	"fmt"
	"strings"

	"vllm-autoscaling/ops/preview/plan"
	"vllm-autoscaling/ops/redact"
	"vllm-autoscaling/ops/rightgpu"
	"vllm-autoscaling/stacks/config"
)

// sourceOf returns the stack's configuration as the preview has it, in which secrets are hidden.
func sourceOf(p *plan.Plan) config.Source {
	hidden := func(key string) bool { return strings.Contains(p.Config[key], redact.Hidden) }
	return config.Source{Project: p.Namespace(), Stack: p.Stack, Values: p.Config, Secret: hidden}
}

// rightGPUTitle is the heading of the machine type that serves a server's requests at a lower price.
const rightGPUTitle = "A cheaper machine type"

// rightGPUHeading returns the heading of a hint.
func rightGPUHeading(h rightgpu.Hint) string {
	if h.Server == "" {
		return rightGPUTitle
	}
	return rightGPUTitle + " for server " + h.Server
}

// rightGPULines returns what the machine type costs, and how it is chosen.
func rightGPULines(h rightgpu.Hint) []string {
	configured := fmt.Sprintf("The configured %s keeps that at no load.", machine(h.Configured))
	if h.Configured.RequestsPerSecond > 0 {
		configured = fmt.Sprintf("The configured %s: about %s.", machine(h.Configured), atFullLoad(h.Configured))
	}
	use := "Use it with"
	if h.OwnPool {
		use = "Give the server a GPU pool of its own with"
	}
	return []string{
		fmt.Sprintf("%s within %s and %s on %s: about %s. %s",
			code(h.Model), h.TTFT, h.InterToken, machine(h.Cheapest), atFullLoad(h.Cheapest), configured),
		fmt.Sprintf("Computed from data sheets for requests of %d tokens in and %d out at full load, with prices on demand; quota and availability "+
			"are not considered. %s: %s", h.InputTokens, h.OutputTokens, use, code(strings.Join(h.Commands, " && "))),
	}
}

func machine(o rightgpu.Offer) string {
	gpu := o.Accelerator
	if o.GPUsPerReplica > 1 {
		gpu += fmt.Sprintf(", %d for each replica", o.GPUsPerReplica)
	}
	return fmt.Sprintf("%s (%s)", code(o.MachineType), gpu)
}

func atFullLoad(o rightgpu.Offer) string {
	return fmt.Sprintf("%s USD per thousand requests, %s requests/s for %s USD/h",
		rightgpu.About(o.USDPerThousand), rightgpu.About(o.RequestsPerSecond), money(o.USDPerHour))
}

func (r *Report) textRightGPU(b *strings.Builder) {
	for _, h := range r.RightGPU {
		fmt.Fprintf(b, "\n%s\n", rightGPUHeading(h))
		for _, line := range rightGPULines(h) {
			fmt.Fprintf(b, "  %s\n", plainCode(line))
		}
	}
}

func (r *Report) writeRightGPU(b *strings.Builder) {
	for _, h := range r.RightGPU {
		fmt.Fprintf(b, "\n### %s\n", rightGPUHeading(h))
		for _, line := range rightGPULines(h) {
			fmt.Fprintf(b, "\n%s\n", line)
		}
	}
}
