// Command demo shows the whole pipeline on a cluster of its own: it builds the
// lab's tools, starts a control plane, runs the literal `pulumi up`, applies
// load with real HTTP requests, shows the HPA scaling up and down on real
// metrics, destroys everything and checks that nothing is left.
//
// Its last line is `demo: ok: ...` with exit code 0, `demo: failed: <cause>`
// with 1, or `demo: interrupted: ...` with 130.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/tests/lab"
)

// options holds the command-line options.
type options struct {
	stack  string
	keep   bool
	fast   bool
	report string // folder
	root   string // the Pulumi project's folder
	load   int    // requests in flight during the step
}

const (
	exitFailed      = 1
	exitInterrupted = 130 // what a shell reports for a command that Ctrl-C ended
)

// errInterrupted is the cancellation cause of a context that a signal canceled.
type errInterrupted struct{ by string }

func (e errInterrupted) Error() string { return "interrupted by " + e.by }

func main() {
	os.Exit(realMain(os.Args[1:], os.Stdout))
}

func realMain(args []string, stdout io.Writer) int {
	// client-go logs every connection that ends while a port-forward writes to it, as canceled requests do.
	klog.SetLogger(logr.Discard())
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)

	// Without this, `make demo | head` would end the demo by SIGPIPE in the
	// middle of a write and leave its processes behind.
	signal.Ignore(syscall.SIGPIPE)
	out := newScreen(stdout, func(err error) { cancel(errInterrupted{by: fmt.Sprintf("its output: %v", err)}) })

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	go func() {
		for received := range signals {
			if ctx.Err() == nil {
				out.say("%v: ending everything", received)
				cancel(errInterrupted{by: received.String()})
			} else {
				out.say("still ending everything, a moment please")
			}
		}
	}()

	options, err := parse(args, os.Getenv, out)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var ok string
	if err == nil {
		ok, err = run(ctx, options, out)
	}
	line, code := verdict(ok, err, context.Cause(ctx))
	out.last(line)
	return code
}

// verdict returns the last line and the exit code.
func verdict(ok string, err, cause error) (string, int) {
	var interrupted errInterrupted
	if errors.As(cause, &interrupted) {
		var leaving *cleanupError
		if errors.As(err, &leaving) {
			return "demo: failed: " + oneLine(leaving), exitFailed
		}
		return "demo: " + interrupted.Error() + ": every process ended, the lab's folder removed", exitInterrupted
	}
	if err != nil {
		return "demo: failed: " + oneLine(err), exitFailed
	}
	return "demo: ok: " + ok, 0
}

// cleanupError reports that something was not removed.
type cleanupError struct{ err error }

func (e *cleanupError) Error() string { return "clean up: " + e.err.Error() }
func (e *cleanupError) Unwrap() error { return e.err }

// oneLine returns the error's text as one line. Of a failed command, whose output is on the screen, that is the first
// error.
func oneLine(err error) string {
	text := err.Error()
	var command *lab.CommandError
	if errors.As(err, &command) {
		for line := range strings.Lines(command.Output) {
			if _, after, found := strings.Cut(line, "error: "); found {
				text = strings.Replace(text, command.Error(), fmt.Sprintf("exit status %d: %s", command.Code, after), 1)
				break
			}
		}
	}
	return strings.Join(strings.Fields(text), " ")
}

// localStack deploys to the lab's own nodes; every other stack to a cloud that the lab simulates.
const localStack = "local"

// demoStacks lists the stacks that the project ships.
var demoStacks = []string{localStack, "gke", "eks", "aks"}

func parse(args []string, env func(string) string, out *screen) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(out)
	stack := env("STACK")
	if stack == "" {
		stack = localStack
	}
	flags.StringVar(&o.stack, "stack", stack, "stack to deploy: "+strings.Join(demoStacks, ", ")+"; all but local run on a simulated cloud")
	flags.BoolVar(&o.keep, "keep", env("KEEP") != "" && env("KEEP") != "0", "leave the deployment running until Ctrl-C and print how to use it")
	flags.BoolVar(&o.fast, "fast", env("FAST") != "0", "shorten the windows of scaling; -fast=false keeps the program's defaults and takes about 25 minutes")
	flags.StringVar(&o.report, "report", "", "folder of the report; default demo-report in the project's folder")
	flags.IntVar(&o.load, "load", inFlight, "chat completions kept in flight during the step of load")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("argument %q not understood; see -help", flags.Arg(0))
	}
	if !slices.Contains(demoStacks, o.stack) {
		return o, fmt.Errorf("stack %q not supported by the demo (one of: %s)", o.stack, strings.Join(demoStacks, ", "))
	}
	if o.load < 1 {
		return o, fmt.Errorf("-load %d is no load; give at least 1", o.load)
	}
	var err error
	if o.root, err = project.Root(); err != nil {
		return o, err
	}
	if o.report == "" {
		o.report = filepath.Join(o.root, "demo-report")
	}
	return o, nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }
