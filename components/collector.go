package components

import (
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Collector collects the series of the server and its GPUs, stores them where a Backend reads them, and evaluates the
// recording rules of the signals.
type Collector interface {
	// Collect registers everything but the scrape of the server, which comes with the server.
	Collect(ctx *pulumi.Context, opts ...pulumi.ResourceOption) (*Collection, error)
	ServerScraper
}

// ServerScraper registers the scrape of a server.
type ServerScraper interface {
	// scrapeServer registers the objects and returns the one that the signals need.
	scrapeServer(ctx *pulumi.Context, target ScrapeTarget, opts []pulumi.ResourceOption) (pulumi.Resource, error)
}

// Collection is what a Collector has registered.
type Collection struct {
	// Namespace is where the pods run that scrape the server, which its NetworkPolicy has to let in.
	Namespace string
	// Kinds lists what installs the kinds of the collector's objects, which every such object has to depend on; empty
	// where the cluster has them.
	Kinds []pulumi.Resource
	// Recorded lists what has to exist before anything reads the signals, and has to outlive it.
	Recorded []pulumi.Resource
	// Prometheus is the stack's own Prometheus, with its operator, Grafana and Alertmanager; nil where the cloud or the cluster's
	// platform stores the series.
	Prometheus *KubePrometheusStack
	// Endpoint is where the series are queried; nil where the cloud stores them.
	Endpoint *PrometheusEndpoint
	// RulesNamespace is where the PrometheusRules of the stack are; "" where nothing evaluates any.
	RulesNamespace string
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
