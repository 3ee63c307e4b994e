// Command recover looks for what a killed command has left of a stack, and mends it when told. Exit status: 0 nothing is to do
// (any more), 1 something is to do, 2 it could not run.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/term"
	"k8s.io/klog/v2"

	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/ops/recover"
)

// The exit statuses.
const (
	exitNothing   = 0
	exitSomething = 1
	exitNotRun    = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	ask := func() bool { return false }
	if term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		ask = func() bool { return confirmed(os.Stdin, os.Stdout) }
	}
	code := run(ctx, os.Args[1:], ask, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type options struct {
	stack, project, configFile, backup string
	yes, unlock, json                  bool
	ids                                map[string]string
	dropped                            []string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{ids: map[string]string{}}
	flags := flag.NewFlagSet("recover", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.stack, "stack", "", "the Pulumi stack; `pulumi` must be on the PATH")
	flags.StringVar(&o.project, "project", "", "the `folder` of Pulumi.yaml (default: the working folder or one above it)")
	flags.StringVar(&o.configFile, "config-file", "", "the stack's configuration, when it is not Pulumi.<stack>.yaml in that folder")
	flags.StringVar(&o.backup, "backup", "", "the `folder` for the copy of the state (default: state-backup in the project's folder)")
	flags.BoolVar(&o.yes, "yes", false, "do what is found, without asking")
	flags.BoolVar(&o.unlock, "unlock", false, "remove the state's lock, whoever holds it")
	flags.BoolVar(&o.json, "json", false, "print what is found as JSON")
	flags.Func("id", "`URN=ID` of a resource in the cloud whose creation is pending; repeat it for others", func(text string) error {
		name, id, found := cutAfterName(text)
		if !found || name == "" || id == "" {
			return errors.New("must be URN=ID")
		}
		o.ids[name] = id
		return nil
	})
	flags.Func("drop", "`URN` of a resource whose creation is pending and which does not exist; repeat it for others", func(text string) error {
		o.dropped = append(o.dropped, text)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	case o.stack == "":
		return nil, errors.New("no stack: set --stack NAME (make recover STACK=NAME)")
	}
	if o.project == "" {
		root, err := project.Root()
		if err != nil {
			return nil, err
		}
		o.project = root
	}
	if o.backup == "" {
		o.backup = filepath.Join(o.project, "state-backup")
	}
	return o, nil
}

// cutAfterName splits URN=ID or NAME=ID at the first equals sign of the name, which is the fourth part of a URN.
func cutAfterName(text string) (name, id string, found bool) {
	start := 0
	if strings.HasPrefix(text, "urn:") {
		for range 3 {
			if i := strings.Index(text[start:], "::"); i >= 0 {
				start += i + len("::")
			}
		}
	}
	i := strings.IndexByte(text[start:], '=')
	if i < 0 {
		return "", "", false
	}
	return text[:start+i], text[start+i+1:], true
}

func run(ctx context.Context, args []string, ask func() bool, stdout, stderr io.Writer) int {
	// client-go logs errors that the command states better.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitNothing
	}
	var plan *recover.Plan
	if err == nil {
		plan, err = o.recover(ctx, ask, stdout, stderr)
	}
	if err != nil && ctx.Err() != nil { // replaces what a stopped CLI or a broken connection reports
		err = errors.New("interrupted; run it again, it goes on from where it was")
	}
	switch {
	case errors.Is(err, recover.ErrBlocked):
		fmt.Fprintln(stderr, "recover:", err)
		return exitSomething
	case err != nil:
		fmt.Fprintln(stderr, "recover:", err)
		return exitNotRun
	case len(plan.Findings) > 0:
		return exitSomething
	}
	return exitNothing
}

// recover prints what is found and, when told, does it. It returns what is left.
func (o *options) recover(ctx context.Context, ask func() bool, stdout, stderr io.Writer) (*recover.Plan, error) {
	cli := &recover.Pulumi{Stack: o.stack, Project: o.project, ConfigFile: o.configFile, Progress: stderr}
	r := &recover.Recovery{
		Stack: o.stack, CLI: cli, Locks: cli.Locks, Machine: recover.ThisMachine{},
		Connect: func(ctx context.Context, provider recover.Resource) (*recover.Cluster, error) {
			return recover.Connect(ctx, provider, o.project)
		},
		IDs: o.ids, Dropped: o.dropped, Force: o.unlock, Backup: o.backup,
		Log: func(format string, args ...any) { fmt.Fprintf(stderr, "recover: "+format+"\n", args...) },
	}
	plan, err := r.Look(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.print(plan, stdout); err != nil {
		return nil, err
	}
	forcedUnseen := o.unlock && !plan.LocksVisible
	if len(plan.Findings) == 0 && !forcedUnseen {
		return plan, nil
	}
	if !o.yes && (len(plan.Blocked()) > 0 || !ask()) {
		fmt.Fprintln(stderr, "recover: nothing was changed; add --yes (RECOVER_FLAGS=--yes) to do it")
		return plan, nil
	}
	if plan, err = r.Apply(ctx, plan); err != nil {
		return plan, err
	}
	return plan, o.print(plan, stdout)
}

func (o *options) print(plan *recover.Plan, to io.Writer) error {
	if o.json {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		return encoder.Encode(plan)
	}
	return plan.Text(to)
}

func confirmed(from io.Reader, to io.Writer) bool {
	fmt.Fprint(to, "Do this? Only \"yes\" does it: ")
	answer, _ := bufio.NewReader(from).ReadString('\n')
	return strings.TrimSpace(answer) == "yes"
}
