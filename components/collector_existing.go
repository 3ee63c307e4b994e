package components

import (
	"errors"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// ExistingPrometheusCollector is the Collector that adds to the Prometheus of the cluster's platform, whose operator has installed
// the kinds of the objects. All fields are required.
type ExistingPrometheusCollector struct {
	PrometheusScraper
	// Namespace is that of the pods of the Prometheus that scrapes.
	Namespace string
	// Endpoint is where the series are queried.
	Endpoint *PrometheusEndpoint
	// Exporter and Rules are what is added for the signals, beside the scrape of the server.
	Exporter *DCGMExporterArgs
	Rules    *GPURulesArgs
}

// Collect implements Collector.
func (e *ExistingPrometheusCollector) Collect(ctx *pulumi.Context, opts ...pulumi.ResourceOption) (*Collection, error) {
	if e.Namespace == "" || e.Endpoint == nil || e.Exporter == nil || e.Rules == nil {
		return nil, errors.New("collector: the namespace or the endpoint of the existing Prometheus, or the arguments of the GPU exporter or the rules are missing")
	}
	if _, err := NewDCGMExporter(ctx, "gpu-metrics", e.Exporter, opts...); err != nil {
		return nil, err
	}
	recorded, err := NewGPURules(ctx, "signal-rules", e.Rules, opts...)
	if err != nil {
		return nil, err
	}
	return &Collection{
		Namespace:      e.Namespace,
		Recorded:       []pulumi.Resource{recorded.Rule},
		Endpoint:       e.Endpoint,
		RulesNamespace: e.Rules.Namespace,
	}, nil
}
