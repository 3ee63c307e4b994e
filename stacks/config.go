// Package stacks says what a stack is made of: its configuration, the rules that the configuration
// has to keep, and the deployment that follows from it.
package stacks

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/accelerators"
)

// GPU modes.
const (
	// GPUNvidia runs vLLM on NVIDIA GPUs.
	GPUNvidia = "nvidia"
	// GPUSimulated runs a vLLM simulator without a GPU, so that the pipeline works on any cluster.
	GPUSimulated = "simulated"
)

// The clouds.
const (
	// CloudLocal is an existing cluster that a kubeconfig reaches: kind, minikube or any other.
	CloudLocal = "local"
	// CloudGKE is Google Kubernetes Engine.
	CloudGKE = accelerators.GKE
	// CloudEKS is Amazon EKS.
	CloudEKS = accelerators.EKS
	// CloudAKS is Azure Kubernetes Service.
	CloudAKS = accelerators.AKS
)

// Clouds lists where a stack can run.
var Clouds = []string{CloudLocal, CloudGKE, CloudEKS, CloudAKS}

// Config is the configuration of one stack: typed, with defaults filled in, and valid. Tags name
// the keys below the project's namespace in Pulumi.<stack>.yaml; docs/configuration.md lists them
// with type, default and what is allowed. The tags clouds and when say where a key has a meaning;
// anywhere else it is refused (scope).
type Config struct {
	// Project is the project's name, the namespace of the keys; it is not a key.
	Project string `key:"-"`
	// Stack is the stack's name; it is not a key.
	Stack string `key:"-"`
	// Cloud says where the stack runs; one of Clouds. Default: the stack's name.
	Cloud string `key:"cloud"`
	// Cluster is the cluster to create or to use.
	Cluster Cluster `key:"cluster"`
	// Namespaces names the namespaces that the stack creates.
	Namespaces Namespaces `key:"namespaces"`
	// NodePools are the nodes that a cloud makes.
	NodePools NodePools `key:"nodePools" clouds:"gke eks aks"`
	// GKE, EKS and AKS hold what only one cloud has.
	GKE GKE `key:"gke" clouds:"gke"`
	EKS EKS `key:"eks" clouds:"eks"`
	AKS AKS `key:"aks" clouds:"aks"`
	// Model is what vLLM serves.
	Model Model `key:"model"`
	// HuggingFaceToken downloads gated models.
	HuggingFaceToken Secret `key:"huggingFaceToken"`
	// APIKey is what clients of the API have to send; absent means no key is asked for.
	APIKey Secret `key:"apiKey"`
	// VLLM is how the server runs.
	VLLM VLLM `key:"vllm"`
	// GPU is what a replica gets and where its metrics come from.
	GPU GPU `key:"gpu"`
	// Monitoring is Prometheus and Grafana.
	Monitoring Monitoring `key:"monitoring"`
	// Autoscaling is the HorizontalPodAutoscaler and the adapter that feeds it.
	Autoscaling Autoscaling `key:"autoscaling"`
	// Charts are the third-party Helm charts.
	Charts Charts `key:"charts"`
}

// Cluster is the cluster to create or to use.
type Cluster struct {
	// Kubeconfig is a path; "" means the first existing file of $KUBECONFIG, else ~/.kube/config.
	Kubeconfig string `key:"kubeconfig" clouds:"local"`
	// Context is a context of that kubeconfig; "" means its current-context.
	Context string `key:"context" clouds:"local"`
	// Name is the name of the cluster to create. Default: project and stack.
	Name string `key:"name" clouds:"gke eks aks"`
	// Existing is the name of a cluster to attach to; "" creates one.
	Existing string `key:"existing" clouds:"gke eks aks"`
	// KubernetesVersion is a minor version; "" means the cloud's default. GKE has channels only.
	KubernetesVersion string `key:"kubernetesVersion" clouds:"eks aks" when:"create"`
	// APIAccessCIDRs are the networks that reach the API server over the internet.
	APIAccessCIDRs []string `key:"apiAccessCidrs" clouds:"gke eks aks" when:"create"`
	// DeletionProtection has to be switched off, by an update of its own, before a destroy.
	DeletionProtection bool `key:"deletionProtection" clouds:"gke eks aks" when:"create"`
}

