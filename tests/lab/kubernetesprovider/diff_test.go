package kubernetesprovider

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func props(m map[string]any) resource.PropertyMap { return resource.NewPropertyMapFromMap(m) }

func kinds(d *pulumirpc.DiffResponse) map[string]string {
	out := map[string]string{}
	for path, diff := range d.GetDetailedDiff() {
		out[path] = diff.GetKind().String()
	}
	return out
}

func TestDiff(t *testing.T) {
	deployment := func(change func(map[string]any)) map[string]any {
		m := map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": "vllm", "namespace": "vllm", "labels": map[string]any{"app.kubernetes.io/name": "vllm"}},
			"spec": map[string]any{
				"selector": map[string]any{"matchLabels": map[string]any{"app": "vllm"}},
				"template": map[string]any{"spec": map[string]any{"containers": []any{
					map[string]any{"name": "vllm", "image": "a", "args": []any{"--x"}},
				}}},
			},
		}
		if change != nil {
			change(m)
		}
		return m
	}
	container := func(m map[string]any) map[string]any {
		spec := m["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
		return spec["containers"].([]any)[0].(map[string]any)
	}
	tests := map[string]struct {
		change func(map[string]any)
		want   map[string]string
		first  bool // delete before replace
	}{
		"nothing": {nil, map[string]string{}, false},
		"image": {
			func(m map[string]any) { container(m)["image"] = "b" },
			map[string]string{"spec.template.spec.containers[0].image": "UPDATE"}, false,
		},
		"one more argument": {
			func(m map[string]any) { container(m)["args"] = []any{"--x", "--y"} },
			map[string]string{"spec.template.spec.containers[0].args[1]": "ADD"}, false,
		},
		"one argument less": {
			func(m map[string]any) { container(m)["args"] = []any{} },
			map[string]string{"spec.template.spec.containers[0].args[0]": "DELETE"}, false,
		},
		"label with dots": {
			func(m map[string]any) {
				m["metadata"].(map[string]any)["labels"] = map[string]any{"app.kubernetes.io/name": "other"}
			},
			map[string]string{`metadata.labels["app.kubernetes.io/name"]`: "UPDATE"}, false,
		},
		"selector": {
			func(m map[string]any) {
				m["spec"].(map[string]any)["selector"] = map[string]any{"matchLabels": map[string]any{"app": "vllm", "b": "c"}}
			},
			map[string]string{"spec.selector.matchLabels.b": "ADD_REPLACE"}, true,
		},
		"name": {
			func(m map[string]any) { m["metadata"].(map[string]any)["name"] = "other" },
			map[string]string{"metadata.name": "UPDATE_REPLACE"}, false,
		},
		"namespace": {
			func(m map[string]any) { delete(m["metadata"].(map[string]any), "namespace") },
			map[string]string{"metadata.namespace": "DELETE_REPLACE"}, false,
		},
		"namespace not known yet": {
			func(m map[string]any) {
				m["metadata"].(map[string]any)["namespace"] = resource.Computed{Element: resource.NewStringProperty("")}
			},
			map[string]string{"metadata.namespace": "UPDATE_REPLACE"}, false,
		},
	}
	tok := mustToken(t, "kubernetes:apps/v1:Deployment")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			olds, news := props(deployment(nil)), props(deployment(tt.change))
			d := diffResponse(diffProperties(olds, news), objectReplaces(tok, olds, settings{}), sameIdentity(olds, news))
			assert.Equal(t, tt.want, kinds(d))
			assert.Equal(t, tt.first, d.GetDeleteBeforeReplace(), "delete before replace")
			if len(tt.want) == 0 {
				assert.Equal(t, pulumirpc.DiffResponse_DIFF_NONE, d.GetChanges())
			} else {
				assert.Equal(t, pulumirpc.DiffResponse_DIFF_SOME, d.GetChanges())
				assert.NotEmpty(t, d.GetDiffs())
			}
		})
	}
}

func TestDiffSecretsAndNulls(t *testing.T) {
	plainValue := resource.PropertyMap{"a": resource.NewStringProperty("x")}
	secret := resource.PropertyMap{"a": resource.MakeSecret(resource.NewStringProperty("x")), "b": resource.NewNullProperty()}
	assert.Empty(t, diffProperties(plainValue, secret), "only the value counts")
	assert.Empty(t, diffProperties(resource.PropertyMap{"__defaults": resource.NewStringProperty("x")}, nil), "engine's own")
}

