package live

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/emptypb"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"vllm-autoscaling/tests/lab/chartrepository"
)

// All tests share one control plane and use separate namespaces.
func TestLive(t *testing.T) {
	c := startCluster(t)
	t.Run("plugin protocol", func(t *testing.T) { testProtocol(t, c) })
	t.Run("orphan", func(t *testing.T) { testOrphan(t, c) })
	t.Run("deployment", func(t *testing.T) { testDeployment(t, c) })
	t.Run("not ready", func(t *testing.T) { testNotReady(t, c) })
	t.Run("secret", func(t *testing.T) { testSecret(t, c) })
	t.Run("existing", func(t *testing.T) { testExisting(t, c) })
	t.Run("chart", func(t *testing.T) { testChart(t, c) })
	t.Run("failing chart", func(t *testing.T) { testFailingChart(t, c) })
	t.Run("killed", func(t *testing.T) { testKilled(t, c) })
}

func testProtocol(t *testing.T, c cluster) {
	e := startEngine(t, c)
	info, err := e.client.GetPluginInfo(t.Context(), &emptypb.Empty{})
	require.NoError(t, err)
	assert.Equal(t, "4.30.0", info.GetVersion())
	sch, err := e.client.GetSchema(t.Context(), &pulumirpc.GetSchemaRequest{})
	require.NoError(t, err)
	assert.True(t, json.Valid([]byte(sch.GetSchema())))

	// Interrupted as by the engine, the plugin ends by itself.
	require.NoError(t, e.process.Process.Signal(os.Interrupt))
	select {
	case err := <-e.exited:
		require.NoError(t, err)
		e.exited = nil
	case <-time.After(20 * time.Second):
		t.Fatal("the plugin does not end on an interrupt")
	}
}

// testOrphan kills the process that started the plugin, like a killed engine.
func testOrphan(t *testing.T, c cluster) {
	parent := exec.Command("sh", "-c", `"$0" & wait`, c.plugin) //nolint:noctx // ended by its own handle below
	parent.Stderr = os.Stderr
	stdout, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "the plugin prints its port")
	address := "127.0.0.1:" + lines.Text()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, parent.Process.Kill())
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, 20*time.Second, 100*time.Millisecond, "the plugin outlives the engine")
	assert.False(t, lines.Scan(), "its standard output is closed with it")
	assert.Error(t, parent.Wait())
}

func deployment(namespace, image string) map[string]any {
	return map[string]any{
		"metadata": map[string]any{"name": "web", "namespace": namespace},
		"spec": map[string]any{
			"replicas": 2.0,
			"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
				"spec": map[string]any{"containers": []any{
					map[string]any{"name": "web", "image": image, "resources": map[string]any{"requests": map[string]any{"cpu": "0.5"}}},
				}},
			},
		},
	}
}

