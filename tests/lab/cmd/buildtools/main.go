// Command buildtools builds the lab's programs that are missing from the user's cache.
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
	_, err := tools.Build(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
