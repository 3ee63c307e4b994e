package components

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kappsv1 "k8s.io/api/apps/v1"
	kcorev1 "k8s.io/api/core/v1"
	knetworkingv1 "k8s.io/api/networking/v1"
	kpolicyv1 "k8s.io/api/policy/v1"
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
	anchorType         = "kubernetes:core/v1:ConfigMap"
)

func vllmArgs() *VLLMArgs {
	return &VLLMArgs{
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
		MaxReplicas:    4,
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
	assert.True(t, deployment.dependsOn(secretType, HuggingFaceSecret))
	assert.True(t, deployment.dependsOn(secretType, APIKeySecret))
	assert.True(t, deployment.dependsOn(networkPolicyType, VLLMName), "no pod runs unguarded")
}

// sortedByType sorts by the part behind the API group, which reads better in a test.
func sortedByType(names []string) []string {
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(kindAndName(a), kindAndName(b)) })
	want := []string{"Deployment", "Secret", "ServiceAccount", "Service", "ServiceMonitor", "NetworkPolicy", "PodDisruptionBudget"}
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

// The number of replicas is the autoscaler's: a value here would be set back at every update.
func TestVLLMNeverStatesReplicas(t *testing.T) {
	for _, args := range []*VLLMArgs{vllmArgs(), simulatorArgs()} {
		reg := runVLLM(t, args).get(t, deploymentType, VLLMName)
		assert.NotContains(t, path(t, plain(reg), "spec"), "replicas")
	}
}

func TestVLLMRollout(t *testing.T) {
	deployment := vllmDeployment(t, vllmArgs())
	rolling := deployment.Spec.Strategy.RollingUpdate
	require.NotNil(t, rolling)
	assert.Equal(t, 0, rolling.MaxSurge.IntValue(), "a surge waits for a spare GPU")
	assert.Equal(t, 1, rolling.MaxUnavailable.IntValue())
	assert.GreaterOrEqual(t, int(*deployment.Spec.ProgressDeadlineSeconds), 30*60+15*60, "start-up budget, node and image")
	assert.Equal(t, vllmSelector(), deployment.Spec.Selector.MatchLabels)
	assert.Subset(t, deployment.Spec.Template.Labels, vllmSelector())
	// Four replicas one after the other, each up to the progress deadline, and a minute.
	registered := runVLLM(t, vllmArgs()).get(t, deploymentType, VLLMName)
	assert.Equal(t, "4h1m0s", registered.CreateTimeout)
	assert.Equal(t, "4h1m0s", registered.UpdateTimeout)
	// Raising the most replicas changes the timeout; it must not change the server.
	more := vllmArgs()
	more.MaxReplicas = 9
	assert.Equal(t, registered.Inputs, runVLLM(t, more).get(t, deploymentType, VLLMName).Inputs)
}

func TestVLLMDrain(t *testing.T) {
	pod := vllmDeployment(t, vllmArgs()).Spec.Template.Spec
	sleep := pod.Containers[0].Lifecycle.PreStop.Sleep
	require.NotNil(t, sleep)
	assert.EqualValues(t, 15, sleep.Seconds)
	assert.Contains(t, pod.Containers[0].Args, "--shutdown-timeout=45")
	assert.Greater(t, *pod.TerminationGracePeriodSeconds, int64(15+45), "killed in the middle of the drain")
}

func TestVLLMProbes(t *testing.T) {
	for budget, failures := range map[time.Duration]int32{
		5 * time.Second: 1, 12 * time.Second: 3, 30 * time.Minute: 360,
	} {
		args := vllmArgs()
		args.StartupBudget = budget
		container := vllmContainer(t, args)
		for name, probe := range map[string]*kcorev1.Probe{
			"startup": container.StartupProbe, "readiness": container.ReadinessProbe, "liveness": container.LivenessProbe,
		} {
			require.NotNil(t, probe, name)
			assert.Equal(t, "/health", probe.HTTPGet.Path, name)
			assert.Equal(t, VLLMPortName, probe.HTTPGet.Port.StrVal, name)
		}
		assert.Equal(t, failures, container.StartupProbe.FailureThreshold)
		assert.GreaterOrEqual(t, time.Duration(container.StartupProbe.FailureThreshold*container.StartupProbe.PeriodSeconds)*time.Second, budget)
	}
}

