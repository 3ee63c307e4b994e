// Command load loads a deployed stack's model server and reports what its users would have experienced and how the
// autoscaler reacted.
//
// Its last line is `load: ok: ...` with exit code 0, `load: failed: <cause>` with 1, or
// `load: interrupted: ...` with 130 after Ctrl-C, which still writes the report.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"golang.org/x/term"
	"k8s.io/klog/v2"
)

const (
	exitFailed      = 1
	exitInterrupted = 130 // the shell's status of a command that Ctrl-C ended
)

// errInterrupted is the cause of a context that a signal ended.
type errInterrupted struct{ by string }

func (e errInterrupted) Error() string { return "interrupted by " + e.by }

func main() { os.Exit(realMain(os.Args[1:], os.Stdout)) }

func realMain(args []string, stdout io.Writer) int {
	// client-go logs every connection that ends while a port-forward writes to it, as canceled requests do.
	klog.SetLogger(logr.Discard())
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(received)
	go func() {
		for s := range received {
			if ctx.Err() != nil { // second signal: exit at once
				os.Exit(exitInterrupted)
			}
			cancel(errInterrupted{by: s.String()})
		}
	}()
	out := &screen{out: stdout}
	if file, ok := stdout.(*os.File); ok {
		out.terminal = term.IsTerminal(int(file.Fd()))
	}
	o, err := parse(args, os.Getenv, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var ok string
	if err == nil {
		ok, err = run(ctx, o, out)
	}
	line, code := verdict(ok, err, context.Cause(ctx))
	out.print("%s", line)
	return code
}

// verdict returns the last line and the exit code.
func verdict(ok string, err, cause error) (string, int) {
	var interrupted errInterrupted
	oneLine := func(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
	switch {
	case errors.As(cause, &interrupted):
		line := "load: " + interrupted.Error()
		if ok != "" {
			line += ": " + ok
		}
		// An interruption causes errors of its own; other errors are added to the line.
		if err != nil && !errors.As(err, &interrupted) {
			line += " (" + oneLine(err) + ")"
		}
		return line, exitInterrupted
	case err != nil:
		return "load: failed: " + oneLine(err), exitFailed
	default:
		return "load: ok: " + ok, 0
	}
}
