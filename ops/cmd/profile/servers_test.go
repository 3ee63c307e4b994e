package main

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/verify"
)

func TestTheServerToMeasure(t *testing.T) {
	inProject(t)
	t.Setenv(verify.APIKeyVariable, "secret")
	require.NoError(t, os.WriteFile("Pulumi.several.yaml", []byte(stack+`  vllm-autoscaling:servers:
    chat: {model: {id: google/gemma-3-4b-it}}
    code: {autoscaling: {maxReplicas: 1}}
`), 0o600))
	address, _ := serve(t, "google/gemma-3-1b-it")
	for name, test := range map[string]struct{ server, want string }{
		"none chosen":    {"", "stack several: the stack has several servers, chat, code: choose one, such as -server chat"},
		"an unknown one": {"docs", `stack several: the stack has no server "docs": it has chat, code`},
		"of its model":   {"chat", `serves "google/gemma-3-1b-it", the stack's file has model.id google/gemma-3-4b-it`},
		"the right one":  {"code", "too few points for a fit"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			args := []string{"-stack", "several", "-server", test.server, "-o", "p.json", "-url", address, "-length", "1ns"}
			assert.ErrorContains(t, run(context.Background(), args, &out), test.want)
		})
	}
}
