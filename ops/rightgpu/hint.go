package rightgpu

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"vllm-autoscaling/ops/cost"
	"vllm-autoscaling/stacks/config"
)

// saving is the least share of the price of a thousand requests that a hint saves. Less is within the error of the computed speeds.
const saving = 0.2

// Hint is a machine type that serves a server's requests at a lower price than the configured one.
type Hint struct {
	// Server is the name of the server in a stack with the key servers; "" in any other.
	Server string `json:"server,omitempty"`
	// OwnPool reports whether the commands take the server off a GPU pool that it shares, and give it one of its own.
	OwnPool bool   `json:"ownPool,omitempty"`
	Model   string `json:"model"`
	// TTFT and InterToken are the limits that Ratio of the requests keep.
	TTFT       string  `json:"ttft"`
	InterToken string  `json:"interToken"`
	Ratio      float64 `json:"ratio"`
	// InputTokens and OutputTokens are the size of a request.
	InputTokens  int `json:"inputTokens"`
	OutputTokens int `json:"outputTokens"`
	// Configured is the stack's own machine type, Cheapest the other one.
	Configured Offer `json:"configured"`
	Cheapest   Offer `json:"cheapest"`
	// Commands set the keys of the other one.
	Commands []string `json:"commands"`
}

// Find returns the cheapest machine type of a stack's cloud for each server, in the order of their names, if it saves a fifth or more of
// the price of a thousand requests. A server is left out where none does, the price or the speed of the configured one is not known, or
// the stack's cluster was there before.
func Find(source config.Source, overrides cost.Overrides) []Hint {
	var all []Hint
	for _, c := range newComparisons(source, overrides) {
		if hint := c.find(); hint != nil {
			all = append(all, *hint)
		}
	}
	return all
}

// find returns the hint for a server, nil without one.
func (c *comparison) find() *Hint {
	configured, known := c.offer(nil, math.Inf(1))
	if !known {
		return nil
	}
	limit := math.Inf(1)
	if configured.RequestsPerSecond > 0 {
		limit = (1 - saving) * configured.USDPerThousand
	}
	// A node that costs more than the whole configured pool is not what serves its load at a lower price.
	most := float64(c.configured.NodePools.GPU.MaxNodes) * configured.USDPerHour
	all := slices.DeleteFunc(c.offers(limit), func(o Offer) bool { return o.USDPerHour > most })
	if len(all) == 0 {
		return nil
	}
	own, cheapest := c.configured, choose(all)
	hint := &Hint{
		OwnPool: own.SharesPool(),
		Model:   own.Model.ID, TTFT: own.SLO.TTFT.String(), InterToken: own.SLO.InterToken.String(), Ratio: own.SLO.Ratio,
		InputTokens: c.request.input, OutputTokens: c.request.output, Configured: configured, Cheapest: cheapest, Commands: c.commands(cheapest),
	}
	if own.OneOfSeveral() {
		hint.Server = own.Server
	}
	return hint
}

// commands returns the commands of the Pulumi CLI that turn the stack's configuration into one for an offer, as few as are needed.
func (c *comparison) commands(o Offer) []string {
	needed := c.assignments(o.MachineType, o.GPUsPerReplica)
	for _, assignment := range slices.Clone(needed) {
		rest := slices.DeleteFunc(slices.Clone(needed), func(other string) bool { return other == assignment })
		if same, ok := c.offer(rest, math.Inf(1)); ok && same == o {
			needed = rest
		}
	}
	var commands []string
	for _, assignment := range needed {
		key, value, _ := strings.Cut(assignment, "=")
		path := fmt.Sprintf("--path --stack %s %s:%s", c.source.Stack, c.source.Project, c.place(key))
		if value == "" {
			commands = append(commands, "pulumi config rm "+path)
			continue
		}
		commands = append(commands, fmt.Sprintf("pulumi config set %s %s", path, value))
	}
	return commands
}

// About formats a number in two digits, or as a whole number from 10 on: what is computed from data sheets is not more precise.
func About(n float64) string {
	if n >= 9.95 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%#.2g", n)
}
