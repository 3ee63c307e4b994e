// Command preview prints what a change of a stack would do: first what is lost, then policy, cost and every change. It
// runs `pulumi preview`, or reads a recorded one.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vllm-autoscaling/ops/cost"
	"vllm-autoscaling/ops/preflight"
	"vllm-autoscaling/ops/preview"
	"vllm-autoscaling/ops/preview/plan"
)

// Exit statuses.
const (
	exitFailed  = 1 // The preview failed, or could not be read or written.
	exitUsage   = 2
	exitPolicy  = 3 // A mandatory rule is broken, with -fail-on policy.
	exitChanges = 4 // Something would change, with -fail-on changes.
	exitAccount = 5 // A check of the cloud's account failed, with -fail-on preflight.
)

const usage = `usage: preview --stack NAME [flags] [-- arguments of pulumi]

Prints what a change of the stack would do, from ` + "`pulumi preview --json`" + `. Nothing is changed.

Exit status: 0; 1 the preview failed; 2 wrong usage; 3 a mandatory rule of the policy is broken, with
--fail-on policy; 4 something would change, with --fail-on changes; 5 a check of the cloud's account failed,
with --fail-on preflight.

`

// options are the parsed flags.
type options struct {
	stack, project, jsonFile, diffFile, out, format string
	mode, failOn                                    string
	// planOut is a file for the report without the preflight.
	planOut string
	// withoutSecrets leaves out of a drift check what only the permission to read Secrets can read.
	withoutSecrets bool
	limit          int
	prices         cost.Overrides
	pulumi         []string

	preflight string
	runner    preflight.Runner
}

