package components

import (
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	kmetav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components/signals"
)

// MetricsPipeline is what brings the signals from the server and its GPUs to the custom metrics API. There are
// several; what comes after a pipeline, the server's scrape and the autoscaler, knows nothing but this.
type MetricsPipeline struct {
	// Signals are the signals under the names that the pipeline's adapter serves, for the autoscaler to ask for.
	Signals []signals.Signal
	// Adapter is the name of the adapter's Deployment and Service, in the monitoring namespace.
	Adapter string
	// CollectorNamespace is where the pods run that scrape the server, which its NetworkPolicy has to let in.
	CollectorNamespace string
	// Scraper makes the pipeline collect the server's series.
	Scraper ServerScraper
	// Serving lists what has to stand before an autoscaler asks and has to outlive it.
	Serving []pulumi.Resource
	// Prometheus is the Prometheus in the cluster, with its operator, Grafana and Alertmanager; nil where the
	// cloud collects and stores, and there is none.
	Prometheus *KubePrometheusStack
}

// ScrapeTarget are the server's pods and where they serve their series.
type ScrapeTarget struct {
	// Namespace and Name of the server.
	Namespace, Name string
	// Selector are the labels of its pods, and of its Service.
	Selector map[string]string
	// Port is the name of the port of the container, and of the Service.
	Port string
	// Path of the series.
	Path string
	// Interval between two scrapes of what the signals read.
	Interval time.Duration
}

// ServerScraper makes a pipeline collect a server's series.
type ServerScraper interface {
	// scrapeServer registers the objects and returns the one that the signals need.
	scrapeServer(ctx *pulumi.Context, target ScrapeTarget, opts []pulumi.ResourceOption) (pulumi.Resource, error)
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
