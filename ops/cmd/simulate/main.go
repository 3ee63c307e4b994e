// Command simulate replays a trace against a stack's configuration and shows what it would cost and which share of the requests
// would keep an objective, beside constant numbers of replicas. It needs no cloud, no cluster and no Pulumi state.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"syscall"

	"vllm-autoscaling/ops/prices"
	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/deployment"
	"vllm-autoscaling/ops/trace"
	"vllm-autoscaling/stacks/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

// schema names the form of the document.
const schema = "vllm-autoscaling/simulation/v1"

// document is the output with -json.
type document struct {
	Schema     string              `json:"schema"`
	Stack      string              `json:"stack"`
	Trace      string              `json:"trace"`
	Objective  objective           `json:"objective"`
	Candidates []compare.Candidate `json:"candidates"`
	Verdict    string              `json:"verdict"`
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	c, err := o.config()
	if err != nil {
		return err
	}
	replayed, err := trace.Open(o.trace, o.part)
	if err != nil {
		return err
	}
	settings, err := deployment.Of(c, o.deployment)
	if err != nil {
		return err
	}
	goal := o.objective.orOf(c)
	settings.Objective, settings.Seed, settings.Routing = goal.limits(), o.seed, o.routing
	load := func() iter.Seq[simulate.Arrival] { return arrivals(replayed) }
	candidates, err := compare.Evaluate(ctx, settings, load, gpuPrice(c))
	if err = errors.Join(err, replayed.Err()); err != nil {
		return err
	}
	if best, ok := compare.StaticBest(candidates, goal.Ratio); ok {
		best.Name = compare.NameStaticBest
		candidates = append(candidates, best)
	}
	if o.files.Wanted() {
		if err := compare.Record(ctx, candidates, chosen(candidates, settings), load); err != nil {
			return err
		}
		if err := o.files.Write(reportOf(o, c, settings.Start, replayed, goal, candidates)); err != nil {
			return err
		}
	}
	if o.json {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(document{schema, c.Stack, replayed.String(), goal, candidates, compare.Verdict(candidates, goal.Ratio)})
	}
	_, _ = fmt.Fprintf(stdout, "%s, %s, objective: %s\n\n", c.Stack, replayed, goal)
	return compare.WriteTable(stdout, candidates, goal.Ratio)
}

// config returns the stack's configuration with the assignments of -set.
func (o *options) config() (*config.Config, error) {
	root, err := project.Root()
	if err != nil {
		return nil, err
	}
	source, err := project.StackSource(root, o.stack)
	if err != nil {
		return nil, err
	}
	for _, assignment := range o.set {
		if err := project.Set(&source, assignment); err != nil {
			return nil, fmt.Errorf("-set %w", err)
		}
	}
	return config.Read(source)
}

func arrivals(t *trace.Trace) iter.Seq[simulate.Arrival] {
	return func(yield func(simulate.Arrival) bool) {
		for r := range t.Arrivals() {
			if !yield(simulate.Arrival{At: r.At.Seconds(), Input: r.InputTokens, Output: r.OutputTokens}) {
				return
			}
		}
	}
}

// gpuPrice returns the price of a GPU for one hour as a part of its machine, 0 for unknown.
func gpuPrice(c *config.Config) float64 {
	price, ok := prices.Machine(c.Cloud, c.NodePools.GPU.MachineType)
	if !ok || c.NodePools.GPU.GPUsPerNode == 0 {
		return 0
	}
	return price.USDPerHour / float64(c.NodePools.GPU.GPUsPerNode)
}
