package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parentEnv is the variable that runs the test binary as a lab that is killed.
const parentEnv = "PROCESS_TEST_PARENT"

func TestMain(m *testing.M) {
	if address := os.Getenv(listenEnv); address != "" {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(listener.Addr())
		time.Sleep(time.Minute) // until it is killed
		_ = listener.Close()
		os.Exit(1)
	}
	if file := os.Getenv(parentEnv); file != "" {
		ended, err := Start(context.Background(), shell("exit 0"))
		if err == nil {
			<-ended.Done()
			_, err = Start(context.Background(), shell(`set -m; sleep 600 & echo $! > "$1.grandchild"; echo $$ > "$1"; wait`, file))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		// Many threads start and end, which must not end the child.
		for range 20 {
			go func() { runtime.LockOSThread() }()
		}
		// Until it is killed. An empty select would be a deadlock when no other goroutine is left.
		time.Sleep(time.Minute)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func shell(script string, args ...string) Spec {
	return Spec{Name: "sh", Path: "/bin/sh", Args: append([]string{"-c", script, "sh"}, args...)}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return runtime.GOOS != "linux" && syscall.Kill(pid, 0) == nil
	}
	return !strings.Contains(string(stat), ") Z ")
}

func assertGone(t *testing.T, pid int) {
	t.Helper()
	assert.Eventuallyf(t, func() bool { return !alive(pid) }, 5*time.Second, 10*time.Millisecond, "process %d still runs", pid)
}

func start(t *testing.T, spec Spec) *Process {
	t.Helper()
	p, err := Start(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

// readPid waits for a file with a process number, which a script writes.
func readPid(t *testing.T, file string) int {
	t.Helper()
	var pid int
	require.Eventually(t, func() bool {
		b, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err == nil
	}, 5*time.Second, 10*time.Millisecond, "no process number in %s", file)
	return pid
}

func TestStopEndsTheProgram(t *testing.T) {
	for name, script := range map[string]string{
		"that ends on the signal": "sleep 600",
		"that ignores the signal": "trap '' TERM; while true; do sleep 0.1; done",
	} {
		t.Run(name, func(t *testing.T) {
			spec := shell(script)
			spec.StopTimeout = 300 * time.Millisecond
			p := start(t, spec)
			require.NoError(t, p.Stop())
			assertGone(t, p.Pid())
			assert.NoError(t, p.Err(), "a requested end is no error")
			assert.NoError(t, p.Stop(), "a second Stop does nothing")
		})
	}
}

func TestStopWithinAndStatus(t *testing.T) {
	stubborn := start(t, shell("trap '' TERM; echo trapped; while true; do sleep 0.1; done"))
	require.Eventually(t, func() bool { return stubborn.Tail() == "trapped" }, 5*time.Second, 10*time.Millisecond)
	assert.Equal(t, -1, stubborn.Status(), "it runs")
	began := time.Now()
	require.NoError(t, stubborn.StopWithin(300*time.Millisecond))
	assert.Less(t, time.Since(began), stubborn.StopTimeout(), "not the time of the spec")
	assert.Equal(t, 128+int(syscall.SIGKILL), stubborn.Status())

	ended := start(t, shell("exit 3"))
	<-ended.Done()
	assert.Equal(t, 3, ended.Status())
}

// TestStopEndsAStoppedProcess checks that SIGKILL follows: SIGTERM has no effect until the process continues.
func TestStopEndsAStoppedProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a process' state is read on Linux only")
	}
	p := start(t, shell("exec sleep 600"))
	require.NoError(t, p.Signal(syscall.SIGSTOP))
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
		return err == nil && strings.Contains(string(stat), ") T ")
	}, 5*time.Second, time.Millisecond, "it is stopped a moment after the signal")
	require.NoError(t, p.StopWithin(100*time.Millisecond))
	assert.Equal(t, 128+int(syscall.SIGKILL), p.Status())
}

func TestStopUsesTheSignalOfTheSpec(t *testing.T) {
	spec := shell("trap 'echo interrupted; exit 0' INT; echo trapped; while true; do sleep 0.05; done")
	spec.StopSignal = syscall.SIGINT
	p := start(t, spec)
	require.Eventually(t, func() bool { return p.Tail() == "trapped" }, 5*time.Second, 10*time.Millisecond)
	require.NoError(t, p.Stop())
	assert.Equal(t, "trapped\ninterrupted", p.Tail())
}

func TestGrandchildrenAreGone(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sessions are listed on Linux only")
	}
	// `set -m` gives background jobs process groups of their own, as the Pulumi CLI does with plugins.
	script := `set -m; sleep 600 & echo $! > "$1"; %s`
	for name, c := range map[string]struct {
		end  string
		stop func(*Process) error
	}{
		"after Stop":             {end: "wait", stop: (*Process).Stop},
		"after Kill":             {end: "wait", stop: (*Process).Kill},
		"after an end by itself": {end: "exit 0", stop: func(p *Process) error { return p.Wait(context.Background()) }},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			p := start(t, shell(fmt.Sprintf(script, c.end), file))
			grandchild := readPid(t, file)
			require.NoError(t, c.stop(p))
			assertGone(t, grandchild)
			assertGone(t, p.Pid())
		})
	}
}

