package destroy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// outputDelay is how long to wait for the output of a CLI that has ended, which its plugins may keep open.
const outputDelay = 5 * time.Second

// cli is a running CLI.
type cli struct {
	process *os.Process
	// ended gets the CLI's error, or nil.
	ended <-chan error
	// terminal reports that a Ctrl-C reaches the CLI by itself.
	terminal bool
}

// start starts the CLI for the stack.
func (o Options) start(args ...string) (*cli, error) {
	command := exec.Command("pulumi", append(args, "--stack", o.Stack)...)
	command.Dir, command.WaitDelay = o.ProjectDir, outputDelay
	command.Stdin, command.Stdout, command.Stderr = o.Stdin, o.Stdout, o.Stderr
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("pulumi: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		err := command.Wait()
		if err != nil {
			err = fmt.Errorf("pulumi %s: %w", args[0], err)
		}
		ended <- err
	}()
	stdin, isFile := o.Stdin.(*os.File)
	return &cli{process: command.Process, ended: ended, terminal: isFile && term.IsTerminal(int(stdin.Fd()))}, nil
}

// interrupt makes the CLI end what it has begun, and stop. A second one would kill it.
func (c *cli) interrupt() { _ = c.process.Signal(syscall.SIGINT) }

// pass passes on an interrupt that this process got.
func (c *cli) pass() {
	if !c.terminal {
		c.interrupt()
	}
}

// forget removes namespaces from the state.
func (o Options) forget(ctx context.Context, names []string) error {
	state, err := o.output(ctx, "stack", "export")
	if err != nil {
		return err
	}
	urns, err := namespaceURNs(state, names)
	if err != nil {
		return err
	}
	for _, urn := range urns {
		if _, err := o.output(ctx, "state", "delete", urn, "--yes"); err != nil {
			return err
		}
	}
	return nil
}

// namespaceURNs returns the URNs of namespaces in an exported state.
func namespaceURNs(state []byte, names []string) ([]string, error) {
	var exported struct {
		Deployment struct {
			Resources []struct{ URN, Type, ID string }
		}
	}
	if err := json.Unmarshal(state, &exported); err != nil {
		return nil, fmt.Errorf("pulumi stack export: %w", err)
	}
	var urns []string
	for _, r := range exported.Deployment.Resources {
		if r.Type == "kubernetes:core/v1:Namespace" && slices.Contains(names, r.ID) {
			urns = append(urns, r.URN)
		}
	}
	return urns, nil
}

// output runs a short command of the CLI on the stack, and returns what it prints. It must not be printed: a state has secrets.
func (o Options) output(ctx context.Context, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "pulumi", append(args, "--stack", o.Stack, "--non-interactive")...)
	command.Dir, command.WaitDelay = o.ProjectDir, outputDelay
	var stderr bytes.Buffer
	command.Stderr = &stderr
	content, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("pulumi %s: %w: %s", strings.Join(args[:2], " "), err, strings.TrimSpace(stderr.String()))
	}
	return content, nil
}
