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
	// A principal is named by the project's number, the pool by its ID.
	found := projects.GetProjectOutput(b.ctx, projects.GetProjectOutputArgs{Filter: pulumi.String("id:" + a.Project)}, b.invokeOptions()...)
	number := found.Projects().ApplyT(func(all []projects.GetProjectProject) (string, error) {
		for _, project := range all {
			if project.ProjectId == a.Project && project.Number != "" {
				return project.Number, nil
			}
		}
		return "", fmt.Errorf("the number of project %q, which names the reader of its metrics, cannot be looked up: "+
			"whoever runs Pulumi needs resourcemanager.projects.get on it", a.Project)
	}).(pulumi.StringOutput)
	grant, err := projects.NewIAMMember(b.ctx, b.name+"-metrics-reader", &projects.IAMMemberArgs{
		Project: pulumi.String(a.Project),
		Role:    pulumi.String(metricsRole),
		Member: pulumi.Sprintf("principal://iam.googleapis.com/projects/%s/locations/global/workloadIdentityPools/%s.svc.id.goog/subject/ns/%s/sa/%s",
			number, a.Project, a.MetricsReader.Namespace, a.MetricsReader.Name),
	}, b.options(opts...)...)
	if err != nil {
		return nil, fmt.Errorf("granting %s to ServiceAccount %s/%s: %w", metricsRole, a.MetricsReader.Namespace, a.MetricsReader.Name, err)
	}
	return &providers.ManagedMetrics{CollectorNamespace: collectorNamespace, Access: []pulumi.Resource{grant}}, nil
}
