package eks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/kubeconfig"
)

func TestKubernetesProvider(t *testing.T) {
	args := created()
	args.Profile, args.RoleARN = "work", "arn:aws:iam::123456789012:role/deploy"
	r, cluster := run(t, args)
	provider := r.One(t, kubeProviderType, "llm-kubernetes")
	assert.Equal(t, "arn:aws:eks:eu-central-1:123456789012:cluster/llm", plain(provider)["clusterIdentifier"],
		"without it a changed kubeconfig replaces every object")
	assert.Equal(t, true, plain(provider)["enableServerSideApply"])
	assert.Equal(t, true, plain(provider)["enableConfigMapMutable"])
	for _, waited := range []struct{ typ, name string }{
		{nodeGroupType, "llm-system"}, {nodeGroupType, "llm-gpu-a"}, {nodeGroupType, "llm-gpu-b"}, {addonType, "llm-aws-ebs-csi-driver"}, {addonType, "llm-coredns"},
		{podIdentityType, "llm-autoscaler"}, {rolePolicyType, "llm-autoscaler"}, {asgTagType, "llm-gpu-b-taint-nvidia-com-gpu"},
		{natType, "llm-nat-a"},
	} {
		assert.True(t, r.WaitsFor(provider, waited.typ, waited.name), "objects go before %s %q does", waited.typ, waited.name)
	}

	require.True(t, provider.Inputs["kubeconfig"].IsSecret(), "kubeconfig")
	text := provider.Inputs["kubeconfig"].SecretValue().Element.StringValue()
	assert.NotContains(t, text, "token:")
	var file kubeconfig.File
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), &file))
	require.Len(t, file.Clusters, 1)
	assert.Equal(t, createdEndpoint, file.Clusters[0].Cluster["server"])
	assert.Equal(t, certificate, file.Clusters[0].Cluster["certificate-authority-data"], "in base64, as AWS has it")
	assert.Equal(t, []string{file.Clusters[0].Name, file.Users[0].Name, file.Contexts[0].Name},
		[]string{file.Contexts[0].Context.Cluster, file.Contexts[0].Context.User, file.CurrentContext})
	assert.Equal(t, kubeconfig.Object{
		"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "interactiveMode": "Never",
		"args": []any{
			"--region", "eu-central-1", "eks", "get-token", "--cluster-name", "llm", "--output", "json",
			"--role-arn", "arn:aws:iam::123456789012:role/deploy", "--profile", "work",
		},
	}, file.Users[0].User["exec"])

	assert.Equal(t, "llm", cluster.Name)
	assert.Equal(t, providers.DCGMChart, cluster.GPUMetrics.Source)
	assert.True(t, cluster.InstallDevicePlugin, "Amazon Linux has none")
	assert.False(t, cluster.ControlPlaneScrapes)
	assert.True(t, cluster.CoreDNSScrapes)
	assert.Equal(t, []string{"SYS_ADMIN"}, cluster.DevicePluginCapabilities)
	assert.Equal(t, 10250, cluster.AggregatedAPIPort)
	assert.Equal(t, []providers.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}}, cluster.GPU.Tolerations)
}
