// Command policies compares the program's defaults with its defaults at commit 202218d, with the policies of other projects, the best
// constant number of replicas, the cheapest configuration that a search finds, and an oracle, on several models, machines and loads.
// It needs no cloud, no cluster and no stack.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/policies"
	"vllm-autoscaling/ops/simulate/report"
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
	if ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "policies: interrupted")
		os.Exit(exitInterrupted)
	}
	fmt.Fprintln(os.Stderr, "policies:", err)
	os.Exit(1)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	o.bench.Done = progress(stderr, len(o.bench.Subjects)*len(o.bench.Loads))
	cases, err := o.bench.Run(ctx)
	if err != nil {
		return err
	}
	d, err := policies.NewDocument(&o.bench, cases)
	if err != nil {
		return err
	}
	if o.png != "" {
		picture, err := d.PNG()
		if err != nil {
			return err
		}
		if err := report.WriteFile(o.png, picture); err != nil {
			return fmt.Errorf("-png: %w", err)
		}
	}
	if o.json {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(d)
	}
	return d.Text(stdout, o.all)
}

// progress returns a function that writes a line for each case. It is safe for concurrent use.
func progress(to io.Writer, cases int) func(policies.Case) {
	var lock sync.Mutex
	started, finished := time.Now(), 0
	return func(c policies.Case) {
		lock.Lock()
		defer lock.Unlock()
		finished++
		gone := time.Since(started)
		left := gone / time.Duration(finished) * time.Duration(cases-finished)
		of, _ := compare.Find(c.Candidates, compare.NameConfigured)
		_, _ = fmt.Fprintf(to, "%d of %d after %s, about %s left: %s, %s: %.2f %% for %.2f times the GPU-hours\n",
			finished, cases, gone.Round(time.Second), left.Round(time.Second), c.Subject, c.Load, 100*of.Attainment, c.Ratio(&of))
	}
}
