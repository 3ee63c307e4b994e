package gke

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

const projectsToken = "gcp:projects/getProject:getProject"

var metricsReader = &providers.ServiceAccount{Namespace: "monitoring", Name: "adapter"}

func foundProjects(projects ...object) resource.PropertyMap {
	list := []any{}
	for _, project := range projects {
		list = append(list, project)
	}
	return resource.NewPropertyMapFromMap(object{"projects": list})
}

func TestMetricsReader(t *testing.T) {
	args := validArgs()
	args.MetricsReader = metricsReader
	// The filter of the look-up finds other projects, too, whose IDs begin with ours.
	r := &recorder{projects: foundProjects(object{"projectId": "my-project-2", "number": "456"}, object{"projectId": "my-project", "number": "123"})}
	cluster, err := r.run(args)
	require.NoError(t, err)
	require.Len(t, r.Calls, 1)
	assert.Equal(t, object{"filter": "id:my-project"}, r.Calls[0].Args.Mappable())
	assert.Contains(t, r.Calls[0].Provider, cloudToken+"::gke")

	grant := r.One(t, memberToken, "gke-metrics-reader")
	assert.Equal(t, "roles/monitoring.viewer", grant.Field("role"), "it only reads")
	assert.Equal(t, "my-project", grant.Field("project"))
	assert.Equal(t, "principal://iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/my-project.svc.id.goog/subject/ns/monitoring/sa/adapter",
		grant.Field("member"))
	assert.True(t, grant.DependsOn(clusterToken, "gke"), "before a project's first cluster there is no workload identity pool")
	assert.Equal(t, "gmp-system", cluster.ManagedMetrics.CollectorNamespace)
	assert.Len(t, cluster.ManagedMetrics.Access, 1)
	assert.Equal(t, object{"enabled": true}, r.One(t, clusterToken).Field("monitoringConfig.managedPrometheus"))

	without, cluster := provision(t, validArgs())
	assert.Nil(t, cluster.ManagedMetrics)
	assert.Empty(t, without.Calls, "the project's number is of no interest then")
	assert.NotContains(t, without.Names(), memberToken+" gke-metrics-reader")
}

func TestMetricsReaderOfAnUnknownProject(t *testing.T) {
	args := validArgs()
	args.MetricsReader = metricsReader
	r := &recorder{projects: foundProjects()}
	_, err := r.run(args)
	require.ErrorContains(t, err, `number of project "my-project"`)
	assert.ErrorContains(t, err, "resourcemanager.projects.get")
}

func TestAttachForMetrics(t *testing.T) {
	for name, c := range map[string]struct {
		change func(object)
		want   string
	}{
		"no managed collection": {func(o object) {
			o["monitoringConfigs"] = []any{object{"enableComponents": []any{"SYSTEM_COMPONENTS", "DCGM"}, "managedPrometheuses": []any{object{"enabled": false}}}}
		}, "--enable-managed-prometheus"},
		"no workload identity": {func(o object) { o["workloadIdentityConfigs"] = []any{} }, "--workload-pool=my-project.svc.id.goog"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, own := range []bool{true, false} {
				args, cluster := validArgs(), existingCluster()
				args.MetricsReader = metricsReader
				if !own {
					args.GPUPool = nil
					cluster["nodePools"] = []any{gpuPoolOf("a", "nvidia-l4", 1, "DEFAULT")}
				}
				c.change(cluster)
				_, _, err := attachTo(args, cluster)
				require.ErrorContains(t, err, c.want)
			}
		})
	}
	args, cluster := validArgs(), existingCluster()
	cluster["monitoringConfigs"] = []any{object{"enableComponents": []any{"SYSTEM_COMPONENTS", "DCGM"}}}
	_, _, err := attachTo(args, cluster)
	require.NoError(t, err, "the other pipeline does without")
}
