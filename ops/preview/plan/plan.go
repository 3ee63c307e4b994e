package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/pkg/v3/display"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// Ops that the CLI prints; a replacement is one step, or up to three steps of one resource.
const (
	OpSame    = "same"
	OpCreate  = "create"
	OpUpdate  = "update"
	OpReplace = "replace"
	OpDelete  = "delete"
	OpRefresh = "refresh"
	// OpRead reads a resource that the stack does not manage.
	OpRead = "read"

	opCreateReplacement = "create-replacement"
	opDeleteReplaced    = "delete-replaced"
	opDiscardReplaced   = "discard-replaced"
)

// stackType is the type of the stack itself.
const stackType = "pulumi:pulumi:Stack"

// Unknown is the string for a value that is known only after the update.
const Unknown = plugin.UnknownStringValue

// Plan is a parsed preview.
type Plan struct {
	// Project and Stack are the names in the URNs; "" if the preview failed before its first step.
	Project, Stack string
	// Config are the stack's values by full key; secrets are "[secret]", objects JSON.
	Config map[string]string
	// Steps has one entry for each resource, sorted by URN. Unchanged resources are included only if the preview ran
	// with --show-sames.
	Steps []Step
	// Counts is the number of resources by op, including those that are not in Steps.
	Counts map[string]int
	// Errors and Warnings are the diagnostics, without informational ones.
	Errors, Warnings []string
	// Conflicts are the objects of which somebody else owns fields, from Errors.
	Conflicts []Conflict
	// Refreshed reports whether the preview compared the state with the real resources.
	Refreshed bool

	parents map[string]string // By URN.
}

// Step is the change of one resource.
type Step struct {
	Op   string
	URN  string
	Type string
	Name string
	// Parent is the URN of the parent; "" for the stack.
	Parent string
	// Old is nil for a creation, New for a deletion.
	Old, New *Resource
	// Diff is the provider's diff by property path; empty if it gives none.
	Diff map[string]PropertyDiff
	// Keys are the top-level properties that change, Reasons those that force a replacement.
	Keys, Reasons []string
	// Drifted reports whether the real resource differs from the state, as found by the preview's refresh.
	Drifted bool
	// InitErrors are why the resource was not ready when its state was written or refreshed; nil if it was.
	InitErrors []string
}

// OnlyUnready reports whether the step is an update in which nothing changes. The engine plans one for a resource that was
// not ready when it was read, and only waits for it.
func (s Step) OnlyUnready() bool {
	return s.Op == OpUpdate && len(s.InitErrors) > 0 && len(s.Diff) == 0 && len(s.Keys) == 0
}

// PropertyDiff is the change of a property path.
type PropertyDiff struct {
	// Kind is add, update or delete, with the suffix -replace if it forces a replacement.
	Kind string
	// Inputs reports whether old and new inputs are compared; otherwise the old values are outputs.
	Inputs bool
}

// Resource is a resource before or after the update.
type Resource struct {
	URN, Type, Name string
	// Inputs are what the program declares. Secrets are "[secret]", unknown values are Unknown.
	Inputs map[string]any
	// Outputs are the values in the state.
	Outputs map[string]any
	// Protected reports whether Pulumi refuses to delete it.
	Protected bool
}

// Parse reads the output of `pulumi preview --json` or `pulumi destroy --preview-only --json`.
func Parse(content []byte) (*Plan, error) {
	start := bytes.IndexByte(content, '{')
	if start < 0 {
		return nil, errors.New("no JSON object: expected the output of `pulumi preview --json`")
	}
	var digest display.PreviewDigest
	decoder := json.NewDecoder(bytes.NewReader(content[start:]))
	if err := decoder.Decode(&digest); err != nil {
		return nil, fmt.Errorf("not the output of `pulumi preview --json`: %w", err)
	}
	if digest.Steps == nil && digest.ChangeSummary == nil && digest.Diagnostics == nil && digest.Config == nil {
		return nil, errors.New("JSON without steps, changeSummary, diagnostics and config: expected the output of `pulumi preview --json`")
	}
	p := &Plan{Config: digest.Config, Counts: map[string]int{}}
	for op, n := range digest.ChangeSummary {
		p.Counts[string(op)] += n
	}
	byURN := map[string]int{}
	for _, s := range digest.Steps {
		p.add(newStep(s), byURN)
	}
	slices.SortStableFunc(p.Steps, func(a, b Step) int { return strings.Compare(a.URN, b.URN) })
	p.parents = map[string]string{}
	for _, s := range p.Steps {
		p.parents[s.URN] = s.Parent
	}
	for _, d := range digest.Diagnostics {
		message := strings.TrimSpace(d.Message)
		if d.URN != "" {
			message = fmt.Sprintf("%s %s: %s", d.URN.Type(), d.URN.Name(), message)
		}
		switch d.Severity {
		case diag.Error:
			p.Errors = append(p.Errors, message)
			p.Conflicts = append(p.Conflicts, conflictsIn(d.URN, d.Message)...)
		case diag.Warning:
			p.Warnings = append(p.Warnings, message)
		}
	}
	p.nameObjects()
	return p, nil
}

