package kubernetesprovider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Version is that of the replaced plugin, which is the version of the SDK that the program is built with.
const Version = "4.30.0"

// Provider serves one Kubernetes cluster to the Pulumi engine. It is safe for concurrent use, as the engine
// calls it for several resources at once.
type Provider struct {
	pulumirpc.UnimplementedResourceProviderServer

	// ctx ends when the engine cancels the update, which ends every operation in progress.
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	engine   *engineLog
	settings settings
	cluster  *cluster
	charts   *chartCache
}

// New returns a provider that is not configured yet and does not log until Attach. Close releases its resources.
func New() *Provider {
	ctx, cancel := context.WithCancel(context.Background())
	return &Provider{ctx: ctx, cancel: cancel, charts: &chartCache{}}
}

// Close ends the operations in progress and the connection to the engine.
func (p *Provider) Close() {
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.engine.close()
	p.engine = nil
}

// GetPluginInfo returns the version that the engine records in the state.
func (p *Provider) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: Version}, nil
}

// Attach connects to the engine, which shows the progress of long operations.
func (p *Provider) Attach(_ context.Context, req *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	engine, err := dialEngine(req.GetAddress())
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.engine.close()
	p.engine = engine
	return &emptypb.Empty{}, nil
}

// GetSchema returns the smallest schema that the engine accepts; the program has its own types.
func (p *Provider) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	return &pulumirpc.GetSchemaResponse{Schema: `{"name":"kubernetes","version":"` + Version + `"}`}, nil
}

// CheckConfig validates the provider's inputs and reports the one that cannot be read.
func (p *Provider) CheckConfig(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	if _, err := settingsFrom(news); err != nil {
		return &pulumirpc.CheckResponse{Inputs: req.GetNews(), Failures: []*pulumirpc.CheckFailure{{Reason: err.Error()}}}, nil
	}
	return &pulumirpc.CheckResponse{Inputs: req.GetNews()}, nil
}

// DiffConfig replaces the provider, and with it every object, only when its cluster changes.
func (p *Provider) DiffConfig(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, err := unmarshalPlain(req.GetOldInputs())
	if err != nil {
		return nil, err
	}
	news, err := unmarshalPlain(req.GetNews())
	if err != nil {
		return nil, err
	}
	changes := diffProperties(olds, news)
	replace := otherCluster(olds, news)
	return diffResponse(changes, func(resource.PropertyPath) bool { return replace }, false), nil
}

// Configure stores the settings of the kubeconfig's cluster. A second call replaces them.
func (p *Provider) Configure(_ context.Context, req *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	args, err := unmarshal(req.GetArgs())
	if err != nil {
		return nil, err
	}
	s, err := settingsFrom(args)
	if err != nil {
		return nil, err
	}
	// An unusable kubeconfig is reported by the operation that needs the cluster, so that an update which needs none
	// (deleteUnreachable) can run.
	c := newCluster(s)

	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings, p.cluster = s, c
	return &pulumirpc.ConfigureResponse{
		AcceptSecrets:                   true,
		SupportsPreview:                 true,
		AcceptResources:                 true,
		AcceptOutputs:                   false,
		SupportsAutonamingConfiguration: true,
	}, nil
}

// Invoke fails, because the program uses no function.
func (p *Provider) Invoke(_ context.Context, req *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	return nil, status.Errorf(codes.Unimplemented, "the lab's Kubernetes provider has no function %q", req.GetTok())
}

// Check sets defaults and reports errors that can be found without the cluster.
func (p *Provider) Check(ctx context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	t, err := tokenOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	ctx, done := p.operation(ctx)
	defer done()

	var inputs resource.PropertyMap
	var failures []*pulumirpc.CheckFailure
	if t.isRelease() {
		inputs, failures, err = p.checkRelease(ctx, namer(req), olds, news)
	} else {
		inputs, failures, err = p.checkObject(ctx, t, namer(req), olds, news)
	}
	if err != nil {
		return nil, err
	}
	out, err := marshal(inputs)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.CheckResponse{Inputs: out, Failures: failures}, nil
}

