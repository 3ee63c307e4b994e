package profile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	"vllm-autoscaling/stacks/config/speed"
)

// Schema names the form of the file.
const Schema = "vllm-autoscaling/profile/v1"

// File is the measured profile of a replica.
type File struct {
	Schema     string    `json:"schema"`
	MeasuredAt time.Time `json:"measuredAt"`
	Stack      string    `json:"stack"`
	Subject
	Server Server `json:"vllm"`
	// RoundTripSeconds is the network's part of a time to the first token; the points are without it.
	RoundTripSeconds float64 `json:"roundTripSeconds"`
	Fit
}

// Subject is what a profile is valid for.
type Subject struct {
	Model string `json:"model"`
	// Accelerator is empty on a cluster whose nodes the stack does not create.
	Accelerator    string `json:"accelerator,omitempty"`
	GPUsPerReplica int    `json:"gpusPerReplica"`
	// Quantization, KVCacheDType and Parallel are empty for weights as they are in the checkpoint, for a KV cache in the type of the
	// activations, and for a model whose layers all GPUs share.
	Quantization string `json:"quantization,omitempty"`
	KVCacheDType string `json:"kvCacheDType,omitempty"`
	Parallel     string `json:"parallel,omitempty"`
}

// Server is how vLLM was configured when it was measured.
type Server struct {
	Image               string   `json:"image"`
	DType               string   `json:"dtype"`
	MaxModelLen         int      `json:"maxModelLen"`
	MaxNumSeqs          int      `json:"maxNumSeqs"`
	MaxNumBatchedTokens int      `json:"maxNumBatchedTokens"`
	ExtraArgs           []string `json:"extraArgs,omitempty"`
}

// Constants are the result of a fit.
type Constants struct {
	FixedSeconds        float64 `json:"fixedSeconds"`
	WeightsSeconds      float64 `json:"weightsSeconds"`
	SecondsPerCacheByte float64 `json:"secondsPerCacheByte"`
	SecondsPerToken     float64 `json:"secondsPerToken"`
	// RequestSeconds is the time to the first token that no forward pass takes. The simulation leaves it out.
	RequestSeconds float64 `json:"requestSeconds"`
}

// Profile returns the constants of the forward passes.
func (c Constants) Profile() speed.Profile {
	return speed.Profile{Fixed: c.FixedSeconds, Weights: c.WeightsSeconds, PerCacheByte: c.SecondsPerCacheByte, PerToken: c.SecondsPerToken}
}

// check returns an error for constants that are no times.
func (c Constants) check() error {
	for name, value := range map[string]float64{
		"fixedSeconds": c.FixedSeconds, "weightsSeconds": c.WeightsSeconds, "secondsPerCacheByte": c.SecondsPerCacheByte,
		"secondsPerToken": c.SecondsPerToken, "requestSeconds": c.RequestSeconds,
	} {
		if !(value >= 0) || math.IsInf(value, 1) {
			return fmt.Errorf("%s is %g, not a time from 0 on", name, value)
		}
	}
	if c.FixedSeconds+c.WeightsSeconds == 0 || c.SecondsPerToken == 0 {
		return fmt.Errorf("a forward pass takes no time: fixedSeconds %g, weightsSeconds %g, secondsPerToken %g",
			c.FixedSeconds, c.WeightsSeconds, c.SecondsPerToken)
	}
	return nil
}

// Read reads a file that Write wrote.
func Read(path string) (File, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("read the profile: %w", err)
	}
	var f File
	decoder := json.NewDecoder(bytes.NewReader(content))
	if err := decoder.Decode(&f); err != nil {
		return File{}, fmt.Errorf("profile %s is not a JSON document of `make profile`: %w", path, err)
	}
	if f.Schema != Schema {
		return File{}, fmt.Errorf("profile %s has the schema %q, want %q: write it again with `make profile`", path, f.Schema, Schema)
	}
	if err := f.Constants.check(); err != nil {
		return File{}, fmt.Errorf("profile %s: %w: write it again with `make profile`", path, err)
	}
	return f, nil
}

// Write writes the file.
func (f File) Write(path string) error {
	f.Schema = Schema
	content, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	return nil
}
