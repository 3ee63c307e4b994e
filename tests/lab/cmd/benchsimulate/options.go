package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/tests/lab/agreement"
)

// options are the flags.
type options struct {
	root   string
	server agreement.Server
	shapes []string
	traces []string
	// length and traceLength are how long a load lasts.
	length, traceLength time.Duration
	rate                float64
	maxReplicas         int
	nodeDelay, podDelay time.Duration
	objective           time.Duration
	seed                uint64
	seeds               int
	check, verbose      bool
	raw                 string
}

func parse(args []string, output io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench-simulate", flag.ContinueOnError)
	flags.SetOutput(output)
	shapes := flags.String("loads", strings.Join(agreement.Shapes(), ","), "loads beside the traces, separated by commas; \"\" for none")
	flags.Func("trace", "a trace whose beginning is replayed, as FILE or FILE@SPEED; repeatable", func(file string) error {
		o.traces = append(o.traces, file)
		return nil
	})
	flags.DurationVar(&o.length, "length", 8*time.Minute, "how long each load lasts that is not a trace")
	flags.DurationVar(&o.traceLength, "trace-length", 20*time.Minute, "how long each trace is replayed")
	flags.Float64Var(&o.rate, "rate", 5, "highest rate of the loads that are not traces, in requests per second")
	flags.IntVar(&o.server.MaxNumSeqs, "max-num-seqs", 16, "how many requests a server runs at once")
	flags.DurationVar(&o.server.InterToken, "inter-token", 80*time.Millisecond, "time between two tokens of a request that runs alone")
	flags.Float64Var(&o.server.FactorUnderLoad, "factor-under-load", 2, "by how much longer that time is when a server is full")
	flags.IntVar(&o.maxReplicas, "max-replicas", 6, "the autoscaler's maximum")
	flags.DurationVar(&o.nodeDelay, "node-delay", 20*time.Second, "how long a simulated machine takes to join")
	flags.DurationVar(&o.podDelay, "pod-delay", 20*time.Second, "how long a server takes until it listens")
	flags.DurationVar(&o.objective, "objective", time.Second, "the objective for the time to the first token")
	flags.Uint64Var(&o.seed, "seed", 1, "draws the loads and the routing")
	flags.IntVar(&o.seeds, "seeds", 20, "the number of simulations with other seeds")
	flags.BoolVar(&o.check, "check", false, "fail when a difference is beyond the bounds")
	flags.BoolVar(&o.verbose, "verbose", false, "print the lab's log and the output of pulumi")
	flags.StringVar(&o.raw, "raw", "", "a folder for the raw results; \"\" for none")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *shapes != "" {
		o.shapes = strings.Split(*shapes, ",")
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.seeds < 1:
		err = fmt.Errorf("-seeds %d: at least 1", o.seeds)
	case o.maxReplicas < 1:
		err = fmt.Errorf("-max-replicas %d: at least 1", o.maxReplicas)
	case o.length <= 0 || o.traceLength <= 0 || o.objective <= 0:
		err = fmt.Errorf("-length, -trace-length and -objective are above 0")
	case o.nodeDelay <= 0 || o.podDelay <= 0:
		err = fmt.Errorf("-node-delay and -pod-delay are above 0")
	default:
		err = o.server.Check()
	}
	if err != nil {
		return nil, err
	}
	o.root, err = project.Root()
	return o, err
}

// plan returns the loads.
func (o *options) plan() ([]*agreement.Load, error) {
	var loads []*agreement.Load
	for _, shape := range o.shapes {
		l, err := agreement.Shaped(shape, o.rate, o.length, o.seed)
		if err != nil {
			return nil, err
		}
		loads = append(loads, l)
	}
	for _, file := range o.traces {
		l, err := agreement.Traced(file, o.traceLength)
		if err != nil {
			return nil, err
		}
		loads = append(loads, l)
	}
	if len(loads) == 0 {
		return nil, fmt.Errorf("no load: give -loads or -trace")
	}
	return loads, nil
}
