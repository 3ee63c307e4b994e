package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/pkg/v3/resource/deploy/deploytest"
	"github.com/pulumi/pulumi/pkg/v3/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// caCertificate is a placeholder for a certificate, in base64.
const caCertificate = "Y2VydGlmaWNhdGU="

// cloudKind describes how a cloud handles one type of resource.
type cloudKind struct {
	// replaces are the inputs, with everything below them, that the provider cannot change in place.
	replaces []string
	// id returns the resource's id in the cloud; nil generates one from type and name.
	id func(in resource.PropertyMap) string
	// outputs returns the properties that the cloud adds to the inputs. They are unknown in the preview of a creation.
	outputs func(in resource.PropertyMap, name string) map[string]any
	// outlives reports whether the cluster must be empty when the resource is deleted.
	outlives bool
	// refuses returns the reason why the cloud refuses the inputs; nil for a kind without such rules. It is called with the lock held.
	refuses func(c *fakeCloud, in resource.PropertyMap) error
	// autonamed is the input that gets a random name when it is missing.
	autonamed resource.PropertyKey
}

// fakeCloud holds the resources of the doubles of the clouds' providers. Beside the rules of each kind it enforces one for
// all: what runs a cluster is not deleted before what runs in it.
type fakeCloud struct {
	mutex  sync.Mutex
	inside *fakeCluster
	things map[resource.ID]tokens.Type
	// inputs are those with which each was created or last changed.
	inputs  map[resource.ID]resource.PropertyMap
	created []string
	deleted []string
	// answers are the results of look-ups, by token.
	answers map[tokens.ModuleMember]func(args resource.PropertyMap) (map[string]any, error)
	// scaled are the numbers of nodes that a node autoscaler has set, by pool.
	scaled map[string]int
	// failAt makes the n-th change from now fail, counted from 1; 0 makes none fail.
	failAt int
	// failed is the node group, by its name in the program, that AWS could not create: it is there, and fails only once.
	failed string
	// destroying reports whether everything is being deleted; a pool alone may be replaced at any time.
	destroying bool
}

func newFakeCloud(inside *fakeCluster) *fakeCloud {
	c := &fakeCloud{
		inside: inside, things: map[resource.ID]tokens.Type{}, inputs: map[resource.ID]resource.PropertyMap{},
		answers: map[tokens.ModuleMember]func(resource.PropertyMap) (map[string]any, error){},
	}
	for _, double := range clouds {
		maps.Copy(c.answers, double.answers)
		for token, look := range double.looks {
			c.answers[token] = func(args resource.PropertyMap) (map[string]any, error) {
				c.mutex.Lock()
				defer c.mutex.Unlock()
				return look(c, args)
			}
		}
	}
	return c
}

// loaders returns the doubles of all clouds' providers.
func (c *fakeCloud) loaders() []*deploytest.ProviderLoader {
	var loaders []*deploytest.ProviderLoader
	for _, double := range clouds {
		loaders = append(loaders, deploytest.NewProviderLoader(double.provider, double.version, func() (plugin.Provider, error) {
			return &deploytest.Provider{
				Package: double.provider, Version: double.version, CheckF: c.check, DiffF: c.diff,
				DiffConfigF: func(_ context.Context, req plugin.DiffConfigRequest) (plugin.DiffConfigResponse, error) {
					return diffInputs(req.OldInputs, req.NewInputs, []string{"project", "region", "allowedAccountIds", "subscriptionId"}), nil
				},
				CreateF: c.create, UpdateF: c.updater(double), DeleteF: c.delete, InvokeF: c.invoke,
			}, nil
		}, deploytest.WithGrpc))
	}
	return loaders
}

// remaining lists what is left in the cloud, sorted.
func (c *fakeCloud) remaining() []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var left []string
	for id, typ := range c.things {
		left = append(left, fmt.Sprintf("%s %s", typ, id))
	}
	return slices.Sorted(slices.Values(left))
}

func (c *fakeCloud) change(what string) error {
	if c.failAt == 0 {
		return nil
	}
	c.failAt--
	if c.failAt == 0 {
		return fmt.Errorf("quota exceeded during %s", what)
	}
	return nil
}

