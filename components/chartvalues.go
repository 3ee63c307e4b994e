package components

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// mergeValues merges extra into a copy of base and returns it; neither is changed. Maps are merged key
// by key, anything else (lists too) is replaced. A null in extra removes the key from base, which
// restores the chart's default.
func mergeValues(base, extra map[string]any) map[string]any {
	merged := maps.Clone(base)
	if merged == nil {
		merged = map[string]any{}
	}
	for key, value := range extra {
		if value == nil {
			delete(merged, key)
			continue
		}
		extraMap, extraIsMap := value.(map[string]any)
		baseMap, baseIsMap := merged[key].(map[string]any)
		if extraIsMap && baseIsMap {
			merged[key] = mergeValues(baseMap, extraMap)
			continue
		}
		merged[key] = value
	}
	return merged
}

// resourceValues returns a container's resources in a chart's values: its requests, and its memory
// limit. CPU has no limit, because throttling a metrics component delays every decision that
// depends on it.
func resourceValues(cpu, memory, memoryLimit string) map[string]any {
	return map[string]any{
		"requests": map[string]any{"cpu": cpu, "memory": memory},
		"limits":   map[string]any{"memory": memoryLimit},
	}
}

// containerSecurityValues returns the security context of a container that needs no privilege and
// writes only to its volumes.
func containerSecurityValues() map[string]any {
	return map[string]any{
		"allowPrivilegeEscalation": false,
		"readOnlyRootFilesystem":   true,
		"capabilities":             map[string]any{"drop": []any{"ALL"}},
	}
}

// podSecurityValues returns the security context of a pod that runs as the given user and group.
func podSecurityValues(user, group int) map[string]any {
	return map[string]any{
		"runAsNonRoot":   true,
		"runAsUser":      user,
		"runAsGroup":     group,
		"fsGroup":        group,
		"seccompProfile": map[string]any{"type": "RuntimeDefault"},
	}
}

// checksum returns the checksum of a text in a chart's values, which may be an Output; of anything else, that of "".
func checksum(value any) any {
	hash := func(value any) string {
		text, _ := value.(string)
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	if output, ok := value.(pulumi.Output); ok {
		return output.ApplyT(hash)
	}
	return hash(value)
}

// anyValues returns a list of texts in a chart's values.
func anyValues(texts []string) []any {
	values := make([]any, len(texts))
	for i, text := range texts {
		values[i] = text
	}
	return values
}

// withValues appends to a list in a chart's values, which may be an Output or absent.
func withValues(list any, more ...any) any {
	add := func(list any) []any {
		values, _ := list.([]any)
		return slices.Concat(values, more)
	}
	if output, ok := list.(pulumi.Output); ok {
		return output.ApplyT(add)
	}
	return add(list)
}

// gpuNodeValues returns the values by which charts schedule a DaemonSet to nodes with GPUs. An affinity replaces a chart's own.
func gpuNodeValues(nodes providers.GPUNodes) map[string]any {
	values := map[string]any{"nodeSelector": nodeSelectorValues(nodes.NodeSelector), "tolerations": tolerationValues(nodes.Tolerations)}
	if len(nodes.AnyOf) == 0 {
		return values
	}
	terms := make([]any, len(nodes.AnyOf))
	for i, labels := range nodes.AnyOf {
		var expressions []any
		for _, key := range slices.Sorted(maps.Keys(labels)) {
			expression := map[string]any{"key": key, "operator": "Exists"}
			if value := labels[key]; value != "" {
				expression["operator"], expression["values"] = "In", []any{value}
			}
			expressions = append(expressions, expression)
		}
		terms[i] = map[string]any{"matchExpressions": expressions}
	}
	values["affinity"] = map[string]any{"nodeAffinity": map[string]any{
		"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{"nodeSelectorTerms": terms},
	}}
	return values
}

// nodeSelectorValues returns a node selector in a chart's values.
func nodeSelectorValues(selector map[string]string) map[string]any {
	values := make(map[string]any, len(selector))
	for key, value := range selector {
		values[key] = value
	}
	return values
}

// tolerationValues returns tolerations in a chart's values, without the fields that are empty.
func tolerationValues(tolerations []providers.Toleration) []any {
	values := make([]any, 0, len(tolerations))
	for _, toleration := range tolerations {
		value := map[string]any{}
		for _, field := range []struct{ name, value string }{
			{"key", toleration.Key},
			{"operator", toleration.Operator},
			{"value", toleration.Value},
			{"effect", toleration.Effect},
		} {
			if field.value != "" {
				value[field.name] = field.value
			}
		}
		values = append(values, value)
	}
	return values
}
