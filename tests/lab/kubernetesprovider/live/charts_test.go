package live

import (
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/tests/lab/chartrepository"
)

// release returns the inputs of a release of one of the lab's charts.
func release(repository, chart, namespace string, values map[string]any) map[string]any {
	versions := map[string]string{"kube-prometheus-stack": "88.5.3", "prometheus-adapter": "5.3.0", "dcgm-exporter": "4.8.2"}
	return map[string]any{
		"name": chart, "namespace": namespace, "chart": chart, "version": versions[chart], "timeout": 120.0,
		"repositoryOpts": map[string]any{"repo": repository}, "values": values, "compat": "true",
	}
}

func testChart(t *testing.T, c cluster) {
	repository, err := chartrepository.Serve(t.Context())
	require.NoError(t, err)
	e := startEngine(t, c)
	c.namespace(t, "charts")

	monitor := map[string]any{
		"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor",
		"metadata": map[string]any{"name": "vllm", "namespace": "charts"},
		"spec": map[string]any{
			"selector":  map[string]any{"matchLabels": map[string]any{"a": "b"}},
			"endpoints": []any{map[string]any{"port": "http", "interval": "2s"}},
		},
	}
	monitorURN := urnOf("monitoring.coreos.com/v1:ServiceMonitor", "vllm")
	require.NoError(t, e.preview(monitorURN, monitor), "its kind comes with the chart")

	urn := urnOf("helm.sh/v3:Release", "kps")
	values := map[string]any{
		"fullnameOverride": "kps",
		"grafana":          map[string]any{"adminPassword": resource.MakeSecret(resource.NewStringProperty("s3cret"))},
	}
	inputs := release(repository, "kube-prometheus-stack", "charts", values)
	require.NoError(t, e.preview(urn, inputs))
	started := time.Now()
	s := e.create(urn, inputs)
	t.Logf("installed in %s", time.Since(started).Round(100*time.Millisecond))
	assert.Equal(t, "charts/kube-prometheus-stack", s.id)
	outputs := e.unpack(s.outputs)
	assert.Equal(t, "deployed", outputs["status"].ObjectValue()["status"].StringValue())
	assert.True(t, outputs["values"].ObjectValue()["grafana"].ObjectValue()["adminPassword"].IsSecret())
	assert.Contains(t, outputs["resourceNames"].ObjectValue(), resource.PropertyKey("Deployment.apps/apps/v1"))
	operator, err := c.client.AppsV1().Deployments("charts").Get(t.Context(), "kps-operator", metav1.GetOptions{})
	require.NoError(t, err)
	assert.EqualValues(t, 1, operator.Status.AvailableReplicas, "create returns when the pods are there")
	for _, o := range left(t, c, "charts") {
		assert.NotContains(t, o, "jobs/", "hooks that succeeded are removed")
	}
	assert.Empty(t, e.diff(s, inputs))

	// The chart's CRDs are known now, in the same plugin process.
	m := e.create(monitorURN, monitor)
	bad := map[string]any{}
	for k, v := range monitor {
		bad[k] = v
	}
	bad["spec"] = map[string]any{"selector": map[string]any{}, "endpoint": []any{}}
	require.ErrorContains(t, e.preview(urnOf("monitoring.coreos.com/v1:ServiceMonitor", "bad"),
		map[string]any{"apiVersion": bad["apiVersion"], "kind": bad["kind"], "spec": bad["spec"],
			"metadata": map[string]any{"name": "bad", "namespace": "charts"}}), "endpoint")

	values["grafana"] = map[string]any{"enabled": false}
	assert.NotEmpty(t, e.diff(s, inputs))
	started = time.Now()
	s = e.update(s, inputs)
	t.Logf("upgraded in %s", time.Since(started).Round(100*time.Millisecond))
	assert.EqualValues(t, 2, e.unpack(s.outputs)["status"].ObjectValue()["revision"].NumberValue())
	for _, o := range left(t, c, "charts") {
		assert.NotContains(t, o, "grafana")
	}

	// After an uninstall outside of Pulumi, the next update installs it again.
	started = time.Now()
	e.delete(s)
	t.Logf("uninstalled in %s", time.Since(started).Round(100*time.Millisecond))
	assert.Empty(t, e.read(s).id)
	s = e.update(s, inputs)
	assert.Equal(t, s.id, e.read(s).id)

	e.delete(m)
	e.delete(s)
	e.delete(s)
	nothingLeft(t, c, "charts")

	t.Run("bad charts", func(t *testing.T) { testBadCharts(t, e, repository) })
}

