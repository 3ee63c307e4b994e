package recover

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// creating is the kind of the operations whose result the state lacks.
const creating = "creating"

// Action is what is done about a finding.
type Action string

// The actions.
const (
	// Unlock removes the lock of a command that has ended.
	Unlock Action = "unlock"
	// Held is the lock of a command that may still run.
	Held Action = "held"
	// Adopt adds what a pending creation has created to the state.
	Adopt Action = "adopt"
	// Drop removes a pending operation from the state.
	Drop Action = "drop"
	// Ask is a pending creation of which only the cloud knows the id.
	Ask Action = "ask"
	// ClearRevision deletes the stored revision of a release that blocks every further one.
	ClearRevision Action = "clear"
	// Uninstall deletes what an incomplete install or uninstall of a release has left.
	Uninstall Action = "uninstall"
	// Refresh reads a resource that the state has otherwise than the cluster.
	Refresh Action = "refresh"
	// Upgrade makes the next update upgrade a release, whatever the state has.
	Upgrade Action = "upgrade"
)

// Finding is something that a killed command has left.
type Finding struct {
	Action Action `json:"action"`
	// Subject names the lock or the resource, URN the resource.
	Subject string `json:"subject"`
	URN     string `json:"urn,omitempty"`
	// Found is what was found, Do what is done about it.
	Found string `json:"found"`
	Do    string `json:"do"`
	// ID is the id with which a resource is adopted.
	ID string `json:"id,omitempty"`

	release bool // its values or its version differ from the deployed revision
	cluster *Cluster
	history History
	until   time.Time // when a pending revision can no longer be completed by a plugin that was left
}

// Plan lists what was found.
type Plan struct {
	Stack    string    `json:"stack"`
	Findings []Finding `json:"findings"`
	// LocksVisible reports whether the backend lets locks be seen.
	LocksVisible bool `json:"locksVisible"`
	// Orphans are the processes of plugins on this machine whose CLI has ended.
	Orphans []int `json:"orphans,omitempty"`
}

// Blocked lists the findings that need an answer first.
func (p *Plan) Blocked() []Finding {
	return slices.DeleteFunc(slices.Clone(p.Findings), func(f Finding) bool { return f.Action != Held && f.Action != Ask })
}

func (p *Plan) add(f Finding) { p.Findings = append(p.Findings, f) }

// has reports whether something is found that needs one of the actions.
func (p *Plan) has(actions ...Action) bool {
	return slices.ContainsFunc(p.Findings, func(f Finding) bool { return slices.Contains(actions, f.Action) })
}

// Recovery looks at a stack and mends it.
type Recovery struct {
	Stack string
	CLI   CLI
	// Locks lists the locks of the state, and whether the backend lets them be seen.
	Locks func(ctx context.Context) ([]Lock, bool, error)
	// Connect connects to the cluster of a Kubernetes provider in the state.
	Connect func(ctx context.Context, provider Resource) (*Cluster, error)
	Machine Machine
	// IDs are the ids of resources in a cloud, Dropped the resources that were not created, by URN or by name.
	IDs     map[string]string
	Dropped []string
	// Force removes a lock whose holder may still run.
	Force bool
	// Backup is the folder for a copy of the state.
	Backup string
	// Log receives a line for each step.
	Log func(format string, args ...any)

	clusters map[string]*Cluster
}

