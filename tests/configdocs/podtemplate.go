package configdocs

import (
	"encoding/json"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/stacks/config"
)

// kubernetesSchemas builds the schemas of types of Kubernetes' API, which refer to each other by their names.
type kubernetesSchemas struct {
	// definitions holds the schemas by name.
	definitions object
}

// unusedTypes are types below a pod template of which nothing may be set, or whose fields an editor need not complete.
var unusedTypes = map[reflect.Type]bool{
	reflect.TypeFor[corev1.EphemeralContainer](): true, reflect.TypeFor[metav1.ManagedFieldsEntry](): true, reflect.TypeFor[metav1.OwnerReference](): true,
}

// addPodTemplate adds the definitions that the schema of a pod template refers to.
func addPodTemplate(definitions object) {
	schemas := kubernetesSchemas{definitions}
	leaf := func(name string, forms ...any) {
		definitions["k8s."+name] = object{"anyOf": append(forms, object{"type": "null"}, secure)}
	}
	leaf("text", append([]any{object{"type": "string"}}, unquoted...)...)
	leaf("boolean", object{"type": "boolean"}, object{"enum": []string{"true", "false"}})
	leaf("integer", object{"type": "integer"}, object{"type": "string", "pattern": "^(0|-?[1-9][0-9]{0,14})$"})
	leaf("quantity", object{"type": "string", "pattern": quantityPattern}, object{"type": "number"})
	definitions["k8s.any"] = object{}
	schemas.of(reflect.TypeFor[corev1.PodTemplateSpec]())
}

// podTemplateForm is the schema of a pod template.
var podTemplateForm = reference("PodTemplateSpec")

func reference(name string) object { return object{"$ref": "#/definitions/k8s." + name} }

// of returns the schema of a type.
func (s kubernetesSchemas) of(of reflect.Type) object {
	switch {
	case of.Kind() == reflect.Pointer:
		return s.of(of.Elem())
	case of == reflect.TypeFor[resource.Quantity]():
		return reference("quantity")
	case reflect.PointerTo(of).Implements(reflect.TypeFor[json.Unmarshaler]()), unusedTypes[of]:
		return reference("any")
	}
	switch of.Kind() {
	case reflect.Struct:
		s.define(of)
		return reference(of.Name())
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": s.of(of.Elem())}
	case reflect.Slice:
		return object{"type": []string{"array", "null"}, "items": s.of(of.Elem())}
	case reflect.String:
		return reference("text")
	case reflect.Bool:
		return reference("boolean")
	default:
		return reference("integer")
	}
}

// define adds the definition of a struct.
func (s kubernetesSchemas) define(of reflect.Type) {
	name := "k8s." + of.Name()
	if s.definitions[name] != nil {
		return
	}
	properties := object{}
	// Before its fields, which may refer to it.
	s.definitions[name] = object{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	for field, declared := range config.KubernetesFields(of) {
		property := s.of(declared.Type)
		if text := summary(of, field); text != "" {
			property = object{"description": text, "allOf": []any{property}}
		}
		properties[field] = property
	}
}

// summary returns the first sentence of Kubernetes' own description of a field; "" for none.
func summary(of reflect.Type, field string) string {
	documented, ok := reflect.New(of).Interface().(interface{ SwaggerDoc() map[string]string })
	if !ok {
		return ""
	}
	text, _, _ := strings.Cut(documented.SwaggerDoc()[field], ". ")
	return strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
}
