package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"vllm-autoscaling/tests/lab/process"
	"vllm-autoscaling/tests/lab/tools"
)

// How long the CLI may take after an interrupt. At the first it completes the operations that it has begun, at the
// second it abandons them.
const (
	firstInterrupt  = 20 * time.Second
	secondInterrupt = 5 * time.Second
)

// CommandLine returns the command line of the CLI for a command on this stack.
func (s *Stack) CommandLine(command string, args ...string) []string {
	return append([]string{tools.Pulumi, command, "--stack", s.name, "--config-file", s.configFile, "--non-interactive"}, args...)
}

func (s *Stack) command(ctx context.Context, name string, args ...string) (string, error) {
	return s.run(ctx, call{dir: s.dir, args: s.CommandLine(name, args...)[1:]})
}

// call is one call of the CLI.
type call struct {
	dir   string
	args  []string
	stdin string
	// quiet keeps the call and its output out of StackOptions.Output.
	quiet bool
}

// newLog creates the next log file; every command has one, also after those of an earlier Stack of the same name.
func (s *Stack) newLog(command string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		s.runs++
		path := filepath.Join(s.logs, fmt.Sprintf("%s-%03d-%s.log", s.name, s.runs, command))
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return path, file.Close()
	}
}

// start starts the CLI.
func (s *Stack) start(ctx context.Context, c call) (*process.Process, error) {
	log, err := s.newLog(c.args[0])
	if err != nil {
		return nil, err
	}
	spec := process.Spec{
		Name: "pulumi " + strings.Join(c.args[:min(2, len(c.args))], " "), Path: s.programs.Path(tools.Pulumi),
		Args: append(slices.Clone(c.args), "--color", "never"), Env: s.env, Dir: c.dir,
		Stdin: c.stdin, LogFile: log,
		StopSignal: syscall.SIGINT, StopTimeout: firstInterrupt,
	}
	if c.dir == s.dir {
		spec.Name = "pulumi " + c.args[0] + " --stack " + s.name
	}
	if !c.quiet {
		fmt.Fprintf(s.output, "$ pulumi %s\n", strings.Join(c.args, " "))
		spec.Output = s.output
	}
	p, err := process.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	s.began(p)
	return p, nil
}

// run runs the CLI and returns its output. When the context ends, it interrupts the CLI as a user would, and kills it if
// the CLI still runs after that.
func (s *Stack) run(ctx context.Context, c call) (string, error) {
	p, err := s.start(ctx, c)
	if err != nil {
		return "", err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		return "", errors.Join(fmt.Errorf("%s: %w", p.Name(), context.Cause(ctx)), interrupt(p))
	}
	content, err := os.ReadFile(p.LogFile())
	if err != nil {
		return "", err
	}
	if p.ExitCode() != 0 {
		return string(content), &CommandError{Command: p.Name(), Code: p.ExitCode(), Output: string(content)}
	}
	return string(content), nil
}

// CommandError is the failure of a command of the CLI.
type CommandError struct {
	// Command is the command line, such as "pulumi up --stack local".
	Command string
	// Code is the exit status, -1 when a signal ended it.
	Code int
	// Output is its whole output.
	Output string
}

// Error returns the command and the part of the output with the cause: the diagnostics, or else the last lines.
func (e *CommandError) Error() string {
	const most = 60
	lines := strings.Split(strings.TrimSpace(e.Output), "\n")
	if i := slices.Index(lines, "Diagnostics:"); i >= 0 {
		lines = lines[i:]
		if len(lines) > most {
			lines = lines[:most]
		}
	} else if len(lines) > most/2 {
		lines = lines[len(lines)-most/2:]
	}
	return fmt.Sprintf("%s failed (exit status %d):\n%s", e.Command, e.Code, strings.Join(lines, "\n"))
}
