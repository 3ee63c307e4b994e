package recover

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
)

// manifest is what a release of the tests creates, and one object that is somebody else's.
const manifest = `# Source: kps/templates/config.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: rules}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: theirs, namespace: monitoring}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, namespace: monitoring}
---
apiVersion: unknown.example.com/v1
kind: Unknown
metadata: {name: gone}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.custom.metrics.k8s.io}
`

func kept() object {
	annotations := ofRelease("kps")
	annotations["helm.sh/resource-policy"] = "keep"
	return annotations
}

// found lists action, subject and id of what a plan has.
func found(plan *Plan) []string {
	var all []string
	for _, f := range plan.Findings {
		all = append(all, strings.TrimSpace(string(f.Action)+" "+f.Subject+" "+f.ID))
	}
	return all
}

// ids lists the names and ids of the resources in a state.
func ids(t *testing.T, text []byte) []string {
	t.Helper()
	state, err := ParseState(text)
	require.NoError(t, err)
	var all []string
	for _, r := range state.Resources()[1:] {
		all = append(all, r.Name()+"="+r.ID())
	}
	return all
}

func TestRecover(t *testing.T) {
	old, next := object{"retention": "7d"}, object{"retention": "3d"}
	for name, test := range map[string]struct {
		resources, pending []any
		cluster            []*unstructured.Unstructured
		refresh            func(*State)
		want               []string // what is found
		calls              []string
		state              []string // what is in the state afterwards
		after              func(*testing.T, *Cluster, *State)
	}{
		"nothing": {
			resources: []any{inState(deploymentResource("vllm"), "vllm/vllm"), inState(kps(old), "monitoring/kps")},
			cluster:   []*unstructured.Unstructured{live("apps/v1", "Deployment", "vllm", "vllm", nil), revision(t, 1, deployed, old, "")},
			state:     []string{"vllm=vllm/vllm", "kps=monitoring/kps"},
		},
		"created objects are adopted": {
			pending: []any{
				creation(deploymentResource("vllm")),
				creation(resourceOf("kubernetes:core/v1:Namespace", "vllm-ns", object{"metadata": object{"name": "vllm"}})),
				creation(resourceOf("kubernetes:apiregistration.k8s.io/v1:APIService", "api", object{"metadata": object{"name": "v1beta1.custom.metrics.k8s.io"}})),
			},
			cluster: []*unstructured.Unstructured{
				live("apps/v1", "Deployment", "vllm", "vllm", nil), live("v1", "Namespace", "", "vllm", nil),
				live("apiregistration.k8s.io/v1", "APIService", "", "v1beta1.custom.metrics.k8s.io", nil),
			},
			want:  []string{"adopt Deployment vllm vllm/vllm", "adopt Namespace vllm-ns vllm", "adopt APIService api v1beta1.custom.metrics.k8s.io"},
			calls: []string{"import", "refresh"},
			state: []string{"vllm=vllm/vllm", "vllm-ns=vllm", "api=v1beta1.custom.metrics.k8s.io"},
		},
		"objects that were not created are dropped": {
			pending: []any{
				creation(deploymentResource("vllm")),
				creation(resourceOf("kubernetes:monitoring.coreos.com/v1:ServiceMonitor", "monitor", metadata("vllm", "vllm"))),
				creation(kps(old)),
				creation(resourceOf("pulumi:providers:gcp", "gcp", nil)),
			},
			want:  []string{"drop Deployment vllm", "drop ServiceMonitor monitor", "drop Release kps", "drop gcp gcp"},
			calls: []string{"import", "refresh"},
		},
		"an install that was killed is undone": {
			pending: []any{creation(kps(old))},
			cluster: []*unstructured.Unstructured{
				revision(t, 1, pendingInstall, old, manifest),
				live("v1", "ConfigMap", "monitoring", "rules", ofRelease("kps")),
				live("v1", "ConfigMap", "monitoring", "theirs", ofRelease("another")),
				live("v1", "ConfigMap", "monitoring", "kept", kept()),
				live("apiregistration.k8s.io/v1", "APIService", "", "v1beta1.custom.metrics.k8s.io", ofRelease("kps")),
			},
			want:  []string{"uninstall Release kps", "drop Release kps"},
			calls: []string{"import", "refresh"},
			after: func(t *testing.T, c *Cluster, _ *State) {
				assert.Equal(t, []string{"kept", "theirs"}, c.names(t, configMaps, "monitoring"))
				assert.Empty(t, c.names(t, apiServices, ""))
				assert.Empty(t, c.names(t, secrets, "monitoring"), "Helm can install it again")
			},
		},
		"an install that the plugin completed is adopted": {
			pending: []any{creation(kps(old))},
			cluster: []*unstructured.Unstructured{revision(t, 1, deployed, old, manifest)},
			want:    []string{"adopt Release kps monitoring/kps"},
			calls:   []string{"import", "refresh"},
			state:   []string{"kps=monitoring/kps"},
		},
		"an upgrade that was killed": {
			resources: []any{inState(kps(old), "monitoring/kps")},
			pending:   []any{object{"type": "updating", "resource": inState(kps(next), "monitoring/kps")}},
			cluster: []*unstructured.Unstructured{
				revision(t, 1, deployed, old, manifest), revision(t, 2, pendingUpgrade, next, manifest),
				live("v1", "ConfigMap", "monitoring", "rules", ofRelease("kps")),
			},
			want:  []string{"drop Release kps", "clear Release kps"},
			calls: []string{"import", "refresh"},
			state: []string{"kps=monitoring/kps"},
			after: func(t *testing.T, c *Cluster, _ *State) {
				assert.Equal(t, []string{"sh.helm.release.v1.kps.v1"}, c.names(t, secrets, "monitoring"))
				assert.Equal(t, []string{"rules"}, c.names(t, configMaps, "monitoring"), "what serves stays")
			},
		},
		"an upgrade that was killed and read by a refresh": {
			resources: []any{inState(kps(next), "monitoring/kps")},
			cluster:   []*unstructured.Unstructured{revision(t, 1, deployed, old, ""), revision(t, 2, pendingUpgrade, next, "")},
			want:      []string{"clear Release kps"},
			// The refresh leaves the values in the state that the cluster never got: the next update must not find it unchanged.
			calls: []string{"refresh", "import"},
			state: []string{"kps=monitoring/kps"},
			after: func(t *testing.T, _ *Cluster, s *State) {
				assert.NotContains(t, s.Find(urnOf(releaseType, "kps")).Inputs(), "values")
			},
		},
		"other values than the deployed ones": {
			resources: []any{inState(kps(next), "monitoring/kps")},
			cluster:   []*unstructured.Unstructured{revision(t, 1, deployed, old, "")},
			refresh:   func(s *State) { s.Find(urnOf(releaseType, "kps")).Inputs()["ignored"] = true },
			want:      []string{"refresh Release kps"},
			calls:     []string{"refresh", "import"},
			state:     []string{"kps=monitoring/kps"},
			after: func(t *testing.T, _ *Cluster, s *State) {
				assert.NotContains(t, s.Find(urnOf(releaseType, "kps")).Inputs(), "values")
			},
		},
		"an upgrade that failed": {
			resources: []any{inState(kps(next), "monitoring/kps")},
			cluster:   []*unstructured.Unstructured{revision(t, 1, deployed, next, ""), revision(t, 2, failed, next, "")},
			want:      []string{"upgrade Release kps"},
			calls:     []string{"import", "refresh"},
			state:     []string{"kps=monitoring/kps"},
		},
		"an upgrade of an install that had failed": {
			resources: []any{inState(kps(next), "monitoring/kps")},
			cluster: []*unstructured.Unstructured{
				revision(t, 1, failed, old, manifest), revision(t, 2, pendingUpgrade, next, manifest),
				live("v1", "ConfigMap", "monitoring", "rules", ofRelease("kps")),
			},
			want:  []string{"clear Release kps"},
			calls: []string{"refresh", "import"},
			state: []string{"kps=monitoring/kps"},
			after: func(t *testing.T, c *Cluster, s *State) {
				assert.Equal(t, []string{"rules"}, c.names(t, configMaps, "monitoring"), "it may serve although Helm gave up waiting for it")
				assert.NotContains(t, s.Find(urnOf(releaseType, "kps")).Inputs(), "values")
			},
		},
		"an upgrade that the plugin completed": {
			resources: []any{inState(kps(old), "monitoring/kps")},
			pending:   []any{object{"type": "updating", "resource": inState(kps(next), "monitoring/kps")}},
			cluster:   []*unstructured.Unstructured{revision(t, 1, superseded, old, ""), revision(t, 2, deployed, next, "")},
			refresh: func(s *State) {
				s.Find(urnOf(releaseType, "kps"))["inputs"].(object)["values"] = next
			},
			want:  []string{"drop Release kps", "refresh Release kps"},
			calls: []string{"import", "refresh"},
			state: []string{"kps=monitoring/kps"},
		},
		"a rollback that was killed": {
			resources: []any{inState(kps(old), "monitoring/kps")},
			cluster: []*unstructured.Unstructured{
				revision(t, 1, superseded, old, ""), revision(t, 2, deployed, old, ""), revision(t, 3, pendingRollback, old, ""),
			},
			want:  []string{"clear Release kps"},
			calls: []string{"refresh"},
			state: []string{"kps=monitoring/kps"},
		},
		"an uninstall that was killed": {
			resources: []any{inState(kps(old), "monitoring/kps")},
			pending:   []any{object{"type": "deleting", "resource": inState(kps(old), "monitoring/kps")}},
			cluster: []*unstructured.Unstructured{
				revision(t, 1, uninstalling, old, manifest), live("v1", "ConfigMap", "monitoring", "rules", ofRelease("kps")),
			},
			refresh: func(s *State) { s.deployment["resources"] = s.deployment["resources"].([]any)[:1] },
			want:    []string{"drop Release kps", "uninstall Release kps"},
			calls:   []string{"import", "refresh"},
			after: func(t *testing.T, c *Cluster, _ *State) {
				assert.Empty(t, c.names(t, configMaps, "monitoring"))
			},
		},
		"an object that somebody deleted": {
			resources: []any{inState(deploymentResource("vllm"), "vllm/vllm")},
			refresh:   func(s *State) { s.deployment["resources"] = s.deployment["resources"].([]any)[:1] },
			want:      []string{"refresh Deployment vllm"},
			calls:     []string{"refresh"},
		},
		"a replacement whose old object is deleted": {
			resources: []any{object{"urn": urnOf("kubernetes:apps/v1:Deployment", "vllm"), "type": "kubernetes:apps/v1:Deployment", "custom": true,
				"id": "vllm/vllm", "inputs": metadata("vllm", "vllm"), "pendingReplacement": true, "provider": providerURN + "::1234"}},
			pending: []any{creation(deploymentResource("vllm"))},
			cluster: []*unstructured.Unstructured{live("apps/v1", "Deployment", "vllm", "vllm", nil)},
			want:    []string{"adopt Deployment vllm vllm/vllm"},
			calls:   []string{"import", "refresh"},
			state:   []string{"vllm=vllm/vllm"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cli := &fakeCLI{state: exported(t, test.resources, test.pending...), refresh: test.refresh}
			cluster := fakeCluster(test.cluster...)
			r := newRecovery(t, cli, cluster)
			before := string(cli.state)
			plan, err := r.Look(t.Context())
			require.NoError(t, err)
			assert.Equal(t, test.want, found(plan))
			assert.Empty(t, cli.calls, "looking changes nothing")
			if len(plan.Findings) > 0 {
				plan, err = r.Apply(t.Context(), plan)
				require.NoError(t, err)
				assert.Empty(t, found(plan), "nothing is left")
				backups, err := filepath.Glob(filepath.Join(r.Backup, "local-*.json"))
				require.NoError(t, err)
				require.Len(t, backups, 1)
				content, err := os.ReadFile(backups[0])
				require.NoError(t, err)
				assert.Equal(t, before, string(content))
				info, err := os.Stat(backups[0])
				require.NoError(t, err)
				assert.EqualValues(t, 0o600, info.Mode())
			}
			assert.Equal(t, test.calls, cli.calls)
			assert.Equal(t, test.state, ids(t, cli.state))
			state, err := ParseState(cli.state)
			require.NoError(t, err)
			assert.Empty(t, state.Pending())
			assert.Contains(t, string(cli.state), "12345678901234567890", "fields that are not used survive")
			if test.after != nil {
				test.after(t, cluster, state)
			}
		})
	}
}