func TestVLLMIsRestricted(t *testing.T) {
	for name, args := range map[string]*VLLMArgs{"vllm": vllmArgs(), "simulator": simulatorArgs()} {
		t.Run(name, func(t *testing.T) {
			pod := vllmDeployment(t, args).Spec.Template.Spec
			assert.True(t, *pod.SecurityContext.RunAsNonRoot)
			assert.NotZero(t, *pod.SecurityContext.RunAsUser)
			assert.Equal(t, kcorev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
			assert.False(t, *pod.AutomountServiceAccountToken)
			assert.False(t, *pod.EnableServiceLinks, "the link of the Service vllm sets VLLM_PORT")
			container := pod.Containers[0]
			assert.False(t, *container.SecurityContext.AllowPrivilegeEscalation)
			assert.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
			assert.Equal(t, []kcorev1.Capability{"ALL"}, container.SecurityContext.Capabilities.Drop)

			// With a read-only image, each mount needs its volume and each volume its mount.
			mounts, volumes := map[string]string{}, []string{}
			for _, mount := range container.VolumeMounts {
				mounts[mount.Name] = mount.MountPath
			}
			for _, volume := range pod.Volumes {
				require.NotNil(t, volume.EmptyDir, volume.Name)
				volumes = append(volumes, volume.Name)
				assert.NotEmpty(t, mounts[volume.Name], volume.Name)
			}
			assert.Len(t, volumes, len(mounts))
			assert.Equal(t, "/tmp", mounts["tmp"])
		})
	}
	account := decode[kcorev1.ServiceAccount](t, runVLLM(t, vllmArgs()).get(t, accountType, VLLMName))
	assert.False(t, *account.AutomountServiceAccountToken)
}

func TestVLLMWritesToVolumesOnly(t *testing.T) {
	deployment := vllmDeployment(t, vllmArgs())
	pod := deployment.Spec.Template.Spec
	volumes := map[string]*kcorev1.EmptyDirVolumeSource{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = volume.EmptyDir
	}
	var writable []string
	for _, mount := range pod.Containers[0].VolumeMounts {
		writable = append(writable, mount.MountPath)
		if mount.MountPath == "/dev/shm" {
			assert.Equal(t, kcorev1.StorageMediumMemory, volumes[mount.Name].Medium)
			assert.Equal(t, "2Gi", volumes[mount.Name].SizeLimit.String())
		}
		if mount.MountPath == modelCacheDir {
			assert.Equal(t, "20Gi", volumes[mount.Name].SizeLimit.String())
		}
	}
	assert.Contains(t, writable, "/dev/shm")
	assert.Contains(t, writable, modelCacheDir)
	for _, variable := range pod.Containers[0].Env {
		if !strings.HasPrefix(variable.Value, "/") {
			continue
		}
		assert.True(t, slices.ContainsFunc(writable, func(dir string) bool {
			return variable.Value == dir || strings.HasPrefix(variable.Value, dir+"/")
		}), "%s=%s is on the read-only image, writable: %v", variable.Name, variable.Value, writable)
	}
}

func TestVLLMServerArgs(t *testing.T) {
	t.Run("vLLM", func(t *testing.T) {
		args := vllmArgs()
		assert.Equal(t, []string{
			"--model=google/gemma-3-1b-it", "--port=8000", "--max-model-len=8192", "--max-num-seqs=16",
			"--gpu-memory-utilization=0.9", "--dtype=auto", "--shutdown-timeout=45",
			"--disable-access-log-for-endpoints=/health,/metrics,/ping",
		}, serverArgs(args))
	})
	t.Run("a revision, two GPUs and extra arguments", func(t *testing.T) {
		args := vllmArgs()
		args.Model.Revision = "dcc83ea"
		args.GPU.PerReplica = 2
		args.Model.ExtraArgs = []string{"--enable-prefix-caching"}
		got := serverArgs(args)
		assert.Subset(t, got, []string{"--revision=dcc83ea", "--tensor-parallel-size=2"})
		assert.Equal(t, "--enable-prefix-caching", got[len(got)-1])
	})
	// The simulator exits on a flag it does not know.
	t.Run("the simulator", func(t *testing.T) {
		args := simulatorArgs()
		args.Model.Revision = "dcc83ea"
		args.GPU.PerReplica = 2
		assert.Equal(t, []string{
			"--model=google/gemma-3-1b-it", "--port=8000", "--max-model-len=8192", "--max-num-seqs=16",
			"--time-to-first-token=110ms", "--inter-token-latency=15ms", "--time-factor-under-load=1.5",
			"--force-dummy-tokenizer",
		}, serverArgs(args))
	})
}

// A flag that the program sets but does not own could be set a second time by the extra arguments.
func TestEveryFlagSetIsOwned(t *testing.T) {
	many := vllmArgs()
	many.Model.Revision = "main"
	many.GPU.PerReplica = 2
	for _, args := range []*VLLMArgs{many, simulatorArgs()} {
		for _, arg := range serverArgs(args) {
			flag, _, _ := strings.Cut(arg, "=")
			assert.Contains(t, OwnedFlags(), flag)
		}
	}
}

func TestVLLMGPU(t *testing.T) {
	t.Run("requested, selected and tolerated", func(t *testing.T) {
		args := vllmArgs()
		args.GPU.PerReplica = 2
		args.NodeSelector = map[string]string{"pool": "l4"}
		args.PriorityClassName = "serving"
		pod := vllmDeployment(t, args).Spec.Template.Spec
		resources := pod.Containers[0].Resources
		gpus := resources.Limits["nvidia.com/gpu"]
		assert.EqualValues(t, 2, gpus.Value())
		assert.Equal(t, gpus, resources.Requests["nvidia.com/gpu"])
		assert.Equal(t, map[string]string{"nvidia.com/gpu.present": "true", "pool": "l4"}, pod.NodeSelector)
		assert.Equal(t, []kcorev1.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}}, pod.Tolerations)
		assert.Equal(t, "serving", pod.PriorityClassName)
	})
	t.Run("none when simulated", func(t *testing.T) {
		pod := vllmDeployment(t, simulatorArgs()).Spec.Template.Spec
		assert.Len(t, pod.Containers[0].Resources.Limits, 1, "memory only")
		assert.Empty(t, pod.NodeSelector)
		assert.Empty(t, pod.Tolerations)
	})
}

