// Package schema contains the inputs of the cloud resources that the program registers, as the SDKs declare them, and
// lists what a provider would refuse: unknown properties, missing ones and wrong types.
package schema

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

//go:generate go run ./generate schema.json

// Kind is the kind of a value in a schema.
type Kind string

// The kinds of values.
const (
	String  Kind = "string"
	Integer Kind = "integer"
	Number  Kind = "number"
	Boolean Kind = "boolean"
	Array   Kind = "array"
	Map     Kind = "map"
	Object  Kind = "object"
	// Any is a value whose type the SDK leaves open: one of several types, or an enum that also accepts text.
	Any Kind = "any"
)

// Type describes a value.
type Type struct {
	Kind Kind `json:"kind"`
	// Required reports whether the property must be set. Lists and maps are never marked.
	Required bool `json:"required,omitempty"`
	// Items describes the elements of an Array or a Map.
	Items *Type `json:"items,omitempty"`
	// Properties are the properties of an Object.
	Properties map[string]*Type `json:"properties,omitempty"`
}

//go:embed schema.json
var generated []byte

// All returns the types of the inputs by resource token. The map must not be changed.
func All() (map[string]*Type, error) {
	all := map[string]*Type{}
	if err := json.Unmarshal(generated, &all); err != nil {
		return nil, fmt.Errorf("schema.json: %w", err)
	}
	return all, nil
}

// Problem is a value that the provider would refuse.
type Problem struct {
	// Property is the top-level property, Reason the path and what is wrong with it.
	Property, Reason string
}

// Check lists what is wrong with the inputs of a resource. Unknown values are accepted.
func (t *Type) Check(inputs resource.PropertyMap) []Problem {
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(t.Properties)) {
		value, given := inputs[resource.PropertyKey(name)]
		if t.Properties[name].Required && (!given || value.IsNull()) {
			problems = append(problems, Problem{name, fmt.Sprintf("missing required property %q", name)})
		}
	}
	for _, key := range inputs.StableKeys() {
		name := string(key)
		if strings.HasPrefix(name, "__") {
			continue // the engine's own
		}
		if reason := t.property(name, name, inputs[key]); reason != "" {
			problems = append(problems, Problem{name, reason})
		}
	}
	return problems
}

// property checks one property of an object and returns what is wrong, "" for nothing.
func (t *Type) property(path, name string, value resource.PropertyValue) string {
	property, ok := t.Properties[name]
	if !ok {
		return fmt.Sprintf("invalid or unknown key %q", path)
	}
	return property.value(path, value)
}

func (t *Type) value(path string, value resource.PropertyValue) string {
	value = reveal(value)
	if value.IsNull() || value.IsComputed() || value.IsOutput() {
		return ""
	}
	wrong := fmt.Sprintf("%s must be of type %s, got %s", path, t.Kind, value.TypeString())
	switch t.Kind {
	case Any:
		return ""
	case String:
		if value.IsString() {
			return ""
		}
	case Boolean:
		if value.IsBool() {
			return ""
		}
	case Number:
		if value.IsNumber() {
			return ""
		}
	case Integer:
		if value.IsNumber() && value.NumberValue() == math.Trunc(value.NumberValue()) {
			return ""
		}
	case Array:
		if value.IsArray() {
			return t.elements(path, value.ArrayValue())
		}
	case Map:
		if value.IsObject() {
			return t.entries(path, value.ObjectValue())
		}
	case Object:
		if value.IsObject() {
			return t.object(path, value.ObjectValue())
		}
	}
	return wrong
}

func (t *Type) elements(path string, values []resource.PropertyValue) string {
	for i, value := range values {
		if reason := t.Items.value(fmt.Sprintf("%s[%d]", path, i), value); reason != "" {
			return reason
		}
	}
	return ""
}

func (t *Type) entries(path string, values resource.PropertyMap) string {
	for _, key := range values.StableKeys() {
		if reason := t.Items.value(fmt.Sprintf("%s[%q]", path, key), values[key]); reason != "" {
			return reason
		}
	}
	return ""
}

func (t *Type) object(path string, values resource.PropertyMap) string {
	for _, name := range slices.Sorted(maps.Keys(t.Properties)) {
		if value, given := values[resource.PropertyKey(name)]; t.Properties[name].Required && (!given || value.IsNull()) {
			return fmt.Sprintf("%s lacks the required property %q", path, name)
		}
	}
	for _, key := range values.StableKeys() {
		if reason := t.property(path+"."+string(key), string(key), values[key]); reason != "" {
			return reason
		}
	}
	return ""
}

// reveal removes the marks of secrets around a value.
func reveal(v resource.PropertyValue) resource.PropertyValue {
	for {
		switch {
		case v.IsSecret():
			v = v.SecretValue().Element
		case v.IsOutput() && v.OutputValue().Known:
			v = v.OutputValue().Element
		default:
			return v
		}
	}
}
