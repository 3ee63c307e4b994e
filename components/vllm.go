package components

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	policyv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/policy/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"k8s.io/apimachinery/pkg/api/resource"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
)

// The fixed names of the server's objects.
const (
	// VLLMName is the name of the Deployment, Service, ServiceAccount, PodDisruptionBudget,
	// NetworkPolicy, and of what scrapes the server (a ServiceMonitor or PodMonitoring).
	VLLMName = "vllm"
	// VLLMPortName is the name of the container's and the Service's port, which serves the API,
	// /health and /metrics.
	VLLMPortName = "http"
	// HuggingFaceSecret is the Secret with the Hugging Face token, key "token".
	HuggingFaceSecret = "vllm-hf-token"
	// APIKeySecret is the Secret with the key that clients of the API present, key "key".
	APIKeySecret = "vllm-api-key"
)

const (
	huggingFaceKey = "token"
	apiKeyKey      = "key"

	healthPath = "/health"

	// nodeAndImageTime is what a replica may need before its container starts: a GPU node takes 3 to
	// 8 minutes (AKS, where the driver is installed on boot, up to 21), the image up to 8.
	nodeAndImageTime = 30 * time.Minute
	// graceMargin is what the server gets beyond the drain, to exit.
	graceMargin = 10 * time.Second
)

// Engine says which program the image holds, and so which flags it knows.
type Engine string

// The engines.
const (
	// EngineVLLM is vLLM's OpenAI-compatible server.
	EngineVLLM Engine = "vllm"
	// EngineSimulator is llm-d-inference-sim, which speaks vLLM's API and metrics without a GPU.
	EngineSimulator Engine = "simulator"
)

// Model is what the server serves and how much of it at a time.
type Model struct {
	// ID is the model's name on the Hugging Face hub, such as "google/gemma-3-1b-it". Required.
	ID string
	// Revision is a commit, tag or branch of the model; "" is its main branch.
	Revision string
	// MaxModelLen is the longest context in tokens, prompt and answer together; at least 1.
	MaxModelLen int
	// MaxNumSeqs is the most requests executed at a time; at least 1. vLLM never reports more as
	// running.
	MaxNumSeqs int
	// GPUMemoryUtilization is the share of the GPU's memory that vLLM takes; above 0, at most 1.
	GPUMemoryUtilization float64
	// DType of the weights; "auto" or one of vLLM's types, such as "bfloat16".
	DType string
	// ExtraArgs are added to the server's arguments. Flags that a field of this struct or of
	// VLLMArgs sets are refused.
	ExtraArgs []string
}

// Simulation is how fast the simulator answers; ignored by vLLM.
type Simulation struct {
	// TimeToFirstToken is the time until the first token of an answer; above 0.
	TimeToFirstToken time.Duration
	// InterTokenLatency is the time between tokens; above 0.
	InterTokenLatency time.Duration
	// LoadFactor is how many times slower a full batch is than a single request; at least 1.
	LoadFactor float64
}

// DefaultSimulation is the order of magnitude of a 1B model on an NVIDIA L4: decoding cannot be
// faster than reading the weights, 6.7 ms a token, and the simulator's own profile of a small L40S
// (15 ms a token, 110 ms to the first, 1.5 times slower under load) is the nearest published one.
var DefaultSimulation = Simulation{
	TimeToFirstToken:  110 * time.Millisecond,
	InterTokenLatency: 15 * time.Millisecond,
	LoadFactor:        1.5,
}

