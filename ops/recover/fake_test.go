package recover

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
)

// object is a part of a state or of an object of the cluster.
type object = map[string]any

const (
	urnPrefix   = "urn:pulumi:local::vllm-autoscaling::"
	providerURN = urnPrefix + "pulumi:providers:kubernetes::cluster"
)

func urnOf(typ, name string) string { return urnPrefix + typ + "::" + name }

// resourceOf returns a resource that is being created; inputs of an object have its name and namespace.
func resourceOf(typ, name string, inputs object) object {
	return object{"urn": urnOf(typ, name), "type": typ, "custom": true, "inputs": inputs, "provider": providerURN + "::1234"}
}

// inState returns the same resource as it is after its creation.
func inState(resource object, id string) object {
	resource["id"], resource["outputs"] = id, object{"done": true}
	return resource
}

func metadata(namespace, name string) object {
	return object{"metadata": object{"namespace": namespace, "name": name}}
}

func deploymentResource(name string) object {
	return resourceOf("kubernetes:apps/v1:Deployment", name, metadata("vllm", name))
}

func kps(values object) object {
	return resourceOf(releaseType, "kps", object{"name": "kps", "namespace": "monitoring", "values": values, "version": "88.5.3", "timeout": 600})
}

func provider() object {
	return object{"urn": providerURN, "type": "pulumi:providers:kubernetes", "custom": true, "id": "1234", "inputs": object{"kubeconfig": "unused"}}
}

func creation(resource object) object { return object{"type": "creating", "resource": resource} }

// exported returns a state with resources and pending operations, and a field that this package does not use.
func exported(t *testing.T, resources []any, pending ...any) []byte {
	t.Helper()
	deployment := object{"manifest": object{"version": "v3.250.0"}, "resources": append([]any{provider()}, resources...)}
	if len(pending) > 0 {
		deployment["pending_operations"] = pending
	}
	text, err := json.Marshal(object{"version": 3, "deployment": deployment, "later": json.RawMessage("12345678901234567890")})
	require.NoError(t, err)
	return text
}

// fakeCLI keeps a state in memory.
type fakeCLI struct {
	state   []byte
	calls   []string
	refresh func(*State) // what a refresh does to the state
	fail    map[string]error
}

func (f *fakeCLI) call(name string) error {
	f.calls = append(f.calls, name)
	return f.fail[name]
}

func (f *fakeCLI) Export(context.Context, bool) ([]byte, error) { return f.state, f.fail["export"] }

func (f *fakeCLI) Import(_ context.Context, state []byte) error {
	f.state = state
	return f.call("import")
}

func (f *fakeCLI) Unlock(context.Context) error { return f.call("unlock") }

func (f *fakeCLI) Backend(context.Context) (string, error) { return "file:///state", nil }

// Refresh gives every resource outputs, as a provider that finds it.
func (f *fakeCLI) Refresh(context.Context) error {
	state, err := ParseState(f.state)
	if err != nil {
		return err
	}
	for _, r := range state.Resources() {
		if r["outputs"] == nil {
			r["outputs"] = object{"done": true}
		}
	}
	if f.refresh != nil {
		f.refresh(state)
	}
	if f.state, err = state.Bytes(); err != nil {
		return err
	}
	return f.call("refresh")
}

// fakeMachine is a machine with the given processes.
type fakeMachine struct {
	running, orphans []int
}

func (fakeMachine) Host() string { return "here" }

func (m fakeMachine) Runs(process int) bool {
	for _, p := range m.running {
		if p == process {
			return true
		}
	}
	return false
}

func (m fakeMachine) Orphans() []int { return m.orphans }

// live returns an object of the cluster.
func live(apiVersion, kind, namespace, name string, annotations object) *unstructured.Unstructured {
	meta := object{"name": name}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	if annotations != nil {
		meta["annotations"] = annotations
	}
	return &unstructured.Unstructured{Object: object{"apiVersion": apiVersion, "kind": kind, "metadata": meta}}
}

// ofRelease are the annotations with which Helm marks an object as that of a release.
func ofRelease(name string) object {
	return object{"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": "monitoring"}
}

// revision returns the Secret of a revision of kps.
func revision(t *testing.T, version int, status string, values object, manifest string) *unstructured.Unstructured {
	t.Helper()
	text, err := json.Marshal(object{
		"name": "kps", "namespace": "monitoring", "version": version, "config": values, "manifest": manifest,
		"info":  object{"status": status, "last_deployed": time.Now().Format(time.RFC3339Nano)},
		"chart": object{"metadata": object{"name": "kube-prometheus-stack", "version": "88.5.3"}},
	})
	require.NoError(t, err)
	var compressed bytes.Buffer
	writer := gzip.NewWriter(&compressed)
	_, err = writer.Write(text)
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	stored := base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(compressed.Bytes())))
	secret := live("v1", "Secret", "monitoring", fmt.Sprintf("sh.helm.release.v1.kps.v%d", version), nil)
	secret.SetLabels(map[string]string{"owner": "helm", "name": "kps", "status": status})
	secret.Object["data"] = object{"release": stored}
	return secret
}

// fakeCluster returns a cluster with the objects.
func fakeCluster(objects ...*unstructured.Unstructured) *Cluster {
	mapper := meta.NewDefaultRESTMapper(nil)
	lists := map[schema.GroupVersionResource]string{}
	for _, kind := range []struct {
		version, kind, plural string
		scope                 meta.RESTScope
	}{
		{"v1", "Namespace", "namespaces", meta.RESTScopeRoot},
		{"v1", "Secret", "secrets", meta.RESTScopeNamespace},
		{"v1", "ConfigMap", "configmaps", meta.RESTScopeNamespace},
		{"apps/v1", "Deployment", "deployments", meta.RESTScopeNamespace},
		{"apiregistration.k8s.io/v1", "APIService", "apiservices", meta.RESTScopeRoot},
	} {
		gv, _ := schema.ParseGroupVersion(kind.version)
		mapper.AddSpecific(gv.WithKind(kind.kind), gv.WithResource(kind.plural), gv.WithResource(kind.plural), kind.scope)
		lists[gv.WithResource(kind.plural)] = kind.kind + "List"
	}
	scheme := runtime.NewScheme()
	var all []runtime.Object
	for _, o := range objects {
		all = append(all, o)
	}
	return &Cluster{objects: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(scheme, lists, all...), kinds: mapper}
}

// names lists the objects of a kind in the cluster.
func (c *Cluster) names(t *testing.T, resource schema.GroupVersionResource, namespace string) []string {
	t.Helper()
	list, err := c.objects.Resource(resource).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	var names []string
	for _, item := range list.Items {
		names = append(names, item.GetName())
	}
	return names
}

// newRecovery returns a recovery of a state and a cluster without a lock.
func newRecovery(t *testing.T, cli *fakeCLI, cluster *Cluster) *Recovery {
	t.Helper()
	return &Recovery{
		Stack: "local", CLI: cli, Machine: fakeMachine{}, Backup: t.TempDir(), Log: t.Logf,
		Locks:   func(context.Context) ([]Lock, bool, error) { return nil, true, nil },
		Connect: func(context.Context, Resource) (*Cluster, error) { return cluster, nil },
	}
}