// Namespaces names the namespaces that the stack creates and, on destroy, deletes.
type Namespaces struct {
	Monitoring string `key:"monitoring"`
	Serving    string `key:"serving"`
}

// Model is what vLLM serves and how much of it at a time.
type Model struct {
	// ID is the model's name on Hugging Face.
	ID string `key:"id"`
	// Revision is a commit or tag of it; "" means the newest.
	Revision string `key:"revision"`
	// MaxModelLen is the longest context, in tokens.
	MaxModelLen int `key:"maxModelLen"`
	// MaxNumSeqs is how many requests one replica works on at a time; the rest waits.
	MaxNumSeqs int `key:"maxNumSeqs"`
	// GPUMemoryUtilization is the share of GPU memory that vLLM takes, above 0 and at most 1.
	GPUMemoryUtilization float64 `key:"gpuMemoryUtilization"`
	// DType is the type of weights and activations; one of dtypes.
	DType string `key:"dtype"`
	// ExtraArgs go to vLLM as they are.
	ExtraArgs []string `key:"extraArgs"`
}

// VLLM is how the server runs in Kubernetes.
type VLLM struct {
	// Image is pinned by version or digest.
	Image string `key:"image"`
	// Port serves the API and /metrics.
	Port int `key:"port"`
	// CPU and Memory are requested; Memory is the limit as well.
	CPU    Quantity `key:"cpu"`
	Memory Quantity `key:"memory"`
	// Shm is the size of /dev/shm, which counts as memory of the container.
	Shm Quantity `key:"shm"`
	// ModelCache limits the volume that downloaded weights are kept on.
	ModelCache Quantity `key:"modelCache"`
	// StartupBudget is how long download, load and warm-up may take together.
	StartupBudget time.Duration `key:"startupBudget"`
	// PreStop is how long a terminating pod goes on serving while it is taken out of the Service.
	PreStop time.Duration `key:"preStop"`
	// ShutdownTimeout is how long running requests may then take to finish.
	ShutdownTimeout time.Duration `key:"shutdownTimeout"`
	// ClientNamespaces may call the API; none means every namespace may.
	ClientNamespaces []string `key:"clientNamespaces"`
	// NodeSelector comes on top of gpu.nodeSelector.
	NodeSelector map[string]string `key:"nodeSelector"`
	// PriorityClassName is an existing PriorityClass; "" means the cluster's default.
	PriorityClassName string `key:"priorityClassName"`
}

// GPU is what a replica gets and where its metrics come from.
type GPU struct {
	// Mode is GPUNvidia or GPUSimulated.
	Mode string `key:"mode"`
	// PerReplica is the number of GPUs of one replica: vLLM's tensor parallelism.
	PerReplica int `key:"perReplica"`
	// MemoryGiB is the memory of one GPU; 0 means unknown, and then nothing is checked against it.
	MemoryGiB float64 `key:"memoryGiB"`
	// NodeSelector and Tolerations bring a pod to the GPU nodes.
	// On a cloud both follow from its node pool.
	NodeSelector map[string]string `key:"nodeSelector" clouds:"local"`
	Tolerations  []Toleration      `key:"tolerations" clouds:"local"`
	// Metrics is a providers.GPUMetricsSource.
	Metrics string `key:"metrics" clouds:"local"`
}

// Toleration is a Kubernetes toleration; see providers.Toleration.
type Toleration struct {
	Key      string `key:"key"`
	Operator string `key:"operator"`
	Value    string `key:"value"`
	Effect   string `key:"effect"`
}

