package cloud

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

// invoke answers a data source. It is called with the lock.
type invoke func(c *Cloud, s Settings, args object) (object, error)

func allInvokes() map[string]invoke {
	all := map[string]invoke{}
	for _, some := range []map[string]invoke{gcpInvokes(), awsInvokes(), azureInvokes()} {
		for token, f := range some {
			all[token] = f
		}
	}
	return all
}

// check lists what the provider refuses in inputs that are all known.
func (k *kind) check(inputs map[string]any) []schema.Problem {
	return k.checkProperties(resource.NewPropertyMapFromMap(inputs))
}

// checkProperties lists what the provider refuses. What is unknown yet passes.
func (k *kind) checkProperties(inputs resource.PropertyMap) []schema.Problem {
	problems := k.schema.Check(inputs)
	for _, name := range k.needs {
		if v, given := inputs[resource.PropertyKey(name)]; !given || v.IsNull() {
			problems = append(problems, schema.Problem{Property: name, Reason: fmt.Sprintf("missing required property %q", name)})
		}
	}
	if len(problems) == 0 && k.validate != nil {
		for _, reason := range k.validate(known(inputs)) {
			problems = append(problems, schema.Problem{Reason: reason})
		}
	}
	return problems
}

// oneOf says that a text is none of the allowed ones.
func oneOf(in object, path string, allowed ...string) []string {
	if value := in.text(path); in.has(path) && value != "" && !slices.Contains(allowed, value) {
		return []string{fmt.Sprintf("expected %s to be one of %q, got %s", path, allowed, value)}
	}
	return nil
}

func eachOneOf(in object, path string, allowed ...string) []string {
	var wrong []string
	for _, value := range in.texts(path) {
		if !slices.Contains(allowed, value) {
			wrong = append(wrong, fmt.Sprintf("expected each of %s to be one of %q, got %s", path, allowed, value))
		}
	}
	return wrong
}

// cidrs lists what is no network in CIDR notation.
func cidrs(values []string) []string {
	var wrong []string
	for _, value := range values {
		if prefix, err := netip.ParsePrefix(value); err != nil {
			wrong = append(wrong, fmt.Sprintf("%q is not a valid CIDR block", value))
		} else if prefix != prefix.Masked() {
			wrong = append(wrong, fmt.Sprintf("%q is not a valid CIDR block; did you mean %q?", value, prefix.Masked()))
		}
	}
	return wrong
}

// disjoint says which two networks overlap.
func disjoint(networks []string) error {
	var seen []netip.Prefix
	for _, text := range networks {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		for _, other := range seen {
			if other.Overlaps(prefix) {
				return fmt.Errorf("%s overlaps with %s", prefix, other)
			}
		}
		seen = append(seen, prefix)
	}
	return nil
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// shortened cuts a name as clouds do in the names of nodes.
func shortened(name string, most int) string {
	if len(name) > most {
		name = name[:most]
	}
	return strings.Trim(name, "-")
}

// one is a list of the value, or an empty one.
func one(value any) []any {
	if empty(value) {
		return []any{}
	}
	return []any{value}
}

func orEmpty(value any) any {
	if list, ok := value.([]any); value == nil || ok && list == nil {
		return []any{}
	}
	return value
}

// objectAt is the object at a path, nil when there is none.
func (o object) objectAt(path string) map[string]any {
	m, _ := o.at(path).(map[string]any)
	return m
}

// known are the properties whose values are known, without marks of secrets.
func known(properties resource.PropertyMap) map[string]any {
	values := map[string]any{}
	for key, value := range properties {
		if v := plain(value); v != nil {
			values[string(key)] = v
		}
	}
	return values
}

// plain is a value as JSON has it; nil for what is not known.
func plain(v resource.PropertyValue) any {
	v = reveal(v)
	switch {
	case v.IsBool():
		return v.BoolValue()
	case v.IsNumber():
		return v.NumberValue()
	case v.IsString():
		return v.StringValue()
	case v.IsArray():
		list := []any{}
		for _, element := range v.ArrayValue() {
			list = append(list, plain(element))
		}
		return list
	case v.IsObject():
		return known(v.ObjectValue())
	}
	return nil
}

// reveal takes off the secret marks around a value.
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
