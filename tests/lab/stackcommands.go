package lab

import (
	"context"
	"encoding/json"
	"fmt"

	"vllm-autoscaling/tests/lab/process"
)

// Up deploys the stack; args are added to the command line.
func (s *Stack) Up(ctx context.Context, args ...string) error {
	_, err := s.command(ctx, "up", append([]string{"--yes"}, args...)...)
	return err
}

// Preview shows what Up would do. With expectNoChanges, any change is an error.
func (s *Stack) Preview(ctx context.Context, expectNoChanges bool, args ...string) error {
	if expectNoChanges {
		args = append([]string{"--expect-no-changes"}, args...)
	}
	_, err := s.command(ctx, "preview", args...)
	return err
}

// Refresh updates the state from the existing resources.
func (s *Stack) Refresh(ctx context.Context, args ...string) error {
	_, err := s.command(ctx, "refresh", append([]string{"--yes"}, args...)...)
	return err
}

// Destroy removes everything that the stack deployed.
func (s *Stack) Destroy(ctx context.Context, args ...string) error {
	_, err := s.command(ctx, "destroy", append([]string{"--yes"}, args...)...)
	return err
}

// StartUp starts `pulumi up` and returns while it runs, for a caller that interrupts it with Kill. After that the state is
// locked: call Cancel before the next command.
func (s *Stack) StartUp(ctx context.Context, args ...string) (*process.Process, error) {
	return s.start(ctx, call{dir: s.dir, args: s.CommandLine("up", append([]string{"--yes"}, args...)...)[1:]})
}

// Cancel removes the lock that a killed command left on the state. Its unfinished operations are pending in the state; the
// next Up reports and completes them.
func (s *Stack) Cancel(ctx context.Context) error {
	_, err := s.run(ctx, call{dir: s.scratch, args: []string{"cancel", s.name, "--yes", "--non-interactive"}})
	return err
}

// Outputs returns the stack's outputs. Secrets are "[secret]" unless showSecrets is set.
func (s *Stack) Outputs(ctx context.Context, showSecrets bool) (map[string]any, error) {
	args := []string{"stack", "output", "--json", "--stack", s.name, "--non-interactive"}
	if showSecrets {
		args = append(args, "--show-secrets")
	}
	text, err := s.run(ctx, call{dir: s.scratch, args: args, quiet: true})
	if err != nil {
		return nil, err
	}
	outputs := map[string]any{}
	if err := json.Unmarshal([]byte(text), &outputs); err != nil {
		return nil, fmt.Errorf("outputs of stack %s: %w: %s", s.name, err, text)
	}
	return outputs, nil
}

// Export returns the stack's state as JSON, with encrypted secrets.
func (s *Stack) Export(ctx context.Context) (string, error) {
	return s.run(ctx, call{dir: s.scratch, args: []string{"stack", "export", "--stack", s.name, "--non-interactive"}, quiet: true})
}

// Import replaces the stack's state by a result of Export, perhaps changed.
func (s *Stack) Import(ctx context.Context, state string) error {
	_, err := s.run(ctx, call{dir: s.scratch, args: []string{"stack", "import", "--stack", s.name, "--non-interactive"}, stdin: state, quiet: true})
	return err
}
