package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/deployment"
	"vllm-autoscaling/ops/simulate/report"
	"vllm-autoscaling/ops/trace"
	"vllm-autoscaling/stacks/config"
)

// options are the flags.
type options struct {
	stack, trace string
	// server is the name of one of several servers.
	server     string
	part       trace.Options
	set        []string
	objective  compare.Objective
	deployment deployment.Options
	routing    simulate.Routing
	seed       uint64
	search     bool
	candidates int
	presets    bool
	json       bool
	files      report.Files
}

// routings are the values of -routing.
var routings = map[string]simulate.Routing{"random": simulate.Random, "round-robin": simulate.RoundRobin, "least": simulate.LeastInFlight}

func parse(args []string, output io.Writer) (*options, error) {
	o := &options{deployment: deployment.Defaults()}
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&o.stack, "stack", "", "the stack whose configuration is simulated")
	flags.StringVar(&o.server, "server", "", "the server that is simulated, in a stack of several")
	flags.StringVar(&o.trace, "trace", "", "the trace to replay, or a synthetic load such as poisson:rate=4; see docs/load.md")
	o.part.Register(flags)
	flags.Func("set", "KEY=VALUE to simulate instead of the stack's own, such as model.maxNumSeqs=64; repeatable", func(text string) error {
		o.set = append(o.set, text)
		return nil
	})
	flags.Func("objective", "what requests should keep, such as ttft=2s,itl=100ms,ratio=0.99 (default: the stack's slo keys)", o.objective.Parse)
	o.deployment.Register(flags)
	flags.Func("routing", "how requests reach replicas: random, as by a Service, round-robin or least (default random)", func(text string) error {
		routing, ok := routings[text]
		if !ok {
			return fmt.Errorf("%q is not random, round-robin or least", text)
		}
		o.routing = routing
		return nil
	})
	flags.Uint64Var(&o.seed, "seed", 1, "draws what is random")
	flags.BoolVar(&o.search, "search", true, "look for the cheapest configuration that keeps the objective")
	flags.BoolVar(&o.presets, "presets", true, "compare with the scaling policies that other projects publish")
	flags.IntVar(&o.candidates, "candidates", 200, "how many configurations the search runs")
	flags.BoolVar(&o.json, "json", false, "print one JSON document")
	o.files.Register(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.stack == "":
		return nil, fmt.Errorf("say which stack: make simulate STACK=gke TRACE=trace.csv")
	case o.trace == "":
		return nil, fmt.Errorf("say which trace: make simulate STACK=%s TRACE=trace.csv", o.stack)
	}
	if o.candidates < 1 {
		return nil, fmt.Errorf("-candidates %d: want a number from 1 on; -search=false leaves the search out", o.candidates)
	}
	o.part.Seed = o.seed
	return o, errors.Join(o.deployment.Check(), o.files.Check())
}

// objectiveOf returns the objective of the stack's slo keys.
func objectiveOf(c *config.Config) compare.Objective {
	return compare.Objective{TTFT: c.SLO.TTFT.Seconds(), ITL: c.SLO.InterToken.Seconds(), Ratio: c.SLO.Ratio}
}
