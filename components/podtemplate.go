package components

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	kcorev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// PodTemplate is a part of a pod template that is merged over the program's own. Package config refuses what contradicts the
// program's own.
type PodTemplate struct {
	// Fields are those of a PodTemplateSpec, as decoded from JSON with whole numbers as int64; empty for none.
	Fields map[string]any
	// Secret reports whether its values are secrets.
	Secret bool
}

// OwnedNames are the names in the server's pod that belong to the program.
type OwnedNames struct {
	// Labels of the pod; the Service, the HPA's metrics and the monitors select by them.
	Labels []string
	// Variables, Volumes and MountPaths of the server's container.
	Variables, Volumes, MountPaths []string
	// InitContainers of the pod.
	InitContainers []string
}

// PodNames returns the names in the server's pod that belong to the program.
func PodNames() OwnedNames {
	names := OwnedNames{
		Labels:     slices.Sorted(maps.Keys(withLabels(vllmSelector(VLLMName)))),
		Variables:  slices.Clone(ownedVariables),
		Volumes:    []string{requestGuardVolume, weightsVolume, compileCacheVolume, compileCacheScriptVolume},
		MountPaths: []string{requestGuardDir, weightsDir},

		InitContainers: []string{restoreCacheContainer, saveCacheContainer},
	}
	for _, scratch := range (&VLLMArgs{Engine: EngineVLLM}).scratchVolumes() {
		names.Volumes = append(names.Volumes, scratch.name)
		names.MountPaths = append(names.MountPaths, scratch.path)
	}
	return names
}

// serverVariables returns the environment variables that the template sets in the server's container.
func (t PodTemplate) serverVariables() []string {
	var names []string
	spec, _ := t.Fields["spec"].(map[string]any)
	containers, _ := spec["containers"].([]any)
	for _, container := range containers {
		fields, _ := container.(map[string]any)
		variables, _ := fields["env"].([]any)
		if fields["name"] != VLLMName {
			continue
		}
		for _, variable := range variables {
			entry, _ := variable.(map[string]any)
			name, _ := entry["name"].(string)
			names = append(names, name)
		}
	}
	return names
}

// mergePodTemplate returns a pod template with the fields of another merged over it, like kubectl merges a patch: lists of
// named items item by item, any other list as a whole. Tolerations are added, because those of the program bring the pod to
// its GPUs.
func mergePodTemplate(own, extra map[string]any) (map[string]any, error) {
	base, patch := runtime.DeepCopyJSON(own), runtime.DeepCopyJSON(extra)
	ownSpec, _ := base["spec"].(map[string]any)
	if spec, ok := patch["spec"].(map[string]any); ok {
		ours, _ := ownSpec["tolerations"].([]any)
		if theirs, ok := spec["tolerations"].([]any); ok {
			spec["tolerations"] = slices.Concat(ours, theirs)
		}
	}
	merged, err := strategicpatch.StrategicMergeMapPatch(base, patch, kcorev1.PodTemplateSpec{})
	if err != nil {
		return nil, fmt.Errorf("merging vllm.podTemplate: %w", err)
	}
	ownFirst(map[string]any(merged), own)
	return merged, nil
}

// ownFirst sorts the lists of a merged template so that the program's own items keep their places before the added ones, which
// the merge puts first: a preview compares lists by index, and kubectl logs shows the first container.
func ownFirst(merged, own any) {
	switch merged := merged.(type) {
	case map[string]any:
		fields, _ := own.(map[string]any)
		for name := range fields {
			ownFirst(merged[name], fields[name])
		}
	case []any:
		items, _ := own.([]any)
		place := func(item any) int {
			if i := counterpart(item, items); i >= 0 {
				return i
			}
			return len(items)
		}
		slices.SortStableFunc(merged, func(a, b any) int { return cmp.Compare(place(a), place(b)) })
		for _, item := range merged {
			if i := counterpart(item, items); i >= 0 {
				ownFirst(item, items[i])
			}
		}
	}
}

