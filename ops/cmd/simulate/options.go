package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

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
	part         trace.Options
	set          []string
	objective    objective
	deployment   deployment.Options
	routing      simulate.Routing
	seed         uint64
	search       bool
	candidates   int
	presets      bool
	json         bool
	files        report.Files
}

// routings are the values of -routing.
var routings = map[string]simulate.Routing{"random": simulate.Random, "round-robin": simulate.RoundRobin, "least": simulate.LeastInFlight}

func parse(args []string, output io.Writer) (*options, error) {
	o := &options{deployment: deployment.Defaults()}
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&o.stack, "stack", "", "the stack whose configuration is simulated")
	flags.StringVar(&o.trace, "trace", "", "the trace to replay, or a synthetic load such as poisson:rate=4; see docs/load.md")
	o.part.Register(flags)
	flags.Func("set", "KEY=VALUE to simulate instead of the stack's own, such as model.maxNumSeqs=64; repeatable", func(text string) error {
		o.set = append(o.set, text)
		return nil
	})
	flags.Func("objective", "what requests should keep, such as ttft=2s,itl=100ms,ratio=0.99 (default: the stack's slo keys)", o.objective.parse)
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

// objective is what a share of the requests has to keep; 0 stands for what is not limited.
type objective struct {
	// TTFT and ITL limit the time to the first token and the mean time between tokens, in seconds.
	TTFT float64 `json:"ttft"`
	ITL  float64 `json:"itl,omitempty"`
	// Ratio is the share of the requests.
	Ratio float64 `json:"ratio"`
}

func (o *objective) parse(text string) error {
	for _, part := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		var err error
		switch name {
		case "ttft":
			o.TTFT, err = positiveSeconds(value)
		case "itl":
			o.ITL, err = positiveSeconds(value)
		case "ratio":
			o.Ratio, err = strconv.ParseFloat(value, 64)
			if err == nil && (o.Ratio <= 0 || o.Ratio > 1) {
				err = fmt.Errorf("%q is not a share above 0 and up to 1", value)
			}
		default:
			err = fmt.Errorf("%q is not ttft, itl or ratio", name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

func positiveSeconds(text string) (float64, error) {
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is not above 0", text)
	}
	return d.Seconds(), err
}

// orOf returns the objective with each part that is not given taken from the stack's slo keys.
func (o objective) orOf(c *config.Config) objective {
	return objective{
		TTFT:  cmp.Or(o.TTFT, c.SLO.TTFT.Seconds()),
		ITL:   cmp.Or(o.ITL, c.SLO.InterToken.Seconds()),
		Ratio: cmp.Or(o.Ratio, c.SLO.Ratio),
	}
}

func (o objective) limits() simulate.Objective {
	return simulate.Objective{FirstToken: o.TTFT, InterToken: o.ITL}
}

func (o objective) String() string {
	var parts []string
	if o.TTFT > 0 {
		parts = append(parts, "the first token within "+compare.Duration(o.TTFT))
	}
	if o.ITL > 0 {
		parts = append(parts, compare.Duration(o.ITL)+" between tokens")
	}
	return fmt.Sprintf("%s for %.4g %% of the requests", strings.Join(parts, " and "), 100*o.Ratio)
}

// flag returns the objective as -objective is given, in whole milliseconds and no less.
func (o objective) flag() string {
	var parts []string
	if o.TTFT > 0 {
		parts = append(parts, fmt.Sprintf("ttft=%gms", math.Ceil(1000*o.TTFT)))
	}
	if o.ITL > 0 {
		parts = append(parts, fmt.Sprintf("itl=%gms", math.Ceil(1000*o.ITL)))
	}
	return strings.Join(append(parts, fmt.Sprintf("ratio=%g", o.Ratio)), ",")
}
