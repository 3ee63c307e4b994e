// Command simulate replays a load against a stack's configuration and shows what it would cost and which share of the requests
// would keep an objective, beside constant numbers of replicas, and the cheapest configuration that keeps it. It needs no cloud,
// no cluster and no Pulumi state.
//
// It ends with 1 for an error, which includes an objective that no configuration keeps, and with 130 after Ctrl-C, when it has
// shown what was known by then.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"vllm-autoscaling/ops/prices"
	"vllm-autoscaling/stacks/config"
)

// exitInterrupted is what a shell reports for a command that SIGINT has ended.
const exitInterrupted = 130

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // A second signal ends the command at once.
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "simulate:", err)
	if errors.Is(err, errInterrupted) {
		os.Exit(exitInterrupted)
	}
	os.Exit(1)
}

// errInterrupted is returned after what is known has been shown.
var errInterrupted = errors.New("interrupted")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	return show(ctx, o, stdout, newProgress(stderr))
}

// show evaluates the options and writes the result.
func show(ctx context.Context, o *options, stdout io.Writer, progress *progress) error {
	e, err := newEvaluation(o, progress)
	if err != nil {
		return err
	}
	found, err := e.evaluate(ctx)
	e.progress.end()
	if err == nil {
		err = e.traffic.err()
	}
	if err != nil && (ctx.Err() == nil || len(found.Candidates) == 0) {
		return interrupted(ctx, err)
	}
	if err := found.write(stdout, o.json); err != nil {
		return err
	}
	if !found.Interrupted {
		err = e.writeReport(ctx, &found)
	}
	return interrupted(ctx, err)
}

// interrupted returns errInterrupted where a signal has ended the context, or else the error.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// gpuPrice returns the price of a GPU for one hour as a part of its machine, 0 for unknown.
func gpuPrice(c *config.Config) float64 {
	price, ok := prices.Machine(c.Cloud, c.NodePools.GPU.MachineType)
	if !ok || c.NodePools.GPU.GPUsPerNode == 0 {
		return 0
	}
	return price.USDPerHour / float64(c.NodePools.GPU.GPUsPerNode)
}
