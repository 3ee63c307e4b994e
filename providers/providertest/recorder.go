// Package providertest records what a program registers and looks up, for the tests of the clouds' packages.
package providertest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

// Registration is one registered resource, as the engine sees it.
type Registration struct {
	// Type and Name are the resource's.
	Type, Name string
	// Inputs are the resource's.
	Inputs resource.PropertyMap
	// Args is the whole request.
	Args pulumi.MockResourceArgs
}

// Field returns an input by its path, in plain values; nil where there is none.
func (r Registration) Field(path string) any {
	properties, err := resource.ParsePropertyPath(path)
	if err != nil {
		panic(err)
	}
	value, ok := properties.Get(resource.NewProperty(r.Inputs))
	if !ok {
		return nil
	}
	return value.Mappable()
}

// Plain returns the inputs as maps and lists, without the mark of secrets.
func (r Registration) Plain() map[string]any {
	revealed := resource.PropertyMap{}
	for key, value := range r.Inputs {
		if value.IsSecret() {
			value = value.SecretValue().Element
		}
		revealed[key] = value
	}
	return revealed.Mappable()
}

// Parent returns the URN of the parent.
func (r Registration) Parent() string { return r.Args.RegisterRPC.GetParent() }

// Dependencies returns the URNs of what the resource waits for.
func (r Registration) Dependencies() []string { return r.Args.RegisterRPC.GetDependencies() }

// DependsOn reports whether the resource waits for one of this type and name.
func (r Registration) DependsOn(typ, name string) bool { return contains(r.Dependencies(), typ, name) }

// PropertyDependsOn reports whether an input is made of a resource of this type and name.
func (r Registration) PropertyDependsOn(property, typ, name string) bool {
	return contains(r.Args.RegisterRPC.GetPropertyDependencies()[property].GetUrns(), typ, name)
}

func contains(urns []string, typ, name string) bool {
	return slices.ContainsFunc(urns, func(urn string) bool { return strings.HasSuffix(urn, typ+"::"+name) })
}

// Recorder records what a program registers and looks up, and stands for the cloud.
type Recorder struct {
	// Created returns id and outputs of a resource; id "" means the name with -id, outputs nil means the inputs.
	Created func(args pulumi.MockResourceArgs) (id string, outputs resource.PropertyMap)
	// Answer answers a look-up; nil means that there are none.
	Answer func(args pulumi.MockCallArgs) (resource.PropertyMap, error)

	// Registered and Calls are what was registered and looked up.
	Registered []Registration
	Calls      []pulumi.MockCallArgs
	// Warnings are what the program warned of.
	Warnings []string

	lock sync.Mutex
}

// NewResource records a registration.
func (r *Recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.Registered = append(r.Registered, Registration{Type: args.TypeToken, Name: args.Name, Inputs: args.Inputs, Args: args})
	id, outputs := "", resource.PropertyMap(nil)
	if r.Created != nil {
		id, outputs = r.Created(args)
	}
	if id == "" {
		id = args.Name + "-id"
	}
	if outputs == nil {
		outputs = args.Inputs
	}
	return id, outputs, nil
}

// Call records a look-up.
func (r *Recorder) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.Calls = append(r.Calls, args)
	if r.Answer == nil {
		return nil, fmt.Errorf("unexpected look-up %s %v", args.Token, args.Args)
	}
	return r.Answer(args)
}

// Run runs a program, waits for everything that it registers, and returns what came of it.
func (r *Recorder) Run(stack string, program func(ctx *pulumi.Context) (*providers.Cluster, error), options ...pulumi.RunOption,
) (cluster *providers.Cluster, err error) {
	err = pulumi.RunErr(func(ctx *pulumi.Context) error {
		var programErr error
		ctx.Log = warnings{ctx.Log, r}
		cluster, programErr = program(ctx)
		return programErr
	}, append(options, pulumi.WithMocks("vllm-autoscaling", stack, r))...)
	return cluster, err
}

// warnings is a program's log that records the warnings.
type warnings struct {
	pulumi.Log
	recorder *Recorder
}

// Warn records a warning.
func (w warnings) Warn(message string, _ *pulumi.LogArgs) error {
	w.recorder.lock.Lock()
	defer w.recorder.lock.Unlock()
	w.recorder.Warnings = append(w.recorder.Warnings, message)
	return nil
}

// One returns the only registration of a type, or of a type and a name.
func (r *Recorder) One(t *testing.T, typ string, name ...string) Registration {
	t.Helper()
	found := slices.DeleteFunc(r.All(typ), func(one Registration) bool { return len(name) > 0 && one.Name != name[0] })
	require.Len(t, found, 1, "registrations of %s %v among %v", typ, name, r.Names())
	return found[0]
}

// All returns the registrations of a type, by name.
func (r *Recorder) All(typ string) []Registration {
	var found []Registration
	for _, one := range r.Registered {
		if one.Type == typ {
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b Registration) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// NamesOf lists the names of the registrations of a type.
func (r *Recorder) NamesOf(typ string) []string {
	names := []string{}
	for _, one := range r.All(typ) {
		names = append(names, one.Name)
	}
	return names
}

// Names lists type and name of everything that was registered, sorted.
func (r *Recorder) Names() []string {
	var names []string
	for _, one := range r.Registered {
		names = append(names, one.Type+" "+one.Name)
	}
	slices.Sort(names)
	return names
}

// Called lists the tokens of what was looked up.
func (r *Recorder) Called() []string {
	var tokens []string
	for _, call := range r.Calls {
		tokens = append(tokens, call.Token)
	}
	return tokens
}

// WaitsFor reports whether a registration depends on a resource of the given type and name, itself or through others.
func (r *Recorder) WaitsFor(from Registration, typ, name string) bool {
	seen := map[string]bool{}
	var visit func(from Registration) bool
	visit = func(from Registration) bool {
		for _, urn := range from.Dependencies() {
			if strings.HasSuffix(urn, "$"+typ+"::"+name) || strings.HasSuffix(urn, "::"+typ+"::"+name) {
				return true
			}
			if seen[urn] {
				continue
			}
			seen[urn] = true
			for _, other := range r.Registered {
				if strings.HasSuffix(urn, "$"+other.Type+"::"+other.Name) && visit(other) {
					return true
				}
			}
		}
		return false
	}
	return visit(from)
}

// Added returns type and name of the resources that one program registers beside those of another, and checks that the inputs
// of all others are the same.
func Added(t *testing.T, before, after *Recorder) []string {
	t.Helper()
	inputs := map[string]map[string]any{}
	for _, one := range before.Registered {
		inputs[one.Type+" "+one.Name] = one.Plain()
	}
	var added []string
	for _, one := range after.Registered {
		name := one.Type + " " + one.Name
		same, there := inputs[name]
		if !there {
			added = append(added, name)
			continue
		}
		require.Equal(t, same, one.Plain(), "inputs of %s", name)
		delete(inputs, name)
	}
	require.Empty(t, inputs, "no longer registered")
	slices.Sort(added)
	return added
}