// A place may keep things where the image does not look for them.
func TestVLLMEnvironmentOfThePlace(t *testing.T) {
	args := vllmArgs()
	args.Env = map[string]string{"LD_LIBRARY_PATH": "/usr/local/nvidia/lib64", "B": "2", "A": "1"}
	args.HuggingFaceToken, args.APIKey = pulumi.String("token"), pulumi.String("key")
	var names []string
	for _, variable := range vllmContainer(t, args).Env {
		if value, ours := args.Env[variable.Name]; ours {
			assert.Equal(t, value, variable.Value)
			names = append(names, variable.Name)
		} else {
			assert.Contains(t, ownedVariables, variable.Name, "so that nobody sets it twice")
		}
	}
	assert.Equal(t, []string{"A", "B", "LD_LIBRARY_PATH"}, names, "another order would roll all replicas")
}

func TestVLLMResources(t *testing.T) {
	resources := vllmContainer(t, vllmArgs()).Resources
	assert.Equal(t, "2", resources.Requests.Cpu().String())
	assert.Equal(t, "10Gi", resources.Requests.Memory().String())
	assert.Equal(t, "10Gi", resources.Limits.Memory().String())
	assert.NotContains(t, resources.Limits, kcorev1.ResourceCPU, "a limit would throttle the event loop")
}

func TestVLLMSpreadNeverBlocks(t *testing.T) {
	constraints := vllmDeployment(t, vllmArgs()).Spec.Template.Spec.TopologySpreadConstraints
	require.Len(t, constraints, 2)
	for _, constraint := range constraints {
		assert.Equal(t, kcorev1.ScheduleAnyway, constraint.WhenUnsatisfiable)
		assert.Equal(t, vllmSelector(), constraint.LabelSelector.MatchLabels)
	}
}

