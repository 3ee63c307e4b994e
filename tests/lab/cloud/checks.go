package cloud

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

// check lists what the provider refuses in inputs that are all known.
func (k *kind) check(inputs map[string]any) []schema.Problem {
	return k.checkProperties(resource.NewPropertyMapFromMap(inputs))
}

// checkProperties lists what the provider refuses. Unknown values are accepted.
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

// oneOf lists a problem when the text at a path is not one of the allowed ones.
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

// cidrs lists a problem for each value that is not a network in CIDR notation.
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

// disjoint returns an error when two networks overlap.
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
