package verify

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
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"vllm-autoscaling/ops/server"
	"vllm-autoscaling/stacks/outputs"
)

// StackOutputs reads a stack's outputs, secrets included, with the pulumi on the PATH, in the project's folder. The
// caller must not print them.
func StackOutputs(ctx context.Context, projectDir, stack string) ([]byte, error) {
	// Only stdout: a warning on stderr is not JSON.
	command := exec.CommandContext(ctx, "pulumi", "stack", "output", "--json", "--show-secrets", "--non-interactive", "--stack", stack)
	command.Dir = projectDir
	// A plugin of the CLI may keep its output open after the CLI was stopped.
	command.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("pulumi stack output --stack %s: %w: %s", stack, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// Access is the access to a stack's cluster, from its outputs.
type Access struct {
	// Server is the name of the server that the access is for, in a stack with the key servers; "" in any other.
	Server   string
	Pipeline outputs.Pipeline
	// Config is the connection to the API server.
	Config *rest.Config
	// Kubectl is the user's command for the cluster.
	Kubectl string
}

// ParseOutputs parses the result of StackOutputs for one server of the stack, which a stack of one need not name. Relative paths in
// it are relative to the project's folder. Its errors do not quote the outputs.
func ParseOutputs(text []byte, projectDir, name string) (*Access, error) {
	all, err := ParseServers(text, projectDir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range all {
		names = append(names, a.Pipeline.Serving.Deployment)
	}
	i, err := server.Choose(names, name)
	if err != nil {
		return nil, err
	}
	return all[i], nil
}

// ParseServers is like ParseOutputs, for each server of the stack in the order of their names; there is at least one.
func ParseServers(text []byte, projectDir string) ([]*Access, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, errors.New("the outputs are not a JSON object: `pulumi stack output --json --show-secrets` writes one")
	}
	if len(all) == 0 {
		return nil, errors.New("the stack has no outputs: run `pulumi up` first")
	}
	servers, err := serversOf(all)
	if err != nil {
		return nil, err
	}
	for _, a := range servers {
		if secret, ok := all[outputs.KubeconfigKey]; ok {
			a.Config, err = fromKubeconfig(secret)
		} else {
			a.Config, err = fromFile(a.Pipeline.Kubeconfig, a.Pipeline.Context, projectDir)
		}
		if err != nil {
			return nil, err
		}
	}
	return servers, nil
}

// kubectlOf extracts the kubectl command from a command such as "LOGIN && kubectl --context c --namespace n ...".
func kubectlOf(command string) string {
	if i := strings.LastIndex(command, "&& "); i >= 0 {
		command = command[i+len("&& "):]
	}
	kubectl, _, found := strings.Cut(command, " --namespace ")
	if !found {
		return "kubectl"
	}
	return kubectl
}

func fromKubeconfig(secret json.RawMessage) (*rest.Config, error) {
	// The parser's messages may quote the kubeconfig, so they are not returned.
	unusable := fmt.Errorf("output %q is not a kubeconfig: were the outputs read with --show-secrets?", outputs.KubeconfigKey)
	var content string
	if err := json.Unmarshal(secret, &content); err != nil {
		return nil, unusable
	}
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(content))
	if err != nil {
		return nil, unusable
	}
	return config, nil
}

func fromFile(path, kubeContext, projectDir string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if path != "" {
		if rest, ok := strings.CutPrefix(path, "~/"); ok {
			home, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("kubeconfig %s: %w", path, err)
			}
			path = filepath.Join(home, rest)
		} else if !filepath.IsAbs(path) {
			path = filepath.Join(projectDir, path)
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("kubeconfig of the stack: %w: run this where the stack was deployed from, or copy the file", err)
		}
		rules = &clientcmd.ClientConfigLoadingRules{ExplicitPath: path}
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: kubeContext}).ClientConfig()
	if err != nil {
		where := path
		if where == "" {
			where = "of this machine (KUBECONFIG, or ~/.kube/config)"
		}
		return nil, fmt.Errorf("kubeconfig %s has no usable context %q", where, kubeContext)
	}
	return config, nil
}
