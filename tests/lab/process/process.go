package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNotReady is wrapped by the error of WaitReady when the time is over and the program is still running.
var ErrNotReady = errors.New("not ready")

// tailLines is the number of a program's last log lines in an error: enough for the head of a Go panic or a usage error.
const tailLines = 15

// Spec describes how to start a program.
type Spec struct {
	// Name returns the program's name in messages.
	Name string
	// Path is that of the program's file.
	Path string
	Args []string
	// Env is the complete environment; nil means that of the lab.
	Env []string
	// Dir is the working folder; "" means that of the lab.
	Dir string
	// Stdin is the program's standard input.
	Stdin string
	// LogFile is the file to which stdout and stderr are appended; its folder is created. "" keeps only the last lines in memory.
	LogFile string
	// Output receives a copy of stdout and stderr while the program runs; nil for none.
	Output io.Writer
	// Ready returns nil when the program is ready; WaitReady polls it. A nil function means ready at once.
	Ready func(ctx context.Context) error
	// StopSignal is the signal for a graceful stop; zero means SIGTERM.
	StopSignal syscall.Signal
	// StopTimeout is how long Stop waits after StopSignal before it kills the program; zero means 5 s.
	StopTimeout time.Duration
}

// Process is a started program.
type Process struct {
	spec Spec
	cmd  *exec.Cmd
	log  *os.File
	mem  *tail
	done chan struct{}

	exited chan struct{} // closed when the program itself has ended
	killed chan struct{} // closed by Kill

	mu       sync.Mutex
	stopping bool
	alone    bool // the program's children were left running by KillAlone
	err      error
	killOnce sync.Once
}

// Start starts the program and returns without waiting until it is ready. The context limits only the start: the program
// runs until it ends or Stop is called, so that a canceled caller can still use the lab to clean up.
func Start(ctx context.Context, spec Spec) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	if spec.StopSignal == 0 {
		spec.StopSignal = syscall.SIGTERM
	}
	if spec.StopTimeout == 0 {
		spec.StopTimeout = 5 * time.Second
	}
	p := &Process{spec: spec, done: make(chan struct{}), exited: make(chan struct{}), killed: make(chan struct{})}
	p.cmd = exec.Command(spec.Path, spec.Args...)
	p.cmd.Env = spec.Env
	p.cmd.Dir = spec.Dir
	if spec.Stdin != "" {
		p.cmd.Stdin = strings.NewReader(spec.Stdin)
	}
	p.cmd.SysProcAttr = attributes()
	// A grandchild outside the session that has the output pipe must not block Wait.
	p.cmd.WaitDelay = time.Second
	if err := p.openOutput(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	if err := onStarter(p.cmd.Start); err != nil {
		p.closeLog()
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	err := guard('+', p.Pid())
	go p.wait()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", spec.Name, err), p.Kill())
	}
	return p, nil
}

