package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/stacks/outputs"
)

// adapterRulesKey is the name of the stack output with the rules for the platform's adapter.
const adapterRulesKey = "adapterRules"

// existingPrometheus returns the collector that adds to the platform's Prometheus.
func existingPrometheus(d *deployment) (components.Collector, error) {
	c := d.config
	endpoint, err := c.Monitoring.Prometheus.Endpoint()
	if err != nil {
		return nil, err
	}
	return &components.ExistingPrometheusCollector{
		Namespace: c.Monitoring.Prometheus.Namespace,
		Endpoint:  endpoint,
		Exporter:  d.gpuExporter(),
		Rules: &components.GPURulesArgs{
			// Where Prometheus makes each rule read and write the series of its own namespace only, this is the one.
			Namespace: c.Namespaces.Serving,
			Settings:  d.settings,
			Signals:   d.enabled,
			DependsOn: []pulumi.Resource{d.namespaces.ServingNamespace},
		},
	}, nil
}

// existingBackend returns the backend on the stack's own adapter, or on the platform's.
func existingBackend(d *deployment) components.Backend {
	if existingAdapter(d.config) == "" {
		return &components.ExistingAdapterBackend{}
	}
	return prometheusAdapter(d)
}

// existingAdapter returns the name of the stack's adapter on the platform's Prometheus; "" where the platform has one.
func existingAdapter(c *config.Config) string {
	if c.Autoscaling.Adapter == config.AdapterExisting {
		return ""
	}
	return components.PrometheusAdapterRelease
}

// scraperNamespace returns the namespace of another Prometheus that scrapes the stack's GPU exporter; "" for none.
func (d *deployment) scraperNamespace() string {
	if !d.config.ExistingMetrics() || d.cluster.GPUMetrics.Source != providers.DCGMChart {
		return ""
	}
	return d.config.Monitoring.Prometheus.Namespace
}

// exportAdapterRules exports the rules that the platform's adapter has to have, and logs how to read them.
func (d *deployment) exportAdapterRules() error {
	if d.config.Autoscaling.Adapter != config.AdapterExisting {
		return nil
	}
	rules, err := signals.AdapterConfigYAML(d.pipeline.backend.Served(d.enabled))
	if err != nil {
		return err
	}
	d.ctx.Export(adapterRulesKey, pulumi.String(string(rules)))
	return d.ctx.Log.Info("autoscaling.adapter existing: merge the rules that `pulumi stack output "+adapterRulesKey+"` prints into the configuration of the "+
		"platform's adapter and restart it; `make verify` checks that it serves them", &pulumi.LogArgs{})
}

// existingOutput describes the platform's Prometheus; nil for another pipeline.
func (d *deployment) existingOutput() *outputs.Existing {
	if !d.config.ExistingMetrics() {
		return nil
	}
	p := d.config.Monitoring.Prometheus
	return &outputs.Existing{
		Namespace: p.Namespace, URL: p.QueryURL(), Headers: p.Headers, Secret: p.Secret, SecretKeys: p.SecretKeys,
		RulesNamespace: d.pipeline.collected.RulesNamespace,
	}
}
