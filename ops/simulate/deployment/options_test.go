package deployment

import (
	"flag"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/providers/eks"
	"vllm-autoscaling/stacks/config"
)

func parse(args ...string) (Options, error) {
	o := Defaults()
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	o.Register(flags)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	return o, o.Check()
}

func TestFlags(t *testing.T) {
	o, err := parse("-node-delay", "1m", "-image-delay", "0s", "-weights-delay", "3s", "-warmup-delay", "4s", "-prefix-hits", "0.25", "-spot-reclaim", "12h")
	require.NoError(t, err)
	s, err := Of(read(t, map[string]any{"nodePools": map[string]any{"gpu": map[string]any{"machineType": "g2-standard-4", "spot": true}}}), o)
	require.NoError(t, err)
	assert.Equal(t, simulate.Start{Node: 60, Weights: 3, Warmup: 4}, s.Start)
	assert.InDelta(t, 0.25, s.Server.Limits.PrefixHits, 1e-9)
	assert.InDelta(t, 12*3600, s.Nodes.Reclaim, 1e-9)
	assert.InDelta(t, 15, s.Nodes.Notice, 1e-9, "what pods have of GKE's 30 s")
}

func TestBadFlags(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"below 0":           {[]string{"-node-delay", "-1s"}, "-node-delay: -1s is below 0"},
		"no duration":       {[]string{"-warmup-delay", "soon"}, "-warmup-delay"},
		"percent":           {[]string{"-prefix-hits", "30"}, "-prefix-hits 30 is not a share"},
		"not a number":      {[]string{"-prefix-hits", "NaN"}, "-prefix-hits NaN is not a share"},
		"reclaims below 0":  {[]string{"-spot-reclaim", "-1h"}, "-spot-reclaim -1h0m0s is below 0"},
		"the sum of phases": {[]string{"-pod-delay", "1m"}, "-pod-delay"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(test.args...)
			assert.ErrorContains(t, err, test.want)
		})
	}
}

func TestReclaimsNeedSpotNodes(t *testing.T) {
	_, err := Of(read(t, nil), Options{SpotReclaim: time.Hour})
	require.ErrorContains(t, err, "nodePools.gpu.spot")
	assert.ErrorContains(t, err, "-spot-reclaim")
}

func TestEstimatesOfStarts(t *testing.T) {
	c := read(t, nil)
	phases := func() simulate.Start {
		s, err := Of(c, Defaults())
		require.NoError(t, err)
		return s.Start
	}
	gke := phases()
	assert.InDelta(t, 180, gke.Node, 1e-9)
	assert.InDelta(t, 90, gke.Image, 1e-9)
	assert.InDelta(t, 2/0.26+2/0.4, gke.Weights, 2, "2 GB of Gemma 3 1B")
	assert.InDelta(t, 60, gke.Warmup, 1e-9)
	c.Cloud = config.CloudAKS
	assert.InDelta(t, 300, phases().Node, 1e-9)
	c.NodePools.GPU.Create = false
	assert.Zero(t, phases().Node, "the cluster's nodes are there")

	// 27.4 GiB took 113 s and 74 s, and files in the image are not downloaded.
	c.Model.Size.WeightsGiB, c.Model.Size.KVBytesPerToken = 27.4, 1
	c.Model.ID = "microsoft/phi-4"
	assert.InEpsilon(t, 187, phases().Weights, 0.02)
	c.Model.ID = "/models/phi-4"
	assert.InEpsilon(t, 74, phases().Weights, 0.02)
}

func TestIdleNodes(t *testing.T) {
	c := read(t, nil)
	nodes, err := nodesOf(c, Defaults())
	require.NoError(t, err)
	assert.InDelta(t, 610, nodes.Idle, 1e-9)
	assert.InDelta(t, 600, nodes.AfterAdd, 1e-9)
	assert.Zero(t, nodes.Reclaim)
	c.Cloud = config.CloudEKS
	c.CloudKeys[config.CloudEKS].(*eks.Keys).IdleTime = 2 * time.Minute
	nodes, err = nodesOf(c, Defaults())
	require.NoError(t, err)
	assert.InDelta(t, 130, nodes.Idle, 1e-9)
}
