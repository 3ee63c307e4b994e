// Package workflows reads GitHub's workflow files, for the tests that check and run them.
package workflows

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Folder is the folder of the workflows below the repository's root.
const Folder = ".github/workflows"

// Workflow is the part of a workflow file that the tests need.
type Workflow struct {
	File        string         `yaml:"-"`
	Name        string         `yaml:"name"`
	On          On             `yaml:"on"`
	Permissions Permissions    `yaml:"permissions"`
	Concurrency *Concurrency   `yaml:"concurrency"`
	Jobs        map[string]Job `yaml:"jobs"`
	// Outputs of a workflow that is called, as expressions.
	Outputs map[string]string `yaml:"-"`
}

// Job is a job of a workflow: steps, or the call of another workflow.
type Job struct {
	Name           string            `yaml:"name"`
	If             string            `yaml:"if"`
	Needs          Names             `yaml:"needs"`
	Strategy       Strategy          `yaml:"strategy"`
	RunsOn         string            `yaml:"runs-on"`
	TimeoutMinutes int               `yaml:"timeout-minutes"`
	Environment    string            `yaml:"environment"`
	Permissions    Permissions       `yaml:"permissions"`
	Concurrency    *Concurrency      `yaml:"concurrency"`
	Env            map[string]string `yaml:"env"`
	Outputs        map[string]string `yaml:"outputs"`
	Uses           string            `yaml:"uses"`
	With           map[string]string `yaml:"with"`
	Steps          []Step            `yaml:"steps"`
}

// Strategy is the strategy of a job, with its matrix.
type Strategy struct {
	Matrix struct {
		// Include is an expression.
		Include string `yaml:"include"`
	} `yaml:"matrix"`
}

// Step is one step of a job.
type Step struct {
	ID   string            `yaml:"id"`
	If   string            `yaml:"if"`
	Uses string            `yaml:"uses"`
	With map[string]string `yaml:"with"`
	Run  string            `yaml:"run"`
	Env  map[string]string `yaml:"env"`
}

// On lists the names of a workflow's events.
type On []string

// UnmarshalYAML decodes a name, a list of names, or an object with a key for each.
func (o *On) UnmarshalYAML(node *yaml.Node) error {
	switch node.Kind {
	case yaml.ScalarNode:
		*o = On{node.Value}
	case yaml.SequenceNode:
		return node.Decode((*[]string)(o))
	case yaml.MappingNode:
		for i := 0; i < len(node.Content); i += 2 {
			*o = append(*o, node.Content[i].Value)
		}
	}
	return nil
}

// Permissions holds the permissions of the token by scope; nil if the file does not set them.
type Permissions map[string]string

// UnmarshalYAML refuses the short forms such as write-all, which grant more than they list.
func (p *Permissions) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: permissions: %s: list the scopes", node.Line, node.Value)
	}
	*p = Permissions{}
	return node.Decode((*map[string]string)(p))
}

// Concurrency is the concurrency group of a workflow or job.
type Concurrency struct {
	Group            string `yaml:"group"`
	CancelInProgress string `yaml:"cancel-in-progress"`
}

// Load reads all workflows of a repository, by file name.
func Load(repository string) (map[string]Workflow, error) {
	files, err := filepath.Glob(filepath.Join(repository, Folder, "*.y*ml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("no workflows in " + filepath.Join(repository, Folder))
	}
	found := map[string]Workflow{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		w := Workflow{File: filepath.Base(file)}
		if err := yaml.Unmarshal(content, &w); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		var call struct {
			On struct {
				WorkflowCall struct {
					Outputs map[string]struct{ Value string }
				} `yaml:"workflow_call"`
			}
		}
		// In most workflows the events are not an object and have no outputs.
		if slices.Equal(w.On, On{"workflow_call"}) {
			if err := yaml.Unmarshal(content, &call); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
		w.Outputs = map[string]string{}
		for name, output := range call.On.WorkflowCall.Outputs {
			w.Outputs[name] = output.Value
		}
		found[w.File] = w
	}
	return found, nil
}

// Called returns the file of the workflow of this repository that a job calls, or "" if it calls none.
func (j Job) Called() string {
	file, ok := strings.CutPrefix(j.Uses, "./"+Folder+"/")
	if !ok {
		return ""
	}
	return file
}
