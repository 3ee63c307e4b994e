package destroy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/stacks/outputs"
)

// deadAPI is an APIService of somebody else, and ownAPI the stack's own.
const (
	deadAPI = `{"metadata": {"name": "v1beta1.external.metrics.k8s.io", "annotations": {"meta.helm.sh/release-name": "keda", "meta.helm.sh/release-namespace": "keda"}},
		"spec": {"service": {"namespace": "keda", "name": "keda-metrics"}},
		"status": {"conditions": [{"type": "Available", "status": "False", "reason": "ServiceNotFound", "message": "not present"}]}}`
	ownAPI = `{"metadata": {"name": "v1beta1.custom.metrics.k8s.io"}, "spec": {"service": {"namespace": "monitoring", "name": "adapter"}},
		"status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints", "message": "none"}]}}`
)

// inDeletion returns a namespace in deletion with conditions that are true.
func inDeletion(name string, conditions ...corev1.NamespaceConditionType) corev1.Namespace {
	now := metav1.Now()
	n := corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, DeletionTimestamp: &now}}
	for _, c := range conditions {
		n.Status.Conditions = append(n.Status.Conditions, corev1.NamespaceCondition{Type: c, Status: corev1.ConditionTrue, Message: string(c) + " it is"})
	}
	return n
}

func TestHeldBy(t *testing.T) {
	message, is := heldBy(inDeletion("vllm", corev1.NamespaceDeletionDiscoveryFailure))
	assert.True(t, is)
	assert.Equal(t, "NamespaceDeletionDiscoveryFailure it is", message)
	for name, n := range map[string]corev1.Namespace{
		"in use":                 {Status: corev1.NamespaceStatus{Conditions: inDeletion("", corev1.NamespaceDeletionDiscoveryFailure).Status.Conditions}},
		"just deleted":           inDeletion("vllm"),
		"with pods that end":     inDeletion("vllm", corev1.NamespaceDeletionDiscoveryFailure, corev1.NamespaceContentRemaining),
		"with a finalizer":       inDeletion("vllm", corev1.NamespaceFinalizersRemaining, corev1.NamespaceDeletionDiscoveryFailure),
		"with a failing webhook": inDeletion("vllm", corev1.NamespaceDeletionContentFailure),
	} {
		_, is := heldBy(n)
		assert.False(t, is, name)
	}
}

// screen is what the command and the CLI write to at the same time.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// stackOn is a stack in an API server with these APIServices, and namespaces that are in deletion once the CLI destroys.
type stackOn struct {
	Options
	folder string
	stderr *screen

	mu         sync.Mutex
	apis       string
	namespaces map[string]corev1.Namespace
}

// newStackOn returns a stack whose CLI is a script for `pulumi destroy`.
func newStackOn(t *testing.T, apis, script string) *stackOn {
	t.Helper()
	s := &stackOn{apis: apis, folder: t.TempDir(), stderr: &screen{}, namespaces: map[string]corev1.Namespace{}}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	kubeconfig := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: %q}}]\n"+
		"contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: t}}]\n", server.URL)
	plain, err := outputs.Pipeline{
		Serving: outputs.Serving{Namespace: "vllm"}, Adapter: outputs.Workload{Namespace: "monitoring"},
	}.Plain()
	require.NoError(t, err)
	all, err := json.Marshal(map[string]any{outputs.PipelineKey: plain, outputs.KubeconfigKey: kubeconfig,
		"apiPortForward": "kubectl --context c --namespace vllm port-forward service/vllm"})
	require.NoError(t, err)
	state := `{"deployment": {"resources": [
		{"urn": "urn:x::monitoring", "type": "kubernetes:core/v1:Namespace", "id": "monitoring"},
		{"urn": "urn:x::vllm", "type": "kubernetes:core/v1:Namespace", "id": "vllm"},
		{"urn": "urn:x::other", "type": "kubernetes:core/v1:Secret", "id": "vllm"}]}}`
	for name, content := range map[string]string{
		"outputs": string(all), "state": state,
		"pulumi": "#!/bin/bash\ncd " + s.folder + "\necho \"$*\" >>calls\ncase \"$1 $2\" in\n'stack output') cat outputs;;\n'stack export') cat state;;\n" +
			"'destroy '*) " + script + ";;\nesac\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(s.folder, name), []byte(content), 0o755))
	}
	t.Setenv("PATH", s.folder+":"+os.Getenv("PATH"))
	s.Options = Options{Stack: "gke", ProjectDir: s.folder, Yes: true, Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: s.stderr}
	return s
}

