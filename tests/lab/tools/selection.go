package tools

import (
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ForStack lists the programs that the lab runs for the stack of that file. Google's are among them where its key metrics
// is google-managed.
func ForStack(file string) ([]string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("tools: %w", err)
	}
	var stack struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(content, &stack); err != nil {
		return nil, fmt.Errorf("tools: %s: %w", file, err)
	}
	for key, value := range stack.Config {
		if key[strings.LastIndex(key, ":")+1:] == "metrics" {
			return Names(value == "google-managed"), nil
		}
	}
	return Names(false), nil
}
