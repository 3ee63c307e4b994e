package components

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/providers"
)

const clusterAutoscalerType = "vllm-autoscaling:components:ClusterAutoscaler"

func clusterAutoscalerArgs() *ClusterAutoscalerArgs {
	return &ClusterAutoscalerArgs{
		Autoscaler: providers.NodeAutoscaler{
			CloudProvider: "a-cloud", ClusterName: "llm", Region: "here-1", Namespace: "kube-system", ServiceAccount: "node-scaler",
			KubernetesVersion: pulumi.String("1.34"),
		},
		Chart: helm.Chart{Name: "cluster-autoscaler", Version: "9.59.0", Repository: "https://kubernetes.github.io/autoscaler"},
	}
}

func TestClusterAutoscaler(t *testing.T) {
	args := clusterAutoscalerArgs()
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		nodes, err := anchor(ctx, "nodes", provider)
		if err != nil {
			return err
		}
		args.DependsOn = []pulumi.Resource{nodes}
		_, err = NewClusterAutoscaler(ctx, "cluster-autoscaler", args, provider)
		return err
	})
	r.assertChildrenOf(t, clusterAutoscalerType)
	assert.Equal(t, []string{releaseType + "::cluster-autoscaler"}, r.children(clusterAutoscalerType))
	release := r.get(t, releaseType, "cluster-autoscaler")
	assert.True(t, release.dependsOn(anchorType, "nodes"), "it needs a node to run on")

	inputs := plain(release)
	assert.Equal(t, "kube-system", inputs["namespace"], "the permissions are bound to a namespace")
	assert.Equal(t, "9.59.0", inputs["version"])
	assert.Equal(t, "a-cloud", path(t, inputs, "values", "cloudProvider"))
	assert.Equal(t, "here-1", path(t, inputs, "values", "awsRegion"))
	assert.Equal(t, "llm", path(t, inputs, "values", "autoDiscovery", "clusterName"))
	assert.Equal(t, map[string]any{"create": true, "name": "node-scaler"}, path(t, inputs, "values", "rbac", "serviceAccount"),
		"the permissions are bound to a service account")
	assert.Equal(t, true, path(t, inputs, "values", "extraArgs", "skip-nodes-with-local-storage"),
		"a busy replica must not be moved to save a node")
	assert.Equal(t, true, path(t, inputs, "values", "extraArgs", "balance-similar-node-groups"), "a pool has a group in each zone")
	assert.Equal(t, map[string]any{"tag": "v1.34.5"}, path(t, inputs, "values", "image"), "the version of the cluster")
}

// TestClusterAutoscalerTag checks that the image is of the cluster's minor version.
func TestClusterAutoscalerTag(t *testing.T) {
	for version := range clusterAutoscalerReleases {
		assert.Regexp(t, "^v"+version+`\.[0-9]+$`, clusterAutoscalerTag(version))
	}
	assert.Equal(t, "v1.40.0", clusterAutoscalerTag("1.40"), "a version that is newer than the table")
	args := clusterAutoscalerArgs()
	args.Autoscaler.KubernetesVersion = nil
	assert.NotContains(t, clusterAutoscalerValues(args), "image", "the chart's own")
	args = clusterAutoscalerArgs()
	args.Values = map[string]any{"image": map[string]any{"tag": "v1.34.0"}}
	assert.Equal(t, "v1.34.0", path(t, clusterAutoscalerValues(args), "image", "tag"))
}

func TestClusterAutoscalerValuesOfTheUserWin(t *testing.T) {
	args := clusterAutoscalerArgs()
	args.Values = map[string]any{"extraArgs": map[string]any{"expander": "priority"}, "replicaCount": 2}
	values := clusterAutoscalerValues(args)
	assert.Equal(t, "priority", path(t, values, "extraArgs", "expander"))
	assert.Equal(t, true, path(t, values, "extraArgs", "skip-nodes-with-local-storage"))
	assert.Equal(t, 2, values["replicaCount"])
}

func TestClusterAutoscalerRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		args *ClusterAutoscalerArgs
		want []string
	}{
		"nothing":      {nil, []string{"arguments are missing"}},
		"empty fields": {&ClusterAutoscalerArgs{}, []string{"Namespace", "CloudProvider", "ClusterName", "Region", "ServiceAccount"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := tryRun(func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				_, err := NewClusterAutoscaler(ctx, "cluster-autoscaler", test.args, provider)
				return err
			})
			require.Error(t, err)
			for _, want := range test.want {
				assert.ErrorContains(t, err, want)
			}
			assert.False(t, r.has(clusterAutoscalerType, "cluster-autoscaler"), "registered before validation")
		})
	}
}
