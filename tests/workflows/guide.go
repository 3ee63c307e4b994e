package workflows

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// Rule is a rule of a ClusterRole.
type Rule struct {
	APIGroups     []string `yaml:"apiGroups"`
	Resources     []string `yaml:"resources"`
	ResourceNames []string `yaml:"resourceNames"`
	Verbs         []string `yaml:"verbs"`
}

// guide is the page about CI, and roles the block in it that defines ClusterRoles.
const guide = "docs/ci.md"

var roles = regexp.MustCompile("(?s)```yaml\n(apiVersion: rbac.*?)```")

// GuideRoles returns the rules of the ClusterRoles that the guide gives to the identities that read, by name.
func GuideRoles(repository string) (map[string][]Rule, error) {
	content, err := os.ReadFile(filepath.Join(repository, guide))
	if err != nil {
		return nil, err
	}
	block := roles.FindSubmatch(content)
	if block == nil {
		return nil, errors.New(guide + " defines no ClusterRole")
	}
	all := map[string][]Rule{}
	for decoder := yaml.NewDecoder(bytes.NewReader(block[1])); ; {
		var role struct {
			Kind     string
			Metadata struct{ Name string }
			Rules    []Rule
		}
		err := decoder.Decode(&role)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", guide, err)
		}
		if role.Kind != "ClusterRole" || role.Metadata.Name == "" {
			return nil, fmt.Errorf("%s: %s %q among the ClusterRoles", guide, role.Kind, role.Metadata.Name)
		}
		all[role.Metadata.Name] = role.Rules
	}
}
