package preview

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview/plan"
)

const deploymentURN = "urn:pulumi:local::vllm-autoscaling::vllm-autoscaling:components:VLLM$kubernetes:apps/v1:Deployment::vllm"

// notReady is the reason that the plugin gives for a Deployment that the HPA has just scaled up.
const notReady = "2 errors occurred:\n\t* Minimum number of Pods to consider the application live was not attained\n\t* [Pod vllm-7c9f-x2k4q]: containers with unready status"

// refreshed adds to a clean check what the engine does when it reads an unready Deployment: a warning, and an update.
func refreshed(t *testing.T, detailedDiff any) *plan.Plan {
	t.Helper()
	content, err := json.Marshal(map[string]any{
		"steps": []any{
			map[string]any{"op": "same", "urn": "urn:pulumi:local::vllm-autoscaling::pulumi:pulumi:Stack::vllm-autoscaling-local"},
			map[string]any{"op": "refresh", "urn": deploymentURN, "oldState": deployment(nil, 4)},
			map[string]any{"op": "update", "urn": deploymentURN, "oldState": deployment([]string{notReady}, 4), "newState": deployment(nil, 4),
				"detailedDiff": detailedDiff},
		},
		"changeSummary": map[string]int{"same": 32, "update": 1},
		"diagnostics": []any{
			map[string]any{"urn": deploymentURN, "severity": "warning", "message": "Refreshed resource is in an unhealthy state:\n* " + notReady},
			map[string]any{"severity": "warning", "message": "something else"},
		},
	})
	require.NoError(t, err)
	p, err := plan.Parse(content)
	require.NoError(t, err)
	return p
}

func deployment(initErrors []string, grace int) map[string]any {
	state := map[string]any{"urn": deploymentURN, "type": "kubernetes:apps/v1:Deployment", "custom": true,
		"inputs": map[string]any{"spec": map[string]any{"minReadySeconds": grace}}}
	if initErrors != nil {
		state["initErrors"] = initErrors
	}
	return state
}

// An object that is not ready while it is read, such as a Deployment that the HPA scales up, has not drifted.
func TestUnreadyIsNoDrift(t *testing.T) {
	r := New(refreshed(t, nil), Options{Mode: Drift})
	assert.False(t, r.Changed(), "the exit status follows from it")
	assert.Equal(t, map[string]int{"create": 0, "update": 0, "replace": 0, "delete": 0, "same": 33}, r.Counts)
	assert.Equal(t, []Unready{{"kubernetes:apps/v1:Deployment", "vllm", []string{notReady}}}, r.Unready)
	assert.Equal(t, []string{"something else"}, r.Warnings, "what Unready has is not said twice")
	for _, text := range []string{r.Text(), r.Markdown(0)} {
		assert.Contains(t, text, "Stack local has not drifted")
		assert.Contains(t, text, "0 to update")
		assert.NotContains(t, text, "Changes")
		assert.Contains(t, text, "Not ready when it was read")
		assert.Contains(t, text, "Minimum number of Pods to consider the application live was not attained")
	}
}

// An unready object that somebody has changed as well has drifted.
func TestUnreadyAndChangedIsDrift(t *testing.T) {
	r := New(refreshed(t, map[string]any{"spec.minReadySeconds": map[string]any{"kind": "update", "inputDiff": true}}), Options{Mode: Drift})
	assert.True(t, r.Changed())
	assert.Equal(t, 1, r.Counts["update"])
	assert.Len(t, r.Unready, 1)
	assert.Contains(t, r.Text(), "spec.minReadySeconds")
	assert.NotContains(t, r.Text(), "nothing changes")
}

// `pulumi up` does update what was not ready when the state was written: it waits for it, and the preview lists it.
func TestUpdateThatOnlyWaits(t *testing.T) {
	p := refreshed(t, nil)
	p.Refreshed = false
	r := New(p, Options{Mode: Update})
	assert.True(t, r.Changed())
	assert.Equal(t, 1, r.Counts["update"])
	for _, text := range []string{r.Text(), r.Markdown(0)} {
		assert.Contains(t, text, "nothing changes: it was not ready, and the update waits for it")
	}
}

// A node autoscaler that has changed the size of a pool is no drift either.
func TestNodesOfTheAutoscalerAreNoDrift(t *testing.T) {
	steps := func(op, inputs string) []step {
		return []step{{op: op, typ: "azure-native:containerservice/v20240901:AgentPool", name: "gpu", old: `{"count":3,"vmSize":"a"}`, new: inputs,
			diff: `{"count":{"kind":"update","inputDiff":true}}`}}
	}
	r := New(preview(t, "", steps("update", `{"count":1,"vmSize":"a"}`)...), Options{Mode: Drift})
	assert.False(t, r.Changed())
	assert.Equal(t, 0, r.Counts["update"])
	r = New(preview(t, "", step{op: "update", typ: "azure-native:containerservice/v20240901:AgentPool", name: "gpu",
		old: `{"count":3,"vmSize":"a"}`, new: `{"count":1,"vmSize":"b"}`,
		diff: `{"count":{"kind":"update","inputDiff":true},"vmSize":{"kind":"update","inputDiff":true}}`}), Options{Mode: Drift})
	assert.True(t, r.Changed())
}

// A field that somebody else owns makes the preview fail; the report names the object, the manager and the ways out.
func TestConflictNamesTheWaysOut(t *testing.T) {
	r := New(read(t, "local.drift-conflict"), Options{Mode: Drift})
	require.True(t, r.Failed)
	require.Len(t, r.Conflicts, 1)
	for _, text := range []string{r.Text(), r.Markdown(0)} {
		assert.Contains(t, text, "Fields that somebody else owns")
		assert.Contains(t, text, "write them into Pulumi.local.yaml")
		assert.Contains(t, text, "PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up --refresh --stack local")
	}
	assert.Contains(t, r.Text(), "vllm/vllm (kubernetes:autoscaling/v2:HorizontalPodAutoscaler): kubectl-edit owns .spec.maxReplicas\n")
	assert.Contains(t, r.Markdown(0), "- `vllm/vllm` (`kubernetes:autoscaling/v2:HorizontalPodAutoscaler`): `kubectl-edit` owns `.spec.maxReplicas`\n")
}

func TestDriftWithoutSecrets(t *testing.T) {
	r := New(read(t, "local.nodrift"), Options{Mode: Drift, WithoutSecrets: true})
	for _, text := range []string{r.Text(), r.Markdown(0)} {
		assert.Contains(t, text, "Secrets and Helm releases were not read")
	}
	assert.NotContains(t, New(read(t, "local.nodrift"), Options{Mode: Drift}).Text(), "were not read")
}

// The program's warning about an API that nobody serves is not folded away.
func TestDeadAPIsAreShown(t *testing.T) {
	const dead = "APIService v1beta1.external.metrics.k8s.io is not available (ServiceNotFound: no Service); it belongs to Helm release keda/keda"
	p, err := plan.Parse([]byte(fmt.Sprintf(`{"config":{},"steps":[],"diagnostics":[{"severity":"warning","message":%q},{"severity":"warning","message":"the APIService is ours"}]}`, dead)))
	require.NoError(t, err)
	r := New(p, Options{Stack: "local"})
	assert.Contains(t, r.Markdown(0), "\n### APIs of the cluster that nobody serves\n\n```\n"+dead+"\n```\n")
	assert.Contains(t, r.Markdown(0), "1 warning of the preview")
	assert.Contains(t, r.Text(), "WARNING: APIs of the cluster that nobody serves\n  "+dead+"\n")
}
