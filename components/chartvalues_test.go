package components

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/providers"
)

func TestMergeValues(t *testing.T) {
	for name, test := range map[string]struct{ base, extra, want map[string]any }{
		"nothing over nothing": {nil, nil, map[string]any{}},
		"nothing over base":    {map[string]any{"a": 1}, nil, map[string]any{"a": 1}},
		"a new key":            {map[string]any{"a": 1}, map[string]any{"b": 2}, map[string]any{"a": 1, "b": 2}},
		"the extra value wins": {map[string]any{"a": 1}, map[string]any{"a": 2}, map[string]any{"a": 2}},
		"maps key by key": {
			map[string]any{"a": map[string]any{"x": 1, "y": map[string]any{"z": 1}}},
			map[string]any{"a": map[string]any{"y": map[string]any{"w": 2}}},
			map[string]any{"a": map[string]any{"x": 1, "y": map[string]any{"z": 1, "w": 2}}},
		},
		"lists are replaced":      {map[string]any{"a": []any{1, 2}}, map[string]any{"a": []any{3}}, map[string]any{"a": []any{3}}},
		"a scalar replaces a map": {map[string]any{"a": map[string]any{"x": 1}}, map[string]any{"a": 1}, map[string]any{"a": 1}},
		"a map replaces a scalar": {map[string]any{"a": 1}, map[string]any{"a": map[string]any{"x": 1}}, map[string]any{"a": map[string]any{"x": 1}}},
		"null gives a default back": {map[string]any{"a": map[string]any{"x": 1, "y": 2}}, map[string]any{"a": map[string]any{"x": nil}},
			map[string]any{"a": map[string]any{"y": 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, mergeValues(test.base, test.extra))
		})
	}
}

func TestMergeValuesChangesNeither(t *testing.T) {
	base := map[string]any{"a": map[string]any{"x": 1}}
	extra := map[string]any{"a": map[string]any{"y": 2}}
	mergeValues(base, extra)
	assert.Equal(t, map[string]any{"a": map[string]any{"x": 1}}, base)
	assert.Equal(t, map[string]any{"a": map[string]any{"y": 2}}, extra)
}

func TestTolerationValuesLeavesEmptyFieldsOut(t *testing.T) {
	assert.Equal(t, []any{
		map[string]any{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
		map[string]any{"key": "sku", "operator": "Equal", "value": "gpu"},
	}, tolerationValues([]providers.Toleration{
		{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"},
		{Key: "sku", Operator: "Equal", Value: "gpu"},
	}))
	assert.Empty(t, tolerationValues(nil))
}

func TestGPUNodeValues(t *testing.T) {
	nodes := providers.GPUNodes{
		NodeSelector: map[string]string{"gpu": "true"}, Tolerations: []providers.Toleration{{Key: "gpu", Operator: "Exists"}},
	}
	selected := map[string]any{"nodeSelector": map[string]any{"gpu": "true"}, "tolerations": []any{map[string]any{"key": "gpu", "operator": "Exists"}}}
	assert.Equal(t, selected, gpuNodeValues(nodes), "the affinity of the chart stays")
	nodes.AnyOf = []map[string]string{{"zone": "a", "kind": "l4"}, {"pool": ""}}
	selected["affinity"] = map[string]any{"nodeAffinity": map[string]any{"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{
		"nodeSelectorTerms": []any{
			map[string]any{"matchExpressions": []any{
				map[string]any{"key": "kind", "operator": "In", "values": []any{"l4"}}, map[string]any{"key": "zone", "operator": "In", "values": []any{"a"}},
			}},
			map[string]any{"matchExpressions": []any{map[string]any{"key": "pool", "operator": "Exists"}}},
		},
	}}}
	assert.Equal(t, selected, gpuNodeValues(nodes))
}