func TestLocks(t *testing.T) {
	lock := Lock{Process: 17, User: "ci", Host: "here", Since: time.Unix(0, 0)}
	elsewhere := lock
	elsewhere.Host = "runner-4"
	for name, test := range map[string]struct {
		lock    Lock
		machine fakeMachine
		force   bool
		want    Action
		do      string
	}{
		"of a process that has ended":         {lock, fakeMachine{}, false, Unlock, "pulumi cancel"},
		"of a process that runs":              {lock, fakeMachine{running: []int{17}}, false, Held, "wait until"},
		"of another machine":                  {elsewhere, fakeMachine{}, false, Held, "--unlock"},
		"of another machine, told":            {elsewhere, fakeMachine{}, true, Unlock, "pulumi cancel"},
		"of a process that runs, told":        {lock, fakeMachine{running: []int{17}}, true, Unlock, "pulumi cancel"},
		"whose file was written only in part": {Lock{Host: "an unknown host"}, fakeMachine{}, false, Held, "--unlock"},
	} {
		t.Run(name, func(t *testing.T) {
			cli := &fakeCLI{state: exported(t, nil)}
			r := newRecovery(t, cli, fakeCluster())
			r.Machine, r.Force = test.machine, test.force
			r.Locks = func(context.Context) ([]Lock, bool, error) {
				if len(cli.calls) > 0 {
					return nil, true, nil
				}
				return []Lock{test.lock}, true, nil
			}
			plan, err := r.Look(t.Context())
			require.NoError(t, err)
			require.Len(t, plan.Findings, 1)
			assert.Equal(t, test.want, plan.Findings[0].Action)
			assert.Contains(t, plan.Findings[0].Do, test.do)
			plan, err = r.Apply(t.Context(), plan)
			if test.want == Held {
				require.ErrorIs(t, err, ErrBlocked)
				assert.Empty(t, cli.calls)
				return
			}
			require.NoError(t, err)
			assert.Empty(t, plan.Findings)
			assert.Equal(t, []string{"unlock", "refresh"}, cli.calls)
		})
	}
}

