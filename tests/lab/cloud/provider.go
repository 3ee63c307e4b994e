package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/urn"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Provider simulates the Pulumi provider of one cloud.
type Provider struct {
	pulumirpc.UnimplementedResourceProviderServer
	cloud    *Cloud
	double   *double
	settings Settings
}

// Provider returns a new instance of one of Plugins.
func (c *Cloud) Provider(name string) (*Provider, error) {
	d := c.doubles[name]
	if d == nil {
		return nil, fmt.Errorf("cloud: no provider %q", name)
	}
	return &Provider{cloud: c, double: d, settings: Settings{}}, nil
}

// GetPluginInfo returns the version that the engine records in the state.
func (p *Provider) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: p.double.version}, nil
}

// GetSchema returns the smallest schema that the engine accepts; the program has its own types.
func (p *Provider) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	return &pulumirpc.GetSchemaResponse{Schema: fmt.Sprintf(`{"name":%q,"version":%q}`, p.double.name, p.double.version)}, nil
}

// Attach does nothing, because nothing is logged to the engine.
func (p *Provider) Attach(context.Context, *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Cancel does nothing, because a cloud completes what it has begun.
func (p *Provider) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// CheckConfig refuses unknown settings.
func (p *Provider) CheckConfig(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.CheckResponse{Inputs: req.GetNews()}
	for _, key := range news.StableKeys() {
		if !slices.Contains(p.double.settings, string(key)) && key != "version" && !strings.HasPrefix(string(key), "__") {
			response.Failures = append(response.Failures, &pulumirpc.CheckFailure{Property: string(key),
				Reason: fmt.Sprintf("provider %s has no setting %q in the lab", p.double.name, key)})
		}
	}
	return response, nil
}

// DiffConfig never replaces the provider.
func (p *Provider) DiffConfig(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return diff(req, nil, nil, nil)
}

// Configure stores the settings, or refuses them.
func (p *Provider) Configure(_ context.Context, req *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	args, err := unmarshal(req.GetArgs())
	if err != nil {
		return nil, err
	}
	settings := Settings{}
	for key, value := range args {
		if v := reveal(value); v.IsString() {
			settings[string(key)] = v.StringValue()
		}
	}
	if p.double.configure != nil {
		if err := p.double.configure(settings); err != nil {
			return nil, err
		}
	}
	p.settings = settings
	return &pulumirpc.ConfigureResponse{AcceptSecrets: true, SupportsPreview: true, AcceptResources: true}, nil
}

// Invoke returns the result of a data source.
func (p *Provider) Invoke(_ context.Context, req *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	f, ok := p.double.invokes[req.GetTok()]
	if !ok {
		return nil, status.Errorf(codes.Unimplemented, "the lab's provider %s has no function %q", p.double.name, req.GetTok())
	}
	args, err := unmarshal(req.GetArgs())
	if err != nil {
		return nil, err
	}
	p.cloud.mu.Lock()
	result, err := f(p.cloud, p.settings, known(args))
	p.cloud.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("invoking %s: %w", req.GetTok(), err)
	}
	answer, err := marshal(resource.NewPropertyMapFromMap(result))
	return &pulumirpc.InvokeResponse{Return: answer}, err
}

// kind returns the rules of a resource's type.
func (p *Provider) kind(u string) (*kind, error) {
	token := string(urn.URN(u).Type())
	k, ok := p.cloud.kinds[token]
	if !ok || p.cloud.doubleOf(token) != p.double {
		return nil, fmt.Errorf("the lab's provider %s has no resource type %q", p.double.name, token)
	}
	return k, nil
}

// Check refuses unknown, missing and invalid inputs, and sets a missing name.
func (p *Provider) Check(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	k, err := p.kind(req.GetUrn())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(req.GetOlds())
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.CheckResponse{}
	// A replacement is checked without old inputs and gets another name.
	if key := resource.PropertyKey(k.name); k.name != "" && news[key].IsNull() && news["namePrefix"].IsNull() {
		if old := olds[key]; old.IsString() {
			news[key] = old
		} else {
			news[key] = resource.NewStringProperty(urn.URN(req.GetUrn()).Name() + "-" + suffix(req.GetRandomSeed()))
		}
	}
	for _, problem := range k.checkProperties(news) {
		response.Failures = append(response.Failures, &pulumirpc.CheckFailure{Property: problem.Property, Reason: problem.Reason})
	}
	response.Inputs, err = marshal(news)
	return response, err
}

// suffix returns seven hexadecimal digits of a seed, which is the same in a preview and the update after it.
func suffix(seed []byte) string {
	if len(seed) == 0 {
		return randomHex(7)
	}
	return fmt.Sprintf("%x", seed)[:7]
}

