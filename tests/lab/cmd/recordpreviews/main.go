// Command recordpreviews records what the real CLI prints for `pulumi preview --json` in the lab, for the
// tests of the summary and of the policy. `make record-previews` runs it; STACKS=gke,local limits it.
//
// Recordings hold no secret (the CLI masks them) and nothing of the machine: addresses, folders,
// times and positions in the source are replaced or left out, so that a second recording differs only
// where the program or the CLI does.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/cloud"
	"vllm-autoscaling/tests/lab/tools"
)

// token stands for the one of Hugging Face; it must not be in a recording.
const token = "hf_not_a_token"

func main() {
	stacks := flag.String("stacks", "local,gke,eks,aks", "stacks to record")
	out := flag.String("out", "../ops/preview/testdata", "folder of the recordings")
	project := flag.String("project", "..", "folder of Pulumi.yaml")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	for _, stack := range strings.Split(*stacks, ",") {
		if err := record(ctx, stack, *project, *out); err != nil {
			fmt.Fprintf(os.Stderr, "record %s: %v\n", stack, err)
			os.Exit(1)
		}
	}
}

// recorder is a stack in a lab of its own.
type recorder struct {
	name, out string
	root      string
	lab       *lab.Lab
	stack     *lab.Stack
	base      map[string]any
}

func record(ctx context.Context, name, project, out string) (err error) {
	root, err := filepath.Abs(project)
	if err != nil {
		return err
	}
	programs, err := lab.BuildTools(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if err := lab.BuildProgram(ctx, root, os.Stderr); err != nil {
		return err
	}
	options := lab.Options{Tools: programs, Log: os.Stderr}
	if name != "local" {
		options.Clouds = &cloud.Options{}
	}
	l, err := lab.Start(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Stop()) }()
	r := &recorder{name: name, out: out, root: root, lab: l, base: baseConfig(l, name)}
	if r.stack, err = l.Stack(ctx, lab.StackOptions{
		Name: name, ProjectDir: root, Output: os.Stderr, Config: r.base, Secrets: map[string]string{"huggingFaceToken": token},
	}); err != nil {
		return err
	}
	return r.all(ctx)
}

// baseConfig is what the lab needs on top of the shipped file of a stack.
func baseConfig(l *lab.Lab, name string) map[string]any {
	chart := map[string]any{"repository": l.ChartRepository()}
	charts := map[string]any{}
	for _, c := range []string{"kubePrometheusStack", "prometheusAdapter", "dcgmExporter", "devicePlugin", "clusterAutoscaler"} {
		if name == "local" && (c == "devicePlugin" || c == "clusterAutoscaler") {
			continue
		}
		charts[c] = chart
	}
	config := map[string]any{"charts": charts}
	if name != "local" {
		config["cluster"] = map[string]any{"apiAccessCidrs": []any{"1.2.3.4/32"}}
	}
	switch name {
	case "local":
		config["cluster"] = map[string]any{"kubeconfig": l.Kubeconfig(), "context": l.ContextName()}
	case cloudGKE:
		config["gke"] = map[string]any{"project": "lab-project"}
	}
	return config
}

const cloudGKE = "gke"

// all records a life of the stack.
func (r *recorder) all(ctx context.Context) error {
	if err := r.command(ctx, "create", nil, "preview"); err != nil {
		return err
	}
	if err := r.command(ctx, "failed", map[string]any{"autoscaling": map[string]any{"minReplicas": 9, "maxReplicas": 2}}, "preview"); err != nil {
		return err
	}
	if err := r.stack.SetConfig(r.base); err != nil {
		return err
	}
	if err := r.stack.Up(ctx); err != nil {
		return err
	}
	if err := r.command(ctx, "noop", nil, "preview"); err != nil {
		return err
	}
	if err := r.command(ctx, "change", change(r.name), "preview"); err != nil {
		return err
	}
	if r.name != "local" {
		spot := map[string]any{"nodePools": map[string]any{"gpu": map[string]any{"spot": true}}}
		if err := r.command(ctx, "replace", spot, "preview"); err != nil {
			return err
		}
	} else {
		// Another namespace: everything in it has to move.
		if err := r.command(ctx, "replace", map[string]any{"namespaces": map[string]any{"serving": "serving"}}, "preview"); err != nil {
			return err
		}
		if err := r.drift(ctx); err != nil {
			return err
		}
	}
	if err := r.command(ctx, "destroy", nil, "destroy", "--preview-only"); err != nil {
		return err
	}
	return r.stack.Destroy(ctx)
}

