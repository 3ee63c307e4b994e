package components

import (
	"errors"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/signals"
)

// ExistingAdapterBackend is the Backend of an HPA whose metrics the adapter of the cluster's platform serves, once its configuration
// has the rules of signals.AdapterConfigYAML. It registers neither an adapter nor an APIService.
type ExistingAdapterBackend struct{}

// Served implements Backend.
func (b *ExistingAdapterBackend) Served(enabled []signals.Signal) []signals.Signal { return enabled }

// Names implements Backend.
func (b *ExistingAdapterBackend) Names() BackendNames { return hpaNames("") }

// Serve implements Backend.
func (b *ExistingAdapterBackend) Serve(_ *pulumi.Context, collected *Collection, _ ...pulumi.ResourceOption) ([]pulumi.Resource, error) {
	if collected.Endpoint == nil {
		return nil, errors.New("existing adapter: the collector has no Prometheus to read from")
	}
	return collected.Recorded, nil
}

// Scale implements Backend.
func (b *ExistingAdapterBackend) Scale(ctx *pulumi.Context, args *AutoscalerArgs, opts ...pulumi.ResourceOption) (*Autoscaler, error) {
	return scaleByHPA(ctx, b, args, opts)
}
