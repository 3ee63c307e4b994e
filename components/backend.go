package components

import (
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/signals"
)

// Backend turns signals into a number of replicas: it serves what a Collector has stored to an autoscaler, and registers
// that autoscaler.
type Backend interface {
	// Served returns signals under the names that the backend serves.
	Served(enabled []signals.Signal) []signals.Signal
	// Names returns the names of what the backend registers.
	Names() BackendNames
	// Serve registers what serves the signals, and returns what has to exist before Scale and has to outlive it.
	Serve(ctx *pulumi.Context, collected *Collection, opts ...pulumi.ResourceOption) ([]pulumi.Resource, error)
	// Scale registers what sets the number of replicas of a Deployment. The signals of args are those of the catalogue.
	Scale(ctx *pulumi.Context, args *AutoscalerArgs, opts ...pulumi.ResourceOption) (*Autoscaler, error)
}

// BackendNames are the names by which dashboards, alerts, outputs and the verify command find a backend.
type BackendNames struct {
	// Adapter is the Deployment, and its Service, that serves the metrics API; in the monitoring namespace. "" where
	// the cluster itself does.
	Adapter string
	// API is the APIService that the autoscaler reads metrics from.
	API string
}

// hpaNames are the names of a backend that scales by an HPA on the custom metrics API.
func hpaNames(adapter string) BackendNames {
	return BackendNames{Adapter: adapter, API: MetricsAPIName}
}

// scaleByHPA registers an HPA over the signals that a backend serves.
func scaleByHPA(ctx *pulumi.Context, backend Backend, args *AutoscalerArgs, opts []pulumi.ResourceOption) (*Autoscaler, error) {
	served := *args
	served.Signals = backend.Served(args.Signals)
	return NewAutoscaler(ctx, ServerResource("autoscaler", args.DeploymentName), &served, opts...)
}

// claimMetricsAPI registers the custom metrics API for an adapter, once everything that answers it is there. It returns
// what an autoscaler depends on.
func claimMetricsAPI(ctx *pulumi.Context, namespace, adapter string, caBundle pulumi.StringInput, serving, namespaces []pulumi.Resource,
	opts []pulumi.ResourceOption,
) ([]pulumi.Resource, error) {
	api, err := NewMetricsAPI(ctx, "metrics-api", &MetricsAPIArgs{
		Namespace: namespace,
		Service:   adapter,
		CABundle:  caBundle,
		// Both namespaces, because destroy has to delete the APIService before either: one whose pods are gone
		// keeps every namespace in the cluster from being deleted.
		DependsOn: slices.Concat(serving, namespaces),
	}, opts...)
	if err != nil {
		return nil, err
	}
	return append(slices.Clone(serving), api.APIService), nil
}
