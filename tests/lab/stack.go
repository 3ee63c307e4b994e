package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"vllm-autoscaling/tests/lab/cloud"
	"vllm-autoscaling/tests/lab/process"
	"vllm-autoscaling/tests/lab/tools"
)

// How long the CLI gets after an interrupt. At the first it waits for the operations that it has begun,
// at the second it gives up on them.
const (
	firstInterrupt  = 20 * time.Second
	secondInterrupt = 5 * time.Second
)

// buildFlags are those of the Makefile: the language host then finds the program built.
var buildFlags = []string{"CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off"}

// StackOptions say which program is deployed and how it is configured.
type StackOptions struct {
	// Name of the stack, such as local.
	Name string
	// ProjectDir is the folder of Pulumi.yaml. Nothing is written there.
	ProjectDir string
	// Config are the stack's values by key, laid over those of the project's own file for a stack of that
	// name, where there is one: objects are merged, anything else is replaced. A key without a namespace
	// gets the project's name. A value can be anything that can be written as JSON.
	Config map[string]any
	// Secrets are stored encrypted; a nested key is a path, such as gpu.token.
	Secrets map[string]string
	// Output gets each command line and what the CLI prints; nil for nothing.
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
	began      func(*process.Process) // tells the lab what runs, so that it can end it

	mu   sync.Mutex
	runs int
}

// Stack creates a stack and stores its configuration. A second call with the same name starts from the
// state that the first one left and replaces the configuration.
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

// newStack prepares the CLI's folders below home.
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
		// Without a file of attributes beside the state: a CLI that is killed while it writes one leaves a state that
		// cannot be read.
		"PULUMI_BACKEND_URL=file://"+s.state+"?metadata=skip",
		// The state and its key are thrown away together.
		"PULUMI_CONFIG_PASSPHRASE=lab",
		"PULUMI_SKIP_UPDATE_CHECK=true",
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true",
		// The plugins of this lab, not others that happen to be on PATH.
		"PULUMI_IGNORE_AMBIENT_PLUGINS=true",
		// A language host that is killed leaves the program that it compiled.
		"TMPDIR="+temporary,
		"PATH="+filepath.Dir(programs.Path(tools.Pulumi))+string(os.PathListSeparator)+os.Getenv("PATH"),
	)
	s.env = append(s.env, tools.LanguageHostFlag+"="+project.languageHostFlag())
	s.env = append(s.env, buildFlags...)
	s.env = append(s.env, o.Env...)
	return s, nil
}

// stackEnvironment is the user's environment without what would lead the CLI to the user's own stacks
// and clusters.
func stackEnvironment(user []string) []string {
	return slices.DeleteFunc(slices.Clone(user), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "PATH", "TMPDIR", "KUBECONFIG", "CGO_ENABLED", "GOFLAGS", "GOWORK":
			return true
		}
		return strings.HasPrefix(name, "PULUMI_") || strings.HasPrefix(name, "HELM_")
	})
}

// installProvider puts a plugin where the CLI looks for the version that the program asks for.
func installProvider(cliHome, name, version, plugin string) error {
	folder := filepath.Join(cliHome, "plugins", "resource-"+name+"-"+version)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return replaceLink(plugin, filepath.Join(folder, "pulumi-resource-"+name))
}

func replaceLink(target, link string) error {
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(target, link)
}

// useClouds installs the clouds' providers and, before all other programs, those that their kubeconfigs call.
func (s *Stack) useClouds(l *Lab) error {
	home := filepath.Join(l.dir, "pulumi")
	double := s.programs.Path(tools.CloudDoubles)
	for name, version := range cloud.Plugins() {
		if err := installProvider(filepath.Join(home, "home"), name, "v"+version, double); err != nil {
			return err
		}
	}
	bin := filepath.Join(home, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return err
	}
	for _, name := range cloud.Programs() {
		if err := replaceLink(double, filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	for i, variable := range s.env {
		if path, ok := strings.CutPrefix(variable, "PATH="); ok {
			s.env[i] = "PATH=" + bin + string(os.PathListSeparator) + path
		}
	}
	s.env = append(s.env, l.clouds.Environment()...)
	// Whoever forgets the cloud's kubeconfig shall not find another one.
	s.env = append(s.env, "KUBECONFIG="+filepath.Join(home, "no-kubeconfig"))
	return nil
}

// create makes the stack, from a copy of the project: the CLI writes the key's salt beside Pulumi.yaml.
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
		// On stdin, so that it is in no process list.
		if _, err := s.run(ctx, call{dir: s.scratch, args: args, stdin: o.Secrets[key], quiet: true}); err != nil {
			return err
		}
	}
	return nil
}

