// Command benchbuild measures build and preview times of the program: the cold build, the rebuild after a one-line change,
// and a preview without changes compared with an empty Go program on the same CLI. It prints the times with their goals. It
// does not fail on them, because they depend on the machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/tests/lab"
)

const (
	// Goals on 2 cores, from the project's design.
	goalColdCPU     = 500 * time.Second
	goalColdMemory  = 4.0 // GB, largest process
	goalRebuild     = 10 * time.Second
	goalPreview     = 1.5 // ratio to an empty program
	previewRuns     = 5
	languageHostLdf = "-w -s" // the linker flags of Pulumi's Go language host
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench-build: failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	root, err := project.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-build")
	if err != nil {
		return fmt.Errorf("creating the benchmark's folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	program := filepath.Join(dir, "program")
	if err := copyProgram(root, program); err != nil {
		return err
	}
	if err := benchBuild(ctx, dir, program); err != nil {
		return err
	}
	return benchPreview(ctx, dir, program)
}

// benchBuild builds the program with an empty build cache, then again after a
// one-line change.
func benchBuild(ctx context.Context, dir, program string) error {
	env := append(os.Environ(), "GOCACHE="+filepath.Join(dir, "cache"), "GOGC=100")
	fmt.Printf("cold build on %d cores ...\n", runtime.NumCPU())
	cold, err := goBuild(ctx, program, filepath.Join(dir, "cold"), env)
	if err != nil {
		return err
	}
	fmt.Printf("cold build: %.0f s of CPU (goal %.0f), %.0f s of wall time, largest process %.1f GB (goal %.1f)\n",
		cold.cpu.Seconds(), goalColdCPU.Seconds(), cold.wall.Seconds(), cold.memoryGB, goalColdMemory)

	// The package that most others import, which is the worst case.
	file := filepath.Join(program, "components", "vllm.go")
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("changing one line of the program: %w", err)
	}
	_, err = io.WriteString(f, "\nvar benchBuildLine = time.Now\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("changing one line of the program: %w", err)
	}
	again, err := goBuild(ctx, program, filepath.Join(dir, "again"), env)
	if err != nil {
		return err
	}
	fmt.Printf("rebuild after a one-line change: %.1f s (goal %.0f)\n", again.wall.Seconds(), goalRebuild.Seconds())
	return nil
}

type buildCost struct {
	cpu, wall time.Duration
	memoryGB  float64
}

func goBuild(ctx context.Context, dir, out string, env []string) (buildCost, error) {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", languageHostLdf, "-o", out, ".")
	cmd.Dir, cmd.Env = dir, env
	start := time.Now()
	if output, err := cmd.CombinedOutput(); err != nil {
		return buildCost{}, fmt.Errorf("building the program: %w\n%s", err, output)
	}
	cost := buildCost{wall: time.Since(start), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		cost.memoryGB = float64(usage.Maxrss) / (1 << 20) // KiB on Linux
	}
	return cost, nil
}

// benchPreview compares a preview without changes with the same command on an empty program. Both are prebuilt and run
// alternately.
func benchPreview(ctx context.Context, dir, program string) (err error) {
	tools, err := lab.BuildTools(ctx, os.Stdout)
	if err != nil {
		return err
	}
	l, err := lab.Start(ctx, lab.Options{Tools: tools, Log: io.Discard})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Stop()) }()

	empty := filepath.Join(program, "empty")
	if err := writeEmptyProgram(empty); err != nil {
		return err
	}
	full, err := prebuiltProject(ctx, program, program, filepath.Join(dir, "project"))
	if err != nil {
		return err
	}
	none, err := prebuiltProject(ctx, program, empty, filepath.Join(dir, "project-empty"))
	if err != nil {
		return err
	}

	fullStack, err := l.Stack(ctx, lab.StackOptions{Name: "local", ProjectDir: full, Config: map[string]any{
		"cluster": map[string]any{"kubeconfig": l.Kubeconfig(), "context": l.ContextName()},
		"charts": map[string]any{
			"kubePrometheusStack": map[string]any{"repository": l.ChartRepository()},
			"prometheusAdapter":   map[string]any{"repository": l.ChartRepository()},
			"dcgmExporter":        map[string]any{"repository": l.ChartRepository()},
		},
	}})
	if err != nil {
		return err
	}
	emptyStack, err := l.Stack(ctx, lab.StackOptions{Name: "empty", ProjectDir: none})
	if err != nil {
		return err
	}
	fmt.Println("deploying once ...")
	for _, s := range []*lab.Stack{fullStack, emptyStack} {
		if err := s.Up(ctx); err != nil {
			return err
		}
	}

	var fullTimes, emptyTimes []time.Duration
	for range previewRuns {
		for stack, times := range map[*lab.Stack]*[]time.Duration{fullStack: &fullTimes, emptyStack: &emptyTimes} {
			start := time.Now()
			if err := stack.Preview(ctx, true); err != nil {
				return err
			}
			*times = append(*times, time.Since(start))
		}
	}
	fullMedian, emptyMedian := median(fullTimes), median(emptyTimes)
	fmt.Printf("no-op preview, prebuilt, median of %d: %.2f s; an empty program: %.2f s; ratio %.2f (goal %.1f)\n",
		previewRuns, fullMedian.Seconds(), emptyMedian.Seconds(),
		fullMedian.Seconds()/emptyMedian.Seconds(), goalPreview)
	return nil
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// writeEmptyProgram writes a Pulumi program without resources. It is in the copied module, so that it links the same SDK.
func writeEmptyProgram(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("creating the empty program: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "main.go"), []byte(`package main

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

func main() { pulumi.Run(func(*pulumi.Context) error { return nil }) }
`), 0o644)
}

// prebuiltProject builds the package in pkgDir and returns a project folder whose
// Pulumi.yaml runs that binary.
func prebuiltProject(ctx context.Context, module, pkgDir, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("creating project folder: %w", err)
	}
	binary := filepath.Join(dir, "program")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", languageHostLdf, "-o", binary, pkgDir)
	cmd.Dir = module
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkgDir, err, output)
	}
	yaml := fmt.Sprintf("name: vllm-autoscaling\nruntime:\n  name: go\n  options:\n    binary: %s\n", binary)
	return dir, os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), []byte(yaml), 0o644)
}

// copyProgram copies the program without its tests module.
func copyProgram(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel == "ops" || rel == "tests" || rel != "." && strings.HasPrefix(rel, ".") {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		// Go embeds the request guard, which is Python.
		if !slices.Contains([]string{".go", ".py"}, filepath.Ext(rel)) && !strings.HasPrefix(rel, "go.") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
}
