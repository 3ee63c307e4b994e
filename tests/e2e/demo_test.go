package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDemoInterrupted checks that Ctrl-C ends the demo with all its processes, at different stages.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "demo")
	build := exec.CommandContext(testContext(t), "go", "build", "-o", binary, "../lab/cmd/demo")
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))

	for _, moment := range []struct{ name, line string }{
		{"while the control plane starts", "== 2/7"},
		{"while pulumi up runs", "$ pulumi up"},
		{"while the server is deployed", "Deployment vllm creating"},
	} {
		t.Run(moment.name, func(t *testing.T) {
			// A short path for unix sockets, which also identifies the demo's processes.
			temporary, err := os.MkdirTemp("", "vd")
			require.NoError(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(temporary) })
			demo := exec.Command(binary, "-report", filepath.Join(temporary, "report"))
			demo.Env = append(os.Environ(), "TMPDIR="+temporary)
			demo.Dir = environment.root
			printed := lines(t, "demo")
			demo.Stdout, demo.Stderr = printed, printed
			demo.WaitDelay = killedDelay
			require.NoError(t, demo.Start())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = demo.Wait()
			}()
			defer func() {
				_ = demo.Process.Kill()
				<-ended
			}()

			deadline := time.After(2 * time.Minute)
			for !strings.Contains(printed.text(), moment.line) {
				select {
				case <-ended:
					t.Fatalf("ended before the moment: %v", demo.ProcessState)
				case <-deadline:
					t.Fatalf("%q was never printed", moment.line)
				case <-time.After(20 * time.Millisecond):
				}
			}
			require.NoError(t, demo.Process.Signal(syscall.SIGINT))
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Fatal("still running a minute after the interrupt")
			}
			all := strings.Split(strings.TrimSpace(printed.text()), "\n")
			assert.Equal(t, "demo: interrupted by interrupt: every process ended, the lab's folder removed", all[len(all)-1])
			assert.Equal(t, 130, demo.ProcessState.ExitCode())
			left, err := os.ReadDir(temporary)
			require.NoError(t, err)
			assert.Empty(t, left, "the folder for temporary files is as it was")
			// The kernel needs a moment to remove the ended processes.
			processes := processesOf(t, temporary)
			for deadline := time.Now().Add(10 * time.Second); len(processes) > 0 && time.Now().Before(deadline); {
				time.Sleep(50 * time.Millisecond)
				processes = processesOf(t, temporary)
			}
			assert.Empty(t, processes, "processes are left")
		})
	}
}

// processesOf lists the processes with a folder in their command line, environment or working directory.
func processesOf(t *testing.T, folder string) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return nil // there is no /proc to look at
	}
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	var found []string
	for _, entry := range entries {
		base := filepath.Join("/proc", entry.Name())
		// A process may end while it is read, or belong to another user.
		command, _ := os.ReadFile(filepath.Join(base, "cmdline"))
		environ, _ := os.ReadFile(filepath.Join(base, "environ"))
		directory, _ := os.Readlink(filepath.Join(base, "cwd"))
		if bytes.Contains(command, []byte(folder)) || bytes.Contains(environ, []byte(folder)) || strings.HasPrefix(directory, folder) {
			found = append(found, entry.Name()+" "+string(bytes.ReplaceAll(command, []byte{0}, []byte(" "))))
		}
	}
	return found
}