func (s *stackOn) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, isNamespace := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/")
	namespace, found := s.namespaces[name]
	switch {
	case r.URL.Path == "/apis/apiregistration.k8s.io/v1/apiservices":
		_, _ = fmt.Fprintf(w, `{"items": [%s]}`, s.apis)
	case isNamespace && found:
		_ = json.NewEncoder(w).Encode(namespace)
	default:
		http.NotFound(w, r)
	}
}

func (s *stackOn) calls(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.folder, "calls"))
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

const (
	readOutputs = "stack output --json --show-secrets --non-interactive --stack gke"
	destroyGKE  = "destroy --yes --non-interactive --stack gke"
)

func TestDestroyWithNothingInTheWay(t *testing.T) {
	s := newStackOn(t, ownAPI, "exit 0")
	require.NoError(t, s.Run(t.Context()))
	assert.Equal(t, []string{readOutputs, destroyGKE}, s.calls(t))
	assert.Empty(t, s.stderr.String(), "the stack's own APIService is deleted first")
}

// Several servers are in the same namespaces of one cluster.
func TestClusterOfSeveralServers(t *testing.T) {
	s := newStackOn(t, "", "")
	content, err := os.ReadFile(filepath.Join(s.folder, "outputs"))
	require.NoError(t, err)
	var all map[string]any
	require.NoError(t, json.Unmarshal(content, &all))
	all[outputs.PipelinesKey] = map[string]any{"chat": all[outputs.PipelineKey], "code": all[outputs.PipelineKey]}
	all["servers"] = map[string]any{"chat": map[string]any{"apiPortForward": all["apiPortForward"]}}
	delete(all, outputs.PipelineKey)
	delete(all, "apiPortForward")
	content, err = json.Marshal(all)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(s.folder, "outputs"), content, 0o600))
	c, err := openCluster(t.Context(), s.folder, "gke")
	require.NoError(t, err)
	assert.Equal(t, "vllm", c.serving)
	assert.Equal(t, "monitoring", c.monitoring)
	assert.Equal(t, "kubectl --context c", c.kubectl)
}

func TestDestroyFails(t *testing.T) {
	s := newStackOn(t, "", "exit 3")
	require.ErrorContains(t, s.Run(t.Context()), "pulumi destroy: exit status 3")
	assert.Len(t, s.calls(t), 2, "nothing is dropped")
}

func TestDestroyWithoutACluster(t *testing.T) {
	s := newStackOn(t, "", "exit 0")
	require.NoError(t, os.WriteFile(filepath.Join(s.folder, "outputs"), []byte("{}"), 0o600))
	require.NoError(t, s.Run(t.Context()))
	assert.Contains(t, s.stderr.String(), "not looked for APIs")
	assert.Equal(t, destroyGKE, s.calls(t)[1])
}

func TestLookNamesDeadAPIs(t *testing.T) {
	s := newStackOn(t, ownAPI+","+deadAPI, "exit 1")
	s.Look(t.Context())
	text := s.stderr.String()
	assert.Contains(t, text, "APIService v1beta1.external.metrics.k8s.io is not available (ServiceNotFound: not present); it belongs to Helm release keda/keda")
	assert.Contains(t, text, "`kubectl --context c delete apiservice v1beta1.external.metrics.k8s.io`")
	assert.NotContains(t, text, "v1beta1.custom.metrics")
	assert.Equal(t, []string{readOutputs}, s.calls(t), "nothing is changed")
}

