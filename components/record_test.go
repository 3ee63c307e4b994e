package components

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const providerName = "the-cluster"

// registration is one resource as the engine was asked to register it.
type registration struct {
	Type, Name    string
	Inputs        resource.PropertyMap
	Provider      string
	Parent        string
	Dependencies  []string
	IgnoreChanges []string
	// CreateTimeout, UpdateTimeout and DeleteTimeout are empty for the provider's own.
	CreateTimeout, UpdateTimeout, DeleteTimeout string
}

// record is what a program registered. It answers every registration with its inputs.
type record struct {
	mu            sync.Mutex
	registrations []registration
}

func (r *record) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reg := registration{Type: args.TypeToken, Name: args.Name, Inputs: args.Inputs, Provider: args.Provider}
	if rpc := args.RegisterRPC; rpc != nil {
		reg.Parent = rpc.GetParent()
		reg.Dependencies = rpc.GetDependencies()
		reg.IgnoreChanges = rpc.GetIgnoreChanges()
		timeouts := rpc.GetCustomTimeouts()
		reg.CreateTimeout, reg.UpdateTimeout, reg.DeleteTimeout = timeouts.GetCreate(), timeouts.GetUpdate(), timeouts.GetDelete()
	}
	r.registrations = append(r.registrations, reg)
	return args.Name + "-id", args.Inputs, nil
}

func (r *record) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return resource.PropertyMap{}, nil
}

// run runs a program with a Kubernetes provider and returns what it registered.
func run(t *testing.T, program func(ctx *pulumi.Context, provider pulumi.ResourceOption) error) *record {
	t.Helper()
	r, err := tryRun(program)
	require.NoError(t, err)
	return r
}

func tryRun(program func(ctx *pulumi.Context, provider pulumi.ResourceOption) error) (*record, error) {
	r := &record{}
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		provider, err := kubernetes.NewProvider(ctx, providerName, &kubernetes.ProviderArgs{})
		if err != nil {
			return err
		}
		return program(ctx, pulumi.Provider(provider))
	}, pulumi.WithMocks("project", "stack", r))
	return r, err
}

// anchor registers a resource for others to depend on.
func anchor(ctx *pulumi.Context, name string, provider pulumi.ResourceOption) (pulumi.Resource, error) {
	return corev1.NewConfigMap(ctx, name, &corev1.ConfigMapArgs{
		Metadata: metav1.ObjectMetaArgs{Name: pulumi.String(name)},
	}, provider)
}

// get is the one registration of a type and name.
func (r *record) get(t *testing.T, typ, name string) registration {
	t.Helper()
	var found []registration
	for _, reg := range r.registrations {
		if reg.Type == typ && reg.Name == name {
			found = append(found, reg)
		}
	}
	require.Len(t, found, 1, "registrations of %s %q among %v", typ, name, r.names())
	return found[0]
}

// has reports whether anything of a type and name was registered.
func (r *record) has(typ, name string) bool {
	return slices.ContainsFunc(r.registrations, func(reg registration) bool { return reg.Type == typ && reg.Name == name })
}

func (r *record) names() []string {
	var names []string
	for _, reg := range r.registrations {
		names = append(names, reg.Type+"::"+reg.Name)
	}
	slices.Sort(names)
	return names
}

// children are the type and name of everything registered below a parent of the given type.
func (r *record) children(parentType string) []string {
	var names []string
	for _, reg := range r.registrations {
		if strings.Contains(reg.Parent, parentType+"::") {
			names = append(names, reg.Type+"::"+reg.Name)
		}
	}
	slices.Sort(names)
	return names
}

// assertChildrenOf checks that everything but the component, the provider and the anchors is a
// child of the component and uses the given provider: with default providers switched off, one
// without would fail.
func (r *record) assertChildrenOf(t *testing.T, componentType string) {
	t.Helper()
	checked := 0
	for _, reg := range r.registrations {
		if reg.Type == componentType || strings.HasPrefix(reg.Type, "pulumi:") || reg.Type == "kubernetes:core/v1:ConfigMap" {
			continue
		}
		checked++
		assert.Contains(t, reg.Parent, componentType+"::", "parent of %s %q", reg.Type, reg.Name)
		assert.Contains(t, reg.Provider, "pulumi:providers:kubernetes::"+providerName+"::", "provider of %s %q", reg.Type, reg.Name)
	}
	assert.NotZero(t, checked, "nothing registered below %s", componentType)
}

// dependsOn reports whether the registration waits for a resource of the given type and name.
func (reg registration) dependsOn(typ, name string) bool {
	return slices.ContainsFunc(reg.Dependencies, func(urn string) bool {
		return strings.HasSuffix(urn, typ+"::"+name)
	})
}

// decode reads the inputs as the upstream type of the object; an unknown field fails the test.
func decode[T any](t *testing.T, reg registration) T {
	t.Helper()
	text, err := json.Marshal(reveal(reg.Inputs).Mappable())
	require.NoError(t, err)
	var object T
	require.NoError(t, yaml.UnmarshalStrict(text, &object), "%s %q as the upstream type: %s", reg.Type, reg.Name, text)
	return object
}

// plain is the inputs as maps and lists, without the mark of secrets.
func plain(reg registration) map[string]any { return reveal(reg.Inputs).Mappable() }

func reveal(properties resource.PropertyMap) resource.PropertyMap {
	revealed := resource.PropertyMap{}
	for key, value := range properties {
		revealed[key] = revealValue(value)
	}
	return revealed
}

func revealValue(value resource.PropertyValue) resource.PropertyValue {
	switch {
	case value.IsSecret():
		return revealValue(value.SecretValue().Element)
	case value.IsObject():
		return resource.NewProperty(reveal(value.ObjectValue()))
	case value.IsArray():
		var values []resource.PropertyValue
		for _, element := range value.ArrayValue() {
			values = append(values, revealValue(element))
		}
		return resource.NewProperty(values)
	default:
		return value
	}
}

// path walks into nested maps.
func path(t *testing.T, values map[string]any, keys ...string) any {
	t.Helper()
	var current any = values
	for _, key := range keys {
		nested, ok := current.(map[string]any)
		require.True(t, ok, "%s: no map above %q in %v", strings.Join(keys, "."), key, values)
		current, ok = nested[key]
		require.True(t, ok, "%s: no key %q in %v", strings.Join(keys, "."), key, nested)
	}
	return current
}