func TestKilledParentTakesItsChildren(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the parent-death signal is Linux only")
	}
	file := filepath.Join(t.TempDir(), "pid")
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+file)
	parent.Stderr = os.Stderr
	require.NoError(t, parent.Start())
	child := readPid(t, file)
	grandchild := readPid(t, file+".grandchild")
	time.Sleep(200 * time.Millisecond) // time for a wrongly chosen thread to end
	assert.True(t, alive(child), "the child lives as long as its parent")
	assert.True(t, alive(grandchild))
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	assertGone(t, child)
	assertGone(t, grandchild)
}

func TestErrorCarriesTheEndOfTheLog(t *testing.T) {
	script := "for i in $(seq 1 40); do echo line $i; done; echo cause >&2; exit 3"
	for name, log := range map[string]string{"file": filepath.Join(t.TempDir(), "deep", "log"), "memory": ""} {
		t.Run(name, func(t *testing.T) {
			spec := shell(script)
			spec.LogFile = log
			p := start(t, spec)
			err := p.Wait(t.Context())
			var exit *ExitError
			require.ErrorAs(t, err, &exit)
			assert.Equal(t, 3, exit.Code)
			assert.Contains(t, err.Error(), "line 40\ncause")
			assert.NotContains(t, err.Error(), "line 20\n")
			assert.Contains(t, err.Error(), log)
			assert.Equal(t, err, p.Stop(), "Stop does not lose a crash")
		})
	}
}

func TestOutputIsCopied(t *testing.T) {
	var out tail
	spec := shell("echo one; echo two >&2")
	spec.Output = &out
	spec.LogFile = filepath.Join(t.TempDir(), "log")
	p := start(t, spec)
	require.NoError(t, p.Wait(t.Context()))
	assert.Equal(t, "one\ntwo", out.String())
	assert.Equal(t, "one\ntwo", p.Tail())
}

func TestStdin(t *testing.T) {
	spec := shell("cat; echo end")
	spec.Stdin = "a secret\n"
	p := start(t, spec)
	require.NoError(t, p.Wait(t.Context()))
	assert.Equal(t, "a secret\nend", p.Tail())
}

func TestWaitReady(t *testing.T) {
	t.Run("ready after a while", func(t *testing.T) {
		spec := shell("sleep 600")
		tries := 0
		spec.Ready = func(context.Context) error {
			if tries++; tries < 3 {
				return errors.New("not yet")
			}
			return nil
		}
		require.NoError(t, start(t, spec).WaitReady(t.Context(), 10*time.Second))
		assert.Equal(t, 3, tries)
	})
	t.Run("never ready", func(t *testing.T) {
		spec := shell("echo waiting for a disk; sleep 600")
		spec.Ready = func(context.Context) error { return errors.New("connection refused") }
		err := start(t, spec).WaitReady(t.Context(), 300*time.Millisecond)
		require.ErrorIs(t, err, ErrNotReady)
		assert.Contains(t, err.Error(), "connection refused")
		assert.Contains(t, err.Error(), "waiting for a disk")
	})
	t.Run("ends first", func(t *testing.T) {
		spec := shell("echo bad flag; exit 2")
		spec.Ready = func(context.Context) error { return errors.New("connection refused") }
		err := start(t, spec).WaitReady(t.Context(), 10*time.Second)
		var exit *ExitError
		require.ErrorAs(t, err, &exit)
		assert.Equal(t, 2, exit.Code)
		assert.Contains(t, err.Error(), "bad flag")
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		spec := shell("sleep 600")
		spec.Ready = func(context.Context) error { cancel(); return errors.New("no") }
		assert.ErrorIs(t, start(t, spec).WaitReady(ctx, 10*time.Second), context.Canceled)
	})
}

func TestStartFails(t *testing.T) {
	_, err := Start(t.Context(), Spec{Name: "nothing", Path: "/does/not/exist"})
	require.ErrorContains(t, err, "start nothing")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Start(ctx, shell("exit 0"))
	require.ErrorIs(t, err, context.Canceled)
}

func TestStopAllCollectsErrors(t *testing.T) {
	crashed := start(t, shell("exit 4"))
	<-crashed.Done()
	running := start(t, shell("sleep 600"))
	err := StopAll(crashed, nil, running)
	require.ErrorContains(t, err, "exit status 4")
	assertGone(t, running.Pid())
}

func TestFreePorts(t *testing.T) {
	ports, err := FreePorts(50)
	require.NoError(t, err)
	seen := map[int]bool{}
	for _, port := range ports {
		assert.False(t, seen[port], "port %d handed out twice", port)
		seen[port] = true
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}

func TestKillAloneLeavesTheChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	p := start(t, shell(`sleep 600 & echo $! > "$1"; wait`, file))
	child := readPid(t, file)
	require.NoError(t, p.KillAlone())
	assert.False(t, alive(p.Pid()), "no more than a zombie")
	assert.True(t, alive(child))
	select {
	case <-p.Done():
		t.Fatal("done although a child still runs")
	default:
	}
	require.NoError(t, p.Kill())
	assertGone(t, child)
	<-p.Done()
	assert.NoError(t, p.Err())
}
