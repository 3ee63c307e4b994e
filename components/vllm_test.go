package components

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kappsv1 "k8s.io/api/apps/v1"
	kcorev1 "k8s.io/api/core/v1"
	kmetav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/providers"
)

const (
	vllmType           = "vllm-autoscaling:components:VLLM"
	deploymentType     = "kubernetes:apps/v1:Deployment"
	serviceType        = "kubernetes:core/v1:Service"
	networkPolicyType  = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
	budgetType         = "kubernetes:policy/v1:PodDisruptionBudget"
	accountType        = "kubernetes:core/v1:ServiceAccount"
	serviceMonitorType = "kubernetes:monitoring.coreos.com/v1:ServiceMonitor"
	configMapType      = "kubernetes:core/v1:ConfigMap"
	anchorType         = configMapType
)

func vllmArgs() *VLLMArgs {
	return &VLLMArgs{
		Name:                VLLMName,
		Namespace:           "vllm",
		MonitoringNamespace: "monitoring",
		Scraper:             PrometheusScraper{},
		Engine:              EngineVLLM,
		Image:               "vllm/vllm-openai:v0.20.0-cu129",
		Port:                8000,
		Model: Model{
			ID: "google/gemma-3-1b-it", MaxModelLen: 8192, MaxNumSeqs: 16, GPUMemoryUtilization: 0.9, DType: "auto",
		},
		Simulation:      DefaultSimulation,
		CPU:             "2",
		Memory:          "10Gi",
		SharedMemory:    "2Gi",
		ModelCache:      "20Gi",
		StartupBudget:   30 * time.Minute,
		PreStop:         15 * time.Second,
		ShutdownTimeout: 45 * time.Second,
		GPU: providers.GPUScheduling{
			ResourceName: "nvidia.com/gpu",
			PerReplica:   1,
			NodeSelector: map[string]string{"nvidia.com/gpu.present": "true"},
			Tolerations:  []providers.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}},
		},
		ScrapeInterval: 2 * time.Second,
	}
}

func simulatorArgs() *VLLMArgs {
	args := vllmArgs()
	args.Engine = EngineSimulator
	args.Image = "ghcr.io/llm-d/llm-d-inference-sim:v0.10.2"
	args.GPU = providers.GPUScheduling{}
	return args
}

func runVLLM(t *testing.T, args *VLLMArgs) *record {
	t.Helper()
	return run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		namespace, err := anchor(ctx, "namespace", provider)
		if err != nil {
			return err
		}
		crds, err := anchor(ctx, "crds", provider)
		if err != nil {
			return err
		}
		args.DependsOn = []pulumi.Resource{namespace}
		args.MonitoringCRDs = []pulumi.Resource{crds}
		_, err = NewVLLM(ctx, "vllm", args, provider)
		return err
	})
}

func vllmDeployment(t *testing.T, args *VLLMArgs) kappsv1.Deployment {
	t.Helper()
	return decode[kappsv1.Deployment](t, runVLLM(t, args).get(t, deploymentType, VLLMName))
}

func vllmContainer(t *testing.T, args *VLLMArgs) kcorev1.Container {
	t.Helper()
	containers := vllmDeployment(t, args).Spec.Template.Spec.Containers
	require.Len(t, containers, 1)
	return containers[0]
}

func TestVLLMRegisters(t *testing.T) {
	args := vllmArgs()
	args.HuggingFaceToken = pulumi.String("hf_secret")
	args.APIKey = pulumi.String("key")
	r := runVLLM(t, args)
	r.assertChildrenOf(t, vllmType)
	assert.Equal(t, []string{
		deploymentType + "::vllm",
		configMapType + "::vllm-request-guard",
		secretType + "::vllm-api-key",
		secretType + "::vllm-hf-token",
		accountType + "::vllm",
		serviceType + "::vllm",
		serviceMonitorType + "::vllm",
		networkPolicyType + "::vllm",
		budgetType + "::vllm",
	}, sortedByType(r.children(vllmType)))

	for _, typ := range []string{deploymentType, accountType, serviceType, serviceMonitorType, networkPolicyType, budgetType} {
		reg := r.get(t, typ, VLLMName)
		assert.True(t, reg.dependsOn(anchorType, "namespace"), "%s waits for the namespace", typ)
		assert.Equal(t, typ == serviceMonitorType, reg.dependsOn(anchorType, "crds"), "%s and the kinds of the monitoring", typ)
		metadata := decode[struct {
			kmetav1.ObjectMeta `json:"metadata"`
			Rest               map[string]any `json:"-"`
		}](t, registration{Inputs: resource.PropertyMap{"metadata": reg.Inputs["metadata"]}})
		assert.Equal(t, VLLMName, metadata.Name)
		assert.Equal(t, "vllm", metadata.Namespace)
		assert.Equal(t, Project, metadata.Labels["app.kubernetes.io/part-of"])
	}
	deployment := r.get(t, deploymentType, VLLMName)
	assert.True(t, deployment.dependsOn(accountType, VLLMName))
	assert.True(t, deployment.dependsOn(secretType, HuggingFaceSecret(VLLMName)))
	assert.True(t, deployment.dependsOn(secretType, APIKeySecret(VLLMName)))
	assert.True(t, deployment.dependsOn(networkPolicyType, VLLMName), "no pod runs unguarded")
}

// sortedByType sorts by the part behind the API group, which reads better in a test.
func sortedByType(names []string) []string {
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(kindAndName(a), kindAndName(b)) })
	want := []string{"Deployment", "ConfigMap", "Secret", "ServiceAccount", "Service", "ServiceMonitor", "NetworkPolicy", "PodDisruptionBudget"}
	slices.SortStableFunc(names, func(a, b string) int {
		return slices.Index(want, kind(a)) - slices.Index(want, kind(b))
	})
	return names
}

func kindAndName(name string) string { return name[strings.Index(name, ":")+1:] }

func kind(name string) string {
	typ, _, _ := strings.Cut(name, "::")
	return typ[strings.LastIndex(typ, ":")+1:]
}
