package cloud

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Call is a call of an authentication program, or of a cloud's CLI.
type Call struct {
	// Program is one of Programs.
	Program string
	// Args are its arguments, Info is the value of KUBERNETES_EXEC_INFO.
	Args []string
	Info string
}

// Answer is the output of the program and its exit status.
type Answer struct {
	Stdout, Stderr string
	Code           int
}

// credentials returns the program's output: what a CLI prints of the account, or the lab's credentials for the cluster. Where the
// real program would print a token that the cluster then refuses, so does this one.
func (c *Cloud) credentials(call Call) Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	var token string
	err := fmt.Errorf("no program %q in the lab", call.Program)
	for _, d := range c.doubles {
		// The CLI of AWS is both.
		if d.cli == call.Program && (d.cli != d.program || !slices.Contains(call.Args, "get-token")) {
			return c.ask(d, call.Args)
		}
		if d.program == call.Program {
			token, err = d.token(c, call)
		}
	}
	if err != nil {
		return Answer{Stderr: fmt.Sprintf("%s: %v\n", call.Program, err), Code: 1}
	}
	credential, err := json.Marshal(map[string]any{
		"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "status": map[string]any{"token": token},
	})
	if err != nil {
		return Answer{Stderr: err.Error(), Code: 1}
	}
	return Answer{Stdout: string(credential) + "\n"}
}

// token returns the administrator's token, or for no cluster one that every API server refuses.
func (c *Cloud) token(cluster *Resource) string {
	if cluster == nil {
		return "refused-" + randomHex(32)
	}
	return c.options.ControlPlane.Config().BearerToken
}

// parseFlags divides arguments into words and flags with values. An unknown flag is an error.
func parseFlags(args []string, known ...string) (words []string, flags map[string]string, err error) {
	flags = map[string]string{}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(args[i], "-"):
			words = append(words, args[i])
			continue
		case !slices.Contains(known, name):
			return nil, nil, fmt.Errorf("unknown flag: %s", name)
		case !joined && i+1 == len(args):
			return nil, nil, fmt.Errorf("flag needs an argument: %s", name)
		case !joined:
			i++
			value = args[i]
		}
		flags[name] = value
	}
	return words, flags, nil
}
