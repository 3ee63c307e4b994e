package profile

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

// Roughly Gemma 3 1B on an L4.
var (
	truth  = Constants{FixedSeconds: 0.004, WeightsSeconds: 0.0085, SecondsPerCacheByte: 4.2e-12, SecondsPerToken: 35e-6, RequestSeconds: 0.006}
	limits = replica.Limits{MaxNumSeqs: 32, BatchedTokens: 2048, CacheBytes: 16e9}
	cache  = speed.Cache{FullBytes: 4096, SlidingBytes: 22528, Window: 512}
)

// measured returns the points of a replica with the constants, each off by up to a share.
func measured(c Constants, prompts []int, off float64) []Point {
	chance := rand.New(rand.NewPCG(1, 2))
	var points []Point
	add := func(p Point) {
		p.Seconds = p.predict(c, limits, cache) * (1 + off*(2*chance.Float64()-1))
		points = append(points, p)
	}
	for _, n := range prompts {
		add(Point{Quantity: FirstToken, Concurrency: 1, InputTokens: n, OutputTokens: 1})
	}
	for _, n := range []int{1, 2, 4, 8, 16, 32} {
		add(Point{Quantity: InterToken, Concurrency: n, InputTokens: 64, OutputTokens: 64})
	}
	for _, n := range []int{1, 8, 32} {
		add(Point{Quantity: InterToken, Concurrency: n, InputTokens: 2048, OutputTokens: 64})
	}
	return points
}

func TestFit(t *testing.T) {
	prompts := []int{16, 64, 128, 512, 1024, 2048, 4096, 8000}
	for name, test := range map[string]struct {
		truth   Constants
		prompts []int
		off     float64 // Of the measured times.
		within  float64 // Of the constants.
	}{
		"exact times":      {truth: truth, prompts: prompts, within: 0.001},
		"times off by 2 %": {truth: truth, prompts: prompts, off: 0.02, within: 0.2},
		"a larger model": {
			truth: Constants{
				FixedSeconds: 0.003, WeightsSeconds: 0.02, SecondsPerCacheByte: 4e-13, SecondsPerToken: 110e-6, RequestSeconds: 0.01,
			}, prompts: prompts, within: 0.02,
		},
		"no time besides": {truth: Constants{WeightsSeconds: 0.01, SecondsPerCacheByte: 4e-12, SecondsPerToken: 40e-6}, prompts: prompts, within: 0.001},
		"no time to a byte": {
			truth:   Constants{FixedSeconds: 0.002, WeightsSeconds: 0.01, SecondsPerToken: 40e-6, RequestSeconds: 0.004},
			prompts: prompts, within: 0.001,
		},
	} {
		t.Run(name, func(t *testing.T) {
			fit, err := Of(measured(test.truth, test.prompts, test.off), limits, cache)
			require.NoError(t, err)
			t.Logf("%+v, error %+v", fit.Constants, fit.Error)
			assert.False(t, fit.FixedInWeights)
			got, want := fit.Constants, test.truth
			assert.InDelta(t, want.SecondsPerToken, got.SecondsPerToken, test.within*want.SecondsPerToken)
			assert.InDelta(t, want.WeightsSeconds, got.WeightsSeconds, test.within*want.WeightsSeconds)
			step := want.FixedSeconds + want.WeightsSeconds
			assert.InDelta(t, step, got.FixedSeconds+got.WeightsSeconds, test.within*step)
			assert.InDelta(t, want.SecondsPerCacheByte, got.SecondsPerCacheByte, max(test.within*want.SecondsPerCacheByte, 1e-15))
			assert.InDelta(t, want.RequestSeconds, got.RequestSeconds, max(test.within, 5*test.off)*step)
			assert.LessOrEqual(t, fit.Error.Mean, test.off+1e-3)
			assert.LessOrEqual(t, fit.Error.Mean, fit.Error.Max)
			assert.InDelta(t, fit.Error.Max, max(fit.Worst().difference(), -fit.Worst().difference()), 1e-9)
		})
	}
}

// Long prompts are computed in passes that are limited by computing: how long the weights are read does not show in them.
func TestWeightsThatDoNotShow(t *testing.T) {
	fit, err := Of(measured(truth, []int{1024, 1536, 2048}, 0.02), limits, cache)
	require.NoError(t, err)
	assert.True(t, fit.FixedInWeights)
	assert.Zero(t, fit.Constants.FixedSeconds)
	assert.InEpsilon(t, truth.FixedSeconds+truth.WeightsSeconds, fit.Constants.WeightsSeconds, 0.05)
	assert.InEpsilon(t, truth.SecondsPerToken, fit.Constants.SecondsPerToken, 0.1)
}

// A server whose times depend on nothing the model has gives a large error.
func TestAPoorFitHasALargeError(t *testing.T) {
	points := measured(truth, []int{16, 256, 1024, 2048}, 0)
	for i := range points {
		points[i].Seconds *= 1 + 2*float64(i%2)
	}
	fit, err := Of(points, limits, cache)
	require.NoError(t, err)
	assert.Greater(t, fit.Error.Mean, Bound)
}

func TestTooFewPoints(t *testing.T) {
	points := measured(truth, []int{16, 256}, 0)
	_, err := Of(points, limits, cache)
	assert.ErrorContains(t, err, "2 lengths of prompts and 9 batches, want at least 3 and 3")
	_, err = Of(measured(truth, []int{16, 256, 1024}, 0)[:5], limits, cache)
	assert.ErrorContains(t, err, "3 lengths of prompts and 2 batches")
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "profile.json")
	fit, err := Of(measured(truth, []int{16, 256, 1024}, 0), limits, cache)
	require.NoError(t, err)
	written := File{
		MeasuredAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Stack: "gke", Fit: fit,
		Subject: Subject{Model: "google/gemma-3-1b-it", Accelerator: "nvidia-l4", GPUsPerReplica: 1},
	}
	require.NoError(t, written.Write(path))
	read, err := Read(path)
	require.NoError(t, err)
	written.Schema = Schema
	assert.Equal(t, written, read)

	content, err := os.ReadFile(path)
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(content, &fields))
	for _, key := range []string{"schema", "measuredAt", "model", "accelerator", "gpusPerReplica", "vllm", "constants", "points", "error", "fixedInWeights"} {
		assert.Contains(t, fields, key)
	}
}

func TestBrokenFiles(t *testing.T) {
	good := `{"schema":"` + Schema + `","constants":{"fixedSeconds":0.003,"weightsSeconds":0.01,"secondsPerToken":1e-5}}`
	for name, test := range map[string]struct{ content, want string }{
		"no JSON":        {"fixed: 1", "is not a JSON document"},
		"another schema": {strings.Replace(good, "v1", "v9", 1), `has the schema "vllm-autoscaling/profile/v9", want "` + Schema},
		"no constants":   {`{"schema":"` + Schema + `"}`, "a forward pass takes no time"},
		"below 0":        {strings.Replace(good, "0.01", "-0.01", 1), "weightsSeconds is -0.01"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "profile.json")
			require.NoError(t, os.WriteFile(path, []byte(test.content), 0o600))
			_, err := Read(path)
			assert.ErrorContains(t, err, test.want)
		})
	}
	_, err := Read(filepath.Join(t.TempDir(), "none.json"))
	assert.ErrorContains(t, err, "none.json")
}
