// Command stagemodel fills the bucket or the claim of a server with its model from the Hugging Face hub, by a Job in the cluster that it
// follows. Exit status: 0 the folder is complete, 1 it is not, 2 wrong arguments or nothing to fill, 130 after Ctrl-C, while the Job goes on.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/ops/stagemodel"
	"vllm-autoscaling/ops/verify"
	"vllm-autoscaling/stacks/config"
)

// The exit statuses.
const (
	exitComplete    = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // A second signal ends the command at once.
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

type options struct {
	stack, server, project string
	again                  bool
	timeout                time.Duration
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("stagemodel", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.stack, "stack", "", "the deployed stack")
	flags.StringVar(&o.server, "server", "", "the server whose bucket or claim is filled, in a stack of several")
	flags.StringVar(&o.project, "project", "", "the `folder` of Pulumi.yaml; default: the nearest, from the working folder upwards")
	flags.BoolVar(&o.again, "again", false, "compare every file of a complete folder by its content, and copy what differs or is new")
	flags.DurationVar(&o.timeout, "timeout", 6*time.Hour, "limit for the Job, which goes on without this command")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	case o.stack == "":
		return nil, errors.New("no stack: set -stack NAME (make stage-model STACK=NAME)")
	case o.timeout < time.Minute:
		return nil, fmt.Errorf("-timeout %s: must be 1m or more", o.timeout)
	}
	if o.project != "" {
		return o, nil
	}
	var err error
	o.project, err = project.Root()
	return o, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	// client-go logs errors that are reported here.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitComplete
	}
	var target stagemodel.Target
	if err == nil {
		target, err = o.target()
	}
	if err != nil {
		fmt.Fprintln(stderr, "stage-model:", err)
		return exitUsage
	}
	err = o.stage(ctx, target, stdout)
	switch {
	case err == nil:
		return exitComplete
	case errors.Is(err, stagemodel.ErrInterrupted) || ctx.Err() != nil:
		fmt.Fprintln(stderr, "stage-model: interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(stderr, "stage-model:", err)
	return exitFailed
}

// target reads what is to be filled from the stack's file.
func (o *options) target() (stagemodel.Target, error) {
	source, err := project.StackSource(o.project, o.stack)
	if err != nil {
		return stagemodel.Target{}, err
	}
	whole, err := config.Read(source)
	if err != nil {
		return stagemodel.Target{}, err
	}
	server, err := project.Server(whole, o.server)
	if err != nil {
		return stagemodel.Target{}, fmt.Errorf("stack %s: %w", o.stack, err)
	}
	target, err := stagemodel.TargetOf(server)
	if err != nil {
		return stagemodel.Target{}, fmt.Errorf("stack %s: %w", o.stack, err)
	}
	return target, nil
}

// stage fills the target in the stack's cluster.
func (o *options) stage(ctx context.Context, target stagemodel.Target, stdout io.Writer) error {
	text, err := verify.StackOutputs(ctx, o.project, o.stack)
	if err != nil {
		return err
	}
	access, err := verify.ParseOutputs(text, o.project, o.server)
	if err != nil {
		return fmt.Errorf("stack %s: %w", o.stack, err)
	}
	client, err := kubernetes.NewForConfig(access.Config)
	if err != nil {
		return fmt.Errorf("cluster of stack %s: %w", o.stack, err)
	}
	return stagemodel.Options{
		Client: client, Target: target, Again: o.again, Timeout: o.timeout, HTTP: http.DefaultClient,
		Print:   func(format string, args ...any) { fmt.Fprintf(stdout, format+"\n", args...) },
		Kubectl: cmp.Or(access.Kubectl, "kubectl"), Command: o.command(),
	}.Run(ctx)
}

// command returns the command that follows the Job again.
func (o *options) command() string {
	command := "make stage-model STACK=" + o.stack
	if o.server != "" {
		command += " SERVER=" + o.server
	}
	return command
}
