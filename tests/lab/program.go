package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// project is the part of a Pulumi.yaml that the lab reads.
type project struct {
	Name    string         `json:"name"`
	Runtime projectRuntime `json:"runtime"`

	manifest []byte
}

// projectRuntime is the language of a project with its options, or only a name.
type projectRuntime struct {
	Options struct {
		BuildTarget string `json:"buildTarget"`
		Binary      string `json:"binary"`
	} `json:"options"`
}

// UnmarshalJSON accepts both forms of a runtime.
func (r *projectRuntime) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return nil
	}
	type plain projectRuntime
	return json.Unmarshal(data, (*plain)(r))
}

func readProject(dir string) (*project, error) {
	manifest, err := os.ReadFile(filepath.Join(dir, "Pulumi.yaml"))
	if err != nil {
		return nil, fmt.Errorf("not a Pulumi project: %w", err)
	}
	p := &project{manifest: manifest}
	if err := yaml.Unmarshal(manifest, p); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "Pulumi.yaml"), err)
	}
	return p, nil
}

// languageHostFlag returns the project's runtime option as a flag of the language host; see tools.LanguageHostFlag.
func (p *project) languageHostFlag() string {
	switch options := p.Runtime.Options; {
	case options.Binary != "":
		return "-binary=" + options.Binary
	case options.BuildTarget != "":
		return "-buildTarget=" + options.BuildTarget
	default:
		return ""
	}
}

// BuildProgram compiles the project's program to the buildTarget of its Pulumi.yaml as the language host does, so that
// `pulumi up` finds it up to date. Otherwise the first command of a fresh checkout would compile for minutes without any
// output, and two commands at once would write the same file.
func BuildProgram(ctx context.Context, projectDir string, log io.Writer) error {
	project, err := readProject(projectDir)
	if err != nil {
		return err
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