// drift records what a nightly check finds: nothing, an object that somebody deleted, and a field that
// somebody changed and now owns.
func (r *recorder) drift(ctx context.Context) error {
	if err := r.stack.SetConfig(r.base); err != nil {
		return err
	}
	check := func(scenario string) error {
		return r.command(ctx, scenario, nil, "preview", "--refresh", "--expect-no-changes")
	}
	if err := check("nodrift"); err != nil {
		return err
	}
	if err := r.lab.Client().PolicyV1().PodDisruptionBudgets("vllm").Delete(ctx, "vllm", metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := check("drift"); err != nil {
		return err
	}
	if err := r.stack.Up(ctx, "--refresh"); err != nil {
		return err
	}
	patch := []byte(`{"spec":{"maxReplicas":9}}`)
	if _, err := r.lab.Client().AutoscalingV2().HorizontalPodAutoscalers("vllm").Patch(ctx, "vllm", types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		return err
	}
	return check("drift-conflict")
}

// change is an everyday change: more replicas, and on a cloud the nodes for them.
func change(name string) map[string]any {
	config := map[string]any{"autoscaling": map[string]any{"maxReplicas": 6}}
	if name != "local" {
		config["nodePools"] = map[string]any{"gpu": map[string]any{"maxNodes": 6}}
	}
	return config
}

// command records one command with the configuration changed.
func (r *recorder) command(ctx context.Context, scenario string, config map[string]any, command string, args ...string) error {
	merged := map[string]any{}
	for key, value := range r.base {
		merged[key] = value
	}
	for key, value := range config {
		merged[key] = value
	}
	if err := r.stack.SetConfig(merged); err != nil {
		return err
	}
	if command == "preview" {
		args = append([]string{"--show-sames"}, args...)
	}
	line := r.stack.CommandLine(command, append([]string{"--json"}, args...)...)
	fmt.Fprintf(os.Stderr, "recording %s.%s\n", r.name, scenario)
	cmd := exec.CommandContext(ctx, r.lab.Tools().Path(tools.Pulumi), line[1:]...)
	cmd.Dir, cmd.Env = r.root, r.stack.Environment()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runErr := cmd.Run()
	var exit *exec.ExitError
	if runErr != nil && !errors.As(runErr, &exit) {
		return runErr
	}
	fmt.Fprintf(os.Stderr, "  exit status %d, %d bytes, stderr: %s\n", cmd.ProcessState.ExitCode(), stdout.Len(), strings.TrimSpace(stderr.String()))
	text, err := r.clean(stdout.Bytes())
	if err != nil {
		return fmt.Errorf("%s: %w: %s", scenario, err, stdout.String())
	}
	if i := strings.Index(text, token); i >= 0 {
		return fmt.Errorf("%s: the CLI printed a secret: %s", scenario, text[max(0, i-200):i])
	}
	return os.WriteFile(filepath.Join(r.out, r.name+"."+scenario+".json"), []byte(text), 0o644)
}

var (
	loopback = regexp.MustCompile(`(127\.0\.0\.1|localhost)(:[0-9]+)?`)
	uuid     = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	moment   = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})`)
	// certificate is a PEM block in base64: the lab's own, another one each time.
	certificate = regexp.MustCompile(`LS0tLS1[A-Za-z0-9+/]+=*`)
	version     = regexp.MustCompile(`"resourceVersion":"[0-9]+"`)
	// volatile are fields of a resource that say when and where it was made.
	volatile = []string{"created", "modified", "sourcePosition", "stackTrace"}
)

// unknownValue stands for what is known only after the update (resource/plugin.UnknownStringValue).
const unknownValue = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

// clean takes out of a recording what belongs to this machine and this moment.
func (r *recorder) clean(raw []byte) (string, error) {
	var digest map[string]any
	if err := json.Unmarshal(raw, &digest); err != nil {
		return "", err
	}
	if digest["duration"] != nil {
		digest["duration"] = 1000000000
	}
	steps, _ := digest["steps"].([]any)
	for _, s := range steps {
		step := s.(map[string]any)
		for _, state := range []string{"oldState", "newState"} {
			if resource, ok := step[state].(map[string]any); ok {
				for _, field := range volatile {
					delete(resource, field)
				}
			}
		}
	}
	// The engine's order depends on timing; steps of one resource stay in theirs.
	slices.SortStableFunc(steps, func(a, b any) int {
		return strings.Compare(a.(map[string]any)["urn"].(string), b.(map[string]any)["urn"].(string))
	})
	text, err := lines(digest, steps)
	if err != nil {
		return "", err
	}
	result := strings.NewReplacer(
		r.lab.ChartRepository(), "https://charts.example.com",
		r.lab.Kubeconfig(), "~/.kube/config",
		r.lab.Dir(), "/lab", r.root, "/project",
	).Replace(text)
	seen := map[string]string{unknownValue: unknownValue}
	result = uuid.ReplaceAllStringFunc(result, func(id string) string {
		if seen[id] == "" {
			seen[id] = fmt.Sprintf("00000000-0000-4000-8000-%012d", len(seen))
		}
		return seen[id]
	})
	result = moment.ReplaceAllString(result, "2026-01-01T00:00:00Z")
	result = certificate.ReplaceAllString(result, "Y2VydGlmaWNhdGU=")
	result = version.ReplaceAllString(result, `"resourceVersion":"1"`)
	return loopback.ReplaceAllString(result, "cluster.example.com"), nil
}

// lines writes one step on each line: small, and a difference names the resource.
func lines(digest map[string]any, steps []any) (string, error) {
	delete(digest, "steps")
	head, err := marshal(digest)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	text.WriteString(strings.TrimSuffix(head, "}"))
	text.WriteString(",\n\"steps\":[")
	for i, step := range steps {
		line, err := marshal(step)
		if err != nil {
			return "", err
		}
		if i > 0 {
			text.WriteString(",")
		}
		text.WriteString("\n" + line)
	}
	text.WriteString("\n]}\n")
	return text.String(), nil
}

func marshal(value any) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return strings.TrimSpace(text.String()), err
}
