package preview

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"

	"vllm-autoscaling/ops/cost"
	"vllm-autoscaling/ops/policy"
	"vllm-autoscaling/ops/preflight"
	"vllm-autoscaling/ops/preview/plan"
	"vllm-autoscaling/ops/rightgpu"
	"vllm-autoscaling/stacks/config"
)

// Mode is the purpose of a preview.
type Mode string

// The modes.
const (
	// Update previews `pulumi up`.
	Update Mode = "update"
	// Destroy previews `pulumi destroy`.
	Destroy Mode = "destroy"
	// Drift compares the state with the real resources, and changes nothing.
	Drift Mode = "drift"
)

// valueLength is how many characters of a value are shown.
const valueLength = 120

// Options are the options of New.
type Options struct {
	// Stack is the stack's name, for previews that failed before their first step; otherwise the preview's name is
	// used.
	Stack string
	// Mode is Update by default.
	Mode Mode
	// Prices override the table and the stack's own policy.prices.
	Prices cost.Overrides
	// Diff is the output of `pulumi preview --diff`, shown at the end; "" for none.
	Diff string
	// Failure is the output of a CLI that wrote no preview at all; "" if it wrote one.
	Failure string
	// Preflight is what the cloud's account was asked; nil if it was not.
	Preflight *preflight.Result
	// WithoutSecrets reports whether a drift check left out what matches SecretTypes.
	WithoutSecrets bool
}

// Report is an evaluated preview.
type Report struct {
	Stack   string `json:"stack"`
	Project string `json:"project"`
	Mode    Mode   `json:"mode"`
	// Failed reports whether the preview failed; Errors has the reasons.
	Failed   bool     `json:"failed"`
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
	// Conflicts are objects of which somebody else owns fields.
	Conflicts []plan.Conflict `json:"conflicts,omitempty"`
	// Unready are resources that were not ready when they were read.
	Unready []Unready `json:"unready,omitempty"`
	// WithoutSecrets reports whether a drift check left out Secrets and Helm releases.
	WithoutSecrets bool `json:"withoutSecrets,omitempty"`
	// Counts are the resources by change: create, update, replace, delete, same.
	Counts map[string]int `json:"counts"`
	// Dangers are replacements and deletions that lose more than the resource itself.
	Dangers []Danger `json:"dangers"`
	// Policy is nil if nothing is checked: for a destroy, or a preview that failed.
	Policy *policy.Result `json:"policy,omitempty"`
	// Preflight is nil if the cloud's account was not asked, or the update creates nothing in a cloud.
	Preflight *preflight.Result `json:"preflight,omitempty"`
	// PolicyError is why the stack's policy settings cannot be read.
	PolicyError string `json:"policyError,omitempty"`
	// Before and After are the cost before and after the update; nil if it is not known.
	Before *cost.Estimate `json:"before,omitempty"`
	After  *cost.Estimate `json:"after,omitempty"`
	// SpendCeiling is the stack's spend ceiling, 0 for none.
	SpendCeiling float64 `json:"spendCeiling,omitempty"`
	// Servers are what each of several servers costs; none in a stack of one.
	Servers []cost.Share `json:"servers,omitempty"`
	// Spares are what the spare nodes of each server cost and save; none where it keeps none.
	Spares []cost.Spare `json:"spares,omitempty"`
	// RightGPU are the machine types that serve the requests of a server at a lower price, for each server for which one saves a fifth.
	RightGPU []rightgpu.Hint `json:"rightGPU,omitempty"`
	// Complete is false if unchanged resources are missing: policy and cost are then incomplete.
	Complete bool `json:"complete"`
	// Groups are the changes by component.
	Groups []Group `json:"groups"`
	// Diff is the text of `pulumi preview --diff`.
	Diff string `json:"diff,omitempty"`
}

// Group has the changes of one component.
type Group struct {
	// Component is "name (Type)"; "" for resources outside of components.
	Component string   `json:"component"`
	Changes   []Change `json:"changes"`
}

// Change is the change of one resource.
type Change struct {
	Op   string `json:"op"`
	Type string `json:"type"`
	Name string `json:"name"`
	// Drifted reports whether the resource was changed or deleted outside of Pulumi.
	Drifted bool `json:"drifted,omitempty"`
	// Waits reports whether the update changes nothing and waits for a resource that was not ready.
	Waits      bool       `json:"waits,omitempty"`
	Properties []Property `json:"properties,omitempty"`
}

// Property is a changed property.
type Property struct {
	Path string `json:"path"`
	// Kind is add, update or delete.
	Kind string `json:"kind"`
	Old  string `json:"old"`
	New  string `json:"new"`
	// Forces reports whether it is a reason for the replacement.
	Forces bool `json:"forces,omitempty"`
}