func TestBadInput(t *testing.T) {
	export := func(text string) *fakeCLI { return &fakeCLI{state: []byte(text)} }
	unreachable := errors.New("the cluster at https://127.0.0.1:1 does not answer")
	for name, test := range map[string]struct {
		cli     *fakeCLI
		connect error
		ids     map[string]string
		want    string
	}{
		"no such stack":         {&fakeCLI{fail: map[string]error{"export": errors.New("no stack named 'local' found")}}, nil, nil, "no stack named 'local' found"},
		"no state":              {export(`{"version": 3, "deployment": {}}`), nil, nil, "stack local has no state"},
		"an empty export":       {export(`{"version": 3, "deployment": null}`), nil, nil, "stack local has no state"},
		"a newer state":         {export(`{"version": 5, "deployment": {}}`), nil, nil, `the state has version "5"`},
		"no state at all":       {export(`nonsense`), nil, nil, "not a JSON object"},
		"unreachable":           {&fakeCLI{state: exported(t, nil, creation(deploymentResource("vllm")))}, unreachable, nil, "PULUMI_K8S_DELETE_UNREACHABLE=true pulumi destroy --refresh"},
		"an id for nothing":     {&fakeCLI{state: exported(t, nil, creation(deploymentResource("vllm")))}, nil, map[string]string{"vlm": "x"}, `"vlm" names 0`},
		"a release that is not": {&fakeCLI{state: exported(t, []any{inState(kps(nil), "monitoring/kps")})}, nil, nil, "is no revision of a Helm release"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := revision(t, 1, deployed, nil, "")
			bad.Object["data"] = object{"release": "bm9uc2Vuc2U="}
			r := newRecovery(t, test.cli, fakeCluster(bad))
			r.IDs = test.ids
			if test.connect != nil {
				r.Connect = func(context.Context, Resource) (*Cluster, error) { return nil, test.connect }
			}
			_, err := r.Look(t.Context())
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestLockedWhileMending(t *testing.T) {
	locked := errors.New("pulumi stack import: error: the stack is currently locked by 1 lock(s)")
	cli := &fakeCLI{state: exported(t, nil, creation(deploymentResource("vllm"))), fail: map[string]error{"import": locked}}
	r := newRecovery(t, cli, fakeCluster())
	r.Locks = func(context.Context) ([]Lock, bool, error) { return nil, false, nil }
	plan, err := r.Look(t.Context())
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, plan.Text(&text))
	assert.Contains(t, text.String(), "does not let a lock be seen")
	_, err = r.Apply(t.Context(), plan)
	require.ErrorContains(t, err, "add --unlock")
	cli.fail = nil
	r.Force = true
	_, err = r.Apply(t.Context(), plan)
	require.NoError(t, err)
	assert.Equal(t, []string{"import", "unlock", "import", "refresh"}, cli.calls)
}

// A plugin that was left on the machine may complete the install: it is waited for.
func TestOrphansAreWaitedFor(t *testing.T) {
	values := object{"retention": "7d"}
	cli := &fakeCLI{state: exported(t, nil, creation(kps(values)))}
	pending, done := fakeCluster(revision(t, 1, pendingInstall, values, manifest)), fakeCluster(revision(t, 1, deployed, values, manifest))
	r := newRecovery(t, cli, nil)
	looks := 0
	r.Connect = func(context.Context, Resource) (*Cluster, error) {
		if looks++; looks < 3 {
			return pending, nil
		}
		return done, nil
	}
	r.Machine = fakeMachine{orphans: []int{99}}
	plan, err := r.Look(t.Context())
	require.NoError(t, err)
	plan, err = r.Apply(t.Context(), plan)
	require.NoError(t, err)
	assert.Empty(t, found(plan))
	assert.Equal(t, []string{"kps=monitoring/kps"}, ids(t, cli.state))
	assert.NotEmpty(t, pending.names(t, secrets, "monitoring"), "nothing was undone")
}

func TestSecrets(t *testing.T) {
	secret := func(key, value string) object { return object{signatureKey: secretSignature, key: value} }
	resource := Resource{"inputs": object{"values": object{
		"plain": "a", "list": []any{secret("plaintext", `{"b": [1]}`)}, "hidden": secret("ciphertext", "v1:abc"),
	}}}
	values := resource.Inputs()["values"].(object)
	assert.Nil(t, values["hidden"])
	same, err := sameValues(object{"plain": "a", "list": []any{object{"b": []any{1.0}}}}, values)
	require.NoError(t, err)
	assert.True(t, same)
}

func TestSameValues(t *testing.T) {
	for name, test := range map[string]struct {
		a, b object
		want bool
	}{
		"none":            {nil, object{}, true},
		"numbers":         {object{"a": 1}, object{"a": 1.0}, true},
		"a null":          {object{"a": nil, "b": object{"c": nil}}, object{"b": object{}}, true},
		"another value":   {object{"a": 1}, object{"a": 2}, false},
		"one more":        {object{"a": 1}, object{"a": 1, "b": 1}, false},
		"order of a list": {object{"a": []any{1, 2}}, object{"a": []any{2, 1}}, false},
		"nulls of a list": {object{"a": []any{object{"b": nil}}}, object{"a": []any{object{}}}, true},
	} {
		same, err := sameValues(test.a, test.b)
		require.NoError(t, err, name)
		assert.Equal(t, test.want, same, name)
	}
}

func TestBackendFolder(t *testing.T) {
	home, err := os.UserHomeDir()
	require.NoError(t, err)
	for backend, want := range map[string]string{
		"file:///srv/state?metadata=skip": "/srv/state/.pulumi",
		"file://~":                        filepath.Join(home, ".pulumi"),
		"file://~/state":                  filepath.Join(home, "state", ".pulumi"),
		"gs://bucket":                     "",
		"https://api.pulumi.com":          "",
	} {
		folder, err := backendFolder(backend)
		require.NoError(t, err)
		assert.Equal(t, want, folder, backend)
	}
}