// The namespaces wait for a dead API: the CLI is stopped, and the rest destroyed without them.
func TestDestroyWithoutTheNamespaces(t *testing.T) {
	// The first CLI waits until it is interrupted.
	s := newStackOn(t, deadAPI, `if mkdir first 2>/dev/null; then trap 'exit 255' INT; while :; do sleep 0.1; done; fi`)
	s.namespaces["vllm"] = inDeletion("vllm", corev1.NamespaceDeletionDiscoveryFailure)
	s.namespaces["monitoring"] = inDeletion("monitoring", corev1.NamespaceDeletionDiscoveryFailure, corev1.NamespaceContentRemaining)
	time.AfterFunc(2*time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.namespaces["monitoring"] = inDeletion("monitoring", corev1.NamespaceDeletionDiscoveryFailure)
	})
	s.patience = 3 * time.Second
	require.NoError(t, s.Run(t.Context()))
	assert.Equal(t, []string{
		readOutputs, destroyGKE, "stack export --stack gke --non-interactive",
		"state delete urn:x::monitoring --yes --stack gke --non-interactive",
		"state delete urn:x::vllm --yes --stack gke --non-interactive", destroyGKE,
	}, s.calls(t))
	text := s.stderr.String()
	for _, part := range []string{
		"namespace vllm is empty, and Kubernetes cannot complete its deletion: NamespaceDeletionDiscoveryFailure it is",
		"leaving vllm, monitoring to Kubernetes, and destroying the rest",
		"delete apiservice v1beta1.external.metrics.k8s.io",
	} {
		assert.Contains(t, text, part)
	}
}

// Whoever waits for something else, too, is not stopped.
func TestWatchHasPatience(t *testing.T) {
	s := newStackOn(t, deadAPI, "exit 0")
	c, err := openCluster(t.Context(), s.ProjectDir, s.Stack)
	require.NoError(t, err)
	w := watcher{Options: s.Options, cluster: c}
	now := time.Now()
	discovery := corev1.NamespaceDeletionDiscoveryFailure
	for _, step := range []struct {
		after            time.Duration
		vllm, monitoring *corev1.Namespace
		stop             bool
	}{
		{after: 0},
		{after: heldFor, vllm: ptr(inDeletion("vllm", discovery)), monitoring: ptr(corev1.Namespace{})},
		{after: 2 * heldFor, vllm: ptr(inDeletion("vllm", discovery)), monitoring: ptr(inDeletion("monitoring", discovery, corev1.NamespaceContentRemaining))},
		{after: 3 * heldFor, vllm: ptr(inDeletion("vllm", discovery)), monitoring: ptr(inDeletion("monitoring", discovery))},
		{after: 3*heldFor + heldFor/2, vllm: ptr(inDeletion("vllm"))}, // The API has answered.
		{after: 5 * heldFor, vllm: ptr(inDeletion("vllm", discovery))},
		{after: 6 * heldFor, vllm: ptr(inDeletion("vllm", discovery)), stop: true},
		{after: 7 * heldFor, vllm: ptr(inDeletion("vllm", discovery))}, // A second interrupt would kill the CLI.
	} {
		s.mu.Lock()
		s.namespaces = map[string]corev1.Namespace{}
		for name, namespace := range map[string]*corev1.Namespace{"vllm": step.vllm, "monitoring": step.monitoring} {
			if namespace != nil {
				s.namespaces[name] = *namespace
			}
		}
		s.mu.Unlock()
		assert.Equal(t, step.stop, w.look(t.Context(), now.Add(step.after)), "after %s", step.after)
	}
	assert.Equal(t, 1, strings.Count(s.stderr.String(), "namespace vllm is empty"), "once")
}

func ptr[T any](v T) *T { return &v }