// Danger is a replacement or deletion that loses more than the resource itself.
type Danger struct {
	// What is one of resource group, cluster, namespace, volumes, encryption key or node pool.
	What string `json:"what"`
	Op   string `json:"op"`
	Type string `json:"type"`
	Name string `json:"name"`
	// Causes are the properties that force a replacement, with old and new value.
	Causes []Property `json:"causes,omitempty"`
	// Loses is one line about what is lost with it.
	Loses string `json:"loses"`
}

// New evaluates a preview. A nil plan stands for a preview that the CLI did not write.
func New(p *plan.Plan, o Options) *Report {
	r := &Report{Stack: o.Stack, Mode: o.Mode, Counts: map[string]int{}, Errors: []string{}, Warnings: []string{}, Dangers: []Danger{}, Groups: []Group{}}
	if r.Mode == "" {
		r.Mode = Update
	}
	r.Diff, r.Preflight = clean(strings.TrimSpace(o.Diff)), o.Preflight
	if p == nil {
		r.Failed, r.Complete = true, true
		r.Errors = []string{clean(strings.TrimSpace(o.Failure))}
		return r
	}
	if p.Stack != "" {
		r.Stack = p.Stack
	}
	r.Project = p.Project
	r.Failed, r.Complete = p.Failed(), p.Complete()
	for _, message := range p.Errors {
		r.Errors = append(r.Errors, clean(message))
	}
	if o.Failure != "" && len(p.Errors) == 0 {
		r.Failed, r.Errors = true, append(r.Errors, clean(strings.TrimSpace(o.Failure)))
	}
	if r.Mode == Update {
		r.Mode = guess(p)
	}
	r.note(p, o)
	r.count(p)
	r.arrange(p)
	r.judge(p, o)
	return r
}

// guess returns the mode that the steps of a preview suggest.
func guess(p *plan.Plan) Mode {
	if p.Refreshed {
		return Drift
	}
	if p.Counts[plan.OpDelete] > 0 && len(p.Planned()) == 0 {
		return Destroy
	}
	return Update
}

// count counts steps; resources without a step, such as unchanged ones, come from the summary.
func (r *Report) count(p *plan.Plan) {
	steps := map[string]int{}
	for _, s := range p.Steps {
		steps[s.Op]++
	}
	for _, op := range []string{plan.OpCreate, plan.OpUpdate, plan.OpReplace, plan.OpDelete, plan.OpSame} {
		r.Counts[op] = max(p.Counts[op], steps[op])
	}
}

