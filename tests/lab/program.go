package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// BuildProgram compiles the project's program to where its Pulumi.yaml keeps it (buildTarget), the way
// the language host does: `pulumi up` then finds it up to date. Without that, the first command of a
// fresh checkout would compile for minutes without a word, and two at once would write one file.
func BuildProgram(ctx context.Context, projectDir string, log io.Writer) error {
	manifest, err := os.ReadFile(filepath.Join(projectDir, "Pulumi.yaml"))
	if err != nil {
		return fmt.Errorf("not a Pulumi project: %w", err)
	}
	var project struct {
		Runtime struct {
			Options struct {
				BuildTarget string `json:"buildTarget"`
			} `json:"options"`
		} `json:"runtime"`
	}
	if err := yaml.Unmarshal(manifest, &project); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(projectDir, "Pulumi.yaml"), err)
	}
	target := project.Runtime.Options.BuildTarget
	if target == "" {
		return fmt.Errorf("%s keeps no program: set runtime.options.buildTarget", filepath.Join(projectDir, "Pulumi.yaml"))
	}
	started := time.Now()
	fmt.Fprint(log, "the Pulumi program building ... ")
	build := exec.CommandContext(ctx, "go", "build", "-o", target)
	build.Dir = projectDir
	build.Env = append(stackEnvironment(os.Environ()), "PATH="+os.Getenv("PATH"), "TMPDIR="+os.TempDir())
	build.Env = append(build.Env, buildFlags...)
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) }
	build.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	build.Stdout, build.Stderr = &output, &output
	if err := build.Run(); err != nil {
		fmt.Fprintln(log, "failed")
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("go build of the program: %w\n%s", err, strings.TrimSpace(output.String()))
	}
	fmt.Fprintf(log, "%.0f s\n", time.Since(started).Seconds())
	return nil
}