// VLLMArgs are the inputs of VLLM.
type VLLMArgs struct {
	// Namespace to serve in. Required.
	Namespace string
	// MonitoringNamespace is where the pods run that scrape the server, which they may always do. Required.
	MonitoringNamespace string
	// Scraper makes the metrics pipeline collect the server's series. Required.
	Scraper ServerScraper
	// Engine is EngineVLLM or EngineSimulator.
	Engine Engine
	// Image with an explicit version; "latest" is refused.
	Image string
	// Port of the API in the container and the Service, 1024 to 65535 (the server is not root).
	Port int
	// Model to serve.
	Model Model
	// Simulation of the simulator's speed; required for EngineSimulator.
	Simulation Simulation
	// HuggingFaceToken to download gated models with; nil for none. A secret.
	HuggingFaceToken pulumi.StringPtrInput
	// APIKey that clients have to present; nil lets everyone in who reaches the Service. A secret.
	APIKey pulumi.StringPtrInput
	// CPU requested, such as "2". Not limited: the server's event loop must not be throttled.
	CPU string
	// Memory requested and allowed, such as "10Gi"; SharedMemory counts towards it.
	Memory string
	// SharedMemory is the size of /dev/shm; below Memory.
	SharedMemory string
	// ModelCache is the most that the downloaded model may take on the node's disk.
	ModelCache string
	// StartupBudget is the time from the container's start until /health must answer, the download
	// of the model included; at least 5 s.
	StartupBudget time.Duration
	// PreStop is the time between the pod's removal from the Service and the stop signal, in which
	// load balancers notice; whole seconds, at least 1 s.
	PreStop time.Duration
	// ShutdownTimeout is how long requests in flight may finish after the stop signal; whole
	// seconds, 0 aborts them.
	ShutdownTimeout time.Duration
	// ClientNamespaces may call the API; empty lets every namespace call it.
	ClientNamespaces []string
	// NodeSelector is added to the one of GPU.
	NodeSelector map[string]string
	// PriorityClassName of the pods; "" for none.
	PriorityClassName string
	// GPU says how a pod gets its GPUs.
	GPU providers.GPUScheduling
	// Env is further environment of the server, by variable; none that the program sets itself.
	Env map[string]string
	// ScrapeInterval of the server's metrics; at least 1 s.
	ScrapeInterval time.Duration
	// MaxReplicas is the most replicas that the autoscaler makes, which bounds how long a rollout
	// may take; at least 1.
	MaxReplicas int
	// DependsOn lists what must exist first: the namespace.
	DependsOn []pulumi.Resource
	// MonitoringCRDs lists what brings the kinds that Scraper registers. The server itself does not wait
	// for it, so that the model loads while the monitoring is installed.
	MonitoringCRDs []pulumi.Resource
}

// VLLM is the inference server with everything it needs to be called, drained, protected and
// scraped. The number of replicas is the autoscaler's.
type VLLM struct {
	pulumi.ResourceState

	// URL of the API inside the cluster.
	URL pulumi.StringOutput `pulumi:"url"`
	// DeploymentName is the name of the Deployment to scale.
	DeploymentName pulumi.StringOutput `pulumi:"deploymentName"`

	// Deployment, Service and Monitor are for others to depend on.
	Deployment *appsv1.Deployment
	Service    *corev1.Service
	// Monitor is what makes the metrics pipeline scrape the server.
	Monitor pulumi.Resource
}

// vllmSelector are the labels that select the server's pods. They are part of the Deployment's
// selector, which cannot be changed.
func vllmSelector() map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":    VLLMName,
		"app.kubernetes.io/part-of": Project,
	}
}

// VLLMURL is the address of the API inside the cluster.
func VLLMURL(namespace string, port int) string {
	return fmt.Sprintf("http://%s.%s.svc:%d", VLLMName, namespace, port)
}

// NewVLLM registers the server's objects, after every argument has been checked.
func NewVLLM(ctx *pulumi.Context, name string, args *VLLMArgs, opts ...pulumi.ResourceOption) (*VLLM, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("vllm: %w", err)
	}
	c := &VLLM{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:VLLM", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering vllm: %w", err)
	}

	deploymentNeeds, err := args.newAccountAndSecrets(ctx, c)
	if err != nil {
		return nil, err
	}
	policy, err := args.newNetworkPolicy(ctx, c)
	if err != nil {
		return nil, err
	}
	// No pod runs for a moment without the policy that guards it.
	deploymentNeeds = append(deploymentNeeds, policy)
	if c.Deployment, err = args.newDeployment(ctx, c, deploymentNeeds); err != nil {
		return nil, err
	}
	if c.Service, err = args.newService(ctx, c); err != nil {
		return nil, err
	}
	if err := args.newDisruptionBudget(ctx, c); err != nil {
		return nil, err
	}
	monitorNeeds := append(append([]pulumi.Resource{}, args.DependsOn...), args.MonitoringCRDs...)
	if c.Monitor, err = args.Scraper.scrapeServer(ctx, ScrapeTarget{
		Namespace: args.Namespace, Name: VLLMName, Selector: vllmSelector(),
		Port: VLLMPortName, Path: signals.MetricsPath, Interval: args.ScrapeInterval,
	}, childOptions(c, monitorNeeds)); err != nil {
		return nil, err
	}

	c.URL = pulumi.String(VLLMURL(args.Namespace, args.Port)).ToStringOutput()
	c.DeploymentName = pulumi.String(VLLMName).ToStringOutput()
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"url": c.URL, "deploymentName": c.DeploymentName}); err != nil {
		return nil, fmt.Errorf("registering the outputs of vllm: %w", err)
	}
	return c, nil
}