func (r *Report) arrange(p *plan.Plan) {
	groups := map[string]*Group{}
	for _, s := range p.Changes() {
		change := newChange(s)
		if r.Mode == Drift && noDrift(s, change) {
			r.dropNoDrift()
			continue
		}
		name := p.Component(s)
		if groups[name] == nil {
			groups[name] = &Group{Component: name}
		}
		groups[name].Changes = append(groups[name].Changes, change)
		if d, ok := danger(s, change); ok {
			r.Dangers = append(r.Dangers, d)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		sort.SliceStable(groups[name].Changes, func(i, j int) bool {
			a, b := groups[name].Changes[i], groups[name].Changes[j]
			if weight(a.Op) != weight(b.Op) {
				return weight(a.Op) < weight(b.Op)
			}
			return a.Type+a.Name < b.Type+b.Name
		})
		r.Groups = append(r.Groups, *groups[name])
	}
	sort.SliceStable(r.Dangers, func(i, j int) bool {
		a, b := r.Dangers[i], r.Dangers[j]
		return dangerWeight[a.What] < dangerWeight[b.What]
	})
}

// weight sorts losses first.
func weight(op string) int {
	return slices.Index([]string{plan.OpReplace, plan.OpDelete, plan.OpUpdate, plan.OpCreate}, op)
}

// judge checks the policy, estimates the cost and looks for a cheaper machine type.
func (r *Report) judge(p *plan.Plan, o Options) {
	settings, err := policy.SettingsOf(p)
	if err != nil {
		r.PolicyError = err.Error()
	}
	prices := maps.Clone(settings.Prices)
	if prices == nil {
		prices = cost.Overrides{}
	}
	maps.Copy(prices, o.Prices)
	settings.Prices = prices
	r.SpendCeiling = settings.SpendCeiling
	if before := cost.Of(p.Deployed(), prices); !before.Empty() {
		r.Before = &before
	}
	if r.Failed {
		return
	}
	after := cost.Of(p.Planned(), prices)
	if !after.Empty() || r.Before != nil {
		r.After = &after
	}
	if r.Mode == Update {
		r.RightGPU = rightgpu.Find(sourceOf(p), prices)
	}
	if c, err := config.Read(sourceOf(p).Trial()); err == nil {
		r.Servers, r.Spares = cost.Shares(c, prices), cost.Spares(c, prices)
	}
	if r.Mode != Destroy && err == nil {
		result := policy.Check(p.Planned(), settings)
		r.Policy = &result
	}
}

func newChange(s plan.Step) Change {
	c := Change{Op: s.Op, Type: s.Type, Name: s.Name, Drifted: s.Drifted, Waits: s.OnlyUnready()}
	if s.Op == plan.OpUpdate || s.Op == plan.OpReplace || s.Drifted {
		c.Properties = properties(s)
	}
	return c
}

// properties lists the changes: the provider's diff, or else the differences of the inputs.
func properties(s plan.Step) []Property {
	var all []Property
	for _, path := range slices.Sorted(maps.Keys(s.Diff)) {
		d := s.Diff[path]
		kind, forces := strings.CutSuffix(d.Kind, "-replace")
		all = append(all, property(s, path, kind, forces || forcedBy(s, path) && !anyForces(s), d.Inputs))
	}
	if len(all) == 0 && s.Old != nil && s.New != nil {
		for _, path := range differences("", s.Old.Inputs, s.New.Inputs) {
			all = append(all, property(s, path, "", forcedBy(s, path), true))
		}
	}
	all = slices.DeleteFunc(all, func(p Property) bool { return ownedByAutoscaler(s, p.Path) })
	slices.SortStableFunc(all, func(a, b Property) int {
		switch {
		case a.Forces == b.Forces:
			return 0
		case a.Forces:
			return -1
		}
		return 1
	})
	return all
}

// aksNodes matches the numbers of nodes in the inputs of an AKS cluster and an agent pool.
var aksNodes = regexp.MustCompile(`^(agentPoolProfiles\[\d+\]\.)?count$`)

// ownedByAutoscaler reports whether a property of an update is a number of nodes that a node autoscaler changes. An update of
// AKS sends as many as there are at that moment, which is no change of the plan that somebody approves.
func ownedByAutoscaler(s plan.Step, path string) bool {
	return s.Op == plan.OpUpdate && strings.HasPrefix(s.Type, "azure-native:containerservice") && aksNodes.MatchString(path)
}

// anyForces reports whether the provider names the exact paths that force the replacement.
func anyForces(s plan.Step) bool {
	for _, d := range s.Diff {
		if strings.HasSuffix(d.Kind, "-replace") {
			return true
		}
	}
	return false
}

// forcedBy reports whether the top-level property of a path is a reason for the replacement.
func forcedBy(s plan.Step, path string) bool {
	top := path
	if i := strings.IndexAny(path, ".["); i > 0 {
		top = path[:i]
	}
	return slices.Contains(s.Reasons, top)
}

func property(s plan.Step, path, kind string, forces, inputs bool) Property {
	var old, after any
	var hasOld, hasNew bool
	if s.Old != nil {
		source := s.Old.Inputs
		if !inputs {
			source = s.Old.Outputs
		}
		old, hasOld = plan.Value(source, path)
	}
	if s.New != nil {
		after, hasNew = plan.Value(s.New.Inputs, path)
		if !hasNew && !inputs {
			after, hasNew = plan.Value(s.New.Outputs, path)
		}
	}
	switch {
	case kind != "":
	case !hasOld:
		kind = "add"
	case !hasNew:
		kind = "delete"
	default:
		kind = "update"
	}
	before, now := fromDifference(shown(s.Type, path, old, hasOld, 0), shown(s.Type, path, after, hasNew, 0))
	return Property{
		Path: path, Kind: kind, Forces: forces, Old: shorten(before, valueLength), New: shorten(now, valueLength),
	}
}

// differences lists the paths at which two objects differ, recursively.
func differences(path string, old, after map[string]any) []string {
	keys := map[string]bool{}
	for key := range old {
		keys[key] = true
	}
	for key := range after {
		keys[key] = true
	}
	var all []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		below := key
		if strings.ContainsAny(key, `.[]"`) {
			below = fmt.Sprintf("[%q]", key)
			below = path + below
		} else if path != "" {
			below = path + "." + key
		}
		a, aIs := old[key].(map[string]any)
		b, bIs := after[key].(map[string]any)
		switch {
		case aIs && bIs:
			all = append(all, differences(below, a, b)...)
		case !reflect.DeepEqual(old[key], after[key]):
			all = append(all, below)
		}
	}
	return all
}

// hasCost reports whether there is a cost to show. A destroy saves what is deployed; a recording of anything else has
// no deployed cost.
func (r *Report) hasCost() bool {
	return !r.Failed && (r.Before != nil || r.After != nil && r.Mode != Destroy)
}

// Changed reports whether anything would change.
func (r *Report) Changed() bool {
	return len(r.Groups) > 0
}
