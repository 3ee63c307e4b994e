package engine

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	serial "github.com/pulumi/pulumi/pkg/v3/resource/stack"
	"github.com/pulumi/pulumi/pkg/v3/secrets/b64"
	"github.com/pulumi/pulumi/sdk/v3/go/common/providers"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ignored are the inputs that others manage once a resource exists, by type. No other type ignores inputs.
var ignored = map[tokens.Type][]string{
	// The default pool is deleted; what GKE reports of it would replace the cluster, and so would a cluster's older subsetting.
	"gcp:container/cluster:Cluster": {"nodeConfig", "initialNodeCount", "enableL4IlbSubsetting"},
	// GKE fills them in, or they have an effect only at creation.
	"gcp:container/nodePool:NodePool": {"initialNodeCount", "placementPolicy", "queuedProvisioning", "nodeConfig.resourceLabels",
		"nodeConfig.kubeletConfig", "nodeConfig.linuxNodeConfig", "nodeConfig.containerdConfig", "nodeConfig.gcfsConfig",
		"nodeConfig.advancedMachineFeatures", "nodeConfig.hostMaintenancePolicy", "nodeConfig.ephemeralStorageLocalSsdConfig",
		"nodeConfig.ephemeralStorageConfig", "nodeConfig.localNvmeSsdBlockConfig"},
	// The node autoscalers manage the number of nodes.
	"aws:eks/nodeGroup:NodeGroup":                            {"scalingConfig.desiredSize"},
	"azure-native:containerservice/v20240901:ManagedCluster": {"agentPoolProfiles", "kubernetesVersion"},
	"azure-native:containerservice/v20240901:AgentPool":      {"count", "orchestratorVersion"},
	// The password is generated once.
	"kubernetes:core/v1:Secret": {"data", "stringData"},
}

// keptBack are the types that deletion protection protects.
var keptBack = []tokens.Type{
	"aws:eks/cluster:Cluster", "aws:kms/key:Key", "azure-native:containerservice/v20240901:ManagedCluster",
}

// TestCloudResourceOptions checks that every resource has a parent and an explicit provider, is deleted itself, and ignores
// only what is documented.
func TestCloudResourceOptions(t *testing.T) {
	eachCloud(t, func(t *testing.T, cloud string) {
		for _, protected := range []bool{false, true} {
			s := newCloudStack(t, cloud, map[string]any{"cluster.deletionProtection": protected})
			s.deploy()
			byURN := map[resource.URN]*resource.State{}
			for _, r := range s.state.Resources {
				byURN[r.URN] = r
			}
			const root = "pulumi:pulumi:Stack"
			var providersSeen, cloudSeen []string
			for _, r := range s.state.Resources {
				assert.False(t, r.External, r.URN)
				assert.False(t, r.RetainOnDelete, "%s would be left behind by destroy", r.URN)
				assert.Empty(t, r.DeletedWith, r.URN)
				assert.Equal(t, protected && slices.Contains(keptBack, r.Type), r.Protect, "%s: protection", r.URN)
				if len(r.IgnoreChanges) > 0 {
					assert.Subset(t, ignored[r.Type], r.IgnoreChanges, "%s", r.URN)
				}
				switch {
				case r.Type == root:
				case providers.IsProviderType(r.Type):
					providersSeen = append(providersSeen, string(r.Type.Name()))
					assert.False(t, providers.IsDefaultProvider(r.URN), "%s is a default provider", r.URN)
					assert.Equal(t, "cluster", r.Parent.Name(), "%s lies below the cluster", r.URN)
				case !r.Custom:
					assert.Equal(t, root, string(byURN[r.Parent].Type), r.URN)
					assert.Regexp(t, "^vllm-autoscaling:(components|providers):", r.Type)
				default:
					require.Contains(t, byURN, r.Parent, r.URN)
					assert.False(t, byURN[r.Parent].Custom, "%s: its parent is a component", r.URN)
					assert.NotEqual(t, root, string(byURN[r.Parent].Type), "%s: its parent is a component", r.URN)
					reference, err := providers.ParseReference(r.Provider)
					require.NoError(t, err, r.URN)
					assert.False(t, providers.IsDefaultProvider(reference.URN()), r.URN)
					assert.Equal(t, string(r.Type.Package()), string(reference.URN().Type().Name()), "%s: the provider of its cloud", r.URN)
					if r.Type.Package() != "kubernetes" {
						cloudSeen = append(cloudSeen, string(r.URN))
						assert.Equal(t, "cluster", r.Parent.Name(), "%s lies below the cluster", r.URN)
						assert.NotNil(t, cloudKinds[r.Type])
					}
				}
			}
			assert.ElementsMatch(t, []string{"kubernetes", string(doubleOf(t, cloud).provider)}, providersSeen)
			assert.GreaterOrEqual(t, len(cloudSeen), 3)
			kubernetes := s.state.Resources[slices.IndexFunc(s.state.Resources, func(r *resource.State) bool {
				return r.Type == providers.MakeProviderType("kubernetes")
			})]
			assert.NotEmpty(t, text(kubernetes.Inputs, "clusterIdentifier"), "or a new kubeconfig would replace every object")
			assert.True(t, kubernetes.Inputs["kubeconfig"].IsSecret())
			assert.True(t, s.find(doubleOf(t, cloud).component, "cluster").Outputs["kubeconfig"].IsSecret())
		}
	})
}

