package kubernetesprovider

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
)

func TestPlain(t *testing.T) {
	in := resource.PropertyMap{
		"password": resource.MakeSecret(resource.NewStringProperty("s3cret")),
		"port":     resource.NewNumberProperty(10250),
		"ratio":    resource.NewNumberProperty(0.5),
		"nothing":  resource.NewNullProperty(),
		"list":     resource.NewArrayProperty([]resource.PropertyValue{resource.NewNumberProperty(1e6), resource.MakeSecret(resource.NewBoolProperty(true))}),
		"nested":   resource.NewObjectProperty(resource.PropertyMap{"nothing": resource.NewNullProperty()}),
	}
	assert.Equal(t, map[string]any{
		"password": "s3cret", "port": int64(10250), "ratio": 0.5, "list": []any{int64(1000000), true}, "nested": map[string]any{},
	}, plain(in, false))
	kept := plain(in, true)
	assert.Contains(t, kept, "nothing")
	assert.Contains(t, kept["nested"], "nothing")
}

func TestSecretsStaySecretInOutputs(t *testing.T) {
	inputs := resource.PropertyMap{
		"spec": resource.NewObjectProperty(resource.PropertyMap{
			"env": resource.NewArrayProperty([]resource.PropertyValue{
				resource.NewObjectProperty(resource.PropertyMap{"value": resource.MakeSecret(resource.NewStringProperty("s"))}),
			}),
			"args": resource.NewArrayProperty([]resource.PropertyValue{resource.MakeSecret(resource.NewStringProperty("s"))}),
		}),
	}
	live := map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": "x", "managedFields": []any{}},
		"spec": map[string]any{
			"env":  []any{map[string]any{"value": "s", "name": "n"}},
			"args": []any{"s", "added by somebody"},
			"node": "n",
		},
	}
	out := liveOutputs(live, inputs)
	spec := out["spec"].ObjectValue()
	env := spec["env"].ArrayValue()[0].ObjectValue()
	assert.True(t, env["value"].IsSecret())
	assert.False(t, env["name"].IsSecret())
	assert.True(t, spec["args"].IsSecret(), "where the secret went in a list of another length is not known")
	assert.False(t, spec["node"].IsSecret())
	assert.NotContains(t, out["metadata"].ObjectValue(), resource.PropertyKey("managedFields"))
	assert.Contains(t, live["metadata"], "managedFields", "the live object is not changed")
}

func TestContentOfASecretIsSecret(t *testing.T) {
	given := resource.NewObjectProperty(resource.PropertyMap{"a": resource.NewStringProperty("b")})
	out := liveOutputs(map[string]any{"apiVersion": "v1", "kind": "Secret", "data": map[string]any{"a": "Yg=="}},
		resource.PropertyMap{"stringData": given})
	assert.True(t, out["data"].IsSecret())
	assert.True(t, out["stringData"].IsSecret())
}

func TestEncodeStringData(t *testing.T) {
	o := map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"data": map[string]any{"old": "b2xk", "both": "b2xk"}, "stringData": map[string]any{"new": "new", "both": "new"},
	}
	encodeStringData(o)
	assert.Equal(t, map[string]any{"old": "b2xk", "new": "bmV3", "both": "bmV3"}, o["data"])
	assert.NotContains(t, o, "stringData")
}

func TestOverlay(t *testing.T) {
	olds := props(map[string]any{"spec": map[string]any{"a": 1.0, "ip": "10.0.0.1", "list": []any{1.0, 2.0}}, "status": "ok"})
	news := props(map[string]any{"spec": map[string]any{"a": 2.0, "list": []any{3.0}}})
	assert.Equal(t, props(map[string]any{"spec": map[string]any{"a": 2.0, "ip": "10.0.0.1", "list": []any{3.0}}, "status": "ok"}),
		overlay(olds, news))
}

