// Package kubeconfig has the types of a kubeconfig file, to write and to read one. Entries keep fields that are not
// known here, such as those of credential plugins.
package kubeconfig

import (
	"errors"
	"fmt"
	"regexp"

	"sigs.k8s.io/yaml"
)

// File is a kubeconfig.
type File struct {
	APIVersion     string    `json:"apiVersion,omitempty"`
	Kind           string    `json:"kind,omitempty"`
	CurrentContext string    `json:"current-context"`
	Clusters       []Cluster `json:"clusters"`
	Contexts       []Context `json:"contexts"`
	Users          []User    `json:"users"`
	// Preferences are empty since kubectl 1.34; gcloud still writes them.
	Preferences *struct{} `json:"preferences,omitempty"`
}

// Object is an entry's fields by their name in the file.
type Object = map[string]any

// Cluster is an API server.
type Cluster struct {
	Name    string `json:"name"`
	Cluster Object `json:"cluster"`
}

// Context pairs a cluster with a user.
type Context struct {
	Name    string  `json:"name"`
	Context Members `json:"context"`
}

// Members are what a context refers to.
type Members struct {
	Cluster   string `json:"cluster"`
	User      string `json:"user"`
	Namespace string `json:"namespace,omitempty"`
}

// User is a way to log in.
type User struct {
	Name string `json:"name"`
	User Object `json:"user"`
}

// Exec is a program that prints a token: the field exec of a user.
type Exec struct {
	APIVersion         string   `json:"apiVersion"`
	Command            string   `json:"command"`
	Args               []string `json:"args,omitempty"`
	InteractiveMode    string   `json:"interactiveMode,omitempty"`
	InstallHint        string   `json:"installHint,omitempty"`
	ProvideClusterInfo bool     `json:"provideClusterInfo,omitempty"`
}

// Values of Exec.
const (
	// ExecAPIVersion is the version of the protocol between client and program.
	ExecAPIVersion = "client.authentication.k8s.io/v1beta1"
	// NeverInteractive keeps a program from asking on a terminal: a run without anyone to see it would stop.
	NeverInteractive = "Never"
)

// New returns a file with one cluster, whose entries all have the same name. certificateAuthority is PEM in base64.
func New(name, server, certificateAuthority string, user Object) *File {
	return &File{
		APIVersion: "v1", Kind: "Config", CurrentContext: name,
		Clusters: []Cluster{{Name: name, Cluster: Object{"server": server, "certificate-authority-data": certificateAuthority}}},
		Contexts: []Context{{Name: name, Context: Members{Cluster: name, User: name}}},
		Users:    []User{{Name: name, User: user}},
	}
}

// yamlLine matches the line that the parser names.
var yamlLine = regexp.MustCompile(`\bline [0-9]+\b`)

// Parse reads a file. Its error names the line where it can, and does not quote the content, which may be a credential.
func Parse(content []byte) (*File, error) {
	var file File
	if err := yaml.Unmarshal(content, &file); err != nil {
		if line := yamlLine.FindString(err.Error()); line != "" {
			return nil, fmt.Errorf("not valid YAML (%s)", line)
		}
		return nil, errors.New("not a valid kubeconfig")
	}
	return &file, nil
}

// Text returns the file as YAML.
func (f *File) Text() (string, error) {
	content, err := yaml.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return string(content), nil
}

// Text returns a field of an entry that is a string, "" for any other.
func Text(entry Object, field string) string {
	value, _ := entry[field].(string)
	return value
}

// ExecArgs returns the arguments of a user's program that were read from a file; false for a user without one.
func (u User) ExecArgs() ([]string, bool) {
	exec, ok := u.User["exec"].(Object)
	if !ok {
		return nil, false
	}
	list, _ := exec["args"].([]any)
	var args []string
	for _, item := range list {
		text, _ := item.(string)
		args = append(args, text)
	}
	return args, true
}