// metadata of an object of the server.
func (a *VLLMArgs) metadata(annotations pulumi.StringMap) metav1.ObjectMetaArgs {
	metadata := metav1.ObjectMetaArgs{
		Name:      pulumi.String(VLLMName),
		Namespace: pulumi.String(a.Namespace),
		Labels:    pulumi.ToStringMap(withLabels(vllmSelector())),
	}
	// Set only when there is one: a nil map in the interface field would be sent as a value.
	if len(annotations) > 0 {
		metadata.Annotations = annotations
	}
	return metadata
}

// newAccountAndSecrets registers what a pod refers to, and returns it for the Deployment to wait
// for.
func (a *VLLMArgs) newAccountAndSecrets(ctx *pulumi.Context, c *VLLM) ([]pulumi.Resource, error) {
	account, err := corev1.NewServiceAccount(ctx, VLLMName, &corev1.ServiceAccountArgs{
		Metadata: a.metadata(nil),
		// The server never calls the Kubernetes API.
		AutomountServiceAccountToken: pulumi.Bool(false),
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering ServiceAccount %s/%s: %w", a.Namespace, VLLMName, err)
	}
	needs := append(append([]pulumi.Resource{}, a.DependsOn...), account)
	for _, secret := range []struct {
		name, key string
		value     pulumi.StringPtrInput
	}{
		{HuggingFaceSecret, huggingFaceKey, a.HuggingFaceToken},
		{APIKeySecret, apiKeyKey, a.APIKey},
	} {
		if secret.value == nil {
			continue
		}
		entry := map[string]pulumi.StringInput{secret.key: secret.value.ToStringPtrOutput().Elem()}
		object, err := newSecret(ctx, a.Namespace, secret.name, entry,
			childOptions(c, a.DependsOn))
		if err != nil {
			return nil, err
		}
		needs = append(needs, object)
	}
	return needs, nil
}

func (a *VLLMArgs) newDeployment(ctx *pulumi.Context, c *VLLM, needs []pulumi.Resource) (*appsv1.Deployment, error) {
	// One replica at a time, each with its own node, image and model; Pulumi would give up after 10
	// minutes. As an option and not an annotation, because it follows the most replicas, and raising
	// those must not show up as a change of the server.
	rollout := (time.Duration(a.MaxReplicas)*(a.StartupBudget+nodeAndImageTime) + time.Minute).String()
	deployment, err := appsv1.NewDeployment(ctx, VLLMName, &appsv1.DeploymentArgs{
		Metadata: a.metadata(nil),
		Spec: appsv1.DeploymentSpecArgs{
			Selector:                metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(vllmSelector())},
			RevisionHistoryLimit:    pulumi.Int(3),
			ProgressDeadlineSeconds: pulumi.Int(wholeSeconds(a.StartupBudget + nodeAndImageTime)),
			// A surge would wait for a spare GPU that there may never be.
			Strategy: appsv1.DeploymentStrategyArgs{
				Type: pulumi.String("RollingUpdate"),
				RollingUpdate: appsv1.RollingUpdateDeploymentArgs{
					MaxSurge:       pulumi.Int(0),
					MaxUnavailable: pulumi.Int(1),
				},
			},
			Template: a.podTemplate(),
		},
	}, childOptions(c, needs, pulumi.Timeouts(&pulumi.CustomTimeouts{Create: rollout, Update: rollout}))...)
	if err != nil {
		return nil, fmt.Errorf("registering Deployment %s/%s: %w", a.Namespace, VLLMName, err)
	}
	return deployment, nil
}