// Monitoring is Prometheus and Grafana.
type Monitoring struct {
	// ScrapeInterval and EvaluationInterval hold for everything that is not a scaling signal.
	ScrapeInterval     time.Duration `key:"scrapeInterval"`
	EvaluationInterval time.Duration `key:"evaluationInterval"`
	// SignalInterval is the scrape and rule interval on the path of a scaling signal.
	SignalInterval time.Duration `key:"signalInterval"`
	// Retention is a Prometheus duration such as 7d.
	Retention string `key:"retention"`
	// Storage is the size of Prometheus' volume; "" means an emptyDir.
	Storage Quantity `key:"storage"`
	// StorageClass is the class of that volume; "" means the cluster's default.
	StorageClass string `key:"storageClass"`
	// Grafana is false to leave Grafana out.
	Grafana bool `key:"grafana"`
	// GrafanaPassword is generated when absent.
	GrafanaPassword Secret `key:"grafanaPassword"`
}

// Autoscaling is the HorizontalPodAutoscaler and the adapter that feeds it.
type Autoscaling struct {
	MinReplicas int       `key:"minReplicas"`
	MaxReplicas int       `key:"maxReplicas"`
	Signals     Signals   `key:"signals"`
	ScaleUp     ScaleUp   `key:"scaleUp"`
	ScaleDown   ScaleDown `key:"scaleDown"`
	// AdapterReplicas is the number of Prometheus Adapter pods.
	AdapterReplicas int `key:"adapterReplicas"`
	// AdapterPort has to be a port that the control plane may open to pods.
	// Every cloud's reaches 10250.
	AdapterPort int `key:"adapterPort" clouds:"local"`
	// RelistInterval is how often the adapter looks for new series.
	RelistInterval time.Duration `key:"relistInterval"`
}

// Signals are what the HPA scales on; it follows the one that asks for the most replicas.
type Signals struct {
	// RequestsRunning counts requests that a replica works on.
	RequestsRunning Signal `key:"requestsRunning"`
	// RequestsWaiting counts requests queued in a replica.
	RequestsWaiting Signal `key:"requestsWaiting"`
	// GPUUtilization is in percent.
	GPUUtilization GPUSignal `key:"gpuUtilization"`
}

// Signal is one metric of the HPA and its target, the average per replica.
type Signal struct {
	Enabled bool    `key:"enabled"`
	Target  float64 `key:"target"`
}

// GPUSignal is the GPU metric of the HPA.
type GPUSignal struct {
	Enabled bool    `key:"enabled"`
	Target  float64 `key:"target"`
	// GuardRequests is the number of requests in a replica below which its GPU utilisation is
	// counted in part only, because a GPU reads near 100 % whenever anything is decoded.
	GuardRequests float64 `key:"guardRequests"`
}

// ScaleUp limits how fast replicas are added: the larger of Pods and Percent in each Period.
type ScaleUp struct {
	Stabilization time.Duration `key:"stabilization"`
	Pods          int           `key:"pods"`
	Percent       int           `key:"percent"`
	Period        time.Duration `key:"period"`
}

// ScaleDown limits how fast replicas are removed: Pods in each Period, and only when the load has
// been low for all of Stabilization.
type ScaleDown struct {
	Stabilization time.Duration `key:"stabilization"`
	Pods          int           `key:"pods"`
	Period        time.Duration `key:"period"`
}

// Charts are the third-party Helm charts.
type Charts struct {
	KubePrometheusStack Chart `key:"kubePrometheusStack"`
	PrometheusAdapter   Chart `key:"prometheusAdapter"`
	DCGMExporter        Chart `key:"dcgmExporter"`
	// DevicePlugin is installed where nothing else tells Kubernetes of the GPUs.
	DevicePlugin Chart `key:"devicePlugin"`
	// ClusterAutoscaler is installed where the cloud adds no nodes by itself.
	ClusterAutoscaler Chart `key:"clusterAutoscaler"`
}

