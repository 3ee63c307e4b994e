package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/profile"
	"vllm-autoscaling/ops/verify"
)

const stack = `config:
  pulumi:disable-default-providers: ["*"]
  vllm-autoscaling:cloud: gke
  vllm-autoscaling:gke: {project: my-project, location: us-central1-a}
  vllm-autoscaling:cluster: {apiAccessCidrs: [1.2.3.4/32]}
  vllm-autoscaling:huggingFaceToken: {secure: "v1:abc"}
  vllm-autoscaling:nodePools: {gpu: {machineType: g2-standard-4}}
`

// inProject makes a folder with a stack the working folder.
func inProject(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{"Pulumi.yaml": "name: vllm-autoscaling\nruntime: go\n", "Pulumi.prod.yaml": stack} {
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	}
}

// serve starts a server that lists a model and needs 5 ms, 2 us for a byte of the prompt and 0.3 ms for a token. It returns its address
// and a count of completions.
func serve(t *testing.T, model string) (address string, completions *atomic.Int64) {
	t.Helper()
	completions = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/models":
			fmt.Fprintf(w, `{"data":[{"id":%q,"max_model_len":2048}]}`, model)
		case "/v1/chat/completions":
			assert.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
			completions.Add(1)
			var body struct {
				MaxTokens int `json:"max_tokens"`
			}
			_ = json.NewDecoder(r.Body).Decode(&body)
			w.Header().Set("Content-Type", "text/event-stream")
			time.Sleep(5*time.Millisecond + time.Duration(r.ContentLength)*2*time.Microsecond)
			for range body.MaxTokens {
				time.Sleep(300 * time.Microsecond)
				fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n")
				w.(http.Flusher).Flush()
			}
			fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n")
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, completions
}

func TestErrors(t *testing.T) {
	inProject(t)
	t.Setenv(verify.APIKeyVariable, "secret")
	right, completions := serve(t, "google/gemma-3-1b-it")
	other, _ := serve(t, "google/gemma-3-4b-it")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no stack":      {nil, "say which stack: make profile STACK=gke PROFILE=profile.json"},
		"no file":       {[]string{"-stack", "prod"}, "make profile STACK=prod PROFILE=profile.json"},
		"no length":     {[]string{"-stack", "prod", "-o", "p.json", "-length", "0s"}, "-length 0s: give a time above 0"},
		"a bad address": {[]string{"-stack", "prod", "-o", "p.json", "-url", "here"}, `-url "here" is not an address`},
		"an argument":   {[]string{"-stack", "prod", "-o", "p.json", "x"}, `unexpected argument "x"`},
		"another stack": {[]string{"-stack", "dev", "-o", "p.json"}, `stack "dev" has no file`},
		"another model": {
			[]string{"-stack", "prod", "-o", "p.json", "-url", other},
			`serves "google/gemma-3-4b-it", the stack's file has model.id google/gemma-3-1b-it`,
		},
		"too short": {[]string{"-stack", "prod", "-o", "p.json", "-url", right, "-length", "1ns"}, "too few points for a fit"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			assert.ErrorContains(t, run(context.Background(), test.args, &out), test.want)
			assert.NoFileExists(t, "p.json")
		})
	}
	assert.Positive(t, completions.Load())
}

func TestDescribe(t *testing.T) {
	f := profile.File{RoundTripSeconds: 0.0012}
	f.Constants = profile.Constants{WeightsSeconds: 0.0125, SecondsPerCacheByte: 4e-12, SecondsPerToken: 3.5e-5, RequestSeconds: 0.006}
	f.FixedInWeights, f.Error = true, profile.Error{Mean: 0.2, Max: 0.5}
	f.Points = []profile.Point{{Quantity: profile.FirstToken, Concurrency: 1, InputTokens: 512, Seconds: 0.02, PredictedSeconds: 0.03}}
	var out bytes.Buffer
	describe(&out, f)
	for _, want := range []string{
		"reading the weights                  12.50 ms", "computing 1000 tokens                35.00 ms", "reading a GB of the KV cache          4.00 ms",
		"the network, taken off                1.20 ms", "their sum",
		"20.0 % on average, at most 50.0 % (first token, 1 x 512 tokens: measured 20.0 ms, predicted 30.0 ms)",
		"warning: more than 15 % on average",
	} {
		assert.Contains(t, out.String(), want)
	}
	f.FixedInWeights, f.Error.Mean = false, 0.1
	out.Reset()
	describe(&out, f)
	assert.NotContains(t, out.String(), "warning")
	assert.NotContains(t, out.String(), "their sum")
}

// The port-forward and the times are tested in their packages; here the way of a file from a server to the disk.
func TestFile(t *testing.T) {
	inProject(t)
	t.Setenv(verify.APIKeyVariable, "secret")
	address, _ := serve(t, "google/gemma-3-1b-it")
	path := filepath.Join(t.TempDir(), "p.json")
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), []string{"-stack", "prod", "-o", path, "-url", address + "/v1/", "-length", "1500ms"}, &out), out.String())
	f, err := profile.Read(path)
	require.NoError(t, err)
	assert.Equal(t, profile.Subject{Model: "google/gemma-3-1b-it", Accelerator: "nvidia-l4", GPUsPerReplica: 1}, f.Subject)
	assert.Equal(t, 256, f.Server.MaxNumSeqs)
	assert.Contains(t, out.String(), "make simulate STACK=prod SIM_FLAGS=\"-profile "+path+"\"")
}
