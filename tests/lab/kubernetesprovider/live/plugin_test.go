// Package live tests the plugin of the Kubernetes provider against a real API server with
// simulated nodes.
package live

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"vllm-autoscaling/tests/lab/controlplane"
	"vllm-autoscaling/tests/lab/tools"
)

// neverReady is the label of a pod that never becomes ready, with the value true.
const neverReady = "test/never-ready"

// cluster is a control plane with a goroutine that makes pods ready, instead of the pod runtime.
type cluster struct {
	*controlplane.ControlPlane
	client kubernetes.Interface
	plugin string // the plugin's program
	temp   string // the plugin's folder for temporary files
}

func startCluster(t *testing.T) cluster {
	t.Helper()
	programs, err := tools.Build(t.Context(), os.Stderr)
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "lab-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Dir: dir, Tools: programs, Log: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, cp.Stop()) })
	require.NoError(t, cp.AddNode(t.Context(), controlplane.Node{Name: "system-1"}))

	// Built from this tree, so that no installed plugin is tested.
	binary := filepath.Join(dir, "pulumi-resource-kubernetes")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/pulumi-resource-kubernetes")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	c := cluster{ControlPlane: cp, client: cp.Client(), plugin: binary, temp: filepath.Join(dir, "temp")}
	require.NoError(t, os.Mkdir(c.temp, 0o700))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.makePodsReady(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

func (c cluster) makePodsReady(ctx context.Context) {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"true"}}}`, controlplane.ReadyAnnotation)
	for ctx.Err() == nil {
		pods, err := c.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: neverReady + "!=true"})
		if err == nil {
			for _, pod := range pods.Items {
				if pod.Annotations[controlplane.ReadyAnnotation] == "" {
					_, _ = c.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (c cluster) namespace(t *testing.T, name string) {
	t.Helper()
	_, err := c.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// awaitRevision waits until Helm has stored a revision with the status.
func (c cluster) awaitRevision(t *testing.T, namespace, status string) {
	t.Helper()
	var seen []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		list, err := c.client.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "owner=helm"})
		require.NoError(t, err)
		seen = nil
		for _, secret := range list.Items {
			if secret.Labels["status"] == status {
				return
			}
			seen = append(seen, secret.Labels["status"])
		}
	}
	t.Fatalf("no revision is %s: %v", status, seen)
}

// deleteRevision deletes the stored revisions with the status.
func (c cluster) deleteRevision(t *testing.T, namespace, status string) {
	t.Helper()
	require.NoError(t, c.client.CoreV1().Secrets(namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{},
		metav1.ListOptions{LabelSelector: "owner=helm,status=" + status}))
}

// engine calls one plugin process as the Pulumi engine does.
type engine struct {
	t       *testing.T
	client  pulumirpc.ResourceProviderClient
	process *exec.Cmd
	exited  chan error
}

// startEngine starts the plugin and configures it.
func startEngine(t *testing.T, c cluster) *engine {
	t.Helper()
	cmd := exec.Command(c.plugin) //nolint:noctx // ended by its own handle below
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+c.temp)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	e := &engine{t: t, process: cmd, exited: make(chan error, 1)}
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "the plugin prints its port")
	port := lines.Text()
	go func() {
		for lines.Scan() {
			t.Errorf("the plugin printed more than its port: %q", lines.Text())
		}
		e.exited <- cmd.Wait()
	}()
	t.Cleanup(func() { e.kill() })
	conn, err := grpc.NewClient("127.0.0.1:"+port, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	e.client = pulumirpc.NewResourceProviderClient(conn)
	e.configure(map[string]any{"kubeconfig": c.Kubeconfig()})
	return e
}

func (e *engine) configure(args map[string]any) {
	e.t.Helper()
	_, err := e.client.Configure(e.t.Context(), &pulumirpc.ConfigureRequest{Args: e.pack(args)})
	require.NoError(e.t, err)
}

// kill kills the plugin; a second call does nothing.
func (e *engine) kill() {
	if e.exited == nil {
		return
	}
	_ = e.process.Process.Kill()
	<-e.exited
	e.exited = nil
}

func options() plugin.MarshalOptions {
	return plugin.MarshalOptions{KeepSecrets: true, KeepUnknowns: true, KeepResources: true}
}

func (e *engine) pack(m map[string]any) *structpb.Struct {
	e.t.Helper()
	s, err := plugin.MarshalProperties(resource.NewPropertyMapFromMap(m), options())
	require.NoError(e.t, err)
	return s
}

func (e *engine) unpack(s *structpb.Struct) resource.PropertyMap {
	e.t.Helper()
	m, err := plugin.UnmarshalProperties(s, options())
	require.NoError(e.t, err)
	return m
}

// state is a resource in the engine's state.
type state struct {
	urn, id         string
	inputs, outputs *structpb.Struct
}

func urnOf(kind, name string) string {
	return "urn:pulumi:live::test::kubernetes:" + kind + "::" + name
}

// check runs Check and fails the test on failures.
func (e *engine) check(urn string, old *state, inputs map[string]any) *structpb.Struct {
	e.t.Helper()
	req := &pulumirpc.CheckRequest{Urn: urn, News: e.pack(inputs), RandomSeed: []byte(urn)}
	if old != nil {
		req.Olds = old.inputs
	}
	resp, err := e.client.Check(e.t.Context(), req)
	require.NoError(e.t, err)
	require.Empty(e.t, resp.GetFailures())
	return resp.GetInputs()
}

// preview previews a creation.
func (e *engine) preview(urn string, inputs map[string]any) error {
	e.t.Helper()
	_, err := e.client.Create(e.t.Context(), &pulumirpc.CreateRequest{Urn: urn, Properties: e.check(urn, nil, inputs), Preview: true})
	return err
}

// tryCreate creates an object. If it is not ready, both the error and the object are returned.
func (e *engine) tryCreate(urn string, inputs map[string]any) (state, error) {
	e.t.Helper()
	s := state{urn: urn, inputs: e.check(urn, nil, inputs)}
	resp, err := e.client.Create(e.t.Context(), &pulumirpc.CreateRequest{Urn: urn, Properties: s.inputs})
	s.id, s.outputs = resp.GetId(), resp.GetProperties()
	if failed := initFailed(err); failed != nil {
		s.id, s.outputs = failed.GetId(), failed.GetProperties()
	}
	return s, err
}

func (e *engine) create(urn string, inputs map[string]any) state {
	e.t.Helper()
	s, err := e.tryCreate(urn, inputs)
	require.NoError(e.t, err, "%v", initFailed(err).GetReasons())
	return s
}

// diff compares new inputs with the state and returns the changed paths.
func (e *engine) diff(s state, inputs map[string]any) map[string]string {
	e.t.Helper()
	resp, err := e.client.Diff(e.t.Context(), &pulumirpc.DiffRequest{
		Urn: s.urn, Id: s.id, Olds: s.outputs, OldInputs: s.inputs, News: e.check(s.urn, &s, inputs),
	})
	require.NoError(e.t, err)
	out := map[string]string{}
	for path, d := range resp.GetDetailedDiff() {
		out[path] = d.GetKind().String()
	}
	return out
}

func (e *engine) tryUpdate(s state, inputs map[string]any, preview bool) (state, error) {
	e.t.Helper()
	next := state{urn: s.urn, id: s.id, inputs: e.check(s.urn, &s, inputs)}
	resp, err := e.client.Update(e.t.Context(), &pulumirpc.UpdateRequest{
		Urn: s.urn, Id: s.id, Olds: s.outputs, OldInputs: s.inputs, News: next.inputs, Preview: preview,
	})
	next.outputs = resp.GetProperties()
	return next, err
}

func (e *engine) update(s state, inputs map[string]any) state {
	e.t.Helper()
	next, err := e.tryUpdate(s, inputs, false)
	require.NoError(e.t, err, "%v", initFailed(err).GetReasons())
	return next
}

// read refreshes a resource, which may be unready; an empty id means that it does not exist.
func (e *engine) read(s state) state {
	e.t.Helper()
	resp, err := e.client.Read(e.t.Context(), &pulumirpc.ReadRequest{Urn: s.urn, Id: s.id, Properties: s.outputs, Inputs: s.inputs})
	if failed := initFailed(err); failed != nil {
		return state{urn: s.urn, id: failed.GetId(), inputs: failed.GetInputs(), outputs: failed.GetProperties()}
	}
	require.NoError(e.t, err)
	return state{urn: s.urn, id: resp.GetId(), inputs: resp.GetInputs(), outputs: resp.GetProperties()}
}

func (e *engine) delete(s state) {
	e.t.Helper()
	_, err := e.client.Delete(e.t.Context(), &pulumirpc.DeleteRequest{Urn: s.urn, Id: s.id, Properties: s.outputs, OldInputs: s.inputs})
	require.NoError(e.t, err)
}

// initFailed returns the details of an error about an object that exists but is not ready, nil for another error.
func initFailed(err error) *pulumirpc.ErrorResourceInitFailed {
	for _, detail := range status.Convert(err).Details() {
		if failed, ok := detail.(*pulumirpc.ErrorResourceInitFailed); ok {
			return failed
		}
	}
	return nil
}

func reasons(t *testing.T, err error) string {
	t.Helper()
	failed := initFailed(err)
	require.NotNil(t, failed, "the engine must keep the object in its state: %v", err)
	return strings.Join(failed.GetReasons(), "\n")
}
