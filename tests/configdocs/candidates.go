package configdocs

import (
	"slices"
	"strconv"
	"time"
)

// Candidates returns values of a key that its tags allow on a cloud: its example, then its allowed values or bounds, then its
// default in another notation. Rules between keys may refuse some of them.
func Candidates(key *Key, cloud string) []any {
	var values []any
	if example, ok := key.Example[cloud]; ok {
		values = append(values, example)
	}
	switch key.Kind {
	case Secret:
		// Long values, because the engine masks every occurrence of a secret's text, also in the output of other tests.
		return []any{Encrypted("first-secret-value"), Encrypted("second-secret-value")}
	case Boolean:
		if len(key.Values) == 0 {
			return append(values, true, false)
		}
	case Quantity:
		return append(values, "1", "500m", "3Gi", 4)
	case Objects:
		return append(values, []any{})
	case Any:
		return append(values, map[string]any{"a": map[string]any{"b": 1}})
	case Servers:
		return append(values, map[string]any{"vllm": nil, "chat": map[string]any{"autoscaling": map[string]any{"maxReplicas": 1}}})
	case PodTemplate:
		return append(values,
			map[string]any{"metadata": map[string]any{"labels": map[string]any{"team": "ml"}}},
			map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "vllm", "env": []any{map[string]any{"name": "A", "value": 1}}}}}},
			map[string]any{"spec": map[string]any{"tolerations": []any{map[string]any{"tolerationSeconds": "x"}}}})
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

// Scoped reports whether a key has an effect on a cloud's stack that creates its cluster or, with attached, uses an existing one.
func (k *Key) Scoped(cloud string, attached bool) bool {
	return slices.Contains(k.Clouds, cloud) && (k.When == "" || (k.When == "attach") == attached)
}
