package cloud

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// object holds a resource's properties, as decoded from JSON.
type object map[string]any

// at returns the value at a path such as nodeConfig.taints.0.key, nil for none.
func (o object) at(path string) any {
	var value any = map[string]any(o)
	for part := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

func (o object) has(path string) bool { return o.at(path) != nil }

func (o object) text(path string) string {
	s, _ := o.at(path).(string)
	return s
}

func (o object) flag(path string) bool {
	b, _ := o.at(path).(bool)
	return b
}

// number returns the whole number at a path, 0 for none.
func (o object) number(path string) int {
	switch n := o.at(path).(type) {
	case float64:
		return int(n)
	case int:
		return n
	}
	return 0
}

func (o object) list(path string) []any {
	switch l := o.at(path).(type) {
	case []any:
		return l
	case []string:
		var list []any
		for _, s := range l {
			list = append(list, s)
		}
		return list
	}
	return nil
}

// objects returns the objects of the list at a path.
func (o object) objects(path string) []object {
	var found []object
	for _, element := range o.list(path) {
		if m, ok := element.(map[string]any); ok {
			found = append(found, m)
		}
	}
	return found
}

// labels returns the map of texts at a path.
func (o object) labels(path string) map[string]string {
	found := map[string]string{}
	if m, ok := o.at(path).(map[string]any); ok {
		for key, value := range m {
			if s, ok := value.(string); ok {
				found[key] = s
			}
		}
	}
	return found
}

// texts returns the texts at a path; a list in the path stands for its elements.
func (o object) texts(path string) []string {
	head, rest, more := strings.Cut(path, ".")
	return textsIn(o[head], rest, more)
}

func textsIn(value any, rest string, more bool) []string {
	switch v := value.(type) {
	case string:
		if !more && v != "" {
			return []string{v}
		}
	case map[string]any:
		if more {
			return object(v).texts(rest)
		}
	case []any:
		var all []string
		for _, element := range v {
			all = append(all, textsIn(element, rest, more)...)
		}
		return all
	}
	return nil
}

// equal reports whether two values are equal; absent, null and empty are the same.
func equal(a, b any) bool {
	if empty(a) && empty(b) {
		return true
	}
	return reflect.DeepEqual(a, b)
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// one returns a list of the value, or an empty list for an empty value.
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

// objectAt returns the object at a path, nil for none.
func (o object) objectAt(path string) map[string]any {
	m, _ := o.at(path).(map[string]any)
	return m
}

// known returns the properties whose values are known, without marks of secrets.
func known(properties resource.PropertyMap) map[string]any {
	values := map[string]any{}
	for key, value := range properties {
		if v := plain(value); v != nil {
			values[string(key)] = v
		}
	}
	return values
}

// plain returns a value as decoded from JSON, nil for an unknown one.
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