// Values of --preflight.
const (
	preflightOn   = "on"
	preflightOff  = "off"
	preflightOnly = "only"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "preview:", err)
		return exitUsage
	}
	report, err := o.read(ctx, stdin, stderr)
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(stderr, "preview:", err)
		return exitFailed
	}
	text, err := o.render(report)
	if err == nil {
		err = o.write(text, stdout)
	}
	if err == nil && o.planOut != "" {
		err = o.writePlan(report)
	}
	if err != nil {
		fmt.Fprintln(stderr, "preview:", err)
		return exitFailed
	}
	return o.status(report, stderr)
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{prices: cost.Overrides{}, runner: preflight.Exec{}}
	flags := flag.NewFlagSet("preview", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.stack, "stack", "", "name of the stack (required)")
	flags.StringVar(&o.project, "project", ".", "folder of Pulumi.yaml")
	flags.StringVar(&o.jsonFile, "json-file", "", "read what `pulumi preview --json --show-sames` printed from this file, - for standard input, and run nothing")
	flags.StringVar(&o.diffFile, "diff-file", "", "output of `pulumi preview --diff` to add at the end")
	flags.StringVar(&o.out, "out", "", "write to this file instead of standard output")
	flags.StringVar(&o.format, "format", "text", "text, markdown or json")
	flags.StringVar(&o.mode, "mode", string(preview.Update), "update (pulumi up), drift (compare with what is really there) or destroy")
	flags.StringVar(&o.failOn, "fail-on", "", "policy, changes, preflight, or several with commas: exit status 3, 4 or 5 then")
	flags.StringVar(&o.preflight, "preflight", "", "on, off, or only to print nothing else: ask the cloud's CLI whether the account has what the update "+
		"needs; off by default with --json-file")
	flags.StringVar(&o.planOut, "plan-out", "", "also write the report without the preflight to this file: what a later run on the same plan prints, too")
	flags.BoolVar(&o.withoutSecrets, "without-secrets", false, "with --mode drift: leave out Secrets and Helm releases, so that no permission to read Secrets is needed")
	flags.IntVar(&o.limit, "limit", preview.CommentLimit, "most bytes of markdown; what is cut is said")
	flags.Func("price", "TYPE=USD: price of a machine type for one hour; may be given again", func(value string) error {
		name, amount, ok := strings.Cut(value, "=")
		usd, err := strconv.ParseFloat(amount, 64)
		if !ok || name == "" || err != nil || !(usd >= 0) || math.IsInf(usd, 0) {
			return fmt.Errorf("%q is not TYPE=USD, such as g6.xlarge=0.55", value)
		}
		o.prices[name] = usd
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	o.pulumi = flags.Args()
	switch {
	case o.stack == "":
		return nil, errors.New("--stack is missing")
	case o.jsonFile != "" && len(o.pulumi) > 0:
		return nil, fmt.Errorf("arguments of pulumi (%s) with --json-file, which does not run pulumi", strings.Join(o.pulumi, " "))
	case o.format != "text" && o.format != "markdown" && o.format != "json":
		return nil, fmt.Errorf("--format %q: must be text, markdown or json", o.format)
	}
	switch preview.Mode(o.mode) {
	case preview.Update, preview.Drift, preview.Destroy:
	default:
		return nil, fmt.Errorf("--mode %q: must be update, drift or destroy", o.mode)
	}
	for _, on := range strings.Split(o.failOn, ",") {
		if !slices.Contains([]string{"", "policy", "changes", "preflight"}, on) {
			return nil, fmt.Errorf("--fail-on %q: must be policy, changes, preflight, or several separated by commas", o.failOn)
		}
	}
	if o.withoutSecrets && preview.Mode(o.mode) != preview.Drift {
		return nil, fmt.Errorf("--without-secrets with --mode %s, which reads none: only --mode drift does", o.mode)
	}
	switch {
	case o.preflight == "" && o.jsonFile != "":
		o.preflight = preflightOff
	case o.preflight == "":
		o.preflight = preflightOn
	case !slices.Contains([]string{preflightOn, preflightOff, preflightOnly}, o.preflight):
		return nil, fmt.Errorf("--preflight %q: must be on, off or only", o.preflight)
	case o.preflight == preflightOnly && o.planOut != "":
		return nil, errors.New("--plan-out with --preflight only, which prints no plan")
	}
	return o, nil
}

// read runs the preview or reads a recorded one. A preview that fails is a report, not an error.
func (o *options) read(ctx context.Context, stdin io.Reader, stderr io.Writer) (*preview.Report, error) {
	ro := preview.Options{Stack: o.stack, Mode: preview.Mode(o.mode), Prices: o.prices, WithoutSecrets: o.withoutSecrets}
	if o.diffFile != "" {
		diff, err := os.ReadFile(o.diffFile)
		if err != nil {
			return nil, err
		}
		ro.Diff = string(diff)
	}
	var content []byte
	var err error
	switch o.jsonFile {
	case "":
		content, ro.Failure, err = o.runPulumi(ctx, stderr)
	case "-":
		content, err = io.ReadAll(stdin)
	default:
		content, err = os.ReadFile(o.jsonFile)
	}
	if err != nil {
		return nil, err
	}
	p, err := plan.Parse(content)
	switch {
	case err != nil && ro.Failure != "":
		return preview.New(nil, ro), nil
	case err != nil && o.jsonFile != "":
		return nil, fmt.Errorf("%s: %w", o.jsonFile, err)
	case err != nil:
		return nil, fmt.Errorf("pulumi: %w", err)
	}
	// The plan has a stack's own name only, without its organization and project.
	if p.Stack != "" && p.Stack != o.stack[strings.LastIndexByte(o.stack, '/')+1:] {
		return nil, fmt.Errorf("the preview is of stack %s, not of %s", p.Stack, o.stack)
	}
	if o.preflight != preflightOff && ro.Mode == preview.Update {
		ro.Preflight = preflight.Run(ctx, p, o.runner, stderr)
	}
	return preview.New(p, ro), context.Cause(ctx)
}

// arguments returns the arguments of the CLI.
func (o *options) arguments() []string {
	args := []string{"preview", "--show-sames"}
	switch preview.Mode(o.mode) {
	case preview.Drift:
		args = append(args, "--refresh")
		if o.withoutSecrets {
			for _, pattern := range preview.SecretTypes {
				args = append(args, "--exclude", pattern)
			}
		}
	case preview.Destroy:
		args = []string{"destroy", "--preview-only"}
	}
	return append(append(args, "--json", "--non-interactive", "--stack", o.stack), o.pulumi...)
}

// runPulumi returns what the CLI printed and, if it failed, the reason.
func (o *options) runPulumi(ctx context.Context, stderr io.Writer) (content []byte, failure string, err error) {
	command := exec.CommandContext(ctx, "pulumi", o.arguments()...)
	command.Dir = o.project
	// Like Ctrl-C at a keyboard, so that the CLI stops its plugins and the program.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 20 * time.Second
	var stdout, said bytes.Buffer
	command.Stdout = &stdout
	command.Stderr = io.MultiWriter(&said, stderr)
	err = command.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, "", context.Cause(ctx)
	case errors.As(err, &exit):
		failure = strings.TrimSpace(said.String())
		if failure == "" {
			failure = strings.TrimSpace(stdout.String())
			if strings.HasPrefix(failure, "{") {
				failure = fmt.Sprintf("pulumi ended with exit status %d", exit.ExitCode())
			}
		}
		return stdout.Bytes(), failure, nil
	case err != nil:
		return nil, "", fmt.Errorf("running pulumi: %w; is it installed and on the PATH?", err)
	}
	return stdout.Bytes(), "", nil
}

// status returns the exit status; the most severe one wins.
func (o *options) status(report *preview.Report, stderr io.Writer) int {
	switch {
	case report.Failed:
		return exitFailed
	case strings.Contains(o.failOn, "policy") && report.PolicyError != "":
		fmt.Fprintln(stderr, "preview: the policy was not checked:", report.PolicyError)
		return exitPolicy
	case strings.Contains(o.failOn, "policy") && report.Policy != nil && report.Policy.Mandatory() > 0:
		fmt.Fprintf(stderr, "preview: %d mandatory rules of the policy are broken\n", report.Policy.Mandatory())
		return exitPolicy
	case strings.Contains(o.failOn, "preflight") && report.Preflight != nil && report.Preflight.Count(preflight.Failed) > 0:
		fmt.Fprintf(stderr, "preview: %d checks of the account failed\n", report.Preflight.Count(preflight.Failed))
		return exitAccount
	case strings.Contains(o.failOn, "changes") && report.Changed():
		return exitChanges
	}
	return 0
}
