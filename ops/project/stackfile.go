package project

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"vllm-autoscaling/stacks/config"
)

// Name is the namespace of the program's keys, the name in Pulumi.yaml.
const Name = "vllm-autoscaling"

// StackSource returns the configuration of a stack as its file in a folder has it, without the Pulumi CLI. Encrypted values stay
// encrypted: they are good for checking that there is one.
func StackSource(folder, stack string) (config.Source, error) {
	path := filepath.Join(folder, "Pulumi."+stack+".yaml")
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return config.Source{}, fmt.Errorf("stack %q has no file %s", stack, path)
	}
	if err != nil {
		return config.Source{}, fmt.Errorf("read the configuration of stack %q: %w", stack, err)
	}
	var file struct {
		Config map[string]any `json:"config"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		return config.Source{}, fmt.Errorf("%s: %w", path, err)
	}
	secret := map[string]bool{}
	source := config.Source{
		Project: Name, Stack: stack, Values: map[string]string{}, Secret: func(key string) bool { return secret[key] },
	}
	for key, value := range file.Config {
		value, secret[key] = opened(value)
		text, err := textOf(value)
		if err != nil {
			return config.Source{}, fmt.Errorf("%s: key %s: %w", path, key, err)
		}
		source.Values[key] = text
	}
	return source, nil
}

// textOf returns a value as the CLI passes it to the program: a string as it is, anything else as JSON.
func textOf(value any) (string, error) {
	if text, ok := value.(string); ok {
		return text, nil
	}
	content, err := json.Marshal(value)
	return string(content), err
}

// opened replaces each {secure: ...} by what it holds and reports whether there was one.
func opened(value any) (any, bool) {
	found := false
	switch v := value.(type) {
	case map[string]any:
		if text, ok := v["secure"].(string); ok && len(v) == 1 {
			return text, true
		}
		for key, item := range v {
			plain, secret := opened(item)
			v[key], found = plain, found || secret
		}
	case []any:
		for i, item := range v {
			plain, secret := opened(item)
			v[i], found = plain, found || secret
		}
	}
	return value, found
}

// Set sets a key of a configuration, as `pulumi config set --path` does: KEY=VALUE with a dotted key without the project's name.
func Set(source *config.Source, assignment string) error {
	key, text, ok := strings.Cut(assignment, "=")
	if !ok || key == "" {
		return fmt.Errorf("%q is not KEY=VALUE", assignment)
	}
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		value = text
	}
	parts := strings.Split(key, ".")
	full := source.Project + ":" + parts[0]
	if len(parts) > 1 {
		object := map[string]any{}
		if old, ok := source.Values[full]; ok {
			if err := json.Unmarshal([]byte(old), &object); err != nil {
				return fmt.Errorf("%s: %s is not an object in the stack's configuration", assignment, full)
			}
		}
		at := object
		for _, part := range parts[1 : len(parts)-1] {
			inner, ok := at[part].(map[string]any)
			if !ok {
				inner = map[string]any{}
				at[part] = inner
			}
			at = inner
		}
		at[parts[len(parts)-1]] = value
		value = object
	}
	content, err := textOf(value)
	if err != nil {
		return fmt.Errorf("%s: %w", assignment, err)
	}
	source.Values[full] = content
	return nil
}