func TestDrift(t *testing.T) {
	inputs := resource.PropertyMap{
		"spec": resource.NewObjectProperty(resource.PropertyMap{
			"replicas": resource.NewNumberProperty(2),
			"cpu":      resource.NewStringProperty("0.5"),
			"gone":     resource.NewStringProperty("x"),
			"list":     resource.NewArrayProperty([]resource.PropertyValue{single("image", "a")}),
		}),
		"data":       resource.MakeSecret(single("key", "old")),
		"stringData": single("given", "x"),
	}
	object := func(replicas int64, image, key string) map[string]any {
		return map[string]any{
			"spec": map[string]any{"replicas": replicas, "cpu": "500m", "defaulted": true, "list": []any{map[string]any{"image": image}}},
			"data": map[string]any{"key": key},
		}
	}
	wanted := object(2, "a", "old")
	wanted["spec"].(map[string]any)["gone"] = "x"
	got := drift(object(5, "b", "new"), wanted, inputs)
	assert.Equal(t, resource.PropertyMap{
		"spec": resource.NewObjectProperty(resource.PropertyMap{
			"replicas": resource.NewNumberProperty(5),
			"cpu":      resource.NewStringProperty("0.5"), // only written in another way
			"list":     resource.NewArrayProperty([]resource.PropertyValue{single("image", "b")}),
		}),
		"data":       resource.MakeSecret(single("key", "new")),
		"stringData": single("given", "x"),
	}, got)
	assert.Equal(t, inputs, drift(wanted, wanted, inputs))
}

func single(key resource.PropertyKey, value string) resource.PropertyValue {
	return resource.NewObjectProperty(resource.PropertyMap{key: resource.NewStringProperty(value)})
}

func TestAutoName(t *testing.T) {
	a := autoName("vllm", []byte("seed"))
	assert.Regexp(t, `^vllm-[0-9a-f]{8}$`, a)
	assert.Equal(t, a, autoName("vllm", []byte("seed")), "preview and update must agree")
	assert.NotEqual(t, a, autoName("vllm", []byte("other")))
	assert.NotEqual(t, autoName("vllm", nil), autoName("vllm", nil))
}

func TestNameObject(t *testing.T) {
	auto := props(map[string]any{"metadata": map[string]any{"name": "vllm-old", "annotations": map[string]any{autonamedAnnotation: "true"}}})
	explicit := props(map[string]any{"metadata": map[string]any{"name": "mine"}})
	tests := map[string]struct {
		n    names
		olds resource.PropertyMap
		give map[string]any
		want string
		fail bool
	}{
		"new":                       {names{prefix: "vllm", seed: []byte("s")}, nil, nil, `^vllm-[0-9a-f]{8}$`, false},
		"kept":                      {names{prefix: "vllm", seed: []byte("s")}, auto, nil, `^vllm-old$`, false},
		"was given by the program":  {names{prefix: "vllm", seed: []byte("s")}, explicit, nil, `^vllm-[0-9a-f]{8}$`, false},
		"proposed by configuration": {names{prefix: "vllm", proposed: "team-vllm"}, nil, nil, `^team-vllm$`, false},
		"generateName":              {names{prefix: "vllm", seed: []byte("s")}, nil, map[string]any{"generateName": "job-"}, `^job-[0-9a-f]{8}$`, false},
		"turned off":                {names{prefix: "vllm", disabled: true}, nil, nil, "", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			metadata, failures := nameObject(props(tt.give), tt.n, tt.olds, nil)
			if tt.fail {
				require.Len(t, failures, 1)
				assert.Equal(t, "metadata.name", failures[0].GetProperty())
				return
			}
			assert.Empty(t, failures)
			assert.Regexp(t, tt.want, text(metadata, "name"))
			assert.Equal(t, "true", text(object(metadata, "annotations"), autonamedAnnotation))
		})
	}
}

func TestFieldManagerDiffersBetweenResources(t *testing.T) {
	a := fieldManager("urn:pulumi:dev::p::kubernetes:core/v1:Secret::a")
	assert.Regexp(t, `^pulumi-kubernetes-[0-9a-f]{8}$`, a)
	assert.NotEqual(t, a, fieldManager("urn:pulumi:prod::p::kubernetes:core/v1:Secret::a"), "another stack's object is not ours")
}

