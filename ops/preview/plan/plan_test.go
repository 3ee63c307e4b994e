package plan

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func recorded(t *testing.T, name string) *Plan {
	t.Helper()
	content, err := os.ReadFile("../testdata/" + name + ".json")
	require.NoError(t, err)
	p, err := Parse(content)
	require.NoError(t, err)
	return p
}

func find(t *testing.T, p *Plan, typ, name string) Step {
	t.Helper()
	for _, s := range p.Steps {
		if s.Type == typ && s.Name == name {
			return s
		}
	}
	t.Fatalf("no %s %s", typ, name)
	return Step{}
}

func TestRecordings(t *testing.T) {
	create := recorded(t, "gke.create")
	assert.Equal(t, "gke", create.Stack)
	assert.Equal(t, "vllm-autoscaling", create.Project)
	assert.True(t, create.Complete())
	assert.Empty(t, create.Deployed())
	assert.Len(t, create.Planned(), create.Counts[OpCreate])
	assert.Len(t, create.Changes(), create.Counts[OpCreate]-1, "without the stack itself")
	assert.JSONEq(t, `{"location":"us-central1-a","project":"lab-project"}`, create.Key("gke"))

	noop := recorded(t, "eks.noop")
	assert.True(t, noop.Complete())
	assert.Empty(t, noop.Changes())
	assert.Len(t, noop.Deployed(), noop.Counts[OpSame])

	replace := find(t, recorded(t, "gke.replace"), "gcp:container/nodePool:NodePool", "cluster-gpu")
	assert.Equal(t, OpReplace, replace.Op)
	assert.Equal(t, map[string]PropertyDiff{"nodeConfig.spot": {Kind: "update-replace", Inputs: true}}, replace.Diff)
	assert.Equal(t, []string{"nodeConfig"}, replace.Reasons)

	destroy := recorded(t, "aks.destroy")
	assert.Empty(t, destroy.Planned())
	assert.Len(t, destroy.Changes(), destroy.Counts[OpDelete]-1)

	failed := recorded(t, "aks.failed")
	assert.True(t, failed.Failed())
	assert.Contains(t, failed.Errors[0], "autoscaling.minReplicas (9)")
	assert.False(t, create.Failed())
}

func TestDrift(t *testing.T) {
	p := recorded(t, "local.drift")
	assert.True(t, p.Refreshed)
	require.Len(t, p.Changes(), 1)
	gone := p.Changes()[0]
	assert.Equal(t, OpCreate, gone.Op)
	assert.True(t, gone.Drifted)
	require.NotNil(t, gone.Old, "what the state message of it")

	conflict := recorded(t, "local.drift-conflict")
	require.Len(t, conflict.Changes(), 1)
	assert.True(t, conflict.Changes()[0].Drifted)
	assert.True(t, conflict.Failed())

	clean := recorded(t, "local.nodrift")
	assert.Empty(t, clean.Changes())
	assert.True(t, clean.Complete())
}

func TestComponents(t *testing.T) {
	p := recorded(t, "gke.create")
	for _, test := range []struct{ typ, name, want string }{
		{"gcp:container/nodePool:NodePool", "cluster-gpu", "cluster (GKECluster)"},
		{"pulumi:providers:kubernetes", "cluster", "cluster (GKECluster)"},
		{"kubernetes:apps/v1:Deployment", "vllm", "vllm (VLLM)"},
		{"vllm-autoscaling:components:VLLM", "vllm", "vllm (VLLM)"},
		{"pulumi:pulumi:Stack", "vllm-autoscaling-gke", ""},
	} {
		assert.Equal(t, test.want, p.Component(find(t, p, test.typ, test.name)), test.name)
	}
	assert.Empty(t, p.Component(find(t, recorded(t, "local.create"), "pulumi:providers:kubernetes", "cluster")), "a child of the stack")
}

// Without --show-sames the parents are not in the preview, and the plan is not complete.
func TestWithoutUnchangedResources(t *testing.T) {
	p := recorded(t, "gke.change")
	var changed []Step
	for _, s := range p.Steps {
		if s.Op != OpSame {
			changed = append(changed, s)
		}
	}
	p.Steps = changed
	assert.False(t, p.Complete())
	assert.Equal(t, "cluster (GKECluster)", p.Component(find(t, p, "gcp:container/nodePool:NodePool", "cluster-gpu")))
}

// The engine may show a replacement as three steps.
func TestStepsOfOneReplacement(t *testing.T) {
	const urn = "urn:pulumi:s::p::aws:eks/nodeGroup:NodeGroup::gpu"
	const state = `{"urn":"` + urn + `","type":"aws:eks/nodeGroup:NodeGroup","custom":true}`
	p, err := Parse([]byte(`{"steps":[
		{"op":"create-replacement","urn":"` + urn + `","oldState":` + state + `,"newState":` + state + `,
			"replaceReasons":["capacityType"],"detailedDiff":{"capacityType":{"kind":"update-replace","inputDiff":true}}},
		{"op":"replace","urn":"` + urn + `","detailedDiff":null},
		{"op":"delete-replaced","urn":"` + urn + `","detailedDiff":null}],"changeSummary":{"replace":1}}`))
	require.NoError(t, err)
	require.Len(t, p.Steps, 1)
	assert.Equal(t, OpReplace, p.Steps[0].Op)
	assert.Equal(t, []string{"capacityType"}, p.Steps[0].Reasons)
	assert.NotNil(t, p.Steps[0].New)
}

func TestNotAPreview(t *testing.T) {
	for name, test := range map[string]struct{ content, message string }{
		"nothing":     {"", "no JSON"},
		"text":        {"error: no stack named 'x' found", "no JSON"},
		"other JSON":  {`{"a": 1}`, "without steps"},
		"half of it":  {`{"steps": [`, "not the output"},
		"wrong types": {`{"steps": 7}`, "not the output"},
	} {
		_, err := Parse([]byte(test.content))
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), test.message, name)
		assert.Contains(t, err.Error(), "pulumi preview --json", name)
	}
	p, err := Parse([]byte("warning: something\n{\"changeSummary\":{\"same\":3},\"config\":{\"p:cloud\":\"\"}}\n"))
	require.NoError(t, err, "what comes before the JSON is skipped")
	assert.False(t, p.Complete())
	assert.Equal(t, "p", p.Namespace())
}

func TestValue(t *testing.T) {
	properties := map[string]any{"a": map[string]any{"b.c": []any{"x", map[string]any{"d": true}}}, "n": 1.5, "s": "2", "t": "true", "null": nil}
	for path, want := range map[string]any{`a["b.c"][0]`: "x", `a["b.c"][1].d`: true, "n": 1.5} {
		got, ok := Value(properties, path)
		assert.True(t, ok, path)
		assert.Equal(t, want, got, path)
	}
	for _, path := range []string{"x", "a.b", `a["b.c"][2]`, "n.x", "a[0]", `a["b`} {
		_, ok := Value(properties, path)
		assert.False(t, ok, path)
	}
	r := Resource{Inputs: properties}
	n, ok := r.Number("s")
	assert.True(t, ok)
	assert.InDelta(t, 2, n, 0)
	assert.True(t, r.Bool("t"))
	assert.False(t, r.Bool("n"))
	assert.False(t, r.Has("null"))
	assert.True(t, r.Has("a"))
	assert.Empty(t, r.Text("n"))
}