func (p *Process) openOutput() error {
	var writers []io.Writer
	if p.spec.LogFile != "" {
		if err := os.MkdirAll(filepath.Dir(p.spec.LogFile), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(p.spec.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		p.log = f
		writers = append(writers, f)
	} else {
		p.mem = &tail{}
		writers = append(writers, p.mem)
	}
	if p.spec.Output != nil {
		writers = append(writers, p.spec.Output)
	}
	// One writer for both streams keeps their order; a file without a wrapper needs no copying.
	w := io.MultiWriter(writers...)
	if len(writers) == 1 {
		w = writers[0]
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	return nil
}

func (p *Process) closeLog() {
	if p.log != nil {
		_ = p.log.Close()
	}
}

func (p *Process) wait() {
	pid := p.cmd.Process.Pid
	waitExit(pid)
	close(p.exited)
	p.mu.Lock()
	alone := p.alone
	p.mu.Unlock()
	if alone {
		<-p.killed
	}
	// Before the leader is reaped, because until then no other process can get its session's number.
	killSession(pid)
	// This fails only when the guardian's shell was killed.
	_ = guard('-', pid)
	err := p.cmd.Wait()
	p.closeLog()
	p.mu.Lock()
	if !p.stopping {
		p.err = p.exitError(err)
	}
	p.mu.Unlock()
	close(p.done)
}

func (p *Process) exitError(err error) error {
	if err == nil {
		err = errors.New("exit status 0")
	}
	return &ExitError{Name: p.spec.Name, Code: p.cmd.ProcessState.ExitCode(), Err: err, Log: p.spec.LogFile, Tail: p.Tail()}
}

// ExitError is the unexpected end of a program.
type ExitError struct {
	Name string
	// Code is the exit status, -1 when a signal ended the program.
	Code int
	Err  error
	// Log is the program's log file, empty when it has none.
	Log string
	// Tail is the end of the program's output.
	Tail string
}

func (e *ExitError) Error() string {
	text := fmt.Sprintf("%s ended: %v", e.Name, e.Err)
	if e.Log != "" {
		text += " (log: " + e.Log + ")"
	}
	if e.Tail != "" {
		text += "; last lines:\n" + e.Tail
	}
	return text
}

func (e *ExitError) Unwrap() error { return e.Err }

// Name returns the program's name in messages.
func (p *Process) Name() string { return p.spec.Name }

// LogFile returns the path of the program's log, "" for none.
func (p *Process) LogFile() string { return p.spec.LogFile }

// Pid returns the number of the program's process, which is also that of its session.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed when the program and everything in its session have ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns nil while the program runs and after Stop, otherwise an *ExitError, also for exit status 0.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// ExitCode returns the exit status after Done, -1 before it or when a signal ended the program.
func (p *Process) ExitCode() int {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Status returns the exit status after Done as a shell has it: 128 and the number of the signal that ended the program. It
// returns -1 before.
func (p *Process) Status() int {
	code := p.ExitCode()
	if code >= 0 {
		return code
	}
	select {
	case <-p.done:
	default:
		return -1
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return -1
}

// StopTimeout returns how long Stop waits before it kills the program.
func (p *Process) StopTimeout() time.Duration { return p.spec.StopTimeout }

// Wait waits for the program to end and returns nil for exit status 0 or after Stop, else an *ExitError.
// It returns the context's error when that ends first; the program then still runs.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w", p.spec.Name, ctx.Err())
	}
	if p.ExitCode() == 0 {
		return nil
	}
	return p.Err()
}

// Tail returns the end of the program's output so far.
func (p *Process) Tail() string {
	if p.mem != nil {
		return p.mem.String()
	}
	return fileTail(p.spec.LogFile)
}

// WaitReady polls Spec.Ready until it returns nil. It fails at once when the program ends, and after the timeout with
// ErrNotReady, the last error of Ready and the end of the log.
func (p *Process) WaitReady(ctx context.Context, timeout time.Duration) error {
	if p.spec.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	const interval = 50 * time.Millisecond
	started := time.Now()
	var last error
	for {
		attempt, done := context.WithTimeout(ctx, 2*time.Second)
		err := p.spec.Ready(attempt)
		done()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-p.done:
			if err := p.Err(); err != nil {
				return err
			}
			return fmt.Errorf("%s was stopped before it was ready", p.spec.Name)
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("waiting for %s: %w", p.spec.Name, ctx.Err())
			}
			return fmt.Errorf("%s: %w after %s: %w; last lines of its log:\n%s",
				p.spec.Name, ErrNotReady, time.Since(started).Round(100*time.Millisecond), last, p.Tail())
		case <-time.After(interval):
		}
	}
}

// Signal sends a signal to the program itself, not to its session. A program that has ended is no error.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s to %s: %w", s, p.spec.Name, err)
	}
	return nil
}

// Stop ends the program: StopSignal, then after StopTimeout SIGKILL for everything in its session. It returns when all of
// it has ended. For a program that has already ended it returns the program's error, so that a crash is reported. A nil
// Process is no error.
func (p *Process) Stop() error {
	if p == nil {
		return nil
	}
	return p.StopWithin(p.spec.StopTimeout)
}

// StopWithin is Stop with another time before SIGKILL.
func (p *Process) StopWithin(timeout time.Duration) error {
	select {
	case <-p.done:
		return p.Err()
	default:
	}
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	if err := p.Signal(p.spec.StopSignal); err != nil {
		return err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	return p.Kill()
}

// Kill ends the program and everything in its session at once, and waits until they are gone. Err
// stays nil afterwards.
func (p *Process) Kill() error {
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	p.killOnce.Do(func() { close(p.killed) })
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.spec.Name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s (process %d) does not end after SIGKILL", p.spec.Name, p.Pid())
	}
}

// KillAlone kills the program and leaves the rest of its session running, as `kill -9` does. It returns when the program has
// ended; Done waits for a call of Kill, which ends the rest.
func (p *Process) KillAlone() error {
	p.mu.Lock()
	p.stopping, p.alone = true, true
	p.mu.Unlock()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.spec.Name, err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s (process %d) does not end after SIGKILL", p.spec.Name, p.Pid())
	}
}

// StopAll stops the programs in reverse order of their start and returns all errors.
func StopAll(started ...*Process) error {
	var errs []error
	for i := len(started) - 1; i >= 0; i-- {
		errs = append(errs, started[i].Stop())
	}
	return errors.Join(errs...)
}

// tail keeps the last bytes of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return lastLines(string(t.buf))
}

func fileTail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	return lastLines(string(b))
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return strings.Join(lines, "\n")
}
