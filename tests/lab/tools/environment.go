package tools

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// run runs a command of the build and returns its output; the error includes what it printed.
func (b *builder) run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = b.env
	cmd.WaitDelay = 5 * time.Second
	// Compilers exit when the go command that started them is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		// "go mod download -json" prints its errors to stdout.
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()+stdout.String()))
	}
	return stdout.String(), nil
}

// buildEnvironment returns the user's environment with fixed values for the variables that affect the build. With enough memory
// (bytes) the compiler's garbage collector runs less often, which saves about a fifth of the time.
func buildEnvironment(user []string, memory uint64) []string {
	const plenty = 12 << 30
	var env []string
	for _, variable := range user {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "GOFLAGS", "CGO_ENABLED", "GOWORK", "GOOS", "GOARCH", "GOEXPERIMENT", "PULUMI_SKIP_UPDATE_CHECK":
		case "GOGC":
			if memory <= plenty {
				env = append(env, variable)
			}
		default:
			env = append(env, variable)
		}
	}
	if memory > plenty {
		env = append(env, "GOGC=400")
	}
	// The same flags as Pulumi's Go language host and the Makefile: one build cache for all.
	return append(env, "GOFLAGS=-trimpath -buildvcs=false", "CGO_ENABLED=0", "GOWORK=off", "PULUMI_SKIP_UPDATE_CHECK=true")
}

// availableMemory returns the memory that is available without swapping, in bytes; 0 if unknown.
func availableMemory() uint64 {
	if runtime.GOOS != "linux" {
		return 0
	}
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kib uint64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}
