package recover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// newestState is the newest version of an exported state that this package can edit.
const newestState = 4

// The keys of a secret value in a state.
const (
	signatureKey    = "4dabf18193072939515e22adb298388d"
	secretSignature = "1b47061264138c4ac30d75fd1eb44270"
)

// releaseType is the type of a Helm release of Pulumi's Kubernetes provider.
const releaseType = "kubernetes:helm.sh/v3:Release"

// Resource is a resource in a state.
type Resource map[string]any

func (r Resource) text(key string) string { s, _ := r[key].(string); return s }

// URN returns the resource's unique name.
func (r Resource) URN() string { return r.text("urn") }

// Type returns the resource's type, such as kubernetes:apps/v1:Deployment.
func (r Resource) Type() string { return r.text("type") }

// ID returns the id that the resource's provider gave it.
func (r Resource) ID() string { return r.text("id") }

// Name returns the resource's name in the program.
func (r Resource) Name() string { return nameOf(r.URN()) }

func nameOf(urn string) string {
	if i := strings.LastIndex(urn, "::"); i >= 0 {
		return urn[i+len("::"):]
	}
	return urn
}

// String returns the kind and name for a message.
func (r Resource) String() string {
	return r.Type()[strings.LastIndex(r.Type(), ":")+1:] + " " + r.Name()
}

// Inputs returns the inputs, of which the secret ones are revealed when the state was exported with its secrets.
func (r Resource) Inputs() map[string]any {
	inputs, _ := reveal(r["inputs"]).(map[string]any)
	return inputs
}

// Provider returns the URN of the resource's provider.
func (r Resource) Provider() string {
	reference := r.text("provider")
	if i := strings.LastIndex(reference, "::"); i > 0 {
		return reference[:i]
	}
	return reference
}

func (r Resource) isKubernetes() bool { return strings.HasPrefix(r.Type(), "kubernetes:") }

func (r Resource) isRelease() bool { return r.Type() == releaseType }

// isProvider reports whether the resource is a provider, which exists in the state only.
func (r Resource) isProvider() bool { return strings.HasPrefix(r.Type(), "pulumi:") }

// managed reports whether a provider created the resource and keeps it.
func (r Resource) managed() bool {
	custom, _ := r["custom"].(bool)
	external, _ := r["external"].(bool)
	return custom && !external && !r.isProvider()
}

// reveal replaces secrets by their plain values. A secret that is encrypted becomes nil.
func reveal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v[signatureKey] == secretSignature {
			text, ok := v["plaintext"].(string)
			var value any
			if !ok || decode([]byte(text), &value) != nil {
				return nil
			}
			return reveal(value)
		}
		revealed := make(map[string]any, len(v))
		for key, value := range v {
			revealed[key] = reveal(value)
		}
		return revealed
	case []any:
		revealed := make([]any, len(v))
		for i, value := range v {
			revealed[i] = reveal(value)
		}
		return revealed
	}
	return v
}

// Operation is an operation that was in progress when the state was last written.
type Operation struct {
	// Kind is creating, updating, deleting, reading or importing.
	Kind     string
	Resource Resource
}

// State is an exported state.
type State struct {
	export     map[string]any
	deployment map[string]any
}

// ParseState parses the output of `pulumi stack export`.
func ParseState(text []byte) (*State, error) {
	s := &State{}
	if err := decode(text, &s.export); err != nil || s.export == nil {
		return nil, errors.New("the exported state is not a JSON object")
	}
	version, _ := s.export["version"].(json.Number)
	if n, err := version.Int64(); err != nil || n > newestState {
		return nil, fmt.Errorf("the state has version %q, and this command edits versions up to %d: use the one of a newer version of this project", version, newestState)
	}
	s.deployment, _ = s.export["deployment"].(map[string]any)
	if s.deployment == nil {
		s.deployment = map[string]any{}
		s.export["deployment"] = s.deployment
	}
	return s, nil
}

// decode keeps numbers as they are written.
func decode(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// Bytes returns the state for `pulumi stack import`.
func (s *State) Bytes() ([]byte, error) { return json.MarshalIndent(s.export, "", "    ") }

// Resources lists the resources in the state.
func (s *State) Resources() []Resource {
	list, _ := s.deployment["resources"].([]any)
	var resources []Resource
	for _, entry := range list {
		if r, ok := entry.(map[string]any); ok {
			resources = append(resources, r)
		}
	}
	return resources
}

// Pending lists the operations that were in progress.
func (s *State) Pending() []Operation {
	list, _ := s.deployment["pending_operations"].([]any)
	var operations []Operation
	for _, entry := range list {
		o, _ := entry.(map[string]any)
		r, _ := o["resource"].(map[string]any)
		kind, _ := o["type"].(string)
		if r != nil {
			operations = append(operations, Operation{Kind: kind, Resource: r})
		}
	}
	return operations
}

// Find returns the resource with a URN that is not to be deleted, nil for none.
func (s *State) Find(urn string) Resource {
	for _, r := range s.Resources() {
		if obsolete, _ := r["delete"].(bool); r.URN() == urn && !obsolete {
			return r
		}
	}
	return nil
}

// Adopt adds the resource of a pending creation with its id. A resource of the same name that it was to replace is marked as to
// be deleted, or gives way when it has been deleted already.
func (s *State) Adopt(urn, id string) error {
	pending := s.Pending()
	i := slices.IndexFunc(pending, func(o Operation) bool { return o.Kind == creating && o.Resource.URN() == urn })
	if i < 0 {
		return fmt.Errorf("no creation of %s is pending", urn)
	}
	adopted := map[string]any(pending[i].Resource)
	if adopted["id"] != id {
		// A provider imports by an id only what it has no outputs of.
		adopted["id"] = id
		delete(adopted, "outputs")
	}
	list, _ := s.deployment["resources"].([]any)
	place := len(list)
	if old := s.Find(urn); old != nil {
		place = slices.IndexFunc(list, func(entry any) bool {
			r, _ := entry.(map[string]any)
			return Resource(r).URN() == urn && r["delete"] != true
		})
		replaced, _ := old["pendingReplacement"].(bool)
		switch {
		case replaced:
			list = slices.Delete(list, place, place+1)
		case old.ID() == id:
			return nil
		default:
			old["delete"] = true
		}
	}
	s.deployment["resources"] = slices.Insert(list, place, any(adopted))
	return nil
}

// ForgetPending removes the list of operations that were in progress.
func (s *State) ForgetPending() { delete(s.deployment, "pending_operations") }

// ForgetValues removes the values from the stored inputs of a release, so that the next update upgrades it.
func (s *State) ForgetValues(urn string) {
	r := s.Find(urn)
	if r == nil {
		return
	}
	outputs, _ := r["outputs"].(map[string]any)
	for _, stored := range []any{r["inputs"], outputs["__inputs"]} {
		if inputs, ok := stored.(map[string]any); ok {
			delete(inputs, "values")
		}
	}
}