// projectConfig reads the plain values of a stack's file in the project; no file is no error. What is
// encrypted there is left out: it has another key.
func projectConfig(file string) (map[string]any, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var stack struct {
		Config map[string]any `json:"config"`
	}
	if err := yaml.Unmarshal(content, &stack); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return withoutSecrets(stack.Config), nil
}

func withoutSecrets(config map[string]any) map[string]any {
	plain := map[string]any{}
	for key, value := range config {
		object, ok := value.(map[string]any)
		switch {
		case !ok:
			plain[key] = value
		case object["secure"] == nil:
			plain[key] = withoutSecrets(object)
		}
	}
	return plain
}

// SetConfig replaces what StackOptions.Config has set; secrets and the project's own values stay.
func (s *Stack) SetConfig(values map[string]any) error {
	content, err := os.ReadFile(s.configFile)
	if err != nil {
		return err
	}
	file := map[string]any{}
	if err := yaml.Unmarshal(content, &file); err != nil {
		return fmt.Errorf("%s: %w", s.configFile, err)
	}
	qualified := map[string]any{}
	for key, value := range values {
		qualified[s.qualified(key)] = value
	}
	// Through JSON, so that objects are maps of one type whatever the caller used.
	text, err := json.Marshal(qualified)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	qualified = nil
	if err := json.Unmarshal(text, &qualified); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	config := merged(s.base, qualified)
	if old, ok := file["config"].(map[string]any); ok {
		for key, value := range old {
			if object, ok := value.(map[string]any); ok && object["secure"] != nil {
				config[key] = value
			}
		}
	}
	file["config"] = config
	content, err = yaml.Marshal(file)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return os.WriteFile(s.configFile, content, 0o600)
}

// merged lays over onto base; neither is changed.
func merged(base, over map[string]any) map[string]any {
	result := map[string]any{}
	for key, value := range base {
		result[key] = value
	}
	for key, value := range over {
		below, ok := result[key].(map[string]any)
		above, both := value.(map[string]any)
		if ok && both {
			value = merged(below, above)
		}
		result[key] = value
	}
	return result
}

func (s *Stack) qualified(key string) string {
	if strings.Contains(key, ":") {
		return key
	}
	return s.project + ":" + key
}

// Name is the stack's name.
func (s *Stack) Name() string { return s.name }

// ConfigFile is the stack's configuration, outside the project's folder.
func (s *Stack) ConfigFile() string { return s.configFile }

// StateFile is where the CLI keeps the stack's state, and what it has begun.
func (s *Stack) StateFile() string {
	return filepath.Join(s.state, ".pulumi", "stacks", s.project, s.name+".json")
}

// Environment is that of the CLI, for a user who wants to run it by hand.
func (s *Stack) Environment() []string { return slices.Clone(s.env) }

// CommandLine is how the CLI is called for a command of this stack.
func (s *Stack) CommandLine(command string, args ...string) []string {
	return append([]string{tools.Pulumi, command, "--stack", s.name, "--config-file", s.configFile, "--non-interactive"}, args...)
}

// Up deploys the stack; args are added to the command line.
func (s *Stack) Up(ctx context.Context, args ...string) error {
	_, err := s.command(ctx, "up", append([]string{"--yes"}, args...)...)
	return err
}

// Preview shows what Up would do; with expectNoChanges it is an error if that is anything.
func (s *Stack) Preview(ctx context.Context, expectNoChanges bool, args ...string) error {
	if expectNoChanges {
		args = append([]string{"--expect-no-changes"}, args...)
	}
	_, err := s.command(ctx, "preview", args...)
	return err
}

// Refresh reads what is really there into the state.
func (s *Stack) Refresh(ctx context.Context, args ...string) error {
	_, err := s.command(ctx, "refresh", append([]string{"--yes"}, args...)...)
	return err
}

// Destroy removes everything that the stack deployed.
func (s *Stack) Destroy(ctx context.Context, args ...string) error {
	_, err := s.command(ctx, "destroy", append([]string{"--yes"}, args...)...)
	return err
}

