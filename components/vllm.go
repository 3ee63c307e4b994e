package components

import (
	"fmt"
	"time"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/providers"
)

// The fixed names of the server's objects.
const (
	// VLLMName is the name of the server's container, and that of the server in a stack of one.
	VLLMName = telemetry.DefaultServer
	// VLLMPortName is the name of the container's and the Service's port, which serves the API,
	// /health and /metrics.
	VLLMPortName = "http"
)

// HuggingFaceSecret returns the name of the Secret with a server's Hugging Face token, key "token".
func HuggingFaceSecret(server string) string { return server + "-hf-token" }

// APIKeySecret returns the name of the Secret with the key that clients of a server's API present, key "key".
func APIKeySecret(server string) string { return server + "-api-key" }

// ServerResource returns the name in Pulumi's state of what a stack has once for each server.
func ServerResource(name, server string) string { return telemetry.ServerResource(name, server) }

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

// Engine is the program in the image, which determines the flags that it accepts.
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
	// MaxNumSeqs is the most requests that an engine executes at a time; at least 1. vLLM never reports more of an engine as
	// running.
	MaxNumSeqs int
	// GPUMemoryUtilization is the share of the GPU's memory that vLLM allocates; above 0, at most 1.
	GPUMemoryUtilization float64
	// DType of the weights; "auto" or one of vLLM's types, such as "bfloat16".
	DType string
	// MaxNumBatchedTokens is the most tokens in one forward pass; 0 is vLLM's own number. The extra argument
	// --max-num-batched-tokens wins over it.
	MaxNumBatchedTokens int
	// ProcessorCacheGiB is the size of vLLM's cache of processed images in each process that has one; 0 is vLLM's own size. The
	// extra argument --mm-processor-cache-gb wins over it.
	ProcessorCacheGiB float64
	// Quantization is vLLM's --quantization; "" for what the checkpoint declares.
	Quantization string
	// KVCacheDType is vLLM's --kv-cache-dtype; "" or "auto" for the type of the activations.
	KVCacheDType string
	// Parallel is how the model is spread over the GPUs of a replica; the zero value shares every layer between all of them.
	Parallel Parallel
	// LoRA are the adapters that are served beside the model.
	LoRA LoRA
	// Weights is where the files of the model come from.
	Weights Weights
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
	// Name of the server: that of its Deployment, Service, ServiceAccount, PodDisruptionBudget and NetworkPolicy, and of what scrapes
	// it (a ServiceMonitor or PodMonitoring). Required.
	Name string
	// Namespace to serve in. Required.
	Namespace string
	// MonitoringNamespace is where the pods run that scrape the server, which is always allowed. Required.
	MonitoringNamespace string
	// Scraper registers the scrape of the server. Required.
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
	// APIKey that clients must send; nil allows every client that reaches the Service. With it vLLM answers on few paths: see
	// request_guard.py. The simulator does not check it. A secret.
	APIKey pulumi.StringPtrInput
	// CPU requested, such as "2". Not limited: the server's event loop must not be throttled.
	CPU string
	// Memory requested and allowed, such as "10Gi"; SharedMemory counts towards it.
	Memory string
	// SharedMemory is the size of /dev/shm; below Memory.
	SharedMemory string
	// ModelCache is the most disk space of the node that the downloaded model may use.
	ModelCache string
	// CompileCache is where what the server compiles survives its pod.
	CompileCache CompileCache
	// PrePull keeps the image on the nodes of the server, also on those without a replica.
	PrePull bool
	// StartupBudget is the time from the container's start until /health must answer, the download
	// of the model included; at least 5 s.
	StartupBudget time.Duration
	// PreStop is the time between the pod's removal from the Service and the stop signal, in which
	// load balancers notice; whole seconds, at least 1 s.
	PreStop time.Duration
	// ShutdownTimeout is how long requests in flight may finish after the stop signal; whole
	// seconds, 0 aborts them.
	ShutdownTimeout time.Duration
	// Surge starts each new replica of an update before an earlier one stops, which takes the GPUs of one replica more. Without
	// it, one stops first.
	Surge bool
	// ClientNamespaces may call the API besides Namespace; AllNamespaces stands for every one.
	ClientNamespaces []string
	// ClientCIDRs are the networks outside the cluster that may call the API.
	ClientCIDRs []string
	// EgressNamespaces and EgressCIDRs are what the server may connect to besides DNS and the model hub, on every port.
	EgressNamespaces, EgressCIDRs []string
	// MediaDomains are the hosts that the server loads the media of a request from; empty refuses every URL. Data URLs are
	// always allowed.
	MediaDomains []string
	// BucketIdentity is what lets the pods reach the bucket of Model.Weights; the zero value where the cluster's owner granted it.
	BucketIdentity providers.BucketIdentity
	// AccountAnnotations are added to the ServiceAccounts of the server and of what fills its bucket.
	AccountAnnotations map[string]string
	// NodeSelector is added to the one of GPU.
	NodeSelector map[string]string
	// PriorityClassName of the pods; "" for none.
	PriorityClassName string
	// GPU is how a pod gets its GPUs.
	GPU providers.GPUScheduling
	// Env is further environment of the server, by variable; none that the program sets itself.
	Env map[string]string
	// PodTemplate is merged over the pod of the server.
	PodTemplate PodTemplate
	// ScrapeInterval of the server's metrics; at least 1 s.
	ScrapeInterval time.Duration
	// DependsOn lists what must exist first: the namespace.
	DependsOn []pulumi.Resource
	// MonitoringCRDs lists what installs the kinds of Scraper's objects. The server itself does not wait
	// for it, so that the model loads while the monitoring is installed.
	MonitoringCRDs []pulumi.Resource
}

