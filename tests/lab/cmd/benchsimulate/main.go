// Command benchsimulate compares simulations with the lab: it applies loads to a stack on the lab, replays the same loads in
// memory with the same configuration, and prints a table of what differs. It takes the time of the loads and a few minutes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"vllm-autoscaling/tests/lab/agreement"
)

func main() {
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench-simulate: failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	loads, err := o.plan()
	if err != nil {
		return err
	}
	comparisons, err := compare(ctx, o, loads)
	if err != nil {
		return err
	}
	if err := agreement.WriteTable(os.Stdout, comparisons); err != nil {
		return err
	}
	var problems []string
	for _, c := range comparisons {
		problems = append(problems, c.Problems()...)
	}
	if len(problems) == 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "beyond the bounds:\n  %s\n", strings.Join(problems, "\n  "))
	if o.check {
		return fmt.Errorf("%d differences beyond the bounds", len(problems))
	}
	return nil
}

// save writes a comparison to the folder of the raw results.
func save(folder string, index int, c *agreement.Comparison) error {
	content, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.json", index)), content, 0o644)
}
