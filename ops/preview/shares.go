package preview

import (
	"fmt"
	"strings"

	"vllm-autoscaling/ops/cost"
)

const (
	// sharesTitle is the heading of what each of several servers costs.
	sharesTitle = "GPU nodes by server"
	sharesNote  = "Of each node, a replica counts with the share that it takes. Nodes are whole: what is left over on them is in the total only."
)

// showsShares reports whether there are servers whose costs are shown.
func (r *Report) showsShares() bool { return r.hasCost() && r.Mode != Destroy && len(r.Servers) > 0 }

// shareName returns what a server's replicas take.
func shareName(s cost.Share) string {
	if s.PerNode == 1 {
		return fmt.Sprintf("%s on %s, each a %s", code(s.Server), code(s.Pool), code(s.MachineType))
	}
	return fmt.Sprintf("%s on %s, each 1/%d of a %s", code(s.Server), code(s.Pool), s.PerNode, code(s.MachineType))
}

// shareOf returns what replicas of a server take in an hour.
func shareOf(s cost.Share, replicas int, gpuHours, usd float64) string {
	dollars := money(usd) + " USD"
	switch {
	case s.Unknown:
		dollars = "price unknown"
	case s.Spot:
		dollars = "up to " + dollars
	}
	return fmt.Sprintf("%s: %.4g GPU-h, %s", plural(replicas, "replica", "replicas"), gpuHours, dollars)
}

func fewest(s cost.Share) string { return shareOf(s, s.MinReplicas, s.MinGPUHours, s.Min) }

func most(s cost.Share) string { return shareOf(s, s.MaxReplicas, s.MaxGPUHours, s.Max) }

func (r *Report) textShares(b *strings.Builder) {
	if !r.showsShares() {
		return
	}
	fmt.Fprintf(b, "\n%s, for one hour\n", sharesTitle)
	for _, s := range r.Servers {
		fmt.Fprintf(b, "  %s\n    %s; %s\n", plainCode(shareName(s)), fewest(s), most(s))
	}
	fmt.Fprintf(b, "  %s\n", sharesNote)
}

func (r *Report) writeShares(b *strings.Builder) {
	if !r.showsShares() {
		return
	}
	fmt.Fprintf(b, "\n### %s, for one hour\n\n| | fewest replicas | most replicas |\n|---|---:|---:|\n", sharesTitle)
	for _, s := range r.Servers {
		fmt.Fprintf(b, "| %s | %s | %s |\n", cell(shareName(s)), cell(fewest(s)), cell(most(s)))
	}
	fmt.Fprintf(b, "\n%s\n", sharesNote)
}