// Chart is where a chart comes from and what is changed in it.
type Chart struct {
	// Version is exact.
	Version string `key:"version"`
	// Repository is a URL, an oci:// reference or a local folder.
	Repository string `key:"repository"`
	// Values are merged over the program's own, and win.
	Values map[string]any `key:"values"`
}

// Quantity is a Kubernetes quantity such as 500m or 10Gi.
type Quantity string

// Secret is a value that no formatting prints. Its zero value means absent.
type Secret struct{ value string }

// NewSecret hides a value.
func NewSecret(value string) Secret { return Secret{value: value} }

// Given says whether there is a value.
func (s Secret) Given() bool { return s.value != "" }

// Input is the value as a Pulumi secret, or nil when absent.
func (s Secret) Input() pulumi.StringPtrInput {
	if !s.Given() {
		return nil
	}
	return pulumi.ToSecret(pulumi.StringPtr(s.value)).(pulumi.StringPtrOutput)
}

// Format prints a placeholder for every verb, so that a Config can be logged.
func (s Secret) Format(f fmt.State, _ rune) {
	if s.Given() {
		_, _ = f.Write([]byte("[secret]"))
	}
}

// Source is what a stack's configuration is read from.
type Source struct {
	// Project is the namespace of the program's keys.
	Project string
	// Stack is the stack's name.
	Stack string
	// Values are all configuration values by full key, such as "vllm-autoscaling:cloud". Objects
	// are JSON.
	Values map[string]string
	// Secret says whether a full key holds a secret.
	Secret func(key string) bool
}

// Load reads the configuration of the running stack. Its error is a *ConfigError and lists
// everything that is wrong.
func Load(ctx *pulumi.Context) (*Config, error) {
	return Read(sourceOf(ctx))
}

// Read turns a source into a configuration: parse, defaults, validate.
func Read(source Source) (*Config, error) {
	c := &Config{Project: source.Project, Stack: source.Stack}
	given, problems := parse(source, c)
	c.applyDefaults(given)
	problems = append(problems, c.validate(source, given)...)
	if len(problems) > 0 {
		return nil, newConfigError(source, problems)
	}
	return c, nil
}

// sourceOf collects the configuration of a Pulumi context. The SDK looks single keys up but does
// not list them, so a misspelt key could not be noticed; the list comes from the variable that the
// language host hands the whole configuration over with. Where that is not set, as with inline
// programs, known keys still work and unknown ones pass unnoticed.
func sourceOf(ctx *pulumi.Context) Source {
	source := Source{Project: ctx.Project(), Stack: ctx.Stack(), Values: map[string]string{}, Secret: ctx.IsConfigSecret}
	if all := os.Getenv(pulumi.EnvConfig); all != "" {
		// An unreadable variable is the host's mistake; the keys that the SDK knows still count.
		_ = json.Unmarshal([]byte(all), &source.Values)
	}
	for _, name := range topLevelKeys() {
		key := source.Project + ":" + name
		if value, ok := ctx.GetConfig(key); ok {
			source.Values[key] = value
		}
	}
	return source
}

// Defaults of the numbers that other defaults or rules refer to.
const (
	defaultMaxNumSeqs = 16
	// runningShare leaves a quarter of a replica's places free for the time that the next one needs
	// to start.
	runningShare = 0.75
)

// Charts and images, pinned in this one place.
const (
	prometheusCommunity = "https://prometheus-community.github.io/helm-charts"
	nvidiaDCGM          = "https://nvidia.github.io/dcgm-exporter/helm-charts"
	nvidiaDevicePlugin  = "https://nvidia.github.io/k8s-device-plugin"
	kubernetesAutoscale = "https://kubernetes.github.io/autoscaler"

	// imageVLLM states its CUDA variant, because the plain tag's CUDA version changes with releases.
	imageVLLM      = "vllm/vllm-openai:v0.20.0-cu129"
	imageSimulator = "ghcr.io/llm-d/llm-d-inference-sim:v0.10.2"
)