// mergedPod returns the option that registers a Deployment with the template merged over its own. Pulumi's typed inputs cannot hold a
// merged template, so that the inputs are replaced by untyped ones of the same properties.
func (t PodTemplate) mergedPod(deployment *appsv1.DeploymentArgs) (pulumi.ResourceOption, error) {
	template := outputs{}.plain(deployment.Spec.(appsv1.DeploymentSpecArgs).Template).(map[string]any)
	if _, err := mergePodTemplate(template, t.Fields); err != nil {
		return nil, err
	}
	return pulumi.Transformations([]pulumi.ResourceTransformation{func(args *pulumi.ResourceTransformationArgs) *pulumi.ResourceTransformationResult {
		found := outputs{}
		properties := found.plain(args.Props).(map[string]any)
		spec := properties["spec"].(map[string]any)
		own := spec["template"].(map[string]any)
		// It has no error: the same template was merged above.
		merged, _ := mergePodTemplate(own, t.Fields)
		inputs := pulumi.Map{}
		for name, value := range properties {
			inputs[name] = found.input(value, value, false)
		}
		specInputs := inputs["spec"].(pulumi.Map)
		specInputs["template"] = found.input(merged, own, t.Secret)
		return &pulumi.ResourceTransformationResult{Props: inputs, Opts: args.Opts}
	}}), nil
}

// outputs holds the Outputs among a resource's inputs, by the text that stands for each of them in the plain form.
type outputs map[string]pulumi.Output

// plain returns inputs in the form of decoded JSON, with a text in place of each Output.
func (o outputs) plain(input any) any {
	if output, ok := input.(pulumi.Output); ok {
		// Kubernetes has no text with this character, so that it stands for nothing of the owner's.
		name := "\x00output " + strconv.Itoa(len(o))
		o[name] = output
		return name
	}
	value := reflect.ValueOf(input)
	switch value.Kind() {
	case reflect.Pointer:
		return o.plain(value.Elem().Interface())
	case reflect.Struct:
		fields := map[string]any{}
		for i := range value.NumField() {
			if !value.Field(i).IsZero() {
				fields[propertyOf(value.Type(), i)] = o.plain(value.Field(i).Interface())
			}
		}
		return fields
	case reflect.Map:
		entries := map[string]any{}
		for _, key := range value.MapKeys() {
			entries[key.String()] = o.plain(value.MapIndex(key).Interface())
		}
		return entries
	case reflect.Slice:
		items := make([]any, value.Len())
		for i := range items {
			items[i] = o.plain(value.Index(i).Interface())
		}
		return items
	case reflect.String:
		return value.String()
	case reflect.Bool:
		return value.Bool()
	case reflect.Int:
		return value.Int()
	default:
		panic(fmt.Sprintf("no plain form of an input of type %T", input))
	}
}

// propertyOf returns the name of the property of a struct's field. The inputs of a resource itself have no tags; their fields are
// called like their properties, with an upper-case letter first.
func propertyOf(inputs reflect.Type, i int) string {
	field := inputs.Field(i)
	if name := field.Tag.Get("pulumi"); name != "" {
		return name
	}
	return strings.ToLower(field.Name[:1]) + field.Name[1:]
}

// input returns a plain value as an input. With secret, every value is a secret that the program's own template does not have
// at the same place.
func (o outputs) input(value, own any, secret bool) pulumi.Input {
	switch value := value.(type) {
	case map[string]any:
		ours, _ := own.(map[string]any)
		inputs := pulumi.Map{}
		for name, field := range value {
			inputs[name] = o.input(field, ours[name], secret)
		}
		return inputs
	case []any:
		ours, _ := own.([]any)
		inputs := pulumi.Array{}
		for _, item := range value {
			var over any
			if i := counterpart(item, ours); i >= 0 {
				over = ours[i]
			}
			inputs = append(inputs, o.input(item, over, secret))
		}
		return inputs
	case string:
		if output, ok := o[value]; ok {
			return output
		}
	}
	if secret && !reflect.DeepEqual(value, own) {
		return pulumi.ToSecret(pulumi.Any(value))
	}
	return pulumi.Any(value)
}

// mergeKeys are the fields that tell the items of a pod's lists apart.
var mergeKeys = []string{"mountPath", "name", "containerPort", "topologyKey"}

// counterpart returns the index of the item of a list that another item was merged over; -1 for none.
func counterpart(item any, of []any) int {
	fields, _ := item.(map[string]any)
	return slices.IndexFunc(of, func(other any) bool {
		otherFields, _ := other.(map[string]any)
		for _, key := range mergeKeys {
			if fields[key] != nil && otherFields[key] != nil {
				return fields[key] == otherFields[key]
			}
		}
		return reflect.DeepEqual(item, other)
	})
}
