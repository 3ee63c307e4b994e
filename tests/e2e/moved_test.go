package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"vllm-autoscaling/tests/lab"
)

// movesToAnotherAddress checks that a stack stays as it is when the API server gets another address, as after a restart of
// minikube, and its context another name: while the old address still answers, and when it does not.
func movesToAnotherAddress(t *testing.T, l *lab.Lab, stack *deployment) {
	t.Helper()
	ctx := testContext(t)
	config := labConfig(l)
	use := func(kubeconfig, contextName string) {
		t.Helper()
		require.NoError(t, stack.SetConfig(merged(config, quick,
			map[string]any{"cluster": map[string]any{"kubeconfig": kubeconfig, "context": contextName}})))
	}
	// Other tests have left values of their own.
	require.NoError(t, stack.SetConfig(merged(config, quick)))
	require.NoError(t, stack.Up(ctx, "--skip-preview"))
	before := identities(ctx, t, l)

	first := forwardTo(t, l)
	use(first.kubeconfig(t, l, "renamed"), "renamed")
	assert.Equal(t, []string{"update cluster"}, planned(ctx, t, stack), "the old address answers")
	require.NoError(t, stack.Up(ctx))

	first.close()
	second := forwardTo(t, l)
	use(second.kubeconfig(t, l, "renamed"), "renamed")
	assert.Equal(t, []string{"update cluster"}, planned(ctx, t, stack), "the old address is dead")
	require.NoError(t, stack.Refresh(ctx, "--run-program"), "a refresh that uses the program's kubeconfig and not that of the state")
	require.NoError(t, stack.Up(ctx))
	require.NoError(t, stack.Preview(ctx, true))
	require.NoError(t, stack.Refresh(ctx))

	second.close()
	require.NoError(t, stack.SetConfig(merged(config, quick)))
	require.NoError(t, stack.Up(ctx))
	assert.Equal(t, before, identities(ctx, t, l), "nothing was created anew")
}

// destroyFromAnotherAddress checks that a stack whose address is dead can be destroyed.
func destroyFromAnotherAddress(t *testing.T, l *lab.Lab, stack *deployment) {
	t.Helper()
	ctx := testContext(t)
	gone := forwardTo(t, l)
	require.NoError(t, stack.SetConfig(merged(labConfig(l), quick,
		map[string]any{"cluster": map[string]any{"kubeconfig": gone.kubeconfig(t, l, "gone"), "context": "gone"}})))
	require.NoError(t, stack.Up(ctx))
	gone.close()
	require.NoError(t, stack.SetConfig(merged(labConfig(l), quick)))
	destroyLeavesNothing(t, l, stack, "--run-program")
}

// planned returns the steps of a preview other than those without a change, such as "update cluster".
func planned(ctx context.Context, t *testing.T, stack *deployment) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "preview.json")
	require.NoError(t, stack.Preview(ctx, false, "--json", "--save-plan", path))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	var plan struct {
		ResourcePlans map[string]struct{ Steps []string }
	}
	require.NoError(t, json.Unmarshal(content, &plan))
	var steps []string
	for urn, resource := range plan.ResourcePlans {
		for _, step := range resource.Steps {
			if step != "same" {
				steps = append(steps, step+" "+urn[strings.LastIndex(urn, "::")+2:])
			}
		}
	}
	return steps
}

// identities returns the UIDs of what a replacement would create anew.
func identities(ctx context.Context, t *testing.T, l *lab.Lab) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range []string{serving, monitoring} {
		namespace, err := l.Client().CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		require.NoError(t, err)
		found[name] = string(namespace.UID)
	}
	server, err := l.Client().AppsV1().Deployments(serving).Get(ctx, "vllm", metav1.GetOptions{})
	require.NoError(t, err)
	found["Deployment"] = string(server.UID)
	return found
}

// forward is a further address of the lab's API server.
type forward struct {
	listener net.Listener
	mutex    sync.Mutex
	open     []net.Conn
}

// forwardTo opens another address, which ends with the test at the latest.
func forwardTo(t *testing.T, l *lab.Lab) *forward {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &forward{listener: listener}
	t.Cleanup(f.close)
	go f.accept(strings.TrimPrefix(l.Config().Host, "https://"))
	return f
}

func (f *forward) accept(address string) {
	for {
		incoming, err := f.listener.Accept()
		if err != nil {
			return
		}
		outgoing, err := net.Dial("tcp", address)
		if err != nil {
			_ = incoming.Close()
			continue
		}
		f.mutex.Lock()
		f.open = append(f.open, incoming, outgoing)
		f.mutex.Unlock()
		for _, pair := range [][2]net.Conn{{incoming, outgoing}, {outgoing, incoming}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
			}()
		}
	}
}

// close ends the address and its connections.
func (f *forward) close() {
	_ = f.listener.Close()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, connection := range f.open {
		_ = connection.Close()
	}
	f.open = nil
}

// kubeconfig writes the lab's kubeconfig with the forward's address and another name of the context.
func (f *forward) kubeconfig(t *testing.T, l *lab.Lab, contextName string) string {
	t.Helper()
	file, err := clientcmd.LoadFromFile(l.Kubeconfig())
	require.NoError(t, err)
	used := file.Contexts[l.ContextName()]
	require.NotNil(t, used)
	file.Clusters[used.Cluster].Server = "https://" + f.listener.Addr().String()
	file.Contexts, file.CurrentContext = map[string]*api.Context{contextName: used}, contextName
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*file, path))
	return path
}