// VLLM is the inference server with everything it needs to be called, drained, protected and
// scraped. The number of replicas is set by the autoscaler.
type VLLM struct {
	pulumi.ResourceState

	// URL of the API inside the cluster.
	URL pulumi.StringOutput `pulumi:"url"`
	// DeploymentName is the name of the Deployment to scale.
	DeploymentName pulumi.StringOutput `pulumi:"deploymentName"`

	// Deployment, Service and Monitor are for others to depend on.
	Deployment *appsv1.Deployment
	Service    *corev1.Service
	// Monitor is the scrape of the server.
	Monitor pulumi.Resource
}

// vllmSelector returns the labels that select a server's pods. They are part of the Deployment's
// selector, which cannot be changed.
func vllmSelector(server string) map[string]string {
	return map[string]string{
		nameLabel:                   server,
		"app.kubernetes.io/part-of": Project,
	}
}

// VLLMURL returns the address of a server's API inside the cluster.
func VLLMURL(server, namespace string, port int) string {
	return fmt.Sprintf("http://%s.%s.svc:%d", server, namespace, port)
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
	// No pod runs without the policy, not even for a moment.
	deploymentNeeds = append(deploymentNeeds, policy)
	guard, err := args.newRequestGuard(ctx, c)
	if err != nil {
		return nil, err
	}
	if guard != nil {
		deploymentNeeds = append(deploymentNeeds, guard)
	}
	cache, err := args.newCompileCache(ctx, c)
	if err != nil {
		return nil, err
	}
	deploymentNeeds = append(deploymentNeeds, cache...)
	if c.Deployment, err = args.newDeployment(ctx, c, deploymentNeeds); err != nil {
		return nil, err
	}
	if err := args.newNodePods(ctx, c); err != nil {
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
		Namespace: args.Namespace, Name: args.Name, Selector: vllmSelector(args.Name),
		Port: VLLMPortName, Path: signals.MetricsPath, Interval: args.ScrapeInterval,
	}, childOptions(c, monitorNeeds)); err != nil {
		return nil, err
	}

	c.URL = pulumi.String(VLLMURL(args.Name, args.Namespace, args.Port)).ToStringOutput()
	c.DeploymentName = pulumi.String(args.Name).ToStringOutput()
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"url": c.URL, "deploymentName": c.DeploymentName}); err != nil {
		return nil, fmt.Errorf("registering the outputs of vllm: %w", err)
	}
	return c, nil
}

// metadata of an object of the server.
func (a *VLLMArgs) metadata(annotations pulumi.StringMap) metav1.ObjectMetaArgs {
	metadata := metav1.ObjectMetaArgs{
		Name:      pulumi.String(a.Name),
		Namespace: pulumi.String(a.Namespace),
		Labels:    pulumi.ToStringMap(withLabels(vllmSelector(a.Name))),
	}
	// Set only when there is one: a nil map in the interface field would be sent as a value.
	if len(annotations) > 0 {
		metadata.Annotations = annotations
	}
	return metadata
}