func testDeployment(t *testing.T, c cluster) {
	e := startEngine(t, c)
	urn := urnOf("apps/v1:Deployment", "web")

	require.NoError(t, e.preview(urn, deployment("later", "nginx:1")), "the namespace may come with the same update")
	misspelt := deployment("later", "nginx:1")
	misspelt["spec"].(map[string]any)["replica"] = 1.0
	require.ErrorContains(t, e.preview(urn, misspelt), "replica", "a misspelt field is found by the preview")
	wrong := deployment("later", "nginx:1")
	wrong["spec"].(map[string]any)["selector"] = map[string]any{"matchLabels": map[string]any{"app": "other"}}
	require.ErrorContains(t, e.preview(urn, wrong), "selector")

	ns := e.create(urnOf("core/v1:Namespace", "later"), map[string]any{"metadata": map[string]any{"name": "later"}})
	assert.Equal(t, "later", ns.id)
	s := e.create(urn, deployment("later", "nginx:1"))
	assert.Equal(t, "later/web", s.id)
	ready := e.unpack(s.outputs)["status"].ObjectValue()["availableReplicas"]
	assert.Equal(t, resource.NewNumberProperty(2), ready, "create returns when the pods are there")

	assert.Empty(t, e.diff(s, deployment("later", "nginx:1")))
	assert.Equal(t, map[string]string{"spec.template.spec.containers[0].image": "UPDATE"}, e.diff(s, deployment("later", "nginx:2")))
	_, err := e.tryUpdate(s, misspelt, true)
	require.ErrorContains(t, err, "replica")
	_, err = e.tryUpdate(s, deployment("later", "nginx:2"), true)
	require.NoError(t, err)
	live, err := c.client.AppsV1().Deployments("later").Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "nginx:1", live.Spec.Template.Spec.Containers[0].Image, "a preview changes nothing")
	s = e.update(s, deployment("later", "nginx:2"))
	live, err = c.client.AppsV1().Deployments("later").Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "nginx:2", live.Spec.Template.Spec.Containers[0].Image)
	assert.EqualValues(t, 2, live.Status.UpdatedReplicas, "update returns when the rollout is done")

	t.Run("refresh", func(t *testing.T) {
		refreshed := e.read(s)
		assert.Equal(t, e.unpack(s.inputs), e.unpack(refreshed.inputs), "0.5 became 500m in the cluster, which is no drift")
		_, err := c.client.AppsV1().Deployments("later").Patch(t.Context(), "web", types.MergePatchType,
			[]byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{FieldManager: "somebody"})
		require.NoError(t, err)
		drifted := e.read(s)
		assert.Equal(t, map[string]string{"spec.replicas": "UPDATE"}, e.diff(drifted, deployment("later", "nginx:2")))
	})
	t.Run("conflict", func(t *testing.T) {
		for _, preview := range []bool{true, false} {
			_, err := e.tryUpdate(s, deployment("later", "nginx:3"), preview)
			require.ErrorContains(t, err, "somebody", "the error contains the owner of the field")
			require.ErrorContains(t, err, "pulumi.com/patchForce")
		}
		forced := deployment("later", "nginx:3")
		forced["metadata"].(map[string]any)["annotations"] = map[string]any{"pulumi.com/patchForce": "true"}
		s = e.update(s, forced)
	})
	e.delete(s)
	_, err = c.client.AppsV1().Deployments("later").Get(t.Context(), "web", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err))
	assert.Empty(t, e.read(s).id, "a refresh finds out that it is gone")
	e.delete(s) // gone already is fine
	e.delete(ns)
	_, err = c.client.CoreV1().Namespaces().Get(t.Context(), "later", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "delete returns when the namespace is gone")
}

func testNotReady(t *testing.T, c cluster) {
	e := startEngine(t, c)
	c.namespace(t, "notready")
	inputs := deployment("notready", "nginx:1")
	inputs["metadata"].(map[string]any)["annotations"] = map[string]any{"pulumi.com/timeoutSeconds": "3"}
	template := inputs["spec"].(map[string]any)["template"].(map[string]any)
	template["metadata"] = map[string]any{"labels": map[string]any{"app": "web", neverReady: "true"}}
	s, err := e.tryCreate(urnOf("apps/v1:Deployment", "web"), inputs)
	assert.Contains(t, reasons(t, err), "0 of 2 pods available")
	assert.Contains(t, reasons(t, err), `pod "notready/web-`, "the pods are named")
	assert.Equal(t, "notready/web", s.id)
	resp, err := e.client.Read(t.Context(), &pulumirpc.ReadRequest{Urn: s.urn, Id: s.id, Properties: s.outputs, Inputs: s.inputs})
	assert.Nil(t, resp)
	assert.Contains(t, reasons(t, err), "0 of 2 pods available", "a refresh stores that it is not ready")

	// The next update repairs it.
	template["metadata"] = map[string]any{"labels": map[string]any{"app": "web"}}
	inputs["metadata"].(map[string]any)["annotations"] = map[string]any{"pulumi.com/timeoutSeconds": "60"}
	s = e.update(s, inputs)

	unschedulable := deployment("notready", "nginx:1")
	unschedulable["metadata"].(map[string]any)["name"] = "stuck"
	unschedulable["metadata"].(map[string]any)["annotations"] = map[string]any{"pulumi.com/timeoutSeconds": "3"}
	unschedulable["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["nodeSelector"] = map[string]any{"gpu": "none"}
	stuck, err := e.tryCreate(urnOf("apps/v1:Deployment", "stuck"), unschedulable)
	assert.Contains(t, reasons(t, err), "didn't match Pod's node affinity/selector", "the scheduler's reason is passed on")
	e.delete(stuck)
	e.delete(s)
}

func testSecret(t *testing.T, c cluster) {
	e := startEngine(t, c)
	c.namespace(t, "secrets")
	urn := urnOf("core/v1:Secret", "token")
	inputs := func(data map[string]any) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"name": "token", "namespace": "secrets"},
			"stringData": map[string]any{
				"a": resource.MakeSecret(resource.NewStringProperty("A")),
			},
			"data": data,
		}
	}
	s := e.create(urn, inputs(map[string]any{"b": "Qg=="}))
	outputs := e.unpack(s.outputs)
	assert.True(t, outputs["data"].IsSecret())
	assert.True(t, outputs["stringData"].IsSecret() || outputs["stringData"].ContainsSecrets())
	live, err := c.client.CoreV1().Secrets("secrets").Get(t.Context(), "token", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, map[string][]byte{"a": []byte("A"), "b": []byte("B")}, live.Data)

	s = e.update(s, inputs(nil))
	live, err = c.client.CoreV1().Secrets("secrets").Get(t.Context(), "token", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, map[string][]byte{"a": []byte("A")}, live.Data, "what the program no longer sets is removed")
	e.delete(s)

	auto := e.create(urnOf("core/v1:ConfigMap", "settings"), map[string]any{"metadata": map[string]any{"namespace": "secrets"}, "data": map[string]any{"a": "b"}})
	assert.Regexp(t, `^secrets/settings-[0-9a-f]{8}$`, auto.id)
	assert.Empty(t, e.diff(auto, map[string]any{"metadata": map[string]any{"namespace": "secrets"}, "data": map[string]any{"a": "b"}}), "the name stays")
	e.delete(auto)
}

