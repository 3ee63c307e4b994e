package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withServers adds a stack with two servers on one pool, and one on a pool of its own, to the project of inProject.
func withServers(t *testing.T) {
	t.Helper()
	inProject(t)
	require.NoError(t, os.WriteFile("Pulumi.several.yaml", []byte(stackFile+`  vllm-autoscaling:servers:
    chat: {autoscaling: {maxReplicas: 3}}
    code: {autoscaling: {minReplicas: 2, maxReplicas: 2}}
    docs: {nodePool: {machineType: g2-standard-24, maxNodes: 2}, autoscaling: {maxReplicas: 2}}
`), 0o600))
}

func TestOneOfSeveralServers(t *testing.T) {
	withServers(t)
	args := []string{"-stack", "several", "-trace", "trace.csv", "-objective", "ttft=1s,ratio=0.9", "-search=false"}
	for name, test := range map[string]struct {
		server string
		// gpusPerNode are those of a node of the server's pool.
		gpusPerNode, least int
		note               string
		err                string
	}{
		"on the shared pool": {server: "code", gpusPerNode: 1, least: 2,
			note: "Only server code is simulated, alone on pool nodePools.gpu: the replicas of other servers take none of its nodes"},
		"on its own pool": {server: "docs", gpusPerNode: 2, least: 1, note: "Only server docs is simulated, on its pool servers.docs.nodePool."},
		"none chosen":     {err: "stack several: the stack has several servers, chat, code, docs: choose one, such as -server chat (with make: SERVER=chat)"},
		"an unknown one":  {server: "vllm", err: `stack several: the stack has no server "vllm": it has chat, code, docs`},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(context.Background(), append(args, "-server", test.server, "-json"), &out, io.Discard)
			if test.err != "" {
				require.EqualError(t, err, test.err)
				return
			}
			require.NoError(t, err)
			var got document
			require.NoError(t, json.Unmarshal(out.Bytes(), &got))
			assert.Equal(t, test.server, got.Server)
			require.NotEmpty(t, got.Notes)
			assert.Contains(t, got.Notes[0], test.note)

			o, err := parse(append(args, "-server", test.server), io.Discard)
			require.NoError(t, err)
			s, err := readStack(o)
			require.NoError(t, err)
			decoded, err := s.decode(nil)
			require.NoError(t, err)
			assert.Equal(t, test.gpusPerNode, decoded.Settings.Nodes.GPUs)
			assert.Equal(t, test.least, decoded.Settings.Replicas)
			assert.GreaterOrEqual(t, got.Candidates[0].Most, test.least)
		})
	}
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), append(args, "-server", "code"), &out, io.Discard))
	assert.True(t, strings.HasPrefix(out.String(), "several, server code, trace trace.csv"), out.String())
}

// The commands set the keys of the server, and give what was promised.
func TestRecommendedForOneOfSeveralServers(t *testing.T) {
	withServers(t)
	args := []string{"-stack", "several", "-server", "code", "-trace", "trace.csv", "-objective", "ttft=1s,ratio=0.9", "-json"}
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), append(args, "-candidates", "40", "-set", "servers.code.autoscaling.maxReplicas=3"), &out, io.Discard))
	var got, tried document
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	recommended := got.Candidates[1]
	require.Equal(t, "recommended", recommended.Name)
	assert.Less(t, recommended.GPUHours, got.Candidates[0].GPUHours)
	require.NotEmpty(t, recommended.Set)
	again := append(args, "-search=false")
	for _, assignment := range recommended.Set {
		assert.True(t, strings.HasPrefix(assignment, "servers.code."), assignment)
		again = append(again, "-set", assignment)
	}
	out.Reset()
	require.NoError(t, run(context.Background(), again, &out, io.Discard))
	require.NoError(t, json.Unmarshal(out.Bytes(), &tried))
	assert.InDelta(t, recommended.GPUHours, tried.Candidates[0].GPUHours, 1e-9)
}