// Diff compares the inputs of the last update with the new ones.
func (p *Provider) Diff(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	t, err := tokenOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshalPlain(req.GetOldInputs())
	if err != nil {
		return nil, err
	}
	news, err := unmarshalPlain(req.GetNews())
	if err != nil {
		return nil, err
	}
	changes := diffProperties(olds, news)
	if t.isRelease() {
		return diffResponse(changes, releaseReplaces, true), nil
	}
	p.mu.Lock()
	s := p.settings
	p.mu.Unlock()
	return diffResponse(changes, objectReplaces(t, olds, s), sameIdentity(olds, news)), nil
}

// Create creates the object or installs the release, and waits until it is ready.
func (p *Provider) Create(ctx context.Context, req *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	t, err := tokenOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	inputs, err := unmarshal(req.GetProperties())
	if err != nil {
		return nil, err
	}
	ctx, done := p.operation(ctx)
	defer done()

	op := change{urn: req.GetUrn(), token: t, inputs: inputs, preview: req.GetPreview(), timeout: seconds(req.GetTimeout())}
	var result outcome
	if t.isRelease() {
		result, err = p.createRelease(ctx, op)
	} else {
		result, err = p.createObject(ctx, op)
	}
	if err != nil {
		return nil, err
	}
	outputs, err := p.finish(result, inputs)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.CreateResponse{Id: result.id, Properties: outputs}, nil
}

// Update changes the object or upgrades the release in place, and waits until it is ready.
func (p *Provider) Update(ctx context.Context, req *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	t, err := tokenOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	inputs, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(req.GetOlds())
	if err != nil {
		return nil, err
	}
	ctx, done := p.operation(ctx)
	defer done()

	op := change{
		urn: req.GetUrn(), id: req.GetId(), token: t, inputs: inputs, olds: olds,
		preview: req.GetPreview(), timeout: seconds(req.GetTimeout()),
	}
	var result outcome
	if t.isRelease() {
		result, err = p.updateRelease(ctx, op)
	} else {
		result, err = p.updateObject(ctx, op)
	}
	if err != nil {
		return nil, err
	}
	outputs, err := p.finish(result, inputs)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.UpdateResponse{Properties: outputs}, nil
}