func testExisting(t *testing.T, c cluster) {
	e := startEngine(t, c)
	c.namespace(t, "existing")
	_, err := c.client.CoreV1().ConfigMaps("existing").Create(t.Context(),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	inputs := func(name string) map[string]any {
		return map[string]any{"metadata": map[string]any{"name": name, "namespace": "existing"}, "data": map[string]any{"a": "b"}}
	}
	_, err = e.tryCreate(urnOf("core/v1:ConfigMap", "a"), inputs("theirs"))
	require.ErrorContains(t, err, `configmaps "theirs" already exists`)
	require.ErrorContains(t, e.preview(urnOf("core/v1:ConfigMap", "a"), inputs("theirs")), "already exists")

	s := e.create(urnOf("core/v1:ConfigMap", "ours"), inputs("ours"))
	_, err = e.tryCreate(urnOf("core/v1:ConfigMap", "ours"), inputs("ours"))
	require.ErrorContains(t, err, `configmaps "ours" already exists`, "also what a killed update has left")
	upserting := startEngine(t, c)
	upserting.configure(map[string]any{"kubeconfig": c.Kubeconfig(), "upsertExistingObjects": "true"})
	again := upserting.create(urnOf("core/v1:ConfigMap", "ours"), inputs("ours"))
	assert.Equal(t, s.id, again.id)

	// It was deleted and replaced by one of the same name, which stays.
	require.NoError(t, c.client.CoreV1().ConfigMaps("existing").Delete(t.Context(), "ours", metav1.DeleteOptions{}))
	_, err = c.client.CoreV1().ConfigMaps("existing").Create(t.Context(),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "ours"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	e.delete(s)
	_, err = c.client.CoreV1().ConfigMaps("existing").Get(t.Context(), "ours", metav1.GetOptions{})
	require.NoError(t, err)
}

// left lists the objects of a namespace that a release could have left.
func left(t *testing.T, c cluster, namespace string) []string {
	t.Helper()
	client, err := dynamic.NewForConfig(c.Config())
	require.NoError(t, err)
	var found []string
	for _, r := range []schema.GroupVersionResource{
		{Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "apps", Version: "v1", Resource: "daemonsets"},
		{Group: "batch", Version: "v1", Resource: "jobs"}, {Version: "v1", Resource: "services"},
		{Version: "v1", Resource: "secrets"}, {Version: "v1", Resource: "pods"},
	} {
		list, err := client.Resource(r).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, o := range list.Items {
			if o.GetDeletionTimestamp() == nil {
				found = append(found, r.Resource+"/"+o.GetName())
			}
		}
	}
	return found
}

// nothingLeft waits until a namespace is empty: Helm leaves pods to the garbage collector.
func nothingLeft(t *testing.T, c cluster, namespace string) {
	t.Helper()
	var found []string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if found = left(t, c, namespace); len(found) == 0 {
			return
		}
	}
	assert.Empty(t, found, "nothing of the release may be left")
}

// testKilled kills the plugin in the middle of an install and an upgrade: the pending revision blocks every further one.
func testKilled(t *testing.T, c cluster) {
	repository, err := chartrepository.Serve(t.Context())
	require.NoError(t, err)
	c.namespace(t, "killed")
	urn := urnOf("helm.sh/v3:Release", "adapter")
	inputs := func(never bool) map[string]any {
		// A killed upgrade may have changed the Deployment or not. Helm takes back only what a revision has: a label that the
		// pending one alone had would stay.
		values := map[string]any{"rules": map[string]any{"default": false}, "podLabels": map[string]any{neverReady: strconv.FormatBool(never)}}
		return release(repository, "prometheus-adapter", "killed", values)
	}
	// begin starts an operation that waits for pods and returns as soon as Helm has stored its revision.
	begin := func(status string, start func(context.Context)) (abandon func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); start(ctx) }()
		c.awaitRevision(t, "killed", status)
		return func() { cancel(); <-done }
	}
	const inProgress = "another operation (install/upgrade/rollback) is in progress"

	first := startEngine(t, c)
	checked := first.check(urn, nil, inputs(true))
	abandon := begin("pending-install", func(ctx context.Context) {
		_, _ = first.client.Create(ctx, &pulumirpc.CreateRequest{Urn: urn, Properties: checked})
	})
	first.kill()
	abandon()
	second := startEngine(t, c)
	_, err = second.tryCreate(urn, inputs(false))
	require.ErrorContains(t, err, "cannot re-use a name that is still in use")
	require.Nil(t, initFailed(err))
	adopted := second.read(state{urn: urn, id: "killed/prometheus-adapter", inputs: checked})
	assert.NotContains(t, second.unpack(adopted.inputs), resource.PropertyKey("repositoryOpts"), "the inputs are built anew")
	_, err = second.tryUpdate(adopted, inputs(false), false)
	require.ErrorContains(t, err, inProgress)
	second.delete(adopted)
	nothingLeft(t, c, "killed")

	s := second.create(urn, inputs(false))
	checked = second.check(urn, &s, inputs(true))
	abandon = begin("pending-upgrade", func(ctx context.Context) {
		_, _ = second.client.Update(ctx, &pulumirpc.UpdateRequest{Urn: urn, Id: s.id, Olds: s.outputs, OldInputs: s.inputs, News: checked})
	})
	second.kill()
	abandon()
	third := startEngine(t, c)
	_, err = third.tryUpdate(s, inputs(false), false)
	require.ErrorContains(t, err, inProgress)
	assert.Empty(t, third.diff(third.read(s), inputs(true)), "a refresh reads the values that the cluster never got")
	c.deleteRevision(t, "killed", "pending-upgrade")
	assert.NotEmpty(t, third.diff(third.read(s), inputs(true)))
	s = third.update(third.read(s), inputs(false))
	assert.Equal(t, "deployed", third.unpack(s.outputs)["status"].ObjectValue()["status"].StringValue())
	third.delete(s)
	nothingLeft(t, c, "killed")

	// When only the engine is killed, the plugin completes the install.
	fourth := startEngine(t, c)
	checked = fourth.check(urn, nil, inputs(false))
	begin("pending-install", func(ctx context.Context) {
		_, _ = fourth.client.Create(ctx, &pulumirpc.CreateRequest{Urn: urn, Properties: checked})
	})()
	c.awaitRevision(t, "killed", "deployed")
	fourth.delete(state{urn: urn, id: "killed/prometheus-adapter", inputs: checked, outputs: checked})
	nothingLeft(t, c, "killed")

	files, err := os.ReadDir(c.temp)
	require.NoError(t, err)
	assert.Empty(t, files, "a killed plugin leaves no folder of charts")
}