func TestStoredInputsOfARelease(t *testing.T) {
	inputs := func(values map[string]any) resource.PropertyMap {
		return props(map[string]any{"name": "kps", "namespace": "monitoring", "chart": "kps", "version": "1.0.0", "compat": "true", "values": values})
	}
	stored := func(version string, values map[string]any) *release.Release {
		return &release.Release{Name: "kps", Namespace: "monitoring", Config: values,
			Chart: &chart.Chart{Metadata: &chart.Metadata{Name: "kps", Version: version}}}
	}
	secret := resource.MakeSecret(resource.NewStringProperty("canary"))
	for name, test := range map[string]struct {
		inputs, outputs resource.PropertyMap
		last            *release.Release
		want            resource.PropertyMap
	}{
		"as in the state": {
			inputs(map[string]any{"a": 1.0, "none": nil}), inputs(nil), stored("1.0.0", map[string]any{"a": 1}),
			inputs(map[string]any{"a": 1.0, "none": nil}),
		},
		"no values": {inputs(nil), inputs(nil), stored("1.0.0", nil), inputs(nil)},
		"values of an upgrade that was killed": {
			inputs(map[string]any{"a": 1.0}), inputs(nil), stored("1.0.0", map[string]any{"a": 2.0}), inputs(map[string]any{"a": 2.0}),
		},
		"version of an upgrade that was killed": {
			inputs(nil), inputs(nil), stored("2.0.0", nil),
			props(map[string]any{"name": "kps", "namespace": "monitoring", "chart": "kps", "version": "2.0.0", "compat": "true", "values": map[string]any(nil)}),
		},
		"secrets stay secret": {
			inputs(map[string]any{"a": secret, "b": 1.0}), inputs(nil), stored("1.0.0", map[string]any{"a": "canary", "b": 2.0}),
			inputs(map[string]any{"a": secret, "b": 2.0}),
		},
		"adopted without outputs": {
			inputs(map[string]any{"a": secret}), nil, stored("1.0.0", map[string]any{"a": "canary"}),
			props(map[string]any{"name": "kps", "namespace": "monitoring", "chart": "kps", "version": "1.0.0", "values": map[string]any{"a": secret}}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := storedInputs(change{inputs: test.inputs, olds: test.outputs}, test.last)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestReleasesKeepTheirHistory(t *testing.T) {
	assert.Zero(t, releaseFrom(change{inputs: props(nil)}).maxHistory, "without limit")
	assert.Equal(t, 10, releaseFrom(change{inputs: props(map[string]any{"maxHistory": 10.0})}).maxHistory)
}

func TestSettings(t *testing.T) {
	s, err := settingsFrom(resource.PropertyMap{
		"kubeconfig":        resource.MakeSecret(resource.NewStringProperty("/k")),
		"deleteUnreachable": resource.NewStringProperty("true"),
		"enablePatchForce":  resource.NewBoolProperty(true),
		"context":           resource.MakeComputed(resource.NewStringProperty("")),
	})
	require.NoError(t, err)
	assert.Equal(t, settings{kubeconfig: "/k", deleteUnreachable: true, patchForce: true}, s)

	for key, v := range map[resource.PropertyKey]resource.PropertyValue{
		"kubeconfig":            resource.NewNumberProperty(1),
		"deleteUnreachable":     resource.NewStringProperty("maybe"),
		"enableServerSideApply": resource.NewStringProperty("false"),
	} {
		_, err := settingsFrom(resource.PropertyMap{key: v})
		require.ErrorContains(t, err, string(key))
	}
}

func kubeconfigFor(server string) string {
	return `apiVersion: v1
kind: Config
current-context: a
clusters: [{name: a, cluster: {server: "` + server + `"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {token: t}}]
`
}

func TestProviderIsReplacedForAnotherClusterOnly(t *testing.T) {
	a, b := kubeconfigFor("https://a:1"), kubeconfigFor("https://b:1")
	unknown := resource.MakeComputed(resource.NewStringProperty(""))
	tests := map[string]struct {
		olds, news resource.PropertyMap
		want       string
	}{
		"another kubeconfig of the same cluster": {
			props(map[string]any{"clusterIdentifier": "x", "kubeconfig": a}),
			props(map[string]any{"clusterIdentifier": "x", "kubeconfig": b}), "UPDATE",
		},
		"another identifier": {
			props(map[string]any{"clusterIdentifier": "x"}), props(map[string]any{"clusterIdentifier": "y"}), "UPDATE_REPLACE",
		},
		"identifier not known yet": {
			props(map[string]any{"clusterIdentifier": "x"}), resource.PropertyMap{"clusterIdentifier": unknown}, "UPDATE_REPLACE",
		},
		"kubeconfig not known yet": {
			props(map[string]any{"clusterIdentifier": "x", "kubeconfig": a}),
			resource.PropertyMap{"clusterIdentifier": resource.NewStringProperty("x"), "kubeconfig": unknown}, "UPDATE",
		},
		"another server, no identifier": {
			props(map[string]any{"kubeconfig": a}), props(map[string]any{"kubeconfig": b}), "UPDATE_REPLACE",
		},
		"setting of the same server": {
			props(map[string]any{"kubeconfig": a}), props(map[string]any{"kubeconfig": a, "deleteUnreachable": "true"}), "ADD",
		},
	}
	p := New()
	defer p.Close()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			olds, err := marshal(tt.olds)
			require.NoError(t, err)
			news, err := marshal(tt.news)
			require.NoError(t, err)
			d, err := p.DiffConfig(t.Context(), &pulumirpc.DiffRequest{OldInputs: olds, News: news})
			require.NoError(t, err)
			for path, kind := range kinds(d) {
				assert.Equal(t, tt.want, kind, path)
			}
			assert.NotEmpty(t, kinds(d))
		})
	}
}

func TestUnreachableClusterIsNamedInEveryOperation(t *testing.T) {
	p := New()
	defer p.Close()
	args, err := marshal(props(map[string]any{"kubeconfig": kubeconfigFor("https://127.0.0.1:1"), "deleteUnreachable": "true"}))
	require.NoError(t, err)
	_, err = p.Configure(t.Context(), &pulumirpc.ConfigureRequest{Args: args})
	require.NoError(t, err, "the operations report it, so that a destroy with deleteUnreachable gets that far")

	const u = "urn:pulumi:s::p::kubernetes:core/v1:ConfigMap::a"
	const want = "configured Kubernetes cluster is unreachable: "
	empty, err := marshal(props(map[string]any{"metadata": map[string]any{"name": "a"}}))
	require.NoError(t, err)
	_, err = p.Check(t.Context(), &pulumirpc.CheckRequest{Urn: u, News: empty})
	require.ErrorContains(t, err, want)
	_, err = p.Create(t.Context(), &pulumirpc.CreateRequest{Urn: u, Properties: empty})
	require.ErrorContains(t, err, want)
	_, err = p.Create(t.Context(), &pulumirpc.CreateRequest{Urn: u, Properties: empty, Preview: true})
	require.ErrorContains(t, err, want)
	_, err = p.Update(t.Context(), &pulumirpc.UpdateRequest{Urn: u, Id: "a", News: empty})
	require.ErrorContains(t, err, want)
	read, err := p.Read(t.Context(), &pulumirpc.ReadRequest{Urn: u, Id: "a"})
	require.NoError(t, err, "deleteUnreachable")
	require.Empty(t, read.GetId())
	_, err = p.Delete(t.Context(), &pulumirpc.DeleteRequest{Urn: u, Id: "a"})
	require.NoError(t, err, "deleteUnreachable")
	const release = "urn:pulumi:s::p::kubernetes:helm.sh/v3:Release::r"
	_, err = p.Delete(t.Context(), &pulumirpc.DeleteRequest{Urn: release, Id: "a/r"})
	require.ErrorContains(t, err, want, "upstream does not honour the setting for releases (pulumi-kubernetes#2675)")
	read, err = p.Read(t.Context(), &pulumirpc.ReadRequest{Urn: release, Id: "a/r"})
	require.NoError(t, err, "but a refresh takes them out of the state")
	require.Empty(t, read.GetId())
}