func (c *fakeCloud) check(_ context.Context, req plugin.CheckRequest) (plugin.CheckResponse, error) {
	kind, known := cloudKinds[req.URN.Type()]
	if !known {
		return plugin.CheckResponse{}, fmt.Errorf("type %s is not known here", req.URN.Type())
	}
	inputs := req.News
	if kind.autonamed != "" && !inputs.HasValue(kind.autonamed) {
		inputs = maps.Clone(inputs)
		name := resource.NewProperty(req.URN.Name() + "-" + "1a2b3c4")
		if old, ok := req.Olds[kind.autonamed]; ok {
			name = old
		}
		inputs[kind.autonamed] = name
	}
	return plugin.CheckResponse{Properties: inputs}, nil
}

func (c *fakeCloud) diff(_ context.Context, req plugin.DiffRequest) (plugin.DiffResult, error) {
	old, inputs := req.OldInputs, maps.Clone(req.NewInputs)
	for _, ignored := range req.IgnoreChanges {
		path, err := resource.ParsePropertyPath(ignored)
		if err != nil {
			return plugin.DiffResult{}, err
		}
		path.Reset(old, inputs)
	}
	// The program decides whether the replacement is created first.
	result := diffInputs(old, inputs, nil)
	for path, change := range result.DetailedDiff {
		for _, field := range cloudKinds[req.URN.Type()].replaces {
			if path == field || strings.HasPrefix(path, field+".") || strings.HasPrefix(path, field+"[") {
				result.DetailedDiff[path] = change.ToReplace()
				top, _, _ := strings.Cut(strings.ReplaceAll(path, "[", "."), ".")
				result.ReplaceKeys = append(result.ReplaceKeys, resource.PropertyKey(top))
			}
		}
	}
	return result, nil
}

// complete returns a resource's outputs.
func complete(kind cloudKind, inputs resource.PropertyMap, name string) resource.PropertyMap {
	outputs := maps.Clone(inputs)
	if kind.outputs != nil {
		maps.Copy(outputs, resource.NewPropertyMapFromMap(kind.outputs(inputs, name)))
	}
	return outputs
}

// planned returns the outputs in a preview.
func planned(kind cloudKind, inputs resource.PropertyMap) resource.PropertyMap {
	outputs := maps.Clone(inputs)
	if kind.outputs != nil {
		for key := range kind.outputs(inputs, "") {
			outputs[resource.PropertyKey(key)] = resource.MakeComputed(resource.NewProperty(""))
		}
	}
	return outputs
}

