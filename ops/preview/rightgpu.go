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

// rightGPUTitle is the heading of the machine type that serves the stack's requests at a lower price.
const rightGPUTitle = "A cheaper machine type"

// rightGPULines returns what the machine type costs, and how it is chosen.
func (r *Report) rightGPULines() []string {
	h := r.RightGPU
	configured := fmt.Sprintf("The configured %s keeps that at no load.", machine(h.Configured))
	if h.Configured.RequestsPerSecond > 0 {
		configured = fmt.Sprintf("The configured %s: about %s.", machine(h.Configured), atFullLoad(h.Configured))
	}
	return []string{
		fmt.Sprintf("%s within %s and %s on %s: about %s. %s",
			code(h.Model), h.TTFT, h.InterToken, machine(h.Cheapest), atFullLoad(h.Cheapest), configured),
		fmt.Sprintf("Computed from data sheets for requests of %d tokens in and %d out at full load, with prices on demand; quota and availability "+
			"are not considered. Use it with: %s", h.InputTokens, h.OutputTokens, code(strings.Join(h.Commands, " && "))),
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
	if r.RightGPU == nil {
		return
	}
	fmt.Fprintf(b, "\n%s\n", rightGPUTitle)
	for _, line := range r.rightGPULines() {
		fmt.Fprintf(b, "  %s\n", plainCode(line))
	}
}

func (r *Report) writeRightGPU(b *strings.Builder) {
	if r.RightGPU == nil {
		return
	}
	fmt.Fprintf(b, "\n### %s\n", rightGPUTitle)
	for _, line := range r.rightGPULines() {
		fmt.Fprintf(b, "\n%s\n", line)
	}
}