// StartUp starts `pulumi up` and returns while it works, for a caller that ends it half-way with Kill.
// After that the state is locked: call Cancel before the next command.
func (s *Stack) StartUp(ctx context.Context, args ...string) (*process.Process, error) {
	return s.start(ctx, call{dir: s.dir, args: s.CommandLine("up", append([]string{"--yes"}, args...)...)[1:]})
}

// Cancel removes the lock that a killed command left on the state. What the killed command was doing is
// in the state as pending; the next Up says so and completes it.
func (s *Stack) Cancel(ctx context.Context) error {
	_, err := s.run(ctx, call{dir: s.scratch, args: []string{"cancel", s.name, "--yes", "--non-interactive"}})
	return err
}

// Outputs are the stack's outputs; secrets are shown as "[secret]" unless asked for.
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

// Export is the stack's state, as JSON with secrets encrypted.
func (s *Stack) Export(ctx context.Context) (string, error) {
	return s.run(ctx, call{dir: s.scratch, args: []string{"stack", "export", "--stack", s.name, "--non-interactive"}, quiet: true})
}

// Import replaces the stack's state by one that Export has returned, or what was made of it.
func (s *Stack) Import(ctx context.Context, state string) error {
	_, err := s.run(ctx, call{dir: s.scratch, args: []string{"stack", "import", "--stack", s.name, "--non-interactive"}, stdin: state, quiet: true})
	return err
}

func (s *Stack) command(ctx context.Context, name string, args ...string) (string, error) {
	return s.run(ctx, call{dir: s.dir, args: s.CommandLine(name, args...)[1:]})
}

// call is one call of the CLI.
type call struct {
	dir   string
	args  []string
	stdin string
	// quiet keeps the call and its output off the screen.
	quiet bool
}

// newLog makes the next log file, also after those of an earlier Stack of the same name: what a command
// printed is read from a file of its own.
func (s *Stack) newLog(command string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		s.runs++
		path := filepath.Join(s.logs, fmt.Sprintf("%s-%03d-%s.log", s.name, s.runs, command))
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return path, file.Close()
	}
}

// start starts the CLI.
func (s *Stack) start(ctx context.Context, c call) (*process.Process, error) {
	log, err := s.newLog(c.args[0])
	if err != nil {
		return nil, err
	}
	spec := process.Spec{
		Name: "pulumi " + strings.Join(c.args[:min(2, len(c.args))], " "), Path: s.programs.Path(tools.Pulumi),
		Args: append(slices.Clone(c.args), "--color", "never"), Env: s.env, Dir: c.dir,
		Stdin: c.stdin, LogFile: log,
		StopSignal: syscall.SIGINT, StopTimeout: firstInterrupt,
	}
	if c.dir == s.dir {
		spec.Name = "pulumi " + c.args[0] + " --stack " + s.name
	}
	if !c.quiet {
		fmt.Fprintf(s.output, "$ pulumi %s\n", strings.Join(c.args, " "))
		spec.Output = s.output
	}
	p, err := process.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	s.began(p)
	return p, nil
}

// run runs the CLI to its end and returns what it printed. When the context ends it interrupts the CLI
// as a user would, and kills it if that does not help.
func (s *Stack) run(ctx context.Context, c call) (string, error) {
	p, err := s.start(ctx, c)
	if err != nil {
		return "", err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		return "", errors.Join(fmt.Errorf("%s: %w", p.Name(), context.Cause(ctx)), interrupt(p))
	}
	content, err := os.ReadFile(p.LogFile())
	if err != nil {
		return "", err
	}
	if p.ExitCode() != 0 {
		return string(content), &CommandError{Command: p.Name(), Code: p.ExitCode(), Output: string(content)}
	}
	return string(content), nil
}

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

// CommandError says that a command of the CLI failed.
type CommandError struct {
	// Command is what was run, such as "pulumi up --stack local".
	Command string
	// Code is the exit status, -1 when a signal ended it.
	Code int
	// Output is everything that it printed.
	Output string
}

// Error holds the part of the output that says why: the diagnostics, or else the last lines.
func (e *CommandError) Error() string {
	const most = 60
	lines := strings.Split(strings.TrimSpace(e.Output), "\n")
	if i := slices.Index(lines, "Diagnostics:"); i >= 0 {
		lines = lines[i:]
		if len(lines) > most {
			lines = lines[:most]
		}
	} else if len(lines) > most/2 {
		lines = lines[len(lines)-most/2:]
	}
	return fmt.Sprintf("%s failed (exit status %d):\n%s", e.Command, e.Code, strings.Join(lines, "\n"))
}
