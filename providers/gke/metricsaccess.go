package gke

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// ManagedMetrics is the value of the key metrics that leaves collection and storage to Google's Managed Service for
// Prometheus.
const ManagedMetrics = "google-managed"

const (
	// metricsRole reads time series and their descriptors, and writes nothing.
	metricsRole = "roles/monitoring.viewer"
	// collectorNamespace is where GKE runs the collectors of its managed Prometheus.
	collectorNamespace = "gmp-system"
)

// newMetricsAccess registers the reader's right to read the project's metrics; nil without a reader. The principal is the
// ServiceAccount itself, in the project's workload identity pool: the same name in another cluster of the project
// is the same principal, which is how Google's pool works.
func (b *builder) newMetricsAccess(opts ...pulumi.ResourceOption) (*providers.ManagedMetrics, error) {
	a := b.args
	if a.MetricsReader == nil {
		return nil, nil
	}
	grant, err := projects.NewIAMMember(b.ctx, b.name+"-metrics-reader", &projects.IAMMemberArgs{
		Project: pulumi.String(a.Project),
		Role:    pulumi.String(metricsRole),
		Member:  b.principal(b.projectNumber(), *a.MetricsReader),
	}, b.options(opts...)...)
	if err != nil {
		return nil, fmt.Errorf("granting %s to ServiceAccount %s/%s: %w", metricsRole, a.MetricsReader.Namespace, a.MetricsReader.Name, err)
	}
	return &providers.ManagedMetrics{CollectorNamespace: collectorNamespace, Access: []pulumi.Resource{grant}}, nil
}

// projectNumber looks up the number of the project, by which principals name it.
func (b *builder) projectNumber() pulumi.StringOutput {
	id := b.args.Project
	found := projects.GetProjectOutput(b.ctx, projects.GetProjectOutputArgs{Filter: pulumi.String("id:" + id)}, b.invokeOptions()...)
	return found.Projects().ApplyT(func(all []projects.GetProjectProject) (string, error) {
		for _, project := range all {
			if project.ProjectId == id && project.Number != "" {
				return project.Number, nil
			}
		}
		return "", fmt.Errorf("the number of project %q, which names the ServiceAccounts of its clusters, cannot be looked up: "+
			"whoever runs Pulumi needs resourcemanager.projects.get on it", id)
	}).(pulumi.StringOutput)
}

// principal returns the name of a ServiceAccount in the workload identity pool of the project with a number.
func (b *builder) principal(number pulumi.StringOutput, account providers.ServiceAccount) pulumi.StringOutput {
	// The project has its number there, the pool the project's ID.
	return pulumi.Sprintf("principal://iam.googleapis.com/projects/%s/locations/global/workloadIdentityPools/%s.svc.id.goog/subject/ns/%s/sa/%s",
		number, b.args.Project, account.Namespace, account.Name)
}