func (a *VLLMArgs) newService(ctx *pulumi.Context, c *VLLM) (*corev1.Service, error) {
	service, err := corev1.NewService(ctx, VLLMName, &corev1.ServiceArgs{
		// skipAwait: the Service has no endpoint before the first model is loaded, and its Deployment
		// is waited for anyway.
		Metadata: a.metadata(pulumi.StringMap{"pulumi.com/skipAwait": pulumi.String("true")}),
		Spec: corev1.ServiceSpecArgs{
			Type:     pulumi.String("ClusterIP"),
			Selector: pulumi.ToStringMap(vllmSelector()),
			Ports: corev1.ServicePortArray{corev1.ServicePortArgs{
				Name:       pulumi.String(VLLMPortName),
				Port:       pulumi.Int(a.Port),
				TargetPort: pulumi.String(VLLMPortName),
				Protocol:   pulumi.String("TCP"),
			}},
		},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering Service %s/%s: %w", a.Namespace, VLLMName, err)
	}
	return service, nil
}

func (a *VLLMArgs) newDisruptionBudget(ctx *pulumi.Context, c *VLLM) error {
	_, err := policyv1.NewPodDisruptionBudget(ctx, VLLMName, &policyv1.PodDisruptionBudgetArgs{
		Metadata: a.metadata(nil),
		Spec: policyv1.PodDisruptionBudgetSpecArgs{
			// minAvailable 1 would make the node of a single replica impossible to drain.
			MaxUnavailable: pulumi.Int(1),
			Selector:       metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(vllmSelector())},
			// A server that never became ready serves nobody and must not block a drain.
			UnhealthyPodEvictionPolicy: pulumi.String("AlwaysAllow"),
		},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return fmt.Errorf("registering PodDisruptionBudget %s/%s: %w", a.Namespace, VLLMName, err)
	}
	return nil
}

// newNetworkPolicy lets clients and Prometheus reach the API's port and nobody reach anything else.
// Probes come from the pod's own node, which no policy shuts out. What leaves the pod is not
// restricted: it has to download the model.
func (a *VLLMArgs) newNetworkPolicy(ctx *pulumi.Context, c *VLLM) (*networkingv1.NetworkPolicy, error) {
	clients := networkingv1.NetworkPolicyPeerArray{}
	for _, namespace := range a.ClientNamespaces {
		clients = append(clients, namespacePeer(namespace))
	}
	if len(a.ClientNamespaces) == 0 {
		clients = append(clients, networkingv1.NetworkPolicyPeerArgs{NamespaceSelector: metav1.LabelSelectorArgs{}})
	}
	port := networkingv1.NetworkPolicyPortArray{networkingv1.NetworkPolicyPortArgs{
		Port:     pulumi.String(VLLMPortName),
		Protocol: pulumi.String("TCP"),
	}}
	policy, err := networkingv1.NewNetworkPolicy(ctx, VLLMName, &networkingv1.NetworkPolicyArgs{
		Metadata: a.metadata(nil),
		Spec: networkingv1.NetworkPolicySpecArgs{
			PodSelector: metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(vllmSelector())},
			PolicyTypes: pulumi.ToStringArray([]string{"Ingress"}),
			Ingress: networkingv1.NetworkPolicyIngressRuleArray{
				networkingv1.NetworkPolicyIngressRuleArgs{From: clients, Ports: port},
				networkingv1.NetworkPolicyIngressRuleArgs{
					From:  networkingv1.NetworkPolicyPeerArray{namespacePeer(a.MonitoringNamespace)},
					Ports: port,
				},
			},
		},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering NetworkPolicy %s/%s: %w", a.Namespace, VLLMName, err)
	}
	return policy, nil
}

// namespacePeer is every pod of a namespace.
func namespacePeer(namespace string) networkingv1.NetworkPolicyPeerArgs {
	return networkingv1.NetworkPolicyPeerArgs{NamespaceSelector: metav1.LabelSelectorArgs{
		MatchLabels: pulumi.StringMap{"kubernetes.io/metadata.name": pulumi.String(namespace)},
	}}
}

// secretsChecksum changes with either secret, so that a new token or key rolls the pods, which read
// it only when they start. nil without secrets.
func (a *VLLMArgs) secretsChecksum() pulumi.StringInput {
	var values []any
	for _, value := range []pulumi.StringPtrInput{a.HuggingFaceToken, a.APIKey} {
		if value != nil {
			values = append(values, value.ToStringPtrOutput().Elem())
		}
	}
	if len(values) == 0 {
		return nil
	}
	return pulumi.ToSecret(pulumi.All(values...).ApplyT(func(plain []any) string {
		sum := sha256.New()
		for _, value := range plain {
			fmt.Fprintf(sum, "%d:%s", len(value.(string)), value)
		}
		return hex.EncodeToString(sum.Sum(nil))
	})).(pulumi.StringOutput)
}

func (a *VLLMArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	problems := []error{
		validateNamespace("Namespace", a.Namespace),
		validateNamespace("MonitoringNamespace", a.MonitoringNamespace),
		validateImage(a.Image),
		validateQuantity("CPU", a.CPU),
		validateQuantity("Memory", a.Memory),
		validateQuantity("SharedMemory", a.SharedMemory),
		validateQuantity("ModelCache", a.ModelCache),
		validateInterval("ScrapeInterval", a.ScrapeInterval),
		validatePort("port", a.Port),
		a.GPU.Validate(),
		a.Model.validate(),
	}
	for _, namespace := range a.ClientNamespaces {
		problems = append(problems, validateNamespace("ClientNamespaces", namespace))
	}
	add := func(format string, values ...any) { problems = append(problems, fmt.Errorf(format, values...)) }

	switch a.Engine {
	case EngineVLLM:
	case EngineSimulator:
		if s := a.Simulation; s.TimeToFirstToken <= 0 || s.InterTokenLatency <= 0 || s.LoadFactor < 1 {
			add("simulation %+v not possible (latencies above 0, load factor at least 1)", s)
		}
	default:
		add("engine %q not supported (one of: %s, %s)", a.Engine, EngineVLLM, EngineSimulator)
	}
	if a.Scraper == nil {
		add("Scraper is missing: nobody would collect the server's series")
	}
	if a.StartupBudget < probePeriod {
		add("startup budget %s is too short (at least %s)", a.StartupBudget, probePeriod)
	}
	if a.PreStop < time.Second || a.PreStop%time.Second != 0 {
		add("preStop %s not possible (whole seconds, at least 1s)", a.PreStop)
	}
	if a.ShutdownTimeout < 0 || a.ShutdownTimeout%time.Second != 0 {
		add("shutdown timeout %s not possible (whole seconds, 0 or more)", a.ShutdownTimeout)
	}
	for _, variable := range ownedVariables {
		if value, ok := a.Env[variable]; ok {
			add("environment variable %s=%q is set by the program: leave it out", variable, value)
		}
	}
	if a.MaxReplicas < 1 {
		add("maxReplicas %d not possible (at least 1)", a.MaxReplicas)
	}
	memory, memoryErr := resource.ParseQuantity(a.Memory)
	shared, sharedErr := resource.ParseQuantity(a.SharedMemory)
	if memoryErr == nil && sharedErr == nil && shared.Cmp(memory) >= 0 {
		add("shared memory %s counts towards memory %s and must be less", a.SharedMemory, a.Memory)
	}
	return errors.Join(problems...)
}

func (m Model) validate() error {
	var problems []error
	add := func(format string, values ...any) { problems = append(problems, fmt.Errorf(format, values...)) }
	if m.ID == "" {
		add("model has no ID (such as google/gemma-3-1b-it)")
	}
	if m.MaxModelLen < 1 {
		add("maxModelLen %d not possible (tokens, at least 1)", m.MaxModelLen)
	}
	if m.MaxNumSeqs < 1 {
		add("maxNumSeqs %d not possible (requests, at least 1)", m.MaxNumSeqs)
	}
	if !(m.GPUMemoryUtilization > 0 && m.GPUMemoryUtilization <= 1) {
		add("gpuMemoryUtilization %v not possible (above 0, at most 1)", m.GPUMemoryUtilization)
	}
	if m.DType == "" {
		add("dtype is empty (auto, or one of vLLM's types)")
	}
	for _, arg := range m.ExtraArgs {
		flag, _, _ := strings.Cut(arg, "=")
		// vLLM takes --max_model_len as well.
		if owner, owned := ownedFlags[strings.ReplaceAll(flag, "_", "-")]; owned {
			add("extra argument %q is set by %s: use that instead", arg, owner)
		}
	}
	return errors.Join(problems...)
}

// validateImage reports an image whose version is left open.
func validateImage(image string) error {
	if strings.Contains(image, "@sha256:") {
		return nil
	}
	_, tag, tagged := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	if !tagged || tag == "" || tag == "latest" {
		return fmt.Errorf("image %q has no version (such as vllm/vllm-openai:v0.20.0-cu129, or a digest)", image)
	}
	return nil
}