// Create creates the resource in the cloud. A preview returns the outputs that are known before.
func (p *Provider) Create(_ context.Context, req *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	k, err := p.kind(req.GetUrn())
	if err != nil {
		return nil, err
	}
	inputs, err := unmarshal(req.GetProperties())
	if err != nil {
		return nil, err
	}
	if req.GetPreview() {
		outputs, err := marshal(unknownOutputs(inputs.Copy(), k.computed))
		return &pulumirpc.CreateResponse{Properties: outputs}, err
	}
	r, err := p.cloud.create(k, p.settings, known(inputs), req.GetUrn())
	if refused := (*refusedPool)(nil); errors.As(err, &refused) {
		return nil, initFailed(refused.id, req.GetProperties(), req.GetProperties(), err)
	}
	if err != nil && r == nil {
		return nil, err
	}
	outputs, failed := p.outputs(r, inputs)
	if failed != nil {
		return nil, failed
	}
	if err != nil {
		// The resource exists but does not work. The engine has to record it, to delete it later.
		return nil, initFailed(r.ID, outputs, req.GetProperties(), err)
	}
	return &pulumirpc.CreateResponse{Id: r.ID, Properties: outputs}, nil
}

func initFailed(id string, outputs, inputs *structpb.Struct, cause error) error {
	failed, err := status.New(codes.Unknown, cause.Error()).WithDetails(&pulumirpc.ErrorResourceInitFailed{
		Id: id, Properties: outputs, Inputs: inputs, Reasons: []string{cause.Error()},
	})
	if err != nil {
		return fmt.Errorf("reporting that %s failed (%w): %w", id, cause, err)
	}
	return failed.Err()
}

// unknownOutputs adds the outputs that the cloud sets, as unknown.
func unknownOutputs(properties resource.PropertyMap, names []string) resource.PropertyMap {
	for _, name := range names {
		if _, given := properties[resource.PropertyKey(name)]; !given {
			properties[resource.PropertyKey(name)] = resource.MakeComputed(resource.NewStringProperty(""))
		}
	}
	return properties
}

// outputs returns a resource's outputs, with the inputs' marks of secrets.
func (p *Provider) outputs(r *Resource, inputs resource.PropertyMap) (*structpb.Struct, error) {
	p.cloud.mu.Lock()
	all := resource.NewPropertyMapFromMap(p.cloud.outputs(r))
	p.cloud.mu.Unlock()
	for key, value := range inputs {
		if value.ContainsSecrets() {
			all[key] = value
		}
	}
	return marshal(all)
}

// observe sets the properties of a resource that change without an update. The caller holds the lock.
func (c *Cloud) observe(r *Resource) {
	if k := c.kinds[r.Token]; k.observe != nil {
		k.observe(c, r)
	}
}

// outputs returns a resource's outputs as they are now. The caller holds the lock.
func (c *Cloud) outputs(r *Resource) object {
	c.observe(r)
	return maps.Clone(r.Outputs)
}

// Update changes the resource in place. A preview returns the outputs that stay known.
func (p *Provider) Update(_ context.Context, req *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	k, err := p.kind(req.GetUrn())
	if err != nil {
		return nil, err
	}
	inputs, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	if req.GetPreview() {
		outputs := inputs.Copy()
		if p.double.updateForgets {
			unknownOutputs(outputs, k.computed)
		} else {
			olds, err := unmarshal(req.GetOlds())
			if err != nil {
				return nil, err
			}
			for _, name := range k.computed {
				if key := resource.PropertyKey(name); olds.HasValue(key) && !outputs.HasValue(key) && !slices.Contains(k.volatile, name) {
					outputs[key] = olds[key]
				}
			}
			unknownOutputs(outputs, k.volatile)
		}
		answer, err := marshal(outputs)
		return &pulumirpc.UpdateResponse{Properties: answer}, err
	}
	r, err := p.cloud.change(k, req.GetId(), known(inputs))
	if err != nil {
		return nil, err
	}
	outputs, err := p.outputs(r, inputs)
	return &pulumirpc.UpdateResponse{Properties: outputs}, err
}

// Read returns the resource as it is; an empty id means that it does not exist.
func (p *Provider) Read(_ context.Context, req *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	k, err := p.kind(req.GetUrn())
	if err != nil {
		return nil, err
	}
	inputs, err := unmarshal(req.GetInputs())
	if err != nil {
		return nil, err
	}
	p.cloud.mu.Lock()
	r := p.cloud.find(k.token, "", req.GetId())
	if r == nil && k.importID != nil && len(req.GetProperties().GetFields()) == 0 {
		r = p.cloud.imported(k, req.GetId())
	}
	var live resource.PropertyMap
	if r != nil {
		p.cloud.observe(r)
		live = resource.NewPropertyMapFromMap(r.Inputs)
	}
	p.cloud.mu.Unlock()
	if r == nil {
		return &pulumirpc.ReadResponse{}, nil
	}
	outputs, err := p.outputs(r, inputs)
	if err != nil {
		return nil, err
	}
	if p.double.comparesByIndex && len(inputs) > 0 {
		if live, err = refreshed(k, inputs, req.GetProperties(), outputs); err != nil {
			return nil, err
		}
	}
	for key, value := range inputs {
		if value.ContainsSecrets() {
			live[key] = value
		}
	}
	in, err := marshal(live)
	return &pulumirpc.ReadResponse{Id: r.ID, Properties: outputs, Inputs: in}, err
}

// Delete removes the resource from the cloud.
func (p *Provider) Delete(_ context.Context, req *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	k, err := p.kind(req.GetUrn())
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, p.cloud.remove(k, req.GetId())
}

func unmarshal(s *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(s, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, KeepResources: true, SkipNulls: true})
}

func marshal(m resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(m, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, KeepResources: true})
}
