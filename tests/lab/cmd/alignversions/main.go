// Command alignversions raises the modules that the project's go.mod files have in common to one version.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"vllm-autoscaling/tests/lab/tools"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := tools.AlignVersions(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