// TestCloudKubeconfig checks that the kubeconfig is secret everywhere and contains no token.
func TestCloudKubeconfig(t *testing.T) {
	eachCloud(t, func(t *testing.T, cloud string) {
		s := newCloudStack(t, cloud, nil)
		rendered := s.rendered()
		s.deploy()
		kubeconfig := s.find("Stack", project+"-"+cloud).Outputs["kubeconfig"]
		require.True(t, kubeconfig.IsSecret())
		content := kubeconfig.SecretValue().Element.StringValue()
		assert.Contains(t, content, doubleOf(t, cloud).credentials)
		assert.Contains(t, content, caCertificate)
		assert.NotContains(t, content, "token:")

		server := regexp.MustCompile(`server: (\S+)`).FindStringSubmatch(content)
		require.NotNil(t, server)
		for _, r := range s.state.Resources {
			for name, properties := range map[string]resource.PropertyMap{"inputs": r.Inputs, "outputs": r.Outputs} {
				walk(resource.NewProperty(properties), string(r.URN)+" "+name, false, func(path, value string, inSecret bool) {
					assert.NotContains(t, value, "canary-azure-5e", path)
					if strings.Contains(value, "current-context") {
						assert.True(t, inSecret, "%s holds the kubeconfig in plain text", path)
					}
				})
			}
		}
		s.state.SecretsManager = b64.NewBase64SecretsManager()
		serialized, _, _, err := serial.SerializeDeploymentWithMetadata(context.Background(), s.state, false)
		require.NoError(t, err)
		plain, err := json.Marshal(serialized)
		require.NoError(t, err)
		for _, text := range []string{string(plain), rendered} {
			assert.NotContains(t, text, "current-context")
			assert.NotContains(t, text, "hf_token")
		}
	})
}

// TestCloudOutputs checks the outputs, whose commands use the cloud's own login.
func TestCloudOutputs(t *testing.T) {
	eachCloud(t, func(t *testing.T, cloud string) {
		double := doubleOf(t, cloud)
		s := newCloudStack(t, cloud, nil)
		s.deploy()
		plain := s.find("Stack", project+"-"+cloud).Outputs.Mappable()
		delete(plain, "grafanaPassword")
		delete(plain, "kubeconfig")
		want := defaultPipeline(208) // of 256 requests at a time
		if double.managedGPUMetrics {
			want.GPUMetrics = "managed"
		}
		got := pipelineOf(t, plain)
		require.NotNil(t, got.ColdStart)
		assert.Positive(t, min(got.ColdStart.Node, got.ColdStart.Image, got.ColdStart.Weights, got.ColdStart.Warmup), "an estimate of each phase")
		want.ColdStart = got.ColdStart
		assert.Equal(t, want, got)
		assert.Equal(t, map[string]any{
			"apiUrl":             "http://vllm.vllm.svc:8000",
			"apiPortForward":     double.login + " --namespace vllm port-forward service/vllm 8000:8000",
			"grafanaPortForward": double.login + " --namespace monitoring port-forward service/kps-grafana 3000:80",
			"grafanaUser":        "admin",
			"hpaName":            "vllm",
			"metrics":            []any{"vllm_requests_in_flight", "vllm_gpu_utilization"},
			"namespaces":         map[string]any{"monitoring": "monitoring", "serving": "vllm"},
		}, plain)
	})
}

// TestCloudServer checks how the server's pod gets its GPU on each cloud.
func TestCloudServer(t *testing.T) {
	for name, test := range map[string]struct {
		cloud       string
		keys        map[string]any
		selector    map[string]any
		tolerations []any
		environment []string
	}{
		"gke": {"gke", nil, map[string]any{"nvidia.com/gpu.present": "true", "cloud.google.com/gke-accelerator": "nvidia-l4"}, []any{gpuToleration},
			[]string{"LD_LIBRARY_PATH"}},
		"eks": {"eks", nil, map[string]any{"nvidia.com/gpu.present": "true", "k8s.amazonaws.com/accelerator": "nvidia-l4"}, []any{gpuToleration}, nil},
		"aks": {"aks", nil, map[string]any{"nvidia.com/gpu.present": "true"}, []any{gpuToleration}, nil},
		"aks spot": {"aks", map[string]any{"nodePools.gpu.spot": true}, map[string]any{"nvidia.com/gpu.present": "true"}, []any{gpuToleration,
			map[string]any{"key": "kubernetes.azure.com/scalesetpriority", "operator": "Equal", "value": "spot", "effect": "NoSchedule"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newCloudStack(t, test.cloud, test.keys)
			s.deploy()
			pod, ok := at(s.find("Deployment", "vllm").Inputs, "spec.template.spec")
			require.True(t, ok)
			spec := pod.Mappable().(map[string]any)
			assert.Equal(t, test.selector, spec["nodeSelector"])
			assert.Equal(t, test.tolerations, spec["tolerations"])
			container := spec["containers"].([]any)[0].(map[string]any)
			assert.Equal(t, "1", container["resources"].(map[string]any)["limits"].(map[string]any)["nvidia.com/gpu"])
			var variables []string
			for _, variable := range container["env"].([]any) {
				if name := variable.(map[string]any)["name"].(string); name == "LD_LIBRARY_PATH" {
					variables = append(variables, name)
				}
			}
			assert.Equal(t, test.environment, variables)
			values, _ := at(s.find("Release", "kps").Inputs, "values.prometheus.prometheusSpec")
			assert.Contains(t, values.String(), "20Gi", "Prometheus' metrics outlive a node")
		})
	}
}

var gpuToleration = map[string]any{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}

// TestCloudGoldenPreviews compares the first preview of each cloud's stack with testdata/<cloud>.preview.txt; see
// TestGoldenPreviews.
func TestCloudGoldenPreviews(t *testing.T) {
	eachCloud(t, func(t *testing.T, cloud string) {
		compareWithGolden(t, cloud, newCloudStack(t, cloud, nil).rendered())
	})
}
