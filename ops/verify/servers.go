package verify

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/stacks/outputs"
)

// portForwardOf reads the command in the outputs of a server from which the user's kubectl follows.
type portForwardOf struct {
	Command string `json:"apiPortForward"`
}

// serversOf returns the servers in a stack's outputs, by name, without the connection to the API server.
func serversOf(all map[string]json.RawMessage) ([]*Access, error) {
	raw, several := all[outputs.PipelinesKey]
	if !several {
		return oneServer(all)
	}
	var pipelines map[string]outputs.Pipeline
	if err := json.Unmarshal(raw, &pipelines); err != nil {
		return nil, fmt.Errorf("output %q: %w", outputs.PipelinesKey, err)
	}
	if len(pipelines) == 0 {
		return nil, fmt.Errorf("output %q has no server: run `pulumi up` again", outputs.PipelinesKey)
	}
	commands := map[string]portForwardOf{}
	_ = json.Unmarshal(all["servers"], &commands) // Without them it is kubectl.
	var servers []*Access
	for _, name := range slices.Sorted(maps.Keys(pipelines)) {
		servers = append(servers, &Access{Server: name, Pipeline: pipelines[name], Kubectl: kubectlOf(commands[name].Command)})
	}
	return servers, nil
}

// oneServer returns the server of a stack without the key servers.
func oneServer(all map[string]json.RawMessage) ([]*Access, error) {
	raw, ok := all[outputs.PipelineKey]
	if !ok {
		return nil, fmt.Errorf("the stack has no output %q: run `pulumi up` with this version of the program", outputs.PipelineKey)
	}
	a := &Access{}
	if err := json.Unmarshal(raw, &a.Pipeline); err != nil {
		return nil, fmt.Errorf("output %q: %w", outputs.PipelineKey, err)
	}
	var command string
	_ = json.Unmarshal(all["apiPortForward"], &command) // Without it it is kubectl.
	a.Kubectl = kubectlOf(command)
	return []*Access{a}, nil
}

// neighbours are the pods of the stack's other servers, which run in the same namespace.
type neighbours struct {
	// patterns has a regular expression of the names of the pods of each of them.
	patterns []string
	// matches matches the names of all of them; nil without any.
	matches *regexp.Regexp
}

// neighboursOf returns the pods of the other servers.
func neighboursOf(s outputs.Serving) (neighbours, error) {
	var n neighbours
	for _, other := range s.Others {
		n.patterns = append(n.patterns, signals.PodsOf(other))
	}
	if len(n.patterns) == 0 {
		return n, nil
	}
	var err error
	if n.matches, err = regexp.Compile("^(?:" + n.pattern() + ")$"); err != nil {
		return n, fmt.Errorf("others of the stack's outputs: %w", err)
	}
	return n, nil
}

func (n neighbours) pattern() string { return strings.Join(n.patterns, "|") }

// has reports whether a pod is one of another server.
func (n neighbours) has(pod string) bool { return n.matches != nil && n.matches.MatchString(pod) }

// ownPods returns the matchers of the series of the namespace that are not of another server's pods.
func (w *walk) ownPods() string {
	matchers := signals.PodMatchers(w.Pipeline.Serving.Namespace, "")
	if len(w.neighbours.patterns) > 0 {
		matchers += fmt.Sprintf(",%s!~%q", signals.LabelPod, w.neighbours.pattern())
	}
	return matchers
}

// ofNeighbour reports whether a rule reads the pods of other servers only, as the guard of another server does.
func (w *walk) ofNeighbour(rule prometheusv1.RecordingRule) bool {
	reads := func(pods string) bool { return strings.Contains(rule.Query, strconv.Quote(pods)) }
	return slices.ContainsFunc(w.neighbours.patterns, reads) && !reads(signals.PodsOf(w.Pipeline.Serving.Deployment))
}

// Reports are the results of one run for each server of a stack.
type Reports struct {
	Stack string `json:"stack"`
	// Passed reports whether no stage of any server failed.
	Passed bool `json:"passed"`
	// Servers are the reports in the order of the servers' names.
	Servers []*Report `json:"servers"`
}

// NewReports returns the reports of a stack's servers.
func NewReports(stack string, servers []*Report) *Reports {
	failed := slices.ContainsFunc(servers, func(r *Report) bool { return !r.Passed })
	return &Reports{Stack: stack, Passed: !failed, Servers: servers}
}

// Text writes the reports for people, each below the name of its server, and the result of all.
func (r *Reports) Text(to io.Writer, colour bool) error {
	var failed []string
	for _, report := range r.Servers {
		if _, err := fmt.Fprintf(to, "server %s\n", report.Server); err != nil {
			return err
		}
		if err := report.Text(to, colour); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(to); err != nil {
			return err
		}
		if !report.Passed {
			failed = append(failed, report.Server)
		}
	}
	paint, result := green, "ok"
	if len(failed) > 0 {
		paint, result = red, "FAILED for "+strings.Join(failed, ", ")
	}
	_, err := fmt.Fprintf(to, "verify%s: %s, %s\n", named(r.Stack), painted(colour, paint, result), plural(len(r.Servers), "server"))
	return err
}
