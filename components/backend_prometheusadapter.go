package components

import (
	"errors"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/signals"
)

// PrometheusAdapterBackend is the Backend of an HPA whose metrics prometheus-adapter serves from a Prometheus.
type PrometheusAdapterBackend struct {
	// Adapter is prometheus-adapter; its Prometheus is filled in. Required.
	Adapter *PrometheusAdapterArgs
	// Namespaces are all namespaces of the stack. Adapter need not depend on them: that is added.
	Namespaces []pulumi.Resource
}

// Served implements Backend.
func (b *PrometheusAdapterBackend) Served(enabled []signals.Signal) []signals.Signal { return enabled }

// Names implements Backend.
func (b *PrometheusAdapterBackend) Names() BackendNames { return hpaNames(PrometheusAdapterRelease) }

// Serve implements Backend.
func (b *PrometheusAdapterBackend) Serve(ctx *pulumi.Context, collected *Collection, opts ...pulumi.ResourceOption) ([]pulumi.Resource, error) {
	if collected.Endpoint == nil {
		return nil, errors.New("prometheus-adapter: the collector has no Prometheus to read from")
	}
	args := *b.Adapter
	args.Prometheus = *collected.Endpoint
	args.DependsOn = slices.Concat(args.DependsOn, b.Namespaces, collected.Kinds)
	adapter, err := NewPrometheusAdapter(ctx, "metrics-adapter", &args, opts...)
	if err != nil {
		return nil, err
	}
	serving := append(slices.Clone(collected.Recorded), adapter.Release)
	return claimMetricsAPI(ctx, args.Namespace, PrometheusAdapterRelease, adapter.CABundle, serving, b.Namespaces, opts)
}

// Scale implements Backend.
func (b *PrometheusAdapterBackend) Scale(ctx *pulumi.Context, args *AutoscalerArgs, opts ...pulumi.ResourceOption) (*Autoscaler, error) {
	return scaleByHPA(ctx, b, args, opts)
}