func TestVLLMSecrets(t *testing.T) {
	args := vllmArgs()
	args.HuggingFaceToken = pulumi.String("hf_secret")
	args.APIKey = pulumi.String("the key")
	r := runVLLM(t, args)
	for name, want := range map[string]struct{ key, value string }{
		HuggingFaceSecret: {"token", "hf_secret"},
		APIKeySecret:      {"key", "the key"},
	} {
		assert.Equal(t, want.value, secretEntry(t, r.get(t, secretType, name), want.key))
	}

	reg := r.get(t, deploymentType, VLLMName)
	refs := map[string]string{}
	for _, variable := range decode[kappsv1.Deployment](t, reg).Spec.Template.Spec.Containers[0].Env {
		if variable.ValueFrom != nil {
			refs[variable.Name] = variable.ValueFrom.SecretKeyRef.Name + "/" + variable.ValueFrom.SecretKeyRef.Key
		}
	}
	assert.Equal(t, map[string]string{"HF_TOKEN": "vllm-hf-token/token", "VLLM_API_KEY": "vllm-api-key/key"}, refs)
	text := fmt.Sprint(plain(reg))
	assert.NotContains(t, text, "hf_secret")
	assert.NotContains(t, text, "the key")
}

// A pod reads its secrets only when it starts, so a new one must roll the pods; the same one must not.
func TestVLLMRollsWithItsSecrets(t *testing.T) {
	checksum := func(token, key pulumi.StringPtrInput) string {
		args := vllmArgs()
		args.HuggingFaceToken, args.APIKey = token, key
		return vllmDeployment(t, args).Spec.Template.Annotations["vllm-autoscaling/secrets-checksum"]
	}
	first := checksum(pulumi.String("a"), pulumi.String("b"))
	assert.NotEmpty(t, first)
	assert.Equal(t, first, checksum(pulumi.String("a"), pulumi.String("b")))
	assert.NotEqual(t, first, checksum(pulumi.String("a"), pulumi.String("c")))
	assert.NotEqual(t, first, checksum(pulumi.String("c"), pulumi.String("b")))
	assert.NotEqual(t, checksum(pulumi.String("ab"), pulumi.String("c")), checksum(pulumi.String("a"), pulumi.String("bc")))
	assert.Empty(t, checksum(nil, nil))
}

func TestVLLMWithoutSecrets(t *testing.T) {
	r := runVLLM(t, vllmArgs())
	assert.False(t, r.has(secretType, HuggingFaceSecret))
	assert.False(t, r.has(secretType, APIKeySecret))
	for _, variable := range decode[kappsv1.Deployment](t, r.get(t, deploymentType, VLLMName)).Spec.Template.Spec.Containers[0].Env {
		assert.Nil(t, variable.ValueFrom, variable.Name)
	}
}

func TestVLLMService(t *testing.T) {
	service := decode[kcorev1.Service](t, runVLLM(t, vllmArgs()).get(t, serviceType, VLLMName))
	assert.Equal(t, vllmSelector(), service.Spec.Selector)
	require.Len(t, service.Spec.Ports, 1)
	assert.Equal(t, VLLMPortName, service.Spec.Ports[0].Name)
	assert.EqualValues(t, 8000, service.Spec.Ports[0].Port)
	assert.Equal(t, VLLMPortName, service.Spec.Ports[0].TargetPort.StrVal)
	// Its endpoints come with the first loaded model, long after Pulumi would have given up.
	assert.Equal(t, "true", service.Annotations["pulumi.com/skipAwait"])

	ports := vllmContainer(t, vllmArgs()).Ports
	require.Len(t, ports, 1)
	assert.Equal(t, VLLMPortName, ports[0].Name)
	assert.EqualValues(t, 8000, ports[0].ContainerPort)
}

