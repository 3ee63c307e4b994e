// Package stackoutputs finds a deployed stack's cluster and pipeline from the stack's outputs, for
// commands that look at or load what a stack has deployed.
package stackoutputs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"vllm-autoscaling/stacks/outputs"
)

// Stack is what the outputs say.
type Stack struct {
	Name string
	// Pipeline says where everything is.
	Pipeline outputs.Pipeline
	// Config reaches the cluster as the user.
	Config *rest.Config
	// Context is the kubeconfig's context in use.
	Context string
}

// Read asks the pulumi on the PATH for a stack's outputs, in the folder of the project. The stack has
// to be named: nothing falls back to the one that happens to be selected.
func Read(ctx context.Context, projectDir, stack string) (*Stack, error) {
	if stack == "" {
		return nil, errors.New("no stack named: give STACK=<stack>")
	}
	command := exec.CommandContext(ctx, "pulumi", "stack", "output", "--json", "--show-secrets", "--non-interactive", "--stack", stack)
	command.Dir = projectDir
	var out, errOut bytes.Buffer
	command.Stdout, command.Stderr = &out, &errOut
	if err := command.Run(); err != nil {
		// Never out: it may hold secrets.
		return nil, fmt.Errorf("outputs of stack %s: %w: %s", stack, err, strings.TrimSpace(errOut.String()))
	}
	s, err := Parse(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", stack, err)
	}
	s.Name = stack
	return s, nil
}

// Parse reads what `pulumi stack output --json --show-secrets` prints.
func Parse(printed []byte) (*Stack, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(printed, &all); err != nil {
		return nil, fmt.Errorf("outputs: %w", err)
	}
	s := &Stack{}
	raw, ok := all[outputs.PipelineKey]
	if !ok {
		return nil, fmt.Errorf("no output %s: is the stack deployed, with a program of this version? `pulumi up` brings it", outputs.PipelineKey)
	}
	if err := json.Unmarshal(raw, &s.Pipeline); err != nil {
		return nil, fmt.Errorf("output %s: %w", outputs.PipelineKey, err)
	}
	loading, err := loader(all[outputs.KubeconfigKey], s.Pipeline.Kubeconfig, s.Pipeline.Context)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := loading.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	if s.Context = s.Pipeline.Context; s.Context == "" {
		s.Context = kubeconfig.CurrentContext
	}
	if s.Config, err = loading.ClientConfig(); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return s, nil
}

// loader takes the kubeconfig of the outputs, or the user's own file that the stack was deployed with.
func loader(secret json.RawMessage, file, context string) (clientcmd.ClientConfig, error) {
	overrides := &clientcmd.ConfigOverrides{CurrentContext: context}
	if len(secret) == 0 || string(secret) == "null" {
		rules := clientcmd.NewDefaultClientConfigLoadingRules()
		if file != "" {
			if rest, ok := strings.CutPrefix(file, "~/"); ok {
				home, err := os.UserHomeDir()
				if err != nil {
					return nil, fmt.Errorf("kubeconfig %s: %w", file, err)
				}
				file = filepath.Join(home, rest)
			}
			rules.ExplicitPath = file
		}
		return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides), nil
	}
	text := []byte(secret)
	var quoted string
	if json.Unmarshal(secret, &quoted) == nil {
		text = []byte(quoted)
	}
	config, err := clientcmd.Load(text)
	if err != nil {
		return nil, fmt.Errorf("output %s is not a kubeconfig", outputs.KubeconfigKey) // the error may quote it
	}
	return clientcmd.NewDefaultClientConfig(*config, overrides), nil
}
