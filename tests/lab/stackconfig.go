package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

// projectConfig reads the plain values of a stack's file in the project; a missing file is no error. Encrypted values are
// left out, because they have another key.
func projectConfig(file string) (map[string]any, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var stack struct {
		Config map[string]any `json:"config"`
	}
	if err := yaml.Unmarshal(content, &stack); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return withoutSecrets(stack.Config), nil
}

func withoutSecrets(config map[string]any) map[string]any {
	plain := map[string]any{}
	for key, value := range config {
		object, ok := value.(map[string]any)
		switch {
		case !ok:
			plain[key] = value
		case object["secure"] == nil:
			plain[key] = withoutSecrets(object)
		}
	}
	return plain
}

// SetConfig replaces the values of StackOptions.Config. Secrets and the project's own values stay.
func (s *Stack) SetConfig(values map[string]any) error {
	content, err := os.ReadFile(s.configFile)
	if err != nil {
		return err
	}
	file := map[string]any{}
	if err := yaml.Unmarshal(content, &file); err != nil {
		return fmt.Errorf("%s: %w", s.configFile, err)
	}
	qualified := map[string]any{}
	for key, value := range values {
		qualified[s.qualified(key)] = value
	}
	// Through JSON, so that all objects are maps of one type.
	text, err := json.Marshal(qualified)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	qualified = nil
	if err := json.Unmarshal(text, &qualified); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	config := merged(s.base, qualified)
	if old, ok := file["config"].(map[string]any); ok {
		for key, value := range old {
			if object, ok := value.(map[string]any); ok && object["secure"] != nil {
				config[key] = value
			}
		}
	}
	file["config"] = config
	content, err = yaml.Marshal(file)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return os.WriteFile(s.configFile, content, 0o600)
}

// merged returns base with the values of over. Objects are merged; neither argument is changed.
func merged(base, over map[string]any) map[string]any {
	result := map[string]any{}
	for key, value := range base {
		result[key] = value
	}
	for key, value := range over {
		below, ok := result[key].(map[string]any)
		above, both := value.(map[string]any)
		if ok && both {
			value = merged(below, above)
		}
		result[key] = value
	}
	return result
}

func (s *Stack) qualified(key string) string {
	if strings.Contains(key, ":") {
		return key
	}
	return s.project + ":" + key
}
