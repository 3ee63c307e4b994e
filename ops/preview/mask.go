package preview

import (
	"encoding/json"
	"regexp"
	"strings"

	"vllm-autoscaling/ops/preview/plan"
	"vllm-autoscaling/ops/redact"
)

const (
	hidden  = redact.Hidden
	unknown = "(known after the update)"
	nothing = "(none)"
)

var (
	// secretName matches the last part of a property path whose value is not shown, even if the CLI does not treat it
	// as secret. Names of secrets are shown, so a suffix such as Name or Ref is not matched.
	secretName = regexp.MustCompile(`(?i)(passw(or)?d|secret|token|kubeconfig|api[-_]?key|private[-_]?key|credentials?|connection[-_]?string|` +
		`(client|access)[-_]?key([-_]?data)?|(certificate|authority)[-_]?data)$`)
	// lastName matches the last part of a path: a name, or a key in brackets.
	lastName = regexp.MustCompile(`(?:\["([^"]*)"\]|([A-Za-z0-9_$/-]+))(?:\[[0-9]+\])*$`)
)

// secretType reports whether a Kubernetes resource consists of secrets only.
func secretType(typ string) bool {
	return strings.HasSuffix(typ, ":Secret") && strings.HasPrefix(typ, "kubernetes:")
}

// secretPath reports whether the value at a path must not be shown.
func secretPath(typ, path string) bool {
	if secretType(typ) && (strings.HasPrefix(path, "data") || strings.HasPrefix(path, "stringData")) {
		return true
	}
	match := lastName.FindStringSubmatch(path)
	return match != nil && secretName.MatchString(match[1]+match[2])
}

// clean replaces what looks like a secret in a text.
func clean(text string) string { return redact.Text(text) }

// shown returns a value for readers, at most limit characters long; 0 for no limit.
func shown(typ, path string, value any, present bool, most int) string {
	switch {
	case !present || value == nil:
		return nothing
	case value == plan.Unknown:
		return unknown
	}
	_, isBool := value.(bool)
	_, isNumber := value.(float64)
	if !isBool && !isNumber && secretPath(typ, path) {
		return hidden
	}
	text, isText := value.(string)
	if !isText {
		content, err := json.Marshal(masked(typ, path, value))
		if err != nil {
			return nothing
		}
		text = string(content)
	}
	text = clean(strings.ReplaceAll(text, plan.Unknown, unknown))
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		text = `""`
	}
	return shorten(text, most)
}

// masked returns a value without its secrets.
func masked(typ, path string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		object := map[string]any{}
		for key, item := range value {
			below := path + "." + key
			switch item.(type) {
			case bool, float64, nil:
				object[key] = item
			default:
				if secretPath(typ, strings.TrimPrefix(below, ".")) {
					object[key] = hidden
				} else {
					object[key] = masked(typ, strings.TrimPrefix(below, "."), item)
				}
			}
		}
		return object
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = masked(typ, path, item)
		}
		return list
	}
	return value
}

// fromDifference leaves out the common beginning of two long values, so that cutting them does not hide the
// difference.
func fromDifference(old, after string) (before, now string) {
	const context = 20
	a, b := []rune(old), []rune(after)
	if max(len(a), len(b)) <= valueLength {
		return old, after
	}
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	if same <= valueLength/2 {
		return old, after
	}
	from := same - context
	return "…" + string(a[from:]), "…" + string(b[from:])
}

// shorten cuts a text to a number of characters and marks the cut.
func shorten(text string, most int) string {
	runes := []rune(text)
	if most <= 0 || len(runes) <= most {
		return text
	}
	return strings.TrimSpace(string(runes[:most-1])) + "…"
}
