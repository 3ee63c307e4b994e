// Command verify checks the path of a deployed stack from the API server to the HPA and reports the stage at which it
// fails. Exit status: 0 every stage passed, 1 a stage failed, 2 it could not run.
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
	"syscall"
	"time"

	"golang.org/x/term"
	"k8s.io/klog/v2"

	"vllm-autoscaling/ops/verify"
)

// The exit statuses.
const (
	exitPassed = 0
	exitFailed = 1
	exitNotRun = 2
)

// pause is the time between two runs of --wait.
const pause = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type options struct {
	stack, outputs, project string
	// server is the name of one of several servers; "" for all of them.
	server        string
	json          bool
	timeout, wait time.Duration
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.stack, "stack", "", "the Pulumi stack; its outputs are read with `pulumi`, which must be on the PATH")
	flags.StringVar(&o.outputs, "outputs", "", "a `file` with the output of `pulumi stack output --json --show-secrets`, instead of calling pulumi; - is stdin")
	flags.StringVar(&o.project, "project", ".", "the `folder` of Pulumi.yaml")
	flags.StringVar(&o.server, "server", "", "the server to verify, in a stack of several; default: all, one after the other")
	flags.BoolVar(&o.json, "json", false, "write the report as JSON")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "limit for one run over all stages")
	flags.DurationVar(&o.wait, "wait", 0, "repeat until all stages pass, for this long at most")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	case o.stack == "" && o.outputs == "":
		return nil, errors.New("no stack: set --stack NAME (make verify STACK=NAME), or --outputs FILE")
	case o.timeout <= 0:
		return nil, fmt.Errorf("--timeout %s: must be above 0", o.timeout)
	case o.wait < 0:
		return nil, fmt.Errorf("--wait %s: must be 0 or more", o.wait)
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	// client-go and its port-forward log errors that the report states better.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitPassed
	}
	if err != nil {
		fmt.Fprintln(stderr, "verify:", err)
		return exitNotRun
	}
	reports, err := o.verify(ctx, stderr)
	if err != nil && ctx.Err() != nil { // replaces what a killed CLI or a broken connection reports
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(stderr, "verify:", err)
		return exitNotRun
	}
	if err := o.write(reports, stdout); err != nil {
		fmt.Fprintln(stderr, "verify:", err)
		return exitNotRun
	}
	if !reports.Passed {
		return exitFailed
	}
	return exitPassed
}

// verify checks the servers one after the other. All have the same deadline.
func (o *options) verify(ctx context.Context, progress io.Writer) (*verify.Reports, error) {
	text, err := o.read(ctx)
	if err != nil {
		return nil, err
	}
	servers, err := o.servers(text)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(o.wait)
	var reports []*verify.Report
	for _, access := range servers {
		report, err := o.verifyServer(ctx, access, deadline, progress)
		if err != nil {
			return nil, err
		}
		reports = append(reports, report)
	}
	return verify.NewReports(o.stack, reports), nil
}

// servers returns the named server of the stack, or all of them.
func (o *options) servers(text []byte) ([]*verify.Access, error) {
	if o.server == "" {
		return verify.ParseServers(text, o.project)
	}
	access, err := verify.ParseOutputs(text, o.project, o.server)
	return []*verify.Access{access}, err
}

// verifyServer repeats the check of a server until all stages pass or the deadline is reached.
func (o *options) verifyServer(ctx context.Context, access *verify.Access, deadline time.Time, progress io.Writer) (*verify.Report, error) {
	waiting, said := "waiting at", ""
	if access.Server != "" {
		waiting = "server " + access.Server + ": " + waiting
	}
	for {
		report, err := verify.Run(ctx, verify.Options{
			Stack: o.stack, Server: access.Server, Pipeline: access.Pipeline, Config: access.Config, Kubectl: access.Kubectl, Timeout: o.timeout,
		})
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if report.Passed || !time.Now().Add(pause).Before(deadline) {
			return report, nil
		}
		for _, stage := range report.Stages {
			if line := fmt.Sprintf("%s %s: %s", waiting, stage.Stage, stage.Measured); stage.Status == verify.Failed && line != said {
				fmt.Fprintln(progress, line)
				said = line
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (o *options) read(ctx context.Context) ([]byte, error) {
	switch o.outputs {
	case "":
		return verify.StackOutputs(ctx, o.project, o.stack)
	case "-":
		return io.ReadAll(os.Stdin)
	default:
		return os.ReadFile(o.outputs)
	}
}

// printed is what is known at the end: the report of the only server, or those of all.
type printed interface {
	Text(to io.Writer, colour bool) error
}

func (o *options) write(reports *verify.Reports, to io.Writer) error {
	var what printed = reports
	if len(reports.Servers) == 1 {
		what = reports.Servers[0]
	}
	if o.json {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		return encoder.Encode(what)
	}
	file, ok := to.(*os.File)
	colour := ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(file.Fd()))
	return what.Text(to, colour)
}
