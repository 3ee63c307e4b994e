package project

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	source, err := config.FileSource(Name, stack, content)
	if err != nil {
		return config.Source{}, fmt.Errorf("%s: %w", path, err)
	}
	return source, nil
}

// With returns a source with assignments, which Set describes.
func With(source config.Source, assignments []string) (config.Source, error) {
	source.Values = maps.Clone(source.Values)
	for _, assignment := range assignments {
		if err := Set(&source, assignment); err != nil {
			return source, err
		}
	}
	return source, nil
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
	content, err := config.FileText(value)
	if err != nil {
		return fmt.Errorf("%s: %w", assignment, err)
	}
	source.Values[full] = content
	return nil
}
