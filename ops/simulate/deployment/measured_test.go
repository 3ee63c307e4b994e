package deployment

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/profile"
	"vllm-autoscaling/stacks/config/speed"
)

// write writes a profile that was measured on a replica.
func write(t *testing.T, subject profile.Subject) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "profile.json")
	f := profile.File{Subject: subject}
	f.Constants = profile.Constants{FixedSeconds: 0.002, WeightsSeconds: 0.01, SecondsPerCacheByte: 4e-12, SecondsPerToken: 3e-5, RequestSeconds: 0.01}
	require.NoError(t, f.Write(path))
	return path
}

func TestMeasuredProfile(t *testing.T) {
	c := read(t, nil)
	computed, err := Of(c, Defaults())
	require.NoError(t, err)
	options := Defaults()
	options.Profile = write(t, profile.Subject{Model: "google/gemma-3-1b-it", Accelerator: "nvidia-l4", GPUsPerReplica: 1})
	s, err := Of(c, options)
	require.NoError(t, err)
	assert.Equal(t, speed.Profile{Fixed: 0.002, Weights: 0.01, PerCacheByte: 4e-12, PerToken: 3e-5}, s.Server.Profile)
	assert.Equal(t, computed.Server.Limits, s.Server.Limits)
	assert.Equal(t, computed.Server.Cache, s.Server.Cache)
}

// A measured profile replaces what is not known of a GPU.
func TestMeasuredProfileOfAnUnknownAccelerator(t *testing.T) {
	c := read(t, nil)
	c.NodePools.GPU.Accelerator = "nvidia-unknown"
	if _, _, err := Limits(c); err != nil {
		t.Fatalf("the size is known: %v", err)
	}
	options := Defaults()
	options.Profile = write(t, Subject(c))
	_, err := Of(c, options)
	assert.NoError(t, err)
}

func TestProfilesOfAnotherReplica(t *testing.T) {
	right := profile.Subject{Model: "google/gemma-3-1b-it", Accelerator: "nvidia-l4", GPUsPerReplica: 1}
	for want, change := range map[string]func(*profile.Subject){
		`another model: "google/gemma-3-4b-it", the stack has "google/gemma-3-1b-it"`: func(s *profile.Subject) { s.Model = "google/gemma-3-4b-it" },
		`another accelerator: "nvidia-t4", the stack has "nvidia-l4"`:                 func(s *profile.Subject) { s.Accelerator = "nvidia-t4" },
		`another number of GPUs per replica: "2", the stack has "1"`:                  func(s *profile.Subject) { s.GPUsPerReplica = 2 },
		`another quantisation: "fp8", the stack has ""`:                               func(s *profile.Subject) { s.Quantization = "fp8" },
		`another type of the KV cache: "fp8", the stack has ""`:                       func(s *profile.Subject) { s.KVCacheDType = "fp8" },
		`another parallelism: "tensor 1, pipeline 1, data 2", the stack has ""`:       func(s *profile.Subject) { s.Parallel = "tensor 1, pipeline 1, data 2" },
	} {
		subject := right
		change(&subject)
		options := Defaults()
		options.Profile = write(t, subject)
		_, err := Of(read(t, nil), options)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "-profile "+options.Profile)
	}
	options := Defaults()
	options.Profile = filepath.Join(t.TempDir(), "broken.json")
	require.NoError(t, os.WriteFile(options.Profile, []byte("{"), 0o600))
	_, err := Of(read(t, nil), options)
	assert.ErrorContains(t, err, "-profile: profile "+options.Profile+" is not a JSON document")
}