// add adds a step, or merges it with an earlier one of the same resource.
func (p *Plan) add(s Step, byURN map[string]int) {
	urn := resource.URN(s.URN)
	if p.Stack == "" {
		p.Stack, p.Project = string(urn.Stack()), string(urn.Project())
	}
	i, seen := byURN[s.URN]
	if s.Op == OpRefresh {
		p.Refreshed = true
	}
	if !seen {
		byURN[s.URN] = len(p.Steps)
		p.Steps = append(p.Steps, s)
		return
	}
	before := &p.Steps[i]
	switch {
	case before.Op == OpRefresh:
		// The earlier step is the refresh, this one the update. The old state of the update is what the refresh found,
		// so a difference from the state before it is drift, and so is a missing object.
		switch {
		case s.Op == OpCreate:
			s.Drifted, s.Old = true, before.Old
		case s.Old != nil && before.Old != nil && s.Op != OpSame:
			s.Drifted = !reflect.DeepEqual(s.Old.Inputs, before.Old.Inputs)
		}
		*before = s
	case p.Refreshed && s.Op != opCreateReplacement && s.Op != opDeleteReplaced && s.Op != OpReplace:
		// The refresh found a difference; the update's step counts.
		s.Drifted = true
		if len(s.Diff) == 0 {
			s.Diff, s.Keys = before.Diff, before.Keys
		}
		if s.Old == nil {
			s.Old = before.Old
		}
		*before = s
	default:
		merged := *before
		merged.Op = OpReplace
		if merged.New == nil {
			merged.New = s.New
		}
		if merged.Old == nil {
			merged.Old = s.Old
		}
		if len(merged.Diff) == 0 {
			merged.Diff = s.Diff
		}
		if len(merged.Reasons) == 0 {
			merged.Reasons = s.Reasons
		}
		*before = merged
	}
}

func newStep(s *display.PreviewStep) Step {
	step := Step{
		Op: string(s.Op), URN: string(s.URN), Type: string(s.URN.Type()), Name: s.URN.Name(),
		Keys: keys(s.DiffReasons), Reasons: keys(s.ReplaceReasons),
		Old: newResource(s.OldState), New: newResource(s.NewState),
	}
	switch step.Op {
	case opCreateReplacement, opDeleteReplaced, opDiscardReplaced:
		step.Op = OpReplace
	}
	if s.OldState != nil {
		step.InitErrors = s.OldState.InitErrors
	}
	for path, d := range s.DetailedDiff {
		if step.Diff == nil {
			step.Diff = map[string]PropertyDiff{}
		}
		step.Diff[path] = PropertyDiff{Kind: d.Kind, Inputs: d.InputDiff}
	}
	for _, state := range []*apitype.ResourceV3{s.NewState, s.OldState} {
		if state != nil && step.Parent == "" {
			step.Parent = string(state.Parent)
		}
	}
	return step
}

func newResource(s *apitype.ResourceV3) *Resource {
	if s == nil {
		return nil
	}
	return &Resource{
		URN: string(s.URN), Type: string(s.Type), Name: s.URN.Name(),
		Inputs: s.Inputs, Outputs: s.Outputs, Protected: s.Protect,
	}
}

func keys(all []resource.PropertyKey) []string {
	var names []string
	for _, key := range all {
		names = append(names, string(key))
	}
	return names
}

// Complete reports whether Steps has every resource of the stack, including unchanged ones. Only then are the
// resources after the update known.
func (p *Plan) Complete() bool {
	shown := 0
	for _, s := range p.Steps {
		if s.Op == OpSame || s.Op == OpRefresh {
			shown++
		}
	}
	return shown >= p.Counts[OpSame]
}