func TestReplaces(t *testing.T) {
	tests := map[string]struct {
		token string
		path  resource.PropertyPath
		olds  map[string]any
		s     settings
		want  bool
	}{
		"ConfigMap content":         {"kubernetes:core/v1:ConfigMap", resource.PropertyPath{"data", "a"}, nil, settings{}, true},
		"mutable ConfigMap content": {"kubernetes:core/v1:ConfigMap", resource.PropertyPath{"data", "a"}, nil, settings{configMapMutable: true}, false},
		"immutable ConfigMap content": {"kubernetes:core/v1:ConfigMap", resource.PropertyPath{"data", "a"}, map[string]any{"immutable": true},
			settings{configMapMutable: true}, true},
		"Secret content":        {"kubernetes:core/v1:Secret", resource.PropertyPath{"stringData", "a"}, nil, settings{}, true},
		"mutable Secret's type": {"kubernetes:core/v1:Secret", resource.PropertyPath{"type"}, nil, settings{secretMutable: true}, true},
		"Secret's label":        {"kubernetes:core/v1:Secret", resource.PropertyPath{"metadata", "labels", "a"}, nil, settings{}, false},
		"Job's template": {"kubernetes:batch/v1:Job", resource.PropertyPath{"spec", "template", "spec", "containers", 0, "image"}, nil,
			settings{}, true},
		"Service's ports":              {"kubernetes:core/v1:Service", resource.PropertyPath{"spec", "ports", 0, "port"}, nil, settings{}, false},
		"Service's clusterIP":          {"kubernetes:core/v1:Service", resource.PropertyPath{"spec", "clusterIP"}, nil, settings{}, true},
		"Service's clusterIPs":         {"kubernetes:core/v1:Service", resource.PropertyPath{"spec", "clusterIPs", 0}, nil, settings{}, false},
		"DaemonSet's selector":         {"kubernetes:apps/v1:DaemonSet", resource.PropertyPath{"spec", "selector", "matchLabels", "a"}, nil, settings{}, true},
		"custom resource's spec":       {"kubernetes:monitoring.coreos.com/v1:ServiceMonitor", resource.PropertyPath{"spec", "selector"}, nil, settings{}, false},
		"custom resource's apiVersion": {"kubernetes:monitoring.coreos.com/v1:ServiceMonitor", resource.PropertyPath{"apiVersion"}, nil, settings{}, true},
		"HPA's target":                 {"kubernetes:autoscaling/v2:HorizontalPodAutoscaler", resource.PropertyPath{"spec", "maxReplicas"}, nil, settings{}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := objectReplaces(mustToken(t, tt.token), props(tt.olds), tt.s)(tt.path)
			assert.Equal(t, tt.want, got)
		})
	}
	assert.True(t, releaseReplaces(resource.PropertyPath{"namespace"}))
	assert.False(t, releaseReplaces(resource.PropertyPath{"version"}))
	assert.False(t, releaseReplaces(resource.PropertyPath{"values", "name"}))
}

func mustToken(t *testing.T, s string) token {
	t.Helper()
	tok, err := parseToken(s)
	require.NoError(t, err)
	return tok
}

func TestParseToken(t *testing.T) {
	for in, want := range map[string]string{
		"kubernetes:core/v1:Namespace":                       "v1 Namespace",
		"kubernetes:v1:ConfigMap":                            "v1 ConfigMap",
		"kubernetes:apps/v1:Deployment":                      "apps/v1 Deployment",
		"kubernetes:networking.k8s.io/v1:NetworkPolicy":      "networking.k8s.io/v1 NetworkPolicy",
		"kubernetes:autoscaling/v2:HorizontalPodAutoscaler":  "autoscaling/v2 HorizontalPodAutoscaler",
		"kubernetes:monitoring.coreos.com/v1:ServiceMonitor": "monitoring.coreos.com/v1 ServiceMonitor",
		"kubernetes:helm.sh/v3:Release":                      "helm.sh/v3 Release",
	} {
		got, err := parseToken(in)
		require.NoError(t, err, in)
		assert.Equal(t, want, got.apiVersion()+" "+got.gvk.Kind)
		assert.Equal(t, in == "kubernetes:helm.sh/v3:Release", got.isRelease())
	}
	for _, in := range []string{
		"", "kubernetes:apps/v1", "aws:ec2:Vpc", "kubernetes:apps/v1/x:Deployment", "kubernetes::Deployment",
		"kubernetes:helm.sh/v4:Chart", "kubernetes:helm.sh/v3:Chart", "kubernetes:yaml/v2:ConfigGroup",
		"kubernetes:apps/v1:DeploymentPatch", "kubernetes:apps/v1:DeploymentList",
	} {
		_, err := parseToken(in)
		require.Error(t, err, in)
		assert.Contains(t, err.Error(), `"`+in+`"`)
	}
}