// Look returns what a killed command has left. It changes nothing.
func (r *Recovery) Look(ctx context.Context) (*Plan, error) {
	plan := &Plan{Stack: r.Stack, Orphans: r.Machine.Orphans()}
	r.clusters = map[string]*Cluster{}
	locks, visible, err := r.Locks(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for the state's lock: %w", err)
	}
	plan.LocksVisible = visible
	for _, lock := range locks {
		plan.add(r.lockFinding(lock))
	}
	text, err := r.CLI.Export(ctx, true)
	if err != nil {
		return nil, err
	}
	state, err := ParseState(text)
	if err != nil {
		return nil, err
	}
	pending := state.Pending()
	if len(state.Resources())+len(pending)+len(locks) == 0 {
		return nil, fmt.Errorf("stack %s has no state: nothing was deployed, `pulumi up` starts from nothing", r.Stack)
	}
	if err := r.answersFit(pending); err != nil {
		return nil, err
	}
	for _, operation := range pending {
		if err := r.lookAtOperation(ctx, plan, state, operation); err != nil {
			return nil, err
		}
	}
	for _, resource := range state.Resources() {
		if err := r.lookAtResource(ctx, plan, state, resource); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

func (r *Recovery) lockFinding(lock Lock) Finding {
	f := Finding{Action: Held, Subject: "lock", Found: "held by " + lock.String()}
	switch {
	case r.Force:
		f.Action, f.Do = Unlock, "remove it (pulumi cancel)"
	case lock.Host == r.Machine.Host() && lock.Process > 0 && !r.Machine.Runs(lock.Process):
		f.Action, f.Found, f.Do = Unlock, f.Found+"; that process has ended", "remove it (pulumi cancel)"
	case lock.Host == r.Machine.Host() && lock.Process > 0:
		f.Do = "wait until that command has ended, or end it"
	default:
		f.Do = "add --unlock when that command has ended, which cannot be seen from here"
	}
	return f
}

// answersFit checks that each given id belongs to one pending creation. When none is pending, they were used by an earlier run.
func (r *Recovery) answersFit(pending []Operation) error {
	if len(pending) == 0 {
		return nil
	}
	var names []string
	for name := range r.IDs {
		names = append(names, name)
	}
	for _, name := range append(names, r.Dropped...) {
		fits := 0
		for _, o := range pending {
			if o.Kind == creating && (o.Resource.URN() == name || o.Resource.Name() == name) {
				fits++
			}
		}
		if fits != 1 {
			return fmt.Errorf("%q names %d of the creations that are pending, and must name one: give its URN", name, fits)
		}
	}
	return nil
}

// answer returns the id that was given for a resource, and whether it was said not to exist.
func (r *Recovery) answer(resource Resource) (id string, dropped bool) {
	return cmp.Or(r.IDs[resource.URN()], r.IDs[resource.Name()]),
		slices.Contains(r.Dropped, resource.URN()) || slices.Contains(r.Dropped, resource.Name())
}

func (r *Recovery) lookAtOperation(ctx context.Context, plan *Plan, state *State, o Operation) error {
	f := Finding{Subject: o.Resource.String(), URN: o.Resource.URN()}
	if o.Kind != creating {
		f.Action, f.Found = Drop, "its "+map[string]string{"updating": "update", "deleting": "deletion"}[o.Kind]+" was not completed"
		if o.Kind != "updating" && o.Kind != "deleting" {
			f.Found = o.Kind + " it was not completed"
		}
		f.Do = "read it again (pulumi refresh)"
		plan.add(f)
		return nil
	}
	id, dropped := r.answer(o.Resource)
	switch {
	case dropped:
		f.Action, f.Found, f.Do = Drop, "its creation was not completed; --drop was given", "leave it out of the state"
	case id != "":
		f.Action, f.ID, f.Found, f.Do = Adopt, id, "its creation was not completed", "add it to the state with the given id "+id
	case o.Resource.isKubernetes():
		return r.lookAtCreatedObject(ctx, plan, state, o.Resource)
	case !o.Resource.managed():
		f.Action, f.Found, f.Do = Drop, "it exists in the state only", "leave it to the next update"
	default:
		f = createdInCloud(o.Resource, state)
	}
	plan.add(f)
	return nil
}

// createdInCloud returns what is done about a resource whose creation a cloud may have completed.
func createdInCloud(resource Resource, state *State) Finding {
	f := Finding{Subject: resource.String(), URN: resource.URN(), Found: "its creation was not completed, the cloud completes what was requested"}
	if f.ID = resource.ID(); f.ID != "" {
		f.Action, f.Found, f.Do = Adopt, "it was created when the command was killed", "add it to the state with its id "+f.ID
		return f
	}
	if f.ID = deriveID(resource, state); f.ID != "" {
		f.Action, f.Do = Adopt, fmt.Sprintf("add it to the state with the id %s, which follows from its inputs; the refresh removes it if it does not exist", f.ID)
		return f
	}
	f.Action = Ask
	form, lookUp := ImportID(resource.Type())
	if form == "" {
		form = "ID, whose form is in the section Import of its page in Pulumi's registry"
	}
	f.Do = fmt.Sprintf("look it up%s, then add --id '%s=%s', or --drop '%s' if it does not exist",
		prefixed(" with `", lookUp, "`"), resource.URN(), form, resource.URN())
	return f
}

func prefixed(before, text, after string) string {
	if text == "" {
		return ""
	}
	return before + text + after
}

func (r *Recovery) lookAtCreatedObject(ctx context.Context, plan *Plan, state *State, resource Resource) error {
	cluster, err := r.clusterOf(ctx, state, resource)
	if err != nil {
		return err
	}
	if resource.isRelease() {
		return r.lookAtCreatedRelease(ctx, plan, cluster, resource)
	}
	id, err := cluster.Find(ctx, resource)
	if err != nil {
		return err
	}
	f := Finding{Subject: resource.String(), URN: resource.URN(), ID: id}
	if id == "" {
		f.Action, f.Found, f.Do = Drop, "it was being created and does not exist", "leave it to the next update"
	} else {
		f.Action, f.Found, f.Do = Adopt, "it was being created and exists", "add it to the state with the id "+id
	}
	plan.add(f)
	return nil
}

func (r *Recovery) lookAtCreatedRelease(ctx context.Context, plan *Plan, cluster *Cluster, resource Resource) error {
	namespace, name := cluster.releaseOf(resource)
	history, err := cluster.History(ctx, namespace, name)
	if err != nil {
		return err
	}
	f := Finding{Subject: resource.String(), URN: resource.URN(), cluster: cluster, history: history}
	last := history.last()
	if last == nil {
		f.Action, f.Found, f.Do = Drop, "Helm had not begun to install it", "leave it to the next update"
		plan.add(f)
		return nil
	}
	if blocked := blockedRelease(resource, cluster, history); blocked != nil {
		plan.add(*blocked)
		if blocked.Action == Uninstall {
			f.Action, f.Found, f.Do = Drop, "it was being created", "leave it to the next update"
			plan.add(f)
			return nil
		}
	}
	f.Action, f.ID = Adopt, objectID(namespace, name)
	f.Found = fmt.Sprintf("it was being created, and revision %d is %s", last.Version, last.Info.Status)
	f.Do = "add it to the state with the id " + f.ID
	plan.add(f)
	return nil
}

// blockedRelease returns what is done about a last revision with which Helm can neither install nor upgrade, nil for none.
func blockedRelease(resource Resource, cluster *Cluster, history History) *Finding {
	last := history.last()
	f := &Finding{
		Subject: resource.String(), URN: resource.URN(), cluster: cluster, history: history,
		Found: fmt.Sprintf("revision %d is %s since %s", last.Version, last.Info.Status, last.Info.Deployed.UTC().Format(time.RFC3339)),
		until: last.Info.Deployed.Add(releaseTimeout(resource)),
	}
	switch {
	case last.Info.Status == uninstalling, last.Info.Status == pendingInstall && !history.served():
		f.Action = Uninstall
		f.Do = "delete what it has created and its revisions, so that the next update installs it again"
	case last.isPending():
		f.Action = ClearRevision
		f.Do = fmt.Sprintf("delete that revision (secret %s/%s), so that the next update upgrades the release", last.Namespace, last.Secret)
	default:
		return nil
	}
	return f
}

// defaultReleaseTimeout is that of the Kubernetes provider.
const defaultReleaseTimeout = 300 * time.Second

// releaseTimeout is how long an operation on a release may take.
func releaseTimeout(resource Resource) time.Duration {
	if seconds, err := time.ParseDuration(at(resource.Inputs(), "timeout") + "s"); err == nil && seconds > 0 {
		return seconds
	}
	return defaultReleaseTimeout
}

// lookAtResource compares a resource in the state with the cluster.
func (r *Recovery) lookAtResource(ctx context.Context, plan *Plan, state *State, resource Resource) error {
	if !resource.managed() || resource["delete"] == true || resource["pendingReplacement"] == true {
		return nil
	}
	f := Finding{Action: Refresh, Subject: resource.String(), URN: resource.URN(), Do: "read it again (pulumi refresh)"}
	if outputs, _ := resource["outputs"].(map[string]any); len(outputs) == 0 && len(resource.Inputs()) > 0 {
		f.Found = "it was added to the state and not read since"
		plan.add(f)
	}
	if !resource.isKubernetes() {
		return nil
	}
	cluster, err := r.clusterOf(ctx, state, resource)
	if err != nil {
		return err
	}
	if resource.isRelease() {
		return r.lookAtRelease(ctx, plan, cluster, resource)
	}
	id, err := cluster.Find(ctx, resource)
	if err != nil {
		return err
	}
	if id == "" {
		f.Found = "it is in the state and does not exist"
		plan.add(f)
	}
	return nil
}

func (r *Recovery) lookAtRelease(ctx context.Context, plan *Plan, cluster *Cluster, resource Resource) error {
	namespace, name := cluster.releaseOf(resource)
	history, err := cluster.History(ctx, namespace, name)
	if err != nil {
		return err
	}
	f := Finding{Action: Refresh, Subject: resource.String(), URN: resource.URN(), Do: "read it again (pulumi refresh)"}
	if len(history) == 0 {
		f.Found = "it is in the state and not installed"
		plan.add(f)
		return nil
	}
	if blocked := blockedRelease(resource, cluster, history); blocked != nil {
		plan.add(*blocked)
		return nil
	}
	values, stored := resource.Inputs()["values"].(map[string]any)
	if _, files := resource.Inputs()["valueYamlFiles"]; !stored || files {
		return nil // the next update upgrades it, or its values are not those in the state alone
	}
	last, current := history.last(), history.deployed()
	if current == nil {
		current = last
	}
	same, err := sameValues(values, current.Config)
	if err != nil {
		return err
	}
	version := at(resource.Inputs(), "version")
	initErrors, _ := resource["initErrors"].([]any)
	switch {
	case last.Info.Status == failed && len(initErrors) == 0:
		f.Action, f.Found = Upgrade, fmt.Sprintf("revision %d failed", last.Version)
		f.Do = "make the next update upgrade it, also when the program is unchanged"
	case !same:
		f.release = true
		f.Found = fmt.Sprintf("revision %d, which is in the cluster, has other values than the state", current.Version)
	case version != "" && version != current.Chart.Metadata.Version:
		f.release = true
		f.Found = fmt.Sprintf("revision %d, which is in the cluster, is of version %s of the chart, and the state has %s", current.Version,
			current.Chart.Metadata.Version, version)
	default:
		return nil
	}
	plan.add(f)
	return nil
}

// clusterOf connects to the cluster of a resource, once for each provider.
func (r *Recovery) clusterOf(ctx context.Context, state *State, resource Resource) (*Cluster, error) {
	urn := resource.Provider()
	if cluster := r.clusters[urn]; cluster != nil {
		return cluster, nil
	}
	provider := state.Find(urn)
	if provider == nil {
		return nil, fmt.Errorf("the state lacks the provider of %s", resource)
	}
	cluster, err := r.Connect(ctx, provider)
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w; run this again when the cluster answers, and when it is gone for good: "+
			"PULUMI_K8S_DELETE_UNREACHABLE=true pulumi destroy --refresh", resource, err)
	}
	r.clusters[urn] = cluster
	return cluster, nil
}
