package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const stack = `config:
  pulumi:disable-default-providers: ["*"]
  vllm-autoscaling:cloud: gke
  vllm-autoscaling:gke: {project: my-project, location: us-central1-a}
  vllm-autoscaling:cluster: {apiAccessCidrs: [1.2.3.4/32]}
  vllm-autoscaling:huggingFaceToken: {secure: "v1:abc"}
  vllm-autoscaling:nodePools: {gpu: {machineType: g2-standard-4}}
`

// inProject makes a folder with a stack and a trace of 20 minutes the working folder.
func inProject(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	trace := &strings.Builder{}
	trace.WriteString("TIMESTAMP,ContextTokens,GeneratedTokens\n")
	for i := range 2400 {
		fmt.Fprintf(trace, "%g,500,100\n", float64(i)/2)
	}
	for name, content := range map[string]string{"Pulumi.yaml": "name: vllm-autoscaling\nruntime: go\n", "Pulumi.prod.yaml": stack, "trace.csv": trace.String()} {
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	}
}

func TestDocument(t *testing.T) {
	inProject(t)
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), []string{"-stack", "prod", "-trace", "trace.csv", "-json", "-objective", "ttft=1s,ratio=0.9"}, &out))
	var got document
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	assert.Equal(t, schema, got.Schema)
	assert.Equal(t, objective{TTFT: 1, ITL: 0.1, Ratio: 0.9}, got.Objective, "what is not given is the stack's")
	var names []string
	for _, c := range got.Candidates {
		names = append(names, c.Name)
		assert.Equal(t, 2400, c.Requests, c.Name)
		assert.Positive(t, c.Cost, c.Name)
	}
	assert.Equal(t, []string{"configured", "static-1", "static-2", "static-3", "static-4", "static-5", "static-best"}, names)
	assert.NotEmpty(t, got.Verdict)
}

func TestTableAndAnotherConfiguration(t *testing.T) {
	inProject(t)
	hours := map[string]string{}
	for _, set := range []string{"model.maxNumSeqs=16", "autoscaling.minReplicas=3"} {
		var out bytes.Buffer
		require.NoError(t, run(context.Background(), []string{"-stack", "prod", "-trace", "trace.csv", "-set", set}, &out))
		assert.Contains(t, out.String(), "the first token within 2.5s and 0.1s between tokens for 95 % of the requests", "the stack's objective")
		assert.Contains(t, out.String(), "static-best")
		_, row, _ := strings.Cut(out.String(), "configured")
		hours[set] = strings.Fields(row)[2]
	}
	assert.NotEqual(t, hours["model.maxNumSeqs=16"], hours["autoscaling.minReplicas=3"])
}

func TestErrors(t *testing.T) {
	inProject(t)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no stack":            {nil, "say which stack: make simulate STACK=gke"},
		"no trace":            {[]string{"-stack", "prod"}, "say which trace: make simulate STACK=prod"},
		"another stack":       {[]string{"-stack", "dev", "-trace", "trace.csv"}, `stack "dev" has no file`},
		"another trace":       {[]string{"-stack", "prod", "-trace", "none.csv"}, "none.csv"},
		"an argument":         {[]string{"-stack", "prod", "-trace", "trace.csv", "x"}, `unexpected argument "x"`},
		"a bad objective":     {[]string{"-objective", "ttft=0s"}, "is not above 0"},
		"an unknown part":     {[]string{"-objective", "p99=2s"}, `"p99" is not ttft, itl or ratio`},
		"a bad ratio":         {[]string{"-objective", "ratio=99"}, "is not a share"},
		"a bad routing":       {[]string{"-routing", "best"}, "is not random, round-robin or least"},
		"a delay below 0":     {[]string{"-stack", "prod", "-trace", "trace.csv", "-pod-delay", "-1s"}, "not below 0"},
		"no assignment":       {[]string{"-stack", "prod", "-trace", "trace.csv", "-set", "model"}, "-set \"model\" is not KEY=VALUE"},
		"a refused value":     {[]string{"-stack", "prod", "-trace", "trace.csv", "-set", "autoscaling.maxReplicas=0"}, "autoscaling.maxReplicas"},
		"a size that differs": {[]string{"-stack", "prod", "-trace", "trace.csv", "-set", "model.id=somebody/model"}, "model.size.weightsGiB"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			assert.ErrorContains(t, run(context.Background(), test.args, &out), test.want)
		})
	}
}
