package preflight

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Runner runs programs.
type Runner interface {
	// Has reports whether a program is on the PATH.
	Has(program string) bool
	// Run runs a program and returns its standard output. If it fails, the error is an *ExitError.
	Run(ctx context.Context, program string, args ...string) ([]byte, error)
}

// ExitError is the error of a program that failed.
type ExitError struct {
	Program string
	Code    int
	// Stderr is what it printed on standard error.
	Stderr string
}

func (e *ExitError) Error() string { return fmt.Sprintf("%s: exit status %d", e.Program, e.Code) }

// Exec is the Runner for the programs of this machine.
type Exec struct{}

// quiet keeps the CLIs from asking questions, installing extensions, paging and colouring.
var quiet = []string{
	"CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_CORE_SHOW_STRUCTURED_LOGS=never", "AWS_PAGER=",
	"AZURE_CORE_NO_COLOR=1", "AZURE_CORE_ONLY_SHOW_ERRORS=1", "AZURE_EXTENSION_USE_DYNAMIC_INSTALL=no",
}

// Has reports whether a program is on the PATH.
func (Exec) Has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// Run runs a program without standard input.
func (Exec) Run(ctx context.Context, program string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, program, args...)
	command.Env = append(os.Environ(), quiet...)
	// A CLI that does not end on its own may have started others that keep its output open.
	command.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, &exit):
		return nil, &ExitError{Program: program, Code: exit.ExitCode(), Stderr: stderr.String()}
	case err != nil:
		return nil, err
	}
	return stdout.Bytes(), nil
}

// messages are parts of a CLI's error messages, by meaning.
type messages struct {
	// loggedOut means that there are no credentials, or that they have expired; denied that they lack a permission.
	loggedOut, denied []string
	// disabled means that the cloud's service is not enabled in the account, missing that the named thing does not exist.
	disabled, missing []string
	// logIn is the command that logs in.
	logIn string
}

// cli asks a cloud's CLI, the same question once only.
type cli struct {
	cloud  cloud
	runner Runner
	free   chan struct{}

	mu    sync.Mutex
	calls map[string]*call
}

// call is a command that ran.
type call struct {
	once   sync.Once
	stdout []byte
	err    error
}

func newCLI(cloud cloud, runner Runner) *cli {
	return &cli{cloud: cloud, runner: runner, free: make(chan struct{}, commandsAtOnce), calls: map[string]*call{}}
}

// errMissing is the error of a command that names something that does not exist.
var errMissing = errors.New("not found")

// read runs a command of the CLI and decodes its JSON. Its error is errMissing if what the command names
// does not exist.
func (c *cli) read(ctx context.Context, into any, args ...string) error {
	key := strings.Join(args, "\x00")
	c.mu.Lock()
	done := c.calls[key]
	if done == nil {
		done = &call{}
		c.calls[key] = done
	}
	c.mu.Unlock()
	done.once.Do(func() {
		c.free <- struct{}{}
		defer func() { <-c.free }()
		limited, cancel := context.WithTimeout(ctx, commandLimit)
		defer cancel()
		done.stdout, done.err = c.runner.Run(limited, c.cloud.program, args...)
	})
	if done.err != nil {
		return c.explain(done.err, args)
	}
	// Some commands print nothing where there is nothing.
	if len(bytes.TrimSpace(done.stdout)) == 0 {
		return nil
	}
	if err := json.Unmarshal(done.stdout, into); err != nil {
		return fmt.Errorf("`%s` printed no JSON of the form that is known here", c.command(args))
	}
	return nil
}

// explain returns the meaning of a command's error.
func (c *cli) explain(err error, args []string) error {
	var exit *ExitError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("`%s` took more than %s", c.command(args), commandLimit)
	case !errors.As(err, &exit):
		return fmt.Errorf("`%s`: %w", c.command(args), err)
	}
	has := func(parts []string) bool {
		for _, part := range parts {
			if strings.Contains(exit.Stderr, part) {
				return true
			}
		}
		return false
	}
	m := c.cloud.errors
	switch {
	case has(m.loggedOut):
		return fmt.Errorf("%s is not logged in: run `%s`", c.cloud.program, m.logIn)
	case has(m.disabled):
		return fmt.Errorf("`%s` needs a service that is not enabled in the account", c.command(args))
	case has(m.denied):
		return fmt.Errorf("the login may not run `%s`: docs/preflight.md lists the permissions", c.command(args))
	case has(m.missing):
		return errMissing
	}
	return fmt.Errorf("`%s` failed: %s", c.command(args), shortened(exit.Stderr))
}

// command returns the words of a command before its flags.
func (c *cli) command(args []string) string {
	words := []string{c.cloud.program}
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			break
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// messageLength is how much of a CLI's error message is shown.
const messageLength = 200

// shortened returns a message in one line.
func shortened(message string) string {
	line := strings.Join(strings.Fields(message), " ")
	switch {
	case line == "":
		return "it printed no message"
	case len(line) > messageLength:
		return strings.ToValidUTF8(line[:messageLength], "") + "..."
	}
	return line
}

// number is a number that a CLI prints as such or as a string; az does the latter for usages.
type number float64

// UnmarshalJSON reads 4, "4" and null.
func (n *number) UnmarshalJSON(text []byte) error {
	trimmed := strings.Trim(string(text), `"`)
	if trimmed == "null" || trimmed == "" {
		return nil
	}
	value, err := strconv.ParseFloat(trimmed, 64)
	*n = number(value)
	return err
}
