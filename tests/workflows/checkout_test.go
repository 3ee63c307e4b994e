package workflows

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// checkout is a repository with the scripts, stack files and go.mod of this one, and files that a test changes.
type checkout struct {
	t   *testing.T
	dir string
}

func newCheckout(t *testing.T) *checkout {
	t.Helper()
	c := &checkout{t: t, dir: t.TempDir()}
	root := repository(t)
	for _, pattern := range []string{".ci/*", "Pulumi.*yaml", "go.mod", "Makefile", "providers/*/cloud.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			info, err := os.Stat(file)
			require.NoError(t, err)
			relative, err := filepath.Rel(root, file)
			require.NoError(t, err)
			c.write(relative, string(content))
			require.NoError(t, os.Chmod(filepath.Join(c.dir, relative), info.Mode()))
		}
	}
	return c
}

func (c *checkout) write(file, content string) {
	c.t.Helper()
	path := filepath.Join(c.dir, file)
	require.NoError(c.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(c.t, os.WriteFile(path, []byte(content), 0o644))
}

// git runs git with an identity of its own, independent of the machine's configuration.
func (c *checkout) git(args ...string) string {
	c.t.Helper()
	identity := []string{"-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"}
	command := exec.CommandContext(c.t.Context(), "git", append(identity, args...)...)
	command.Dir = c.dir
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	output, err := command.CombinedOutput()
	require.NoError(c.t, err, string(output))
	return strings.TrimSpace(string(output))
}

// commit commits everything and returns the commit.
func (c *checkout) commit() string {
	c.t.Helper()
	if _, err := os.Stat(filepath.Join(c.dir, ".git")); err != nil {
		c.git("init", "--quiet", "--initial-branch=main")
	}
	c.git("add", "--all")
	c.git("commit", "--quiet", "--allow-empty", "--message=change")
	return c.git("rev-parse", "HEAD")
}

// ran is the result of a script.
type ran struct {
	stdout, stderr string
	outputs        map[string]string // GITHUB_OUTPUT
	err            error
}

// script runs a script with only PATH, HOME and the given variables in its environment.
func (c *checkout) script(name string, env map[string]string, args ...string) ran {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	outputs := filepath.Join(c.t.TempDir(), "outputs")
	command := exec.CommandContext(ctx, filepath.Join(c.dir, ".ci", name), args...)
	// In another folder, because a script has to find its repository itself.
	command.Dir = os.TempDir()
	command.Env = []string{"HOME=" + filepath.Join(c.dir, "home"), "GITHUB_OUTPUT=" + outputs}
	if _, ok := env["PATH"]; !ok {
		command.Env = append(command.Env, "PATH="+os.Getenv("PATH"))
	}
	for key, value := range env {
		command.Env = append(command.Env, key+"="+value)
	}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	result := ran{outputs: map[string]string{}, err: command.Run()}
	result.stdout, result.stderr = stdout.String(), stderr.String()
	if content, err := os.ReadFile(outputs); err == nil {
		for line := range strings.Lines(string(content)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			result.outputs[key] = value
		}
	}
	return result
}

// fakePulumi returns a folder with a CLI that records its arguments, and a function that returns them.
func fakePulumi(t *testing.T) (folder string, calls func() []string) {
	t.Helper()
	folder = t.TempDir()
	log := filepath.Join(folder, "calls")
	script := "#!/bin/sh\necho \"$*\" >>" + log + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "pulumi"), []byte(script), 0o755))
	return folder, func() []string {
		content, err := os.ReadFile(log)
		if err != nil {
			return nil
		}
		return strings.Split(strings.TrimSpace(string(content)), "\n")
	}
}
