package configdocs

import (
	"slices"
	"strconv"
	"time"
)

// Candidates are values of a key that look right for a cloud: its example first, then all of its
// allowed values or its bounds, then its default in other words. Rules between keys may refuse some.
func Candidates(key *Key, cloud string) []any {
	var values []any
	if example, ok := key.Example[cloud]; ok {
		values = append(values, example)
	}
	switch key.Kind {
	case Secret:
		// Long, because the engine hides a secret wherever its letters stand, in words of other tests as well.
		return []any{Encrypted("first-secret-value"), Encrypted("second-secret-value")}
	case Boolean:
		if len(key.Values) == 0 {
			return append(values, true, false)
		}
	case Quantity:
		return append(values, "1", "500m", "3Gi", 4)
	case Objects:
		return append(values, []any{map[string]any{"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute"}}, []any{})
	case Any:
		return append(values, map[string]any{"a": map[string]any{"b": 1}})
	}
	for _, text := range key.Values {
		switch key.Kind {
		case Integer:
			n, _ := strconv.Atoi(text)
			values = append(values, n)
		case Boolean:
			values = append(values, text == "true")
		case List:
			values = append(values, []any{text})
		default:
			values = append(values, text)
		}
	}
	switch usual := key.Default[cloud].(type) {
	case int:
		values = append(values, usual+1, usual)
	case float64:
		values = append(values, usual/2, usual)
	case string:
		if d, err := time.ParseDuration(usual); err == nil && key.Kind == Duration {
			values = append(values, (2 * d).String(), (d + time.Second).String())
		}
		values = append(values, usual)
	}
	for _, bound := range []string{key.Min, key.Max} {
		switch {
		case bound == "":
		case key.Kind == Integer:
			n, _ := strconv.Atoi(bound)
			values = append(values, n)
		case key.Kind == Number:
			f, _ := strconv.ParseFloat(bound, 64)
			values = append(values, f)
		case key.Kind == Duration:
			values = append(values, bound)
		}
	}
	return values
}

// Scoped says whether a key has a meaning for a cloud's stack that creates its cluster, or attaches to
// one.
func (k *Key) Scoped(cloud string, attached bool) bool {
	return slices.Contains(k.Clouds, cloud) && (k.When == "" || (k.When == "attach") == attached)
}