// Failed reports whether the preview failed.
func (p *Plan) Failed() bool { return len(p.Errors) > 0 }

// Planned returns the resources after the update.
func (p *Plan) Planned() []Resource {
	var all []Resource
	for _, s := range p.Steps {
		if s.New != nil && s.Op != OpDelete {
			all = append(all, *s.New)
		}
	}
	return all
}

// Deployed returns the resources before the update, as in the state.
func (p *Plan) Deployed() []Resource {
	var all []Resource
	for _, s := range p.Steps {
		if s.Old != nil {
			all = append(all, *s.Old)
		}
	}
	return all
}

// Changes returns the steps that change something, without the stack itself.
func (p *Plan) Changes() []Step {
	var all []Step
	for _, s := range p.Steps {
		if s.Op != OpSame && s.Op != OpRefresh && s.Op != OpRead && s.Type != stackType {
			all = append(all, s)
		}
	}
	return all
}

// Key returns a value of the configuration in the project's namespace.
func (p *Plan) Key(name string) string { return p.Config[p.Namespace()+":"+name] }

// Namespace returns the project's namespace, also if the preview failed before its first step.
func (p *Plan) Namespace() string {
	if p.Project != "" {
		return p.Project
	}
	for key := range p.Config {
		if namespace, name, _ := strings.Cut(key, ":"); name == "cloud" {
			return namespace
		}
	}
	return ""
}

// Component returns the outermost component of a step, as "name (Type)"; "" for the stack's own resources.
func (p *Plan) Component(s Step) string {
	// The qualified type lists the types of the parents, so the group is known even if the parent is unchanged and not
	// in the preview.
	chain := strings.Split(string(resource.URN(s.URN).QualifiedType()), "$")
	if len(chain) == 1 && (strings.HasPrefix(chain[0], "pulumi:") || !strings.Contains(chain[0], ":components:") && !strings.Contains(chain[0], ":providers:")) {
		return "" // neither a component of the program nor in one
	}
	kind := string(tokens.Type(chain[0]).Name())
	outermost := s.URN
	for parent := s.Parent; parent != "" && resource.URN(parent).Type() != stackType; parent = p.parents[parent] {
		outermost = parent
	}
	return fmt.Sprintf("%s (%s)", resource.URN(outermost).Name(), kind)
}

// Value returns the value at a path of inputs or outputs; false if there is none.
func Value(properties map[string]any, path string) (any, bool) {
	parsed, err := resource.ParsePropertyPath(path)
	if err != nil {
		return nil, false
	}
	var at any = properties
	for _, part := range parsed {
		switch key := part.(type) {
		case string:
			object, ok := at.(map[string]any)
			if !ok {
				return nil, false
			}
			if at, ok = object[key]; !ok {
				return nil, false
			}
		case int:
			list, ok := at.([]any)
			if !ok || key < 0 || key >= len(list) {
				return nil, false
			}
			at = list[key]
		}
	}
	return at, true
}

// Text returns the string at a path; "" if there is none or if it has another type.
func (r Resource) Text(path string) string {
	value, _ := Value(r.Inputs, path)
	text, _ := value.(string)
	return text
}

// Bool returns the boolean at a path, also if it is written as a string; false for any other value.
func (r Resource) Bool(path string) bool {
	value, _ := Value(r.Inputs, path)
	switch value := value.(type) {
	case bool:
		return value
	case string:
		b, _ := strconv.ParseBool(value)
		return b
	}
	return false
}

// Number returns the number at a path, also if it is written as a string; false for any other value.
func (r Resource) Number(path string) (float64, bool) {
	value, _ := Value(r.Inputs, path)
	switch value := value.(type) {
	case float64:
		return value, true
	case string:
		n, err := strconv.ParseFloat(value, 64)
		return n, err == nil
	}
	return 0, false
}

// List returns the list at a path; nil for any other value.
func (r Resource) List(path string) []any {
	value, _ := Value(r.Inputs, path)
	list, _ := value.([]any)
	return list
}

// Has reports whether there is a value at a path that is not null.
func (r Resource) Has(path string) bool {
	value, ok := Value(r.Inputs, path)
	return ok && value != nil
}