// Read returns the live state of an object or release; an empty id means that it does not exist.
func (p *Provider) Read(ctx context.Context, req *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	t, err := tokenOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	inputs, err := unmarshal(req.GetInputs())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(req.GetProperties())
	if err != nil {
		return nil, err
	}
	ctx, done := p.operation(ctx)
	defer done()

	op := change{urn: req.GetUrn(), id: req.GetId(), token: t, inputs: inputs, olds: olds}
	var result outcome
	if t.isRelease() {
		result, err = p.readRelease(ctx, op)
	} else {
		result, err = p.readObject(ctx, op)
	}
	var unreachable *unreachableError
	if errors.As(err, &unreachable) && p.currentSettings().deleteUnreachable {
		p.log(pulumirpc.LogSeverity_WARNING, req.GetUrn(), fmt.Sprintf("taken for deleted, the cluster cannot be asked: %v", err))
		return &pulumirpc.ReadResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if result.id == "" {
		return &pulumirpc.ReadResponse{}, nil
	}
	outputs, err := p.finish(result, result.inputs)
	if err != nil {
		return nil, err
	}
	liveInputs, err := marshal(result.inputs)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.ReadResponse{Id: result.id, Properties: outputs, Inputs: liveInputs}, nil
}

// Delete deletes the object or uninstalls the release and waits until it is gone. A missing one is no error.
func (p *Provider) Delete(ctx context.Context, req *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	t, err := tokenOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(req.GetProperties())
	if err != nil {
		return nil, err
	}
	inputs, err := unmarshal(req.GetOldInputs())
	if err != nil {
		return nil, err
	}
	ctx, done := p.operation(ctx)
	defer done()

	op := change{urn: req.GetUrn(), id: req.GetId(), token: t, inputs: inputs, olds: olds, timeout: seconds(req.GetTimeout())}
	if t.isRelease() {
		err = p.deleteRelease(ctx, op)
	} else {
		err = p.deleteObject(ctx, op)
	}
	var unreachable *unreachableError
	// As upstream (pulumi-kubernetes#2675), the setting does not apply to the deletion of releases.
	if errors.As(err, &unreachable) && p.currentSettings().deleteUnreachable && !t.isRelease() {
		p.log(pulumirpc.LogSeverity_WARNING, req.GetUrn(), fmt.Sprintf("removed from the state only, the cluster cannot be asked: %v", err))
		err = nil
	}
	if errors.As(err, &unreachable) {
		return nil, fmt.Errorf("%w: if the cluster is gone, run `PULUMI_K8S_DELETE_UNREACHABLE=true pulumi destroy --refresh`", err)
	}
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

// Cancel ends every operation in progress.
func (p *Provider) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	p.cancel()
	return &emptypb.Empty{}, nil
}

// change is one operation on a resource, as requested by the engine.
type change struct {
	urn     string
	id      string
	token   token
	inputs  resource.PropertyMap
	olds    resource.PropertyMap // outputs of the last update
	preview bool
	timeout time.Duration // 0 when the program states none
}

// outcome is the result of an operation.
type outcome struct {
	id      string
	outputs resource.PropertyMap
	inputs  resource.PropertyMap // set by reads only
	notYet  []string             // why the object exists but is not ready; empty when it is
}

// finish converts an outcome to the response: the outputs, or the error with which the engine keeps the object in the state
// and retries at the next update.
func (p *Provider) finish(result outcome, inputs resource.PropertyMap) (*structpb.Struct, error) {
	outputs, err := marshal(result.outputs)
	if err != nil {
		return nil, err
	}
	if len(result.notYet) == 0 {
		return outputs, nil
	}
	in, err := marshal(inputs)
	if err != nil {
		return nil, err
	}
	failed, err := status.New(codes.Unknown, "resource is not ready").WithDetails(&pulumirpc.ErrorResourceInitFailed{
		Id: result.id, Properties: outputs, Inputs: in, Reasons: result.notYet,
	})
	if err != nil {
		return nil, fmt.Errorf("reporting that %s is not ready (%v): %w", result.id, result.notYet, err)
	}
	return nil, failed.Err()
}

// operation returns a context that ends with the update. A broken connection to the engine does not end it: when only the
// engine is killed, the plugin completes what it has begun.
func (p *Provider) operation(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(p.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func (p *Provider) currentSettings() settings {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settings
}

// reach returns the configured cluster after checking that it responds.
func (p *Provider) reach(ctx context.Context) (*cluster, error) {
	p.mu.Lock()
	c := p.cluster
	p.mu.Unlock()
	if c == nil {
		return nil, errors.New("the Kubernetes provider is not configured")
	}
	return c, c.connect(ctx)
}

// log writes a line that is recorded with the update.
func (p *Provider) log(severity pulumirpc.LogSeverity, urn, message string) {
	p.engineLog().write(p.ctx, severity, urn, message, false)
}

// progress shows a line at the resource while the operation runs.
func (p *Provider) progress(urn, message string) {
	p.engineLog().write(p.ctx, pulumirpc.LogSeverity_INFO, urn, message, true)
}

func (p *Provider) engineLog() *engineLog {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.engine
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func marshalOptions() plugin.MarshalOptions {
	return plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, KeepResources: true}
}

func marshal(m resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(m, marshalOptions())
}

// unmarshal decodes properties with their marks of secrets and unknown values.
func unmarshal(s *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(s, marshalOptions())
}

// unmarshalPlain decodes properties without marks of secrets, for comparisons.
func unmarshalPlain(s *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(s, plugin.MarshalOptions{KeepUnknowns: true, KeepResources: true})
}