// The monitor, the Service and the port are three names that have to agree, or nothing is scraped.
func TestVLLMServiceMonitorFindsTheService(t *testing.T) {
	r := runVLLM(t, vllmArgs())
	service := decode[kcorev1.Service](t, r.get(t, serviceType, VLLMName))
	reg := r.get(t, serviceMonitorType, VLLMName)
	monitor := decode[monitoringv1.ServiceMonitor](t, reg)
	assert.Equal(t, "monitoring.coreos.com/v1", monitor.APIVersion)
	assert.Equal(t, "ServiceMonitor", monitor.Kind)
	assert.Subset(t, service.Labels, monitor.Spec.Selector.MatchLabels)
	assert.NotEmpty(t, monitor.Spec.Selector.MatchLabels, "would select every Service")
	require.Len(t, monitor.Spec.Endpoints, 1)
	endpoint := monitor.Spec.Endpoints[0]
	assert.Equal(t, service.Spec.Ports[0].Name, endpoint.Port)
	assert.Equal(t, "/metrics", endpoint.Path)
	assert.EqualValues(t, "2s", endpoint.Interval)
	assert.EqualValues(t, "2s", endpoint.ScrapeTimeout)
	assert.NotContains(t, plain(reg), "status")
	assert.NotContains(t, path(t, plain(reg), "metadata"), "creationTimestamp")
}

func TestVLLMDisruptionBudget(t *testing.T) {
	budget := decode[kpolicyv1.PodDisruptionBudget](t, runVLLM(t, vllmArgs()).get(t, budgetType, VLLMName))
	assert.Equal(t, 1, budget.Spec.MaxUnavailable.IntValue())
	assert.Nil(t, budget.Spec.MinAvailable, "would make the node of a single replica impossible to drain")
	assert.Equal(t, vllmSelector(), budget.Spec.Selector.MatchLabels)
	assert.Equal(t, kpolicyv1.AlwaysAllow, *budget.Spec.UnhealthyPodEvictionPolicy)
}

func TestVLLMNetworkPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		clients []string
		want    []*kmetav1.LabelSelector
	}{
		"every namespace": {nil, []*kmetav1.LabelSelector{{}}},
		"named ones": {[]string{"web", "batch"}, []*kmetav1.LabelSelector{
			{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "web"}},
			{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "batch"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			args := vllmArgs()
			args.ClientNamespaces = test.clients
			policy := decode[knetworkingv1.NetworkPolicy](t, runVLLM(t, args).get(t, networkPolicyType, VLLMName))
			assert.Equal(t, vllmSelector(), policy.Spec.PodSelector.MatchLabels)
			assert.Equal(t, []knetworkingv1.PolicyType{knetworkingv1.PolicyTypeIngress}, policy.Spec.PolicyTypes)
			require.Len(t, policy.Spec.Ingress, 2)
			var clients []*kmetav1.LabelSelector
			for _, peer := range policy.Spec.Ingress[0].From {
				assert.Nil(t, peer.PodSelector)
				clients = append(clients, peer.NamespaceSelector)
			}
			assert.Equal(t, test.want, clients)
			assert.Equal(t, map[string]string{"kubernetes.io/metadata.name": "monitoring"},
				policy.Spec.Ingress[1].From[0].NamespaceSelector.MatchLabels, "a policy without Prometheus stops the scaling")
			for _, rule := range policy.Spec.Ingress {
				require.Len(t, rule.Ports, 1)
				assert.Equal(t, VLLMPortName, rule.Ports[0].Port.StrVal)
			}
		})
	}
}

func TestVLLMRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*VLLMArgs)
		want   string
	}{
		"no namespace":               {func(a *VLLMArgs) { a.Namespace = "" }, `Namespace ""`},
		"no scraper":                 {func(a *VLLMArgs) { a.Scraper = nil }, "Scraper is missing"},
		"no monitoring namespace":    {func(a *VLLMArgs) { a.MonitoringNamespace = "" }, `MonitoringNamespace ""`},
		"a client namespace":         {func(a *VLLMArgs) { a.ClientNamespaces = []string{"We b"} }, `ClientNamespaces "We b"`},
		"an engine":                  {func(a *VLLMArgs) { a.Engine = "tgi" }, `engine "tgi" not supported (one of: vllm, simulator)`},
		"no image":                   {func(a *VLLMArgs) { a.Image = "" }, `image "" has no version`},
		"an open version":            {func(a *VLLMArgs) { a.Image = "vllm/vllm-openai:latest" }, "has no version"},
		"no version":                 {func(a *VLLMArgs) { a.Image = "registry:5000/vllm-openai" }, "has no version"},
		"a privileged port":          {func(a *VLLMArgs) { a.Port = 80 }, "port 80 not possible"},
		"no model":                   {func(a *VLLMArgs) { a.Model.ID = "" }, "model has no ID"},
		"no context":                 {func(a *VLLMArgs) { a.Model.MaxModelLen = 0 }, "maxModelLen 0"},
		"no sequences":               {func(a *VLLMArgs) { a.Model.MaxNumSeqs = 0 }, "maxNumSeqs 0"},
		"more memory than there is":  {func(a *VLLMArgs) { a.Model.GPUMemoryUtilization = 1.1 }, "gpuMemoryUtilization 1.1"},
		"no dtype":                   {func(a *VLLMArgs) { a.Model.DType = "" }, "dtype is empty"},
		"an owned flag":              {func(a *VLLMArgs) { a.Model.ExtraArgs = []string{"--port=9"} }, `extra argument "--port=9" is set by the port`},
		"its other spelling":         {func(a *VLLMArgs) { a.Model.ExtraArgs = []string{"--max_model_len", "9"} }, `extra argument "--max_model_len"`},
		"the key in plain sight":     {func(a *VLLMArgs) { a.Model.ExtraArgs = []string{"--api-key", "x"} }, `extra argument "--api-key"`},
		"no CPU":                     {func(a *VLLMArgs) { a.CPU = "0" }, `CPU "0"`},
		"memory that is no quantity": {func(a *VLLMArgs) { a.Memory = "10 GB" }, `Memory "10 GB"`},
		"no shared memory":           {func(a *VLLMArgs) { a.SharedMemory = "" }, `SharedMemory ""`},
		"more shared than memory":    {func(a *VLLMArgs) { a.SharedMemory = "10Gi" }, "shared memory 10Gi counts towards memory 10Gi"},
		"no model cache":             {func(a *VLLMArgs) { a.ModelCache = "" }, `ModelCache ""`},
		"no start-up budget":         {func(a *VLLMArgs) { a.StartupBudget = 0 }, "startup budget 0s"},
		"no preStop":                 {func(a *VLLMArgs) { a.PreStop = 0 }, "preStop 0s"},
		"a negative drain":           {func(a *VLLMArgs) { a.ShutdownTimeout = -time.Second }, "shutdown timeout -1s"},
		"no scrape interval":         {func(a *VLLMArgs) { a.ScrapeInterval = 0 }, "ScrapeInterval 0s"},
		"no replicas":                {func(a *VLLMArgs) { a.MaxReplicas = 0 }, "maxReplicas 0"},
		"a variable of ours":         {func(a *VLLMArgs) { a.Env = map[string]string{"HOME": "/"} }, "environment variable HOME"},
		"no GPU in a GPU":            {func(a *VLLMArgs) { a.GPU.PerReplica = 0 }, "GPU.PerReplica 0"},
		"a toleration":               {func(a *VLLMArgs) { a.GPU.Tolerations[0].Effect = "Never" }, `effect "Never"`},
		"a simulation without speed": {func(a *VLLMArgs) { a.Engine = EngineSimulator; a.Simulation = Simulation{} }, "not possible (latencies above 0"},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				args := vllmArgs()
				test.change(args)
				_, err := NewVLLM(ctx, "vllm", args, provider)
				return err
			})
		})
	}
	t.Run("nothing", func(t *testing.T) {
		assertRefused(t, "arguments are missing", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			_, err := NewVLLM(ctx, "vllm", nil, provider)
			return err
		})
	})
	t.Run("everything wrong is reported at once", func(t *testing.T) {
		args := vllmArgs()
		args.Port, args.Model.ID, args.CPU = 1, "", "x"
		err := args.validate()
		for _, want := range []string{"port 1", "model has no ID", `CPU "x"`} {
			assert.ErrorContains(t, err, want)
		}
	})
}

func TestImagesWithAVersion(t *testing.T) {
	for _, image := range []string{
		"vllm/vllm-openai:v0.20.0-cu129",
		"registry:5000/vllm:v1",
		"vllm@sha256:0123",
	} {
		assert.NoError(t, validateImage(image))
	}
}
