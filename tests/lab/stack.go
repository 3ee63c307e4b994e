package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"vllm-autoscaling/tests/lab/process"
	"vllm-autoscaling/tests/lab/tools"
)

// buildFlags are those of the Makefile, so that the language host uses the cached build.
var buildFlags = []string{"CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off"}

// StackOptions select the program and its configuration.
type StackOptions struct {
	// Name is that of the stack, such as local.
	Name string
	// ProjectDir is the folder of Pulumi.yaml. Nothing is written there.
	ProjectDir string
	// Config are the stack's values by key. They override those of the project's own file for a stack of that name, if there
	// is one: objects are merged, other values are replaced. A key without a namespace gets the project's name. A value can
	// be anything that JSON can represent.
	Config map[string]any
	// Secrets are values that are stored encrypted, by key. A nested key is a path, such as gpu.token.
	Secrets map[string]string
	// Output receives each command line and the CLI's output; nil for none.
	Output io.Writer
	// Env is added to the environment of the CLI, as NAME=value.
	Env []string
}

// Stack is a stack of a Pulumi project, deployed by the real CLI with its state below the lab's folder.
type Stack struct {
	name       string
	project    string // name in Pulumi.yaml
	dir        string // folder of Pulumi.yaml
	scratch    string // folder with a copy of Pulumi.yaml, where the stack's configuration lives
	configFile string
	base       map[string]any // configuration in the project's file for the stack
	programs   tools.Tools
	env        []string
	output     io.Writer
	logs       string
	state      string                 // the backend's folder
	began      func(*process.Process) // reports a running command to the lab, which ends it

	mu   sync.Mutex
	runs int
}

// Stack creates a stack and stores its configuration. A second call with the same name continues from the state of the
// first one and replaces the configuration.
func (l *Lab) Stack(ctx context.Context, o StackOptions) (*Stack, error) {
	s, err := newStack(filepath.Join(l.dir, "pulumi"), l.programs, o)
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", o.Name, err)
	}
	if l.clouds == nil {
		s.env = append(s.env, "KUBECONFIG="+l.Kubeconfig())
	} else if err := s.useClouds(l); err != nil {
		return nil, fmt.Errorf("stack %s: %w", o.Name, err)
	}
	s.began = l.remember
	if err := s.create(ctx, o); err != nil {
		return nil, fmt.Errorf("stack %s: %w", o.Name, err)
	}
	return s, nil
}

// newStack creates the CLI's folders below home.
func newStack(home string, programs tools.Tools, o StackOptions) (*Stack, error) {
	dir, err := filepath.Abs(o.ProjectDir)
	if err != nil {
		return nil, err
	}
	project, err := readProject(dir)
	if err != nil {
		return nil, err
	}
	s := &Stack{
		name: o.Name, project: project.Name, dir: dir, programs: programs, output: o.Output,
		scratch: filepath.Join(home, "stacks", o.Name), logs: filepath.Join(home, "logs"),
		began: func(*process.Process) {},
	}
	if s.output == nil {
		s.output = io.Discard
	}
	s.state = filepath.Join(home, "state")
	temporary := filepath.Join(home, "tmp")
	for _, folder := range []string{s.scratch, s.logs, s.state, temporary} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, err
		}
	}
	s.configFile = filepath.Join(s.scratch, "Pulumi."+o.Name+".yaml")
	if err := os.WriteFile(filepath.Join(s.scratch, "Pulumi.yaml"), project.manifest, 0o600); err != nil {
		return nil, err
	}
	if s.base, err = projectConfig(filepath.Join(dir, "Pulumi."+o.Name+".yaml")); err != nil {
		return nil, err
	}
	cliHome := filepath.Join(home, "home")
	if err := installProvider(cliHome, "kubernetes", tools.KubernetesProviderVersion, programs.Path(tools.KubernetesProvider)); err != nil {
		return nil, err
	}
	s.env = append(stackEnvironment(os.Environ()),
		"PULUMI_HOME="+cliHome,
		// Without a metadata file beside the state: a CLI that is killed while it writes one leaves an unreadable state.
		"PULUMI_BACKEND_URL=file://"+s.state+"?metadata=skip",
		// The state and its key are deleted together.
		"PULUMI_CONFIG_PASSPHRASE=lab",
		"PULUMI_SKIP_UPDATE_CHECK=true",
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true",
		// Only the lab's plugins, not others on the PATH.
		"PULUMI_IGNORE_AMBIENT_PLUGINS=true",
		// A killed language host leaves the program that it compiled here.
		"TMPDIR="+temporary,
		"PATH="+filepath.Dir(programs.Path(tools.Pulumi))+string(os.PathListSeparator)+os.Getenv("PATH"),
	)
	s.env = append(s.env, tools.LanguageHostFlag+"="+project.languageHostFlag())
	s.env = append(s.env, buildFlags...)
	s.env = append(s.env, o.Env...)
	return s, nil
}

// create creates the stack in a copy of the project, because the CLI writes the key's salt beside Pulumi.yaml.
func (s *Stack) create(ctx context.Context, o StackOptions) error {
	if _, err := os.Stat(s.configFile); errors.Is(err, os.ErrNotExist) {
		if _, err := s.run(ctx, call{dir: s.scratch, args: []string{"stack", "init", s.name, "--non-interactive"}, quiet: true}); err != nil {
			return err
		}
	}
	if err := s.SetConfig(o.Config); err != nil {
		return err
	}
	keys := make([]string, 0, len(o.Secrets))
	for key := range o.Secrets {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		args := []string{"config", "set", "--secret", "--path", s.qualified(key), "--stack", s.name, "--non-interactive"}
		// On stdin, so that no process list shows it.
		if _, err := s.run(ctx, call{dir: s.scratch, args: args, stdin: o.Secrets[key], quiet: true}); err != nil {
			return err
		}
	}
	return nil
}

// Name returns the stack's name.
func (s *Stack) Name() string { return s.name }

// ConfigFile returns the path of the stack's configuration, outside the project's folder.
func (s *Stack) ConfigFile() string { return s.configFile }

// StateFile returns the path of the stack's state, which includes pending operations.
func (s *Stack) StateFile() string {
	return filepath.Join(s.state, ".pulumi", "stacks", s.project, s.name+".json")
}

// Environment returns the CLI's environment, for running it by hand.
func (s *Stack) Environment() []string { return slices.Clone(s.env) }

func interrupt(p *process.Process) error {
	for _, wait := range []time.Duration{firstInterrupt, secondInterrupt} {
		if err := p.Signal(syscall.SIGINT); err != nil {
			return err
		}
		select {
		case <-p.Done():
			return nil
		case <-time.After(wait):
		}
	}
	return p.Kill()
}