// testBadCharts checks that releases which cannot be installed are refused before anything is changed.
func testBadCharts(t *testing.T, e *engine, repository string) {
	urn := urnOf("helm.sh/v3:Release", "bad")
	for name, change := range map[string]func(map[string]any){
		"no such version":    func(m map[string]any) { m["version"] = "0.0.1" },
		"no such chart":      func(m map[string]any) { m["chart"] = "nope" },
		"no such repository": func(m map[string]any) { m["repositoryOpts"] = map[string]any{"repo": "http://127.0.0.1:1"} },
		"no such input":      func(m map[string]any) { m["valeus"] = map[string]any{} },
		"bad name":           func(m map[string]any) { m["name"] = "Not_A_Name" },
	} {
		inputs := release(repository, "prometheus-adapter", "charts", nil)
		change(inputs)
		resp, err := e.client.Check(t.Context(), &pulumirpc.CheckRequest{Urn: urn, News: e.pack(inputs)})
		require.NoError(t, err, name)
		assert.NotEmpty(t, resp.GetFailures(), name)
	}
	inputs := release(repository, "prometheus-adapter", "charts", nil)
	delete(inputs, "version")
	assert.Equal(t, "5.3.0", e.unpack(e.check(urn, nil, inputs))["version"].StringValue(), "the newest version is written down")
}

func testFailingChart(t *testing.T, c cluster) {
	repository, err := chartrepository.Serve(t.Context())
	require.NoError(t, err)
	e := startEngine(t, c)
	c.namespace(t, "failing")
	urn := urnOf("helm.sh/v3:Release", "adapter")
	inputs := func(atomic, never bool) map[string]any {
		values := map[string]any{"rules": map[string]any{"default": false}}
		if never {
			values["podLabels"] = map[string]any{neverReady: "true"}
		}
		in := release(repository, "prometheus-adapter", "failing", values)
		in["timeout"], in["atomic"] = 5.0, atomic
		if !never {
			in["timeout"] = 120.0
		}
		return in
	}
	_, err = e.tryCreate(urn, inputs(true, true))
	require.ErrorContains(t, err, "0 of 1 pods available", "Helm reports only that the time is over")
	require.Nil(t, initFailed(err), "nothing is left to keep in the state")
	nothingLeft(t, c, "failing")

	s, err := e.tryCreate(urn, inputs(false, true))
	assert.Contains(t, reasons(t, err), `Deployment "failing/prometheus-adapter": 0 of 1 pods available`)
	assert.Equal(t, "failing/prometheus-adapter", s.id)
	s = e.update(s, inputs(false, false))
	assert.Equal(t, "deployed", e.unpack(s.outputs)["status"].ObjectValue()["status"].StringValue(), "the next update repairs it")

	_, err = e.tryUpdate(s, inputs(true, true), false)
	require.ErrorContains(t, err, "the attempt was undone")
	deployment, err := c.client.AppsV1().Deployments("failing").Get(t.Context(), "prometheus-adapter", metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotContains(t, deployment.Spec.Template.Labels, neverReady)

	_, err = e.tryCreate(urnOf("helm.sh/v3:Release", "another"), inputs(false, false))
	require.ErrorContains(t, err, "cannot re-use a name that is still in use")
	require.Nil(t, initFailed(err), "it does not become this resource's")
	e.delete(s)
	nothingLeft(t, c, "failing")
}
