// Command destroy destroys a stack, and names what keeps Kubernetes from deleting its namespaces. Exit status: 0 destroyed, 1 not
// destroyed, 2 wrong arguments.
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

	"k8s.io/klog/v2"

	"vllm-autoscaling/ops/destroy"
)

// The exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// client-go logs errors that are reported here.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	o := destroy.Options{Stdin: stdin, Stdout: stdout, Stderr: stderr}
	flags := flag.NewFlagSet("destroy", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.Stack, "stack", "", "the Pulumi stack")
	flags.StringVar(&o.ProjectDir, "project", ".", "the `folder` of Pulumi.yaml")
	flags.BoolVar(&o.Yes, "yes", false, "destroy without asking")
	look := flags.Bool("look", false, "only name what would keep namespaces from being deleted; nothing is changed")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unknown argument %q", flags.Arg(0))
	case o.Stack == "":
		err = errors.New("no stack: set --stack NAME (make destroy STACK=NAME)")
	}
	if err != nil {
		fmt.Fprintln(stderr, "destroy:", err)
		return exitUsage
	}
	if *look {
		o.Look(ctx)
		return exitDone
	}
	if err := o.Run(ctx); err != nil {
		fmt.Fprintln(stderr, "destroy:", err)
		return exitFailed
	}
	return exitDone
}
