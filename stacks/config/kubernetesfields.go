package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// PodTemplate is a part of a PodTemplateSpec of Kubernetes, as decoded from JSON with whole numbers as int64.
type PodTemplate map[string]any

// podTemplate decodes a pod template strictly.
func (d *decoder) podTemplate(key string, value any, target *PodTemplate) {
	found := len(d.problems)
	fields, ok := d.kubernetes(key, value, reflect.TypeFor[corev1.PodTemplateSpec]()).(map[string]any)
	d.given[key] = ok && len(d.problems) == found
	if d.given[key] {
		*target = fields
	}
}

// kubernetes converts a value to that of a field of Kubernetes' API: as strictly as the API server, except that texts may be
// unquoted numbers and numbers may be in quotes, like those of all keys. An empty entry means the default and is left out.
func (d *decoder) kubernetes(key string, value any, of reflect.Type) any {
	switch {
	case value == nil:
		return nil
	case of.Kind() == reflect.Pointer:
		return d.kubernetes(key, value, of.Elem())
	case of == reflect.TypeFor[resource.Quantity]():
		text, ok := asQuantity(value)
		if _, err := resource.ParseQuantity(string(text)); !ok || err != nil {
			d.wrongType(key, value, `a quantity such as 2, "500m" or "10Gi"`)
		}
		return string(text)
	case reflect.PointerTo(of).Implements(reflect.TypeFor[json.Unmarshaler]()):
		content, err := json.Marshal(value)
		if err != nil || json.Unmarshal(content, reflect.New(of).Interface()) != nil {
			d.wrongType(key, value, "what Kubernetes accepts as "+of.Name())
		}
		return wholeNumberOf(value)
	}
	switch of.Kind() {
	case reflect.Struct:
		return d.kubernetesObject(key, value, of)
	case reflect.Map:
		object, ok := value.(map[string]any)
		if !ok {
			d.wrongType(key, value, "an object")
			return nil
		}
		entries := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if entry := d.kubernetes(key+"."+name, object[name], of.Elem()); entry != nil {
				entries[name] = entry
			}
		}
		return entries
	case reflect.Slice:
		list, ok := value.([]any)
		if !ok {
			d.wrongType(key, value, "a list")
			return nil
		}
		items := make([]any, len(list))
		for i, item := range list {
			items[i] = d.kubernetes(fmt.Sprintf("%s[%d]", key, i), item, of.Elem())
		}
		return items
	case reflect.String:
		return convertOr(d, key, value, textWanted, asString)
	case reflect.Bool:
		return convertOr(d, key, value, "true or false", asBool)
	default:
		return convertOr(d, key, value, "a whole number", func(v any) (int64, bool) {
			n, ok := asInt(v)
			return int64(n), ok
		})
	}
}

// convertOr returns a converted value, and reports one that has the wrong type.
func convertOr[T any](d *decoder, key string, value any, want string, convert func(any) (T, bool)) any {
	converted, ok := convert(value)
	if !ok {
		d.wrongType(key, value, want)
	}
	return converted
}

// kubernetesObject converts an object, field by field.
func (d *decoder) kubernetesObject(key string, value any, of reflect.Type) any {
	object, ok := value.(map[string]any)
	if !ok {
		d.wrongType(key, value, "an object of the fields of "+of.Name())
		return nil
	}
	known, fields := KubernetesFields(of), map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		field, ok := known[name]
		if !ok {
			d.unknownField(key, name, of, slices.Sorted(maps.Keys(known)))
			continue
		}
		converted := d.kubernetes(key+"."+name, object[name], field.Type)
		if converted == nil {
			continue
		}
		fields[name] = converted
		if list, ok := converted.([]any); ok {
			d.checkMergeKey(key+"."+name, list, field.Tag.Get("patchMergeKey"))
		}
	}
	return fields
}

// KubernetesFields returns the fields of a type of Kubernetes' API by their names in JSON.
func KubernetesFields(of reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name != "":
			fields[name] = field
		case field.Anonymous:
			maps.Copy(fields, KubernetesFields(field.Type))
		}
	}
	return fields
}

// checkMergeKey checks that the items of a list can be told apart, where Kubernetes merges the list by a key.
func (d *decoder) checkMergeKey(key string, list []any, by string) {
	if by == "" {
		return
	}
	first := map[any]int{}
	for i, item := range list {
		fields, ok := item.(map[string]any)
		if item != nil && !ok {
			continue // Reported already.
		}
		full := fmt.Sprintf("%s:%s[%d]", d.source.Project, key, i)
		name := fields[by]
		other, twice := first[name]
		switch {
		case name == nil || name == "":
			d.problems = append(d.problems, Problem{Key: full, Allowed: fmt.Sprintf("an item with the field %s, by which it is merged", by), Fix: "add " + by})
		case twice:
			d.problems = append(d.problems, Problem{
				Key: full, Value: d.shown(name), Allowed: fmt.Sprintf("a %s other than that of item [%d]: items are merged by it", by, other),
				Fix: "make one item of both, or give each a " + by + " of its own",
			})
		default:
			first[name] = i
		}
	}
}

// unknownField adds a problem for a name that a type of Kubernetes' API does not have as a field.
func (d *decoder) unknownField(key, name string, of reflect.Type, known []string) {
	fix := "see kubectl explain " + explained(key)
	if nearest, ok := nearestName(name, known); ok {
		fix = fmt.Sprintf("no such field; the nearest is %s (kubectl explain %s)", nearest, explained(key))
	}
	d.problems = append(d.problems, Problem{
		Key: d.source.Project + ":" + key + "." + name, Allowed: "only fields that Kubernetes' " + of.Name() + " has", Fix: fix,
	})
}

var itemIndex = regexp.MustCompile(`\[[0-9]+\]`)

// explained returns the argument of kubectl explain for a key in the pod template.
func explained(key string) string {
	return "pod" + strings.TrimPrefix(itemIndex.ReplaceAllString(key, ""), "vllm.podTemplate")
}

// wholeNumberOf returns a json.Number that is whole as int64, and any other value unchanged.
func wholeNumberOf(value any) any {
	if number, ok := value.(json.Number); ok {
		if n, err := number.Int64(); err == nil {
			return n
		}
	}
	return value
}
