package configdocs

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Values of the right type that are valid, invalid or at a bound.
var (
	oddStrings = []string{
		"", "x", "a-b", "A", "a.b", "a_b", "-a", "a/b", "/models/a", " ", "ä", strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 253),
		"default", "kube-system", "monitoring", "vllm", "0", "1.34", "10.0.0.0/16", "10.0.0.0/33", "0.0.0.0/0", "true", "latest", "none",
		"registry:5000/image:v1", "image@sha256:" + strings.Repeat("a", 64), "https://example.com", "oci://example.com/charts", "1y2w3d4h5m6s", "7d", "0s",
		"us-central1-a", "us-central1", "us-east-1a", "eastus", "nvidia-l4", "nvidia-a100-80gb", "nvidia-h100-80gb", "a3-highgpu-8g", "g6.48xlarge",
		"google/gemma-3-27b-it", "google/gemma-3-12b-it", "Qwen/Qwen3-8B",
	}
	oddInts      = []int{-1, 0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 16, 20, 60, 64, 100, 128, 255, 256, 1000, 1001, 1024, 8192, 32768, 65535, 65536, 1 << 30}
	oddFloats    = []float64{-1, 0, 0.0004, 0.001, 0.0015, 0.3, 0.5, 0.75, 0.9, 1, 1.5, 2, 3.14159, 14, 14.5454, 16, 80, 90.9, 90.91, 100, 1e6, 1e12}
	oddDurations = []string{"0", "0s", "1s", "-1s", "1ms", "1500ms", "2s", "14s", "15s", "59s", "60s", "1m1s", "2m", "2m30s", "5m", "9m", "10m",
		"10m1s", "30m", "1h", "6h", "7h", "1d", "1"}
	oddQuantities = []string{"0", "1", "-1", "1m", "500m", "0.1", "1e3", "1n", "100Mi", "1Gi", "2Gi", "10Gi", "1000Gi", "1Ei", "1.5Gi", "1GB", "x",
		"1k", "128974848000m"}
)

// Mutation returns a random value, mostly of a key's type: one of its Candidates or an unusual one.
func Mutation(random *rand.Rand, key *Key, cloud string) any {
	if candidates := Candidates(key, cloud); len(candidates) > 0 && random.IntN(3) > 0 {
		return candidates[random.IntN(len(candidates))]
	}
	switch key.Kind {
	case Integer:
		return pick(random, oddInts)
	case Number:
		return pick(random, oddFloats)
	case Duration:
		return pick(random, oddDurations)
	case Quantity:
		return pick(random, oddQuantities)
	case Boolean:
		return random.IntN(2) == 0
	case List:
		list := []any{}
		for range random.IntN(4) {
			list = append(list, pick(random, oddStrings))
		}
		return list
	case Map:
		return map[string]any{pick(random, oddStrings): pick(random, oddStrings)}
	case Any:
		return map[string]any{"a": map[string]any{pick(random, oddStrings): pick(random, oddInts)}}
	case Objects:
		item := map[string]any{}
		for _, part := range key.Keys {
			item[part.Part] = Mutation(random, part, cloud)
		}
		return []any{item}
	case Secret:
		return Encrypted(pick(random, oddStrings))
	default:
		return pick(random, oddStrings)
	}
}

// WrongType returns a random value, which mostly has another type than a key's.
func WrongType(random *rand.Rand) any {
	return pick(random, []any{"x", "", 1, -1, 0, 1.5, true, false, []any{}, []any{"a"}, []any{1}, map[string]any{}, map[string]any{"a": "b"},
		map[string]any{"a": 1}, "1", "true", "1.5", "[]", "{}"})
}

func pick[T any](random *rand.Rand, values []T) T { return values[random.IntN(len(values))] }

// Valid returns a random valid configuration of a stack that creates its cluster on a cloud: the minimal one, with other values
// for one or several keys.
func Valid(random *rand.Rand, keys []*Key, cloud string) (Given, error) {
	var scoped []*Key
	for _, key := range Leaves(keys) {
		if key.Scoped(cloud, false) && key.Name != "cloud" && key.Name != "cluster.existing" && key.Name != "cluster.kubeconfig" && key.Name != "cluster.context" {
			scoped = append(scoped, key)
		}
	}
	valid := Least(cloud).With(nil)
	if _, err := valid.Read(cloud); err != nil {
		return nil, fmt.Errorf("the least configuration of %s: %w", cloud, err)
	}
	for range 4 + random.IntN(60) {
		more := Given{}
		for range 1 + random.IntN(3) {
			key := pick(random, scoped)
			more[key.Name] = Mutation(random, key, cloud)
		}
		tried := valid.With(more)
		if _, err := tried.Read(cloud); err == nil {
			valid = tried
		}
	}
	return valid, nil
}
