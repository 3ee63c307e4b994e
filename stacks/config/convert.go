package config

import (
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"time"

	"vllm-autoscaling/providers"
)

const (
	// textWanted describes the values that asString accepts.
	textWanted = "a string; a whole number, true or false will do without quotes"
	listWanted = "a list of strings"
)

// wholeNumber matches the whole numbers that are the same text before and after YAML and JSON: without leading zeros, fraction
// or exponent, and not longer than the 15 digits that a float64 keeps.
var wholeNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,14})$`)

// asString also accepts the numbers and booleans that `pulumi config set --path` makes of 123456789012 and true, as long as
// they have only one text. A fraction has not: 1.30 arrives as 1.3.
func asString(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		return v.String(), wholeNumber.MatchString(v.String())
	}
	return "", false
}

func asQuantity(v any) (Quantity, bool) {
	if n, ok := v.(json.Number); ok {
		return Quantity(n.String()), true
	}
	s, ok := v.(string)
	return Quantity(s), ok
}

// asInt also accepts a number in quotes: an encrypted value, and one that was set with --type string, is a string.
func asInt(v any) (int, bool) {
	switch v := v.(type) {
	case json.Number:
		i, err := strconv.Atoi(v.String())
		return i, err == nil
	case string:
		i, err := strconv.Atoi(v)
		return i, err == nil && wholeNumber.MatchString(v)
	}
	return 0, false
}

// asFloat also accepts a number in quotes, because `pulumi config set --path` stores 0.85 as a string.
func asFloat(v any) (float64, bool) {
	var text string
	switch n := v.(type) {
	case json.Number:
		text = n.String()
	case string:
		text = n
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// asBool also accepts "true" and "false" in quotes, for the same reasons as asInt.
func asBool(v any) (bool, bool) {
	switch v {
	case true, "true":
		return true, true
	case false, "false":
		return false, true
	}
	return false, false
}

func asDuration(v any) (time.Duration, bool) {
	s, ok := v.(string)
	if !ok {
		return 0, false
	}
	duration, err := time.ParseDuration(s)
	return duration, err == nil
}

// decodeTexts stores a list or a map of strings. An item of the wrong type is a problem of its own.
func decodeTexts[T any](d *decoder, key string, value any, target *T, tag reflect.StructTag, want string, convert func(string, any) (T, bool)) {
	found := len(d.problems)
	texts, ok := convert(key, value)
	switch {
	case !ok:
		d.wrongType(key, value, want)
	case len(d.problems) > found:
		d.given[key] = false
	case d.allows(key, value, texts, tag):
		*target = texts
		d.given[key] = true
	}
}

// strings converts a list, and reports whether the value is one.
func (d *decoder) strings(key string, value any) ([]string, bool) {
	list, ok := value.([]any)
	if !ok {
		return nil, false
	}
	out := make([]string, len(list))
	for i, item := range list {
		if out[i], ok = asString(item); !ok {
			d.wrongType(providers.Item(key, i), item, textWanted)
		}
	}
	return out, true
}

// stringMap converts an object, and reports whether the value is one.
func (d *decoder) stringMap(key string, value any) (map[string]string, bool) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	out := make(map[string]string, len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if out[name], ok = asString(object[name]); !ok {
			d.wrongType(key+"."+name, object[name], textWanted)
		}
	}
	return out, true
}

// unquoted reports whether a value, or an item of it, is a number or a boolean.
func unquoted(value any) bool {
	switch v := value.(type) {
	case json.Number, bool:
		return true
	case []any:
		return slices.ContainsFunc(v, unquoted)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), unquoted)
	}
	return false
}

// plainNumbers replaces json.Number by int where the number is whole, so that chart values keep 3 as 3, and by float64
// otherwise.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.Atoi(v.String()); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for key := range v {
			v[key] = plainNumbers(v[key])
		}
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	}
	return v
}
