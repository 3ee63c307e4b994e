package config

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"
)

// FileSource returns the configuration that the text of a stack file holds, as the CLI passes it to the program, except that encrypted
// values stay encrypted. The error names the key that cannot be read.
func FileSource(project, stack string, content []byte) (Source, error) {
	var file struct {
		Config map[string]any `json:"config"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		return Source{}, err
	}
	secret := map[string]bool{}
	source := Source{Project: project, Stack: stack, Values: map[string]string{}, Secret: func(key string) bool { return secret[key] }}
	for key, value := range file.Config {
		value, secret[key] = unsealed(value)
		text, err := FileText(value)
		if err != nil {
			return Source{}, fmt.Errorf("key %s: %w", key, err)
		}
		source.Values[key] = text
	}
	return source, nil
}

// FileText returns a value of a stack file as the CLI passes it to the program: a string as it is, anything else as JSON.
func FileText(value any) (string, error) {
	if text, ok := value.(string); ok {
		return text, nil
	}
	content, err := json.Marshal(value)
	return string(content), err
}

// unsealed replaces each {secure: ...} by what it holds and reports whether there was one.
func unsealed(value any) (any, bool) {
	found := false
	switch v := value.(type) {
	case map[string]any:
		if text, ok := v["secure"].(string); ok && len(v) == 1 {
			return text, true
		}
		for key, item := range v {
			plain, secret := unsealed(item)
			v[key], found = plain, found || secret
		}
	case []any:
		for i, item := range v {
			plain, secret := unsealed(item)
			v[i], found = plain, found || secret
		}
	}
	return value, found
}
