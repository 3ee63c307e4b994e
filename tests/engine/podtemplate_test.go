package engine

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// podTemplate returns a pod template as the stack file has it.
func podTemplate(t *testing.T, text string) any {
	t.Helper()
	var value any
	require.NoError(t, yaml.Unmarshal([]byte(text), &value))
	return value
}

// TestPodTemplate checks that an up registers the pod of the server with the pod template merged over it, that a second one
// changes nothing, and that the pod is the program's own again without the key.
func TestPodTemplate(t *testing.T) {
	s := newStack(t, "local", map[string]any{"gpu.mode": "nvidia", "huggingFaceToken": token})
	s.up()
	own := s.find("Deployment", "vllm").Inputs
	s.set("vllm.podTemplate", podTemplate(t, `
metadata: {labels: {team: ml}}
spec:
  imagePullSecrets: [{name: registry}]
  tolerations: [{key: team, operator: Exists}]
  containers:
  - name: vllm
    env: [{name: HTTPS_PROXY, value: "http://proxy:3128"}, {name: NO_PROXY, value: .svc}]
  - name: log
    image: registry.example.com/log:1.2.3
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`))
	assert.Equal(t, []string{"update Deployment vllm"}, s.preview().planned())
	s.up()
	merged := s.find("Deployment", "vllm").Inputs
	diff := own.Diff(merged)
	require.NotNil(t, diff)
	pod := merged["spec"].ObjectValue()["template"].ObjectValue()
	assert.Equal(t, resource.NewProperty("ml"), pod["metadata"].ObjectValue()["labels"].ObjectValue()["team"])
	spec := pod["spec"].ObjectValue()
	assert.Len(t, spec["imagePullSecrets"].ArrayValue(), 1)
	assert.Len(t, spec["tolerations"].ArrayValue(), 2)
	containers := spec["containers"].ArrayValue()
	require.Len(t, containers, 2)
	assert.Equal(t, resource.NewProperty("vllm"), containers[0].ObjectValue()["name"])
	env := containers[0].ObjectValue()["env"].ArrayValue()
	assert.Equal(t, resource.NewProperty("NO_PROXY"), env[len(env)-1].ObjectValue()["name"])
	for range 3 {
		assert.Empty(t, s.preview().planned(), "the same in the same order")
	}

	delete(s.keys, "vllm.podTemplate")
	s.up()
	assert.Nil(t, own.Diff(s.find("Deployment", "vllm").Inputs))
}

// TestPodTemplateKeepsSecrets checks that an encrypted value in a pod template is encrypted in the state too.
func TestPodTemplateKeepsSecrets(t *testing.T) {
	s := newStack(t, "local", map[string]any{
		"vllm.podTemplate": podTemplate(t, `spec: {containers: [{name: vllm, env: [{name: MIRROR_KEY, value: a-hidden-value}]}]}`),
		// Encrypts the object vllm, which Pulumi marks as a secret as a whole.
		"vllm.priorityClassName": secret("a-hidden-class"),
	})
	s.up()
	server := s.find("Deployment", "vllm").Inputs["spec"].ObjectValue()["template"].ObjectValue()["spec"].ObjectValue()["containers"].ArrayValue()[0].ObjectValue()
	env := server["env"].ArrayValue()
	require.NotEmpty(t, env)
	value := env[len(env)-1].ObjectValue()["value"]
	require.True(t, value.IsSecret())
	assert.Equal(t, "a-hidden-value", value.SecretValue().Element.StringValue())
	assert.False(t, server["args"].ContainsSecrets(), "the program's own stays readable")
	assert.Empty(t, s.preview().planned())
}
