package recover

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// CLI are the commands of Pulumi that a recovery needs.
type CLI interface {
	// Export returns the state; secrets reports whether it contains them in plain text.
	Export(ctx context.Context, secrets bool) ([]byte, error)
	Import(ctx context.Context, state []byte) error
	// Unlock removes the lock of the state.
	Unlock(ctx context.Context) error
	Refresh(ctx context.Context) error
	// Backend returns the address of the state's backend.
	Backend(ctx context.Context) (string, error)
}

// Pulumi is the CLI on the PATH, for one stack.
type Pulumi struct {
	// Stack is the stack's name, Project the folder of Pulumi.yaml, ConfigFile the stack's file, "" for that in the folder.
	Stack, Project, ConfigFile string
	// Progress receives what a refresh prints.
	Progress io.Writer

	backend string // once it was read
}

// commandDelay is how long to wait for a stopped command, whose plugins may hold its output open.
const commandDelay = 5 * time.Second

func (p *Pulumi) run(ctx context.Context, stdin []byte, progress io.Writer, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "pulumi", append(args, "--non-interactive")...)
	command.Dir, command.WaitDelay = p.Project, commandDelay
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if progress != nil {
		command.Stdout, command.Stderr = io.MultiWriter(progress, &stdout), io.MultiWriter(progress, &stderr)
	}
	err := command.Run()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("pulumi is not on the PATH")
	}
	if err != nil {
		reason := strings.TrimSpace(stderr.String())
		if reason == "" {
			reason = err.Error()
		}
		return nil, &commandError{command: "pulumi " + strings.Join(args, " "), reason: reason}
	}
	return stdout.Bytes(), nil
}

type commandError struct{ command, reason string }

func (e *commandError) Error() string { return e.command + ": " + e.reason }

// Export returns the state of the stack.
func (p *Pulumi) Export(ctx context.Context, secrets bool) ([]byte, error) {
	args := []string{"stack", "export", "--stack", p.Stack}
	if secrets {
		args = append(args, "--show-secrets")
	}
	text, err := p.run(ctx, nil, nil, args...)
	var failed *commandError
	if errors.As(err, &failed) && strings.Contains(failed.reason, "failed to load checkpoint") {
		return nil, p.damaged(ctx, failed)
	}
	return text, err
}

// damaged returns what to do about a state that cannot be read.
func (p *Pulumi) damaged(ctx context.Context, failed *commandError) error {
	file, err := p.stateFile(ctx)
	if err != nil || file == "" {
		return fmt.Errorf("the state is damaged: restore its last version in the backend (%w)", failed)
	}
	if info, err := os.Stat(file + ".attrs"); err == nil {
		return fmt.Errorf("a killed pulumi has left the file %s incomplete (%d bytes), and the state cannot be read beside it: delete that file and run this again (%w)",
			file+".attrs", info.Size(), failed)
	}
	return fmt.Errorf("the state in %s is damaged: replace it by %s (%w)", file, file+".bak", failed)
}

// stateFile returns the path of the state in a backend of files, "" for another backend.
func (p *Pulumi) stateFile(ctx context.Context) (string, error) {
	folder, err := p.folder(ctx)
	if err != nil || folder == "" {
		return "", err
	}
	project, err := projectName(p.Project)
	return filepath.Join(folder, "stacks", project, lastPart(p.Stack)+".json"), err
}

// folder returns the folder of a backend of files, "" for another backend.
func (p *Pulumi) folder(ctx context.Context) (string, error) {
	backend, err := p.Backend(ctx)
	if err != nil {
		return "", err
	}
	return backendFolder(backend)
}

func backendFolder(backend string) (string, error) {
	if !strings.HasPrefix(backend, "file:") {
		return "", nil
	}
	address, err := url.Parse(backend)
	if err != nil {
		return "", err
	}
	path := address.Host + address.Path
	if below, ok := strings.CutPrefix(path, "~"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		path = filepath.Join(home, below)
	}
	return filepath.Join(path, ".pulumi"), nil
}

// lastPart returns the name of a stack without its organization and project.
func lastPart(stack string) string { return stack[strings.LastIndex(stack, "/")+1:] }

// projectName reads the name in Pulumi.yaml.
func projectName(folder string) (string, error) {
	content, err := os.ReadFile(filepath.Join(folder, "Pulumi.yaml"))
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(string(content), "\n") {
		if name, ok := strings.CutPrefix(line, "name:"); ok {
			name, _, _ = strings.Cut(name, " #")
			return strings.Trim(strings.TrimSpace(name), `"'`), nil
		}
	}
	return "", fmt.Errorf("%s has no name", filepath.Join(folder, "Pulumi.yaml"))
}

// Import replaces the state of the stack.
func (p *Pulumi) Import(ctx context.Context, state []byte) error {
	_, err := p.run(ctx, state, nil, "stack", "import", "--stack", p.Stack)
	return err
}

// Unlock removes the lock of the state.
func (p *Pulumi) Unlock(ctx context.Context) error {
	_, err := p.run(ctx, nil, nil, "cancel", p.Stack, "--yes")
	return err
}

// Refresh reads what the state lists from the clouds and the cluster.
func (p *Pulumi) Refresh(ctx context.Context) error {
	args := []string{"refresh", "--stack", p.Stack, "--yes", "--skip-preview", "--color", "never"}
	if p.ConfigFile != "" {
		args = append(args, "--config-file", p.ConfigFile)
	}
	_, err := p.run(ctx, nil, p.Progress, args...)
	return err
}

// Backend returns the address of the state's backend.
func (p *Pulumi) Backend(ctx context.Context) (string, error) {
	if p.backend != "" {
		return p.backend, nil
	}
	text, err := p.run(ctx, nil, nil, "whoami", "--verbose", "--json")
	if err != nil {
		return "", err
	}
	var identity struct{ URL string }
	if err := json.Unmarshal(text, &identity); err != nil {
		return "", fmt.Errorf("pulumi whoami: %w", err)
	}
	p.backend = identity.URL
	return p.backend, nil
}
