package components

import (
	"errors"
	"slices"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	kmetav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PrometheusOperatorCollector is the Collector that runs everything in the cluster: kube-prometheus-stack, the
// exporter of the GPUs and the recording rules. All fields are required.
type PrometheusOperatorCollector struct {
	PrometheusScraper
	// Stack is the Prometheus Operator with its Prometheus.
	Stack *KubePrometheusStackArgs
	// Exporter and Rules need not depend on Stack: that is added.
	Exporter *DCGMExporterArgs
	Rules    *GPURulesArgs
}

// Collect implements Collector.
func (p *PrometheusOperatorCollector) Collect(ctx *pulumi.Context, opts ...pulumi.ResourceOption) (*Collection, error) {
	if p.Stack == nil || p.Exporter == nil || p.Rules == nil {
		return nil, errors.New("collector: the arguments of the Prometheus Operator, the GPU exporter or the rules are missing")
	}
	stack, err := NewKubePrometheusStack(ctx, "monitoring", p.Stack, opts...)
	if err != nil {
		return nil, err
	}
	exporter, rules := *p.Exporter, *p.Rules
	exporter.DependsOn = append(slices.Clone(exporter.DependsOn), stack.Release)
	if _, err := NewDCGMExporter(ctx, "gpu-metrics", &exporter, opts...); err != nil {
		return nil, err
	}
	rules.DependsOn = append(slices.Clone(rules.DependsOn), stack.Release)
	recorded, err := NewGPURules(ctx, "signal-rules", &rules, opts...)
	if err != nil {
		return nil, err
	}
	return &Collection{
		Namespace:  p.Stack.Namespace,
		Kinds:      []pulumi.Resource{stack.Release},
		Recorded:   []pulumi.Resource{recorded.Rule},
		Prometheus: stack,
		Endpoint:   &PrometheusEndpoint{URL: PrometheusURL(p.Stack.Namespace), Port: PrometheusPort},

		RulesNamespace: p.Rules.Namespace,
	}, nil
}

// PrometheusScraper scrapes through the Prometheus Operator, by a ServiceMonitor.
type PrometheusScraper struct{}

func (PrometheusScraper) scrapeServer(ctx *pulumi.Context, target ScrapeTarget, opts []pulumi.ResourceOption) (pulumi.Resource, error) {
	interval := monitoringv1.Duration(prometheusDuration(target.Interval))
	return newServiceMonitor(ctx, target.Namespace, target.Name, monitoringv1.ServiceMonitorSpec{
		Selector: kmetav1.LabelSelector{MatchLabels: target.Selector},
		Endpoints: []monitoringv1.Endpoint{{
			Port:          target.Port,
			Path:          target.Path,
			Interval:      interval,
			ScrapeTimeout: interval,
		}},
	}, opts)
}