func (c *fakeCloud) create(_ context.Context, req plugin.CreateRequest) (plugin.CreateResponse, error) {
	kind := cloudKinds[req.URN.Type()]
	if req.Preview {
		return plugin.CreateResponse{Properties: planned(kind, req.Properties), Status: resource.StatusOK}, nil
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	what := string(req.URN.Type().Name()) + " " + req.URN.Name()
	if err := c.change("creation of " + what); err != nil {
		return plugin.CreateResponse{}, err
	}
	if req.Properties.ContainsUnknowns() {
		return plugin.CreateResponse{}, fmt.Errorf("%s is created with unknown inputs", what)
	}
	if kind.refuses != nil {
		if err := kind.refuses(c, req.Properties); err != nil {
			return plugin.CreateResponse{}, fmt.Errorf("%s: %w", what, err)
		}
	}
	id := resource.ID(req.URN.Name() + "-" + strings.ToLower(string(req.URN.Type().Name())))
	if kind.id != nil {
		id = resource.ID(kind.id(req.Properties))
	}
	for n := 2; kind.id == nil && c.things[id] != ""; n++ {
		id = resource.ID(fmt.Sprintf("%s-%s-%d", req.URN.Name(), strings.ToLower(string(req.URN.Type().Name())), n))
	}
	if _, exists := c.things[id]; exists {
		return plugin.CreateResponse{}, fmt.Errorf("%s: %s already exists", what, id)
	}
	c.things[id], c.inputs[id] = req.URN.Type(), req.Properties
	c.created = append(c.created, what)
	if c.failed != "" && req.URN.Name() == c.failed && req.URN.Type().Name() == "NodeGroup" {
		outputs := complete(kind, req.Properties, string(id))
		outputs["status"] = resource.NewProperty("CREATE_FAILED")
		return plugin.CreateResponse{}, createdInPart(id, outputs, req.Properties, "AsgInstanceLaunchFailures: VcpuLimitExceeded")
	}
	return plugin.CreateResponse{ID: id, Properties: complete(kind, req.Properties, string(id)), Status: resource.StatusOK}, nil
}

// createdInPart returns the error with which a provider reports a resource that is there and does not work. The engine records
// the resource.
func createdInPart(id resource.ID, outputs, inputs resource.PropertyMap, reason string) error {
	options := plugin.MarshalOptions{KeepSecrets: true, KeepResources: true}
	state, err := plugin.MarshalProperties(outputs, options)
	if err != nil {
		return err
	}
	given, err := plugin.MarshalProperties(inputs, options)
	if err != nil {
		return err
	}
	failed, err := status.New(codes.Unknown, reason).WithDetails(&pulumirpc.ErrorResourceInitFailed{
		Id: string(id), Properties: state, Inputs: given, Reasons: []string{reason},
	})
	if err != nil {
		return err
	}
	return failed.Err()
}

// updater returns the provider's update of a resource in place.
func (c *fakeCloud) updater(double *cloudDouble) func(context.Context, plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	return func(_ context.Context, req plugin.UpdateRequest) (plugin.UpdateResponse, error) {
		return c.update(double, req)
	}
}

func (c *fakeCloud) update(double *cloudDouble, req plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	kind := cloudKinds[req.URN.Type()]
	if req.Preview {
		outputs := planned(kind, req.NewInputs)
		if !double.updateForgets {
			// Bridged providers keep the outputs that the update cannot change.
			for key, value := range req.OldOutputs {
				if v, ok := outputs[key]; ok && v.IsComputed() && req.URN.Type() != "aws:ec2/launchTemplate:LaunchTemplate" {
					outputs[key] = value
				}
			}
		}
		return plugin.UpdateResponse{Properties: outputs, Status: resource.StatusOK}, nil
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err := c.change("update of " + req.URN.Name()); err != nil {
		return plugin.UpdateResponse{}, err
	}
	if kind.refuses != nil {
		if err := kind.refuses(c, req.NewInputs); err != nil {
			return plugin.UpdateResponse{}, fmt.Errorf("update of %s: %w", req.URN.Name(), err)
		}
	}
	c.inputs[req.ID] = req.NewInputs
	outputs := complete(kind, req.NewInputs, string(req.ID))
	if req.URN.Name() == c.failed {
		outputs["status"] = req.OldOutputs["status"]
	}
	if version, ok := req.OldOutputs["latestVersion"]; ok {
		outputs["latestVersion"] = resource.NewProperty(version.NumberValue() + 1)
	}
	return plugin.UpdateResponse{Properties: outputs, Status: resource.StatusOK}, nil
}

func (c *fakeCloud) delete(_ context.Context, req plugin.DeleteRequest) (plugin.DeleteResponse, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	what := string(req.URN.Type().Name()) + " " + req.URN.Name()
	if err := c.change("deletion of " + what); err != nil {
		return plugin.DeleteResponse{Status: resource.StatusUnknown}, err
	}
	if c.things[req.ID] == "" {
		return plugin.DeleteResponse{Status: resource.StatusUnknown}, fmt.Errorf("%s: %s is not there", what, req.ID)
	}
	if left := c.inside.remaining(); cloudKinds[req.URN.Type()].outlives && len(left) > 0 && c.destroying {
		return plugin.DeleteResponse{Status: resource.StatusUnknown}, fmt.Errorf("%s is deleted while the cluster still holds %v", what, left)
	}
	delete(c.things, req.ID)
	c.deleted = append(c.deleted, what)
	return plugin.DeleteResponse{Status: resource.StatusOK}, nil
}

func (c *fakeCloud) invoke(_ context.Context, req plugin.InvokeRequest) (plugin.InvokeResponse, error) {
	answer, ok := c.answers[req.Tok]
	if !ok {
		return plugin.InvokeResponse{}, fmt.Errorf("unexpected look-up %s %v", req.Tok, req.Args)
	}
	values, err := answer(req.Args)
	if err != nil {
		return plugin.InvokeResponse{}, err
	}
	return plugin.InvokeResponse{Properties: resource.NewPropertyMapFromMap(values)}, nil
}

// answer sets the result of a look-up; nil means not found.
func (s *cloudStack) answer(token string, found map[string]any) {
	s.cloud.answers[tokens.ModuleMember(token)] = func(resource.PropertyMap) (map[string]any, error) {
		if found == nil {
			return nil, fmt.Errorf("%s: not found", token)
		}
		return found, nil
	}
}
