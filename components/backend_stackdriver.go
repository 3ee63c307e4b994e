package components

import (
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/signals"
)

// StackdriverBackend is the Backend of an HPA whose metrics Google's Custom Metrics Stackdriver Adapter serves from
// Cloud Monitoring.
type StackdriverBackend struct {
	// Adapter is the adapter; Signals are those of the catalogue, which the backend renames. Required.
	Adapter *StackdriverAdapterArgs
	// Namespaces are all namespaces of the stack. Adapter need not depend on them: that is added.
	Namespaces []pulumi.Resource
}

// Served implements Backend.
func (b *StackdriverBackend) Served(enabled []signals.Signal) []signals.Signal {
	return signals.ForCloudMonitoring(enabled)
}

// Names implements Backend.
func (b *StackdriverBackend) Names() BackendNames { return hpaNames(StackdriverAdapterName) }

// Serve implements Backend.
func (b *StackdriverBackend) Serve(ctx *pulumi.Context, collected *Collection, opts ...pulumi.ResourceOption) ([]pulumi.Resource, error) {
	args := *b.Adapter
	args.Signals = b.Served(args.Signals)
	args.DependsOn = slices.Concat(args.DependsOn, b.Namespaces, collected.Kinds)
	adapter, err := NewStackdriverAdapter(ctx, "stackdriver-adapter", &args, opts...)
	if err != nil {
		return nil, err
	}
	serving := slices.Concat(collected.Recorded, adapter.Objects)
	return claimMetricsAPI(ctx, args.Namespace, StackdriverAdapterName, adapter.CABundle, serving, b.Namespaces, opts)
}

// Scale implements Backend.
func (b *StackdriverBackend) Scale(ctx *pulumi.Context, args *AutoscalerArgs, opts ...pulumi.ResourceOption) (*Autoscaler, error) {
	return scaleByHPA(ctx, b, args, opts)
}
