package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/compare"
)

const stackFile = `config:
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
	for name, content := range map[string]string{
		"Pulumi.yaml": "name: vllm-autoscaling\nruntime: go\n", "Pulumi.prod.yaml": stackFile, "trace.csv": trace.String(),
	} {
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	}
}

func TestDocument(t *testing.T) {
	inProject(t)
	var out bytes.Buffer
	args := []string{"-stack", "prod", "-trace", "trace.csv", "-json", "-objective", "ttft=1s,ratio=0.9", "-search=false"}
	require.NoError(t, run(context.Background(), args, &out, io.Discard))
	var got document
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	assert.Equal(t, schema, got.Schema)
	assert.Equal(t, compare.Objective{TTFT: 1, ITL: 0.1, Ratio: 0.9}, got.Objective, "what is not given is the stack's")
	var names []string
	for _, c := range got.Candidates {
		names = append(names, c.Name)
		assert.Equal(t, 2400, c.Requests, c.Name)
		assert.Positive(t, c.Cost, c.Name)
	}
	assert.Equal(t, []string{"configured", "static-1", "static-2", "static-3", "static-4", "static-5", "static-best",
		"preset-exercise", "preset-exercise-gpu", "preset-production-stack", "preset-accelerated-platforms", "preset-accelerated-platforms-running",
		"preset-llm-d-in-flight", "preset-llm-d-slo-aware", "preset-kubeai", "preset-kserve", "preset-202218d", "oracle",
	}, names)
	assert.NotEmpty(t, got.Verdict)
}

func TestTableAndAnotherConfiguration(t *testing.T) {
	inProject(t)
	hours := map[string]string{}
	for _, set := range []string{"model.maxNumSeqs=16", "autoscaling.minReplicas=3"} {
		var out bytes.Buffer
		require.NoError(t, run(context.Background(), []string{"-stack", "prod", "-trace", "trace.csv", "-set", set, "-search=false"}, &out, io.Discard))
		assert.Contains(t, out.String(), "the first token within 2.5s and 100ms between tokens for 95 % of the requests", "the stack's objective")
		assert.Contains(t, out.String(), "static-best")
		_, row, _ := strings.Cut(out.String(), "configured")
		hours[set] = strings.Fields(row)[2]
	}
	assert.NotEqual(t, hours["model.maxNumSeqs=16"], hours["autoscaling.minReplicas=3"])
}

func TestReportFiles(t *testing.T) {
	inProject(t)
	require.NoError(t, os.Rename("trace.csv", "a<b>.csv"))
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), []string{
		"-stack", "prod", "-trace", "a<b>.csv", "-json", "-html", "report.html", "-png", "report.png", "-set", "model.maxNumSeqs=17",
		"-candidates", "12",
	}, &out, io.Discard))
	require.NoError(t, json.Unmarshal(out.Bytes(), new(document)), "nothing but the document on standard output")
	page, err := os.ReadFile("report.html")
	require.NoError(t, err)
	for _, text := range []string{
		"a&lt;b&gt;.csv", "<th>configured</th>", "<th>static-best</th>", "g2-standard-4", "<td>17</td>", "<td>random</td>", "Over time", "<td>3m0s, 2m",
		"<th>recommended</th>", "<th>oracle</th>", "<th>preset-kserve</th>", "pulumi config set --path --stack prod", "seed 2",
	} {
		assert.Contains(t, string(page), text)
	}
	picture, err := os.ReadFile("report.png")
	require.NoError(t, err)
	assert.True(t, bytes.HasPrefix(picture, []byte("\x89PNG")))
}

func TestErrors(t *testing.T) {
	inProject(t)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no stack":        {nil, "say which stack: make simulate STACK=gke"},
		"no trace":        {[]string{"-stack", "prod"}, "say which trace: make simulate STACK=prod"},
		"another stack":   {[]string{"-stack", "dev", "-trace", "trace.csv"}, `stack "dev" has no file`},
		"another trace":   {[]string{"-stack", "prod", "-trace", "none.csv"}, "none.csv"},
		"an argument":     {[]string{"-stack", "prod", "-trace", "trace.csv", "x"}, `unexpected argument "x"`},
		"a bad objective": {[]string{"-objective", "ttft=0s"}, "is not above 0"},
		"an unknown part": {[]string{"-objective", "p99=2s"}, `"p99" is not ttft, itl or ratio`},
		"a bad ratio":     {[]string{"-objective", "ratio=99"}, "is not a share"},
		"a bad routing":   {[]string{"-routing", "best"}, "is not random, round-robin or least"},
		"a delay below 0": {[]string{"-stack", "prod", "-trace", "trace.csv", "-image-delay", "-1s"}, "-image-delay: -1s is below 0"},
		"no candidates":   {[]string{"-stack", "prod", "-trace", "trace.csv", "-candidates", "0"}, "-candidates 0: want a number from 1 on"},
		"an objective that one idle replica misses": {
			[]string{"-stack", "prod", "-trace", "trace.csv", "-objective", "ttft=1ms"}, "The closest is about -objective ttft=2",
		},
		"an objective that nothing keeps": {
			[]string{"-stack", "prod", "-trace", "trace.csv", "-speed", "1000", "-candidates", "20"},
			"none of the 36 configurations that were tried keeps the objective",
		},
		"no assignment":       {[]string{"-stack", "prod", "-trace", "trace.csv", "-set", "model"}, "-set \"model\" is not KEY=VALUE"},
		"a refused value":     {[]string{"-stack", "prod", "-trace", "trace.csv", "-set", "autoscaling.maxReplicas=0"}, "autoscaling.maxReplicas"},
		"no folder":           {[]string{"-stack", "prod", "-trace", "trace.csv", "-html", "none/report.html"}, "-html none/report.html: none is not a folder"},
		"a size that differs": {[]string{"-stack", "prod", "-trace", "trace.csv", "-set", "model.id=somebody/model"}, "model.size.weightsGiB"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			assert.ErrorContains(t, run(context.Background(), test.args, &out, io.Discard), test.want)
			if !strings.HasPrefix(test.want, "is not") {
				assert.NotContains(t, out.String(), "GPU-hours", "no report")
			}
		})
	}
}

// The recommended configuration is printed as the commands that make it so, and gives what was promised.
func TestRecommended(t *testing.T) {
	inProject(t)
	args := []string{"-stack", "prod", "-trace", "trace.csv", "-objective", "ttft=1s,ratio=0.9", "-set", "autoscaling.minReplicas=3", "-candidates", "40", "-json"}
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), args, &out, io.Discard))
	var got document
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	assert.Equal(t, "recommended", got.Candidates[1].Name)
	recommended := got.Candidates[1]
	assert.GreaterOrEqual(t, recommended.Attainment, 0.9)
	assert.Less(t, recommended.GPUHours, got.Candidates[0].GPUHours)
	require.NotEmpty(t, recommended.Set)
	assert.Len(t, recommended.Robustness, 5, "the held-out half, three seeds, and the load shifted")
	assert.GreaterOrEqual(t, got.Search.Candidates, 40)
	oracle := got.Candidates[len(got.Candidates)-1]
	assert.Equal(t, "oracle", oracle.Name)
	assert.LessOrEqual(t, oracle.GPUHours, recommended.GPUHours)

	again := []string{"-stack", "prod", "-trace", "trace.csv", "-objective", "ttft=1s,ratio=0.9", "-search=false", "-json"}
	for _, assignment := range recommended.Set {
		again = append(again, "-set", assignment)
	}
	out.Reset()
	require.NoError(t, run(context.Background(), again, &out, io.Discard))
	var tried document
	require.NoError(t, json.Unmarshal(out.Bytes(), &tried))
	assert.InDelta(t, recommended.GPUHours, tried.Candidates[0].GPUHours, 1e-9)
	assert.InDelta(t, recommended.Attainment, tried.Candidates[0].Attainment, 1e-9)
}

// stopping ends a context when something is written about the search.
type stopping struct{ cancel func() }

func (s stopping) Write(text []byte) (int, error) {
	if strings.HasPrefix(string(text), "searching") {
		s.cancel()
	}
	return len(text), nil
}

func TestInterrupted(t *testing.T) {
	inProject(t)
	o, err := parse([]string{"-stack", "prod", "-trace", "trace.csv"}, io.Discard)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	p := newProgress(stopping{cancel})
	p.interval = 0
	var out bytes.Buffer
	assert.ErrorIs(t, show(ctx, o, &out, p), errInterrupted)
	assert.Contains(t, out.String(), "Interrupted: this is what is known so far.")
	assert.Contains(t, out.String(), "static-best")
	assert.NotContains(t, out.String(), "oracle")

	out.Reset()
	assert.ErrorIs(t, show(ctx, o, &out, p), errInterrupted)
	assert.Empty(t, out.String(), "nothing was known")
}