// applyDefaults fills in every key that was not given. Later defaults may depend on earlier keys.
func (c *Config) applyDefaults(given keySet) {
	orDefault(given, "cloud", &c.Cloud, c.Stack)

	orDefault(given, "namespaces.monitoring", &c.Namespaces.Monitoring, "monitoring")
	orDefault(given, "namespaces.serving", &c.Namespaces.Serving, "vllm")

	orDefault(given, "model.id", &c.Model.ID, "google/gemma-3-1b-it")
	orDefault(given, "model.maxModelLen", &c.Model.MaxModelLen, 8192)
	orDefault(given, "model.maxNumSeqs", &c.Model.MaxNumSeqs, defaultMaxNumSeqs)
	orDefault(given, "model.gpuMemoryUtilization", &c.Model.GPUMemoryUtilization, 0.90)
	orDefault(given, "model.dtype", &c.Model.DType, "auto")

	// An unknown cloud is one problem, without those that follow from what it would need.
	noGPU := c.Cloud == CloudLocal || !slices.Contains(Clouds, c.Cloud)
	orDefault(given, "gpu.mode", &c.GPU.Mode, choose(noGPU, GPUSimulated, GPUNvidia))
	simulated := c.GPU.Mode == GPUSimulated
	orDefault(given, "gpu.perReplica", &c.GPU.PerReplica, 1)
	if !noGPU {
		c.applyCloudDefaults(given)
	}
	orDefault(given, "gpu.metrics", &c.GPU.Metrics,
		choose(simulated, string(providers.Simulated), string(providers.DCGMChart)))
	if !simulated && c.Cloud == CloudLocal {
		orDefault(given, "gpu.nodeSelector", &c.GPU.NodeSelector, map[string]string{"nvidia.com/gpu.present": "true"})
		orDefault(given, "gpu.tolerations", &c.GPU.Tolerations,
			[]Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}})
	}

	orDefault(given, "vllm.image", &c.VLLM.Image, choose(simulated, imageSimulator, imageVLLM))
	orDefault(given, "vllm.port", &c.VLLM.Port, 8000)
	orDefault(given, "vllm.cpu", &c.VLLM.CPU, "2")
	orDefault(given, "vllm.memory", &c.VLLM.Memory, "10Gi")
	orDefault(given, "vllm.shm", &c.VLLM.Shm, "2Gi")
	orDefault(given, "vllm.modelCache", &c.VLLM.ModelCache, "20Gi")
	orDefault(given, "vllm.startupBudget", &c.VLLM.StartupBudget, 30*time.Minute)
	orDefault(given, "vllm.preStop", &c.VLLM.PreStop, 15*time.Second)
	orDefault(given, "vllm.shutdownTimeout", &c.VLLM.ShutdownTimeout, 45*time.Second)

	orDefault(given, "monitoring.scrapeInterval", &c.Monitoring.ScrapeInterval, 15*time.Second)
	orDefault(given, "monitoring.evaluationInterval", &c.Monitoring.EvaluationInterval, 15*time.Second)
	orDefault(given, "monitoring.signalInterval", &c.Monitoring.SignalInterval, 2*time.Second)
	orDefault(given, "monitoring.retention", &c.Monitoring.Retention, "7d")
	// Nodes of a cloud come and go; an emptyDir would lose the metrics with them.
	orDefault(given, "monitoring.storage", &c.Monitoring.Storage, choose(noGPU, Quantity(""), "20Gi"))
	orDefault(given, "monitoring.grafana", &c.Monitoring.Grafana, true)

	orDefault(given, "autoscaling.minReplicas", &c.Autoscaling.MinReplicas, 1)
	orDefault(given, "autoscaling.maxReplicas", &c.Autoscaling.MaxReplicas, 4)
	signals := &c.Autoscaling.Signals
	orDefault(given, "autoscaling.signals.requestsRunning.enabled", &signals.RequestsRunning.Enabled, true)
	orDefault(given, "autoscaling.signals.requestsRunning.target", &signals.RequestsRunning.Target,
		runningTarget(c.Model.MaxNumSeqs))
	orDefault(given, "autoscaling.signals.requestsWaiting.enabled", &signals.RequestsWaiting.Enabled, true)
	orDefault(given, "autoscaling.signals.requestsWaiting.target", &signals.RequestsWaiting.Target, 4)
	orDefault(given, "autoscaling.signals.gpuUtilization.enabled", &signals.GPUUtilization.Enabled, true)
	orDefault(given, "autoscaling.signals.gpuUtilization.target", &signals.GPUUtilization.Target, 80)
	orDefault(given, "autoscaling.signals.gpuUtilization.guardRequests", &signals.GPUUtilization.GuardRequests,
		math.Max(1, math.Min(3, float64(c.Model.MaxNumSeqs))))
	orDefault(given, "autoscaling.scaleUp.pods", &c.Autoscaling.ScaleUp.Pods, 4)
	orDefault(given, "autoscaling.scaleUp.percent", &c.Autoscaling.ScaleUp.Percent, 100)
	orDefault(given, "autoscaling.scaleUp.period", &c.Autoscaling.ScaleUp.Period, 15*time.Second)
	orDefault(given, "autoscaling.scaleDown.stabilization", &c.Autoscaling.ScaleDown.Stabilization, 300*time.Second)
	orDefault(given, "autoscaling.scaleDown.pods", &c.Autoscaling.ScaleDown.Pods, 1)
	orDefault(given, "autoscaling.scaleDown.period", &c.Autoscaling.ScaleDown.Period, 60*time.Second)
	orDefault(given, "autoscaling.adapterReplicas", &c.Autoscaling.AdapterReplicas, 2)
	orDefault(given, "autoscaling.adapterPort", &c.Autoscaling.AdapterPort, 10250)
	// The first samples after a deployment wait for a relist; shorter than two scrapes, a series comes and goes.
	orDefault(given, "autoscaling.relistInterval", &c.Autoscaling.RelistInterval, max(10*time.Second, 2*c.Monitoring.SignalInterval))

	orDefault(given, "charts.kubePrometheusStack.version", &c.Charts.KubePrometheusStack.Version, "88.5.3")
	orDefault(given, "charts.kubePrometheusStack.repository", &c.Charts.KubePrometheusStack.Repository, prometheusCommunity)
	orDefault(given, "charts.prometheusAdapter.version", &c.Charts.PrometheusAdapter.Version, "5.3.0")
	orDefault(given, "charts.prometheusAdapter.repository", &c.Charts.PrometheusAdapter.Repository, prometheusCommunity)
	orDefault(given, "charts.dcgmExporter.version", &c.Charts.DCGMExporter.Version, "4.8.2")
	orDefault(given, "charts.dcgmExporter.repository", &c.Charts.DCGMExporter.Repository, nvidiaDCGM)
	orDefault(given, "charts.devicePlugin.version", &c.Charts.DevicePlugin.Version, "0.20.0")
	orDefault(given, "charts.devicePlugin.repository", &c.Charts.DevicePlugin.Repository, nvidiaDevicePlugin)
	orDefault(given, "charts.clusterAutoscaler.version", &c.Charts.ClusterAutoscaler.Version, "9.59.0")
	orDefault(given, "charts.clusterAutoscaler.repository", &c.Charts.ClusterAutoscaler.Repository, kubernetesAutoscale)
}

// runningTarget is the default target of requests running: whole, except for a replica that works on
// one request only, whose average can exceed nothing but a fraction.
func runningTarget(maxNumSeqs int) float64 {
	if maxNumSeqs <= 1 {
		return runningShare
	}
	return math.Floor(runningShare * float64(maxNumSeqs))
}

// orDefault sets a field unless its key was given.
func orDefault[T any](given keySet, key string, field *T, value T) {
	if !given.has(key) {
		*field = value
	}
}

func choose[T any](condition bool, yes, no T) T {
	if condition {
		return yes
	}
	return no
}
