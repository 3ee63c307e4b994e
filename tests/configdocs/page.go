package configdocs

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"vllm-autoscaling/stacks/config"
)

// PagePath is the path of the reference page below the repository's root.
const PagePath = "docs/configuration.md"

// EffectsPath is the path of the measured effects below the repository's root.
const EffectsPath = "tests/configdocs/effects.json"

// Effects holds the effect of changing a key, by key and cloud, as measured in the engine.
type Effects map[string]map[string]string

//go:embed effects.json
var measured []byte

// MeasuredEffects returns the effects of the last measurement.
func MeasuredEffects() (Effects, error) {
	var effects Effects
	if err := json.Unmarshal(measured, &effects); err != nil {
		return nil, fmt.Errorf("%s: %w", EffectsPath, err)
	}
	return effects, nil
}

//go:embed configuration.md.tmpl
var pageTemplate string

// Page returns the reference page. It returns an error for a top-level key without a place in the template.
func Page(keys []*Key, effects Effects) ([]byte, error) {
	placed := map[string]bool{}
	page, err := template.New("configuration.md.tmpl").Funcs(template.FuncMap{
		"table": func(names ...string) (string, error) {
			var shown []*Key
			for _, name := range names {
				i := slices.IndexFunc(keys, func(k *Key) bool { return k.Name == name })
				if i < 0 {
					return "", fmt.Errorf("there is no top-level key %s", name)
				}
				placed[name] = true
				shown = append(shown, keys[i])
			}
			return table(Leaves(shown), keys, effects)
		},
	}).Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	if err := page.Execute(&text, nil); err != nil {
		return nil, err
	}
	for _, key := range keys {
		if !placed[key.Name] {
			return nil, fmt.Errorf(`tests/configdocs/configuration.md.tmpl has no {{ table "%s" }}`, key.Name)
		}
	}
	return []byte(text.String()), nil
}

func table(leaves, all []*Key, effects Effects) (string, error) {
	var text strings.Builder
	text.WriteString("| key | what it is | type | default | allowed | a change |\n|---|---|---|---|---|---|\n")
	names := keyPattern(all)
	for _, key := range leaves {
		changes, err := change(key, effects)
		if err != nil {
			return "", err
		}
		what := key.Doc
		if len(key.OwnScope) > 0 {
			what = "*" + strings.Join(key.OwnScope, ", ") + ".* " + what
		}
		kind := string(key.Kind)
		if key.Kind == Objects {
			var parts []string
			for _, part := range key.Keys {
				parts = append(parts, part.Part)
			}
			kind = "list of {" + strings.Join(parts, ", ") + "}"
		}
		if key.Unit != "" {
			kind += ", " + key.Unit
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s | %s | %s |\n", key.Name, names.ReplaceAllString(what, "`$0`"), kind,
			names.ReplaceAllString(defaults(key), "`$0`"), allowed(key), changes)
	}
	return text.String(), nil
}

// keyPattern returns a pattern for the names of keys in prose. It leaves out names without a dot, which are also plain words.
func keyPattern(keys []*Key) *regexp.Regexp {
	var names []string
	var collect func(keys []*Key)
	collect = func(keys []*Key) {
		for _, key := range keys {
			if strings.Contains(key.Name, ".") {
				names = append(names, regexp.QuoteMeta(key.Name))
			}
			if key.Kind == Object {
				collect(key.Keys)
			}
		}
	}
	collect(keys)
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	return regexp.MustCompile(`\b(` + strings.Join(names, "|") + `)\b`)
}

// defaults describes the default of a key.
func defaults(key *Key) string {
	one := func(cloud string) string {
		value := key.Default[cloud]
		switch {
		case slices.Contains(key.Required, cloud):
			return "none: has to be set"
		case value != nil:
			return "`" + show(value) + "`"
		case key.Unset != "":
			return key.Unset
		}
		return "none"
	}
	if key.Name == "cloud" {
		return "the stack's name"
	}
	return byCloud(key.Clouds, one)
}

// byCloud joins the texts of the clouds and merges those that are equal.
func byCloud(clouds []string, one func(cloud string) string) string {
	var texts []string
	on := map[string][]string{}
	for _, cloud := range clouds {
		text := one(cloud)
		if len(on[text]) == 0 {
			texts = append(texts, text)
		}
		on[text] = append(on[text], cloud)
	}
	if len(texts) == 1 {
		return texts[0]
	}
	for i, text := range texts {
		texts[i] = strings.Join(on[text], ", ") + ": " + text
	}
	return strings.Join(texts, "; ")
}

// allowed describes the values that the single-value rules of a key allow.
func allowed(key *Key) string {
	if len(key.Values) > 0 {
		return strings.Join(key.Values, ", ")
	}
	if bounds := key.Bounds(); bounds != "" {
		return bounds
	}
	switch examples := distinct(key.Example); {
	case key.Kind == Quantity:
		return "above 0"
	case key.Kind == Boolean:
		return "true, false"
	case len(examples) > 0 && key.Kind != Any && key.Kind != PodTemplate && key.Kind != Servers:
		return "such as `" + show(examples[0]) + "`"
	}
	return ""
}

// change describes the measured effect of changing a key.
func change(key *Key, effects Effects) (string, error) {
	measured, ok := effects[key.Name]
	if !ok {
		return "", fmt.Errorf("what a change of %s does was not measured: run make config-docs", key.Name)
	}
	return byCloud(slices.DeleteFunc(slices.Clone(config.Clouds), func(cloud string) bool {
		_, ok := measured[cloud]
		return !ok
	}), func(cloud string) string { return measured[cloud] }), nil
}

// namesOf returns the names of all keys, including objects, in order.
func namesOf(keys []*Key) []string {
	var names []string
	for _, key := range keys {
		names = append(names, key.Name)
		if key.Kind == Object {
			names = append(names, namesOf(key.Keys)...)
		}
	}
	return names
}

// Unknown returns the keys of the effects that do not exist.
func (e Effects) Unknown(keys []*Key) []string {
	known := namesOf(keys)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(e)), func(name string) bool { return slices.Contains(known, name) })
}
