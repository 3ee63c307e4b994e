// Package stacks says what a stack is made of: its configuration, the rules that the configuration
// has to keep, and the deployment that follows from it.
package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components"
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

// Config is the configuration of one stack: typed, with defaults filled in, and valid.
//
// It is the one source of the keys: `make config-docs` writes docs/configuration.md and the JSON
// Schema of the stack files from these structs. The comment of a field says what its key is, in one
// or two sentences that speak of keys and not of fields. Its tags are
//
//	key       the key in Pulumi.<stack>.yaml, below the project's namespace
//	clouds    the clouds on which it has a meaning; elsewhere it is refused (scope). Default: all
//	when      create or attach: only for a cluster that the stack creates, or that was there before
//	unit      what a number counts
//	min, max  bounds, inclusive; above, below: exclusive. Bounds that depend on other keys are left out
//	values    all allowed values, separated by spaces
//	pattern   a regular expression that every allowed value matches
//	default   the default where applyDefaults leaves it to a provider package, as value or as
//	          cloud=value for each cloud
//	unset     what happens without a value, where there is no default
//	example   an allowed value other than the default
type Config struct {
	// Project is the project's name, the namespace of the keys; it is not a key.
	Project string `key:"-"`
	// Stack is the stack's name; it is not a key.
	Stack string `key:"-"`
	// Cloud is where the stack runs. Without it, the stack's name says so.
	Cloud string `key:"cloud" values:"local gke eks aks"`
	// Cluster is the cluster to create or to use.
	Cluster Cluster `key:"cluster"`
	// Namespaces names the namespaces that the stack creates.
	Namespaces Namespaces `key:"namespaces"`
	// NodePools are the nodes that a cloud makes.
	NodePools NodePools `key:"nodePools" clouds:"gke eks aks"`
	// GKE is what only Google Kubernetes Engine has.
	GKE GKE `key:"gke" clouds:"gke"`
	// EKS is what only Amazon EKS has.
	EKS EKS `key:"eks" clouds:"eks"`
	// AKS is what only Azure Kubernetes Service has.
	AKS AKS `key:"aks" clouds:"aks"`
	// Model is what vLLM serves and how much of it at a time.
	Model Model `key:"model"`
	// HuggingFaceToken is a token that downloads gated models; needed for Gemma 3 with gpu.mode nvidia.
	HuggingFaceToken Secret `key:"huggingFaceToken"`
	// APIKey is what clients have to send as bearer token.
	APIKey Secret `key:"apiKey" unset:"nothing is asked for"`
	// VLLM is how the server runs.
	VLLM VLLM `key:"vllm"`
	// GPU is what a replica gets and where its metrics come from.
	GPU GPU `key:"gpu"`
	// Metrics is the pipeline from the server's metrics to the autoscaler: one of the stack's own, or Google's
	// managed collection (docs/google-managed-prometheus.md).
	Metrics string `key:"metrics" clouds:"gke" values:"prometheus-operator google-managed"`
	// Monitoring is Prometheus and Grafana.
	Monitoring Monitoring `key:"monitoring"`
	// Autoscaling is the HorizontalPodAutoscaler and the adapter that feeds it.
	Autoscaling Autoscaling `key:"autoscaling"`
	// Charts are the third-party Helm charts.
	Charts Charts `key:"charts"`
	// Production marks a stack that people rely on: `make preview` then asks for deletion protection too.
	Production bool `key:"production"`
	// Policy is what `make preview` holds the stack against.
	Policy Policy `key:"policy"`

	// warnings are what is valid and probably not meant.
	warnings []Warning `key:"-"`
}

// Warnings lists what is valid and probably not meant, sorted by key.
func (c *Config) Warnings() []Warning { return c.warnings }

// Cluster is the cluster to create or to use.
type Cluster struct {
	// Kubeconfig is the path of a kubeconfig file. Several files in $KUBECONFIG are not merged.
	Kubeconfig string `key:"kubeconfig" clouds:"local" unset:"the first existing file of $KUBECONFIG, else ~/.kube/config"`
	// Context is a context of that file.
	Context string `key:"context" clouds:"local" unset:"its current-context"`
	// Name is the name of the cluster to create: project and stack, or vllm and stack where that is
	// longer than 24 characters. Not with cluster.existing, but for gke, where it also names what is
	// added.
	Name string `key:"name" clouds:"gke eks aks" pattern:"^[A-Za-z0-9][A-Za-z0-9_-]*$" example:"inference"`
	// Existing is the name of a cluster to attach to. It keeps its owner; only a GPU pool is added.
	Existing string `key:"existing" clouds:"gke eks aks" unset:"one is created"`
	// KubernetesVersion is a minor version. On GKE see gke.releaseChannel.
	KubernetesVersion string `key:"kubernetesVersion" clouds:"eks aks" when:"create" unset:"the cloud's own" pattern:"^1[.][0-9][0-9]$" example:"1.34"`
	// APIAccessCIDRs are the IPv4 networks that may reach the API server over the internet, yours among
	// them. 0.0.0.0/0 opens it to everyone; on eks [] means from inside the VPC only.
	APIAccessCIDRs []string `key:"apiAccessCidrs" clouds:"gke eks aks" when:"create" pattern:"^[0-9.]+/[0-9]+$" example:"[198.51.100.0/24]"`
	// DeletionProtection guards the cluster; it has to be switched off, by an up of its own, before a
	// destroy.
	DeletionProtection bool `key:"deletionProtection" clouds:"gke eks aks" when:"create"`
}

// Namespaces names the namespaces that the stack creates and, on destroy, deletes.
type Namespaces struct {
	// Monitoring is the namespace of Prometheus, Grafana and the adapter. It is created, and deleted on
	// destroy, so it is neither default nor kube-*.
	Monitoring string `key:"monitoring" pattern:"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" example:"observability"`
	// Serving is the namespace of the server and the autoscaler: the same rules, and another name.
	Serving string `key:"serving" pattern:"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" example:"inference"`
}

// Model is what vLLM serves and how much of it at a time.
type Model struct {
	// ID is the model: organisation/name on Hugging Face, or an absolute path in the image.
	ID string `key:"id" pattern:"^([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+|/[^ ]+)$" example:"google/gemma-3-4b-it"`
	// Revision is a commit, tag or branch of it.
	Revision string `key:"revision" unset:"the newest" example:"main"`
	// MaxModelLen is the longest context, at most the model's own.
	MaxModelLen int `key:"maxModelLen" unit:"tokens" min:"1"`
	// MaxNumSeqs is how many requests one replica works on at a time; the rest waits.
	MaxNumSeqs int `key:"maxNumSeqs" unit:"requests" min:"1" example:"32"`
	// GPUMemoryUtilization is the share of GPU memory that vLLM takes.
	GPUMemoryUtilization float64 `key:"gpuMemoryUtilization" above:"0" max:"1" example:"0.85"`
	// DType is the type of weights and activations; not float16 or half with Gemma.
	DType string `key:"dtype" values:"auto bfloat16 float float16 float32 half"`
	// ExtraArgs are further flags of the server, other than those that keys set.
	ExtraArgs []string `key:"extraArgs" example:"[--enable-prefix-caching]"`
	// Size is the size of a model that the program does not know, so that it can check whether it fits.
	Size ModelSize `key:"size"`
}

// ModelSize is the size of a model that the program does not know; docs/sizing.md says how to find it.
type ModelSize struct {
	// WeightsGiB is what vLLM reports for the loaded weights, over all GPUs of a replica together. With
	// model.size.kvBytesPerToken; only for a model that docs/sizing.md does not list.
	WeightsGiB float64 `key:"weightsGiB" unit:"GiB" min:"0" example:"8" unset:"whether the model fits is not checked"`
	// KVBytesPerToken is what a token takes in the KV cache, over all layers together.
	KVBytesPerToken int `key:"kvBytesPerToken" unit:"bytes" min:"0" example:"100000" unset:"whether the model fits is not checked"`
	// ContextLength is the longest context that the model was made for.
	ContextLength int `key:"contextLength" unit:"tokens" min:"0" example:"32768" unset:"model.maxModelLen is not checked against it"`
}

// VLLM is how the server runs in Kubernetes.
type VLLM struct {
	// Image is the server's image, with a version tag or a digest; not latest. With gpu.mode simulated
	// it is the simulator.
	Image string `key:"image" pattern:"^[^ ]*[:@][^ ]*$" example:"registry.example.com/vllm-openai:v0.20.0"`
	// Port serves the API and /metrics.
	Port int `key:"port" min:"1024" max:"65535"`
	// CPU is what a replica requests.
	CPU Quantity `key:"cpu"`
	// Memory is what a replica requests, and its limit.
	Memory Quantity `key:"memory" example:"12Gi"`
	// Shm is the size of /dev/shm: less than vllm.memory, which it counts against.
	Shm Quantity `key:"shm" example:"1Gi"`
	// ModelCache is the most that downloaded weights may take on the node; no less than the files of a
	// known model.
	ModelCache Quantity `key:"modelCache" example:"30Gi"`
	// StartupBudget is how long download, load and warm-up may take together.
	StartupBudget time.Duration `key:"startupBudget" min:"1m" max:"6h"`
	// PreStop is how long a terminating pod goes on serving while load balancers notice.
	PreStop time.Duration `key:"preStop" min:"1s" max:"10m"`
	// ShutdownTimeout is how long running requests may then take to finish; with vllm.preStop at most
	// 10m.
	ShutdownTimeout time.Duration `key:"shutdownTimeout" min:"0s" max:"10m"`
	// ClientNamespaces are the namespaces that may call the API. Prometheus always may.
	ClientNamespaces []string `key:"clientNamespaces" unset:"all may" pattern:"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" example:"[apps]"`
	// NodeSelector are labels of nodes, on top of gpu.nodeSelector.
	NodeSelector map[string]string `key:"nodeSelector" example:"{pool: inference}"`
	// PriorityClassName is an existing PriorityClass.
	PriorityClassName string `key:"priorityClassName" unset:"the cluster's default" pattern:"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" example:"inference"`
}

// GPU is what a replica gets and where its metrics come from.
type GPU struct {
	// Mode is what serves: nvidia is vLLM on NVIDIA GPUs; simulated, on local only, its simulator, which
	// needs no GPU.
	Mode string `key:"mode" values:"nvidia simulated"`
	// PerReplica is the number of GPUs of one replica, a divisor of the model's attention heads: vLLM's
	// tensor parallelism.
	PerReplica int `key:"perReplica" values:"1 2 4 8"`
	// MemoryGiB is the memory of one GPU; 0 means unknown. When known, a known model has to fit. On a
	// cloud it follows from the accelerator.
	MemoryGiB float64 `key:"memoryGiB" unit:"GiB" min:"0" example:"24"`
	// NodeSelector are labels of the GPU nodes. On a cloud they follow from the node pool.
	NodeSelector map[string]string `key:"nodeSelector" clouds:"local" example:"{gpu: l4}"`
	// Tolerations bring a pod to the GPU nodes, as in Kubernetes. On a cloud they follow from the node
	// pool.
	Tolerations []Toleration `key:"tolerations" clouds:"local" example:"[{key: gpu, operator: Exists}]"`
	// Metrics are where GPU metrics come from: dcgm-chart is NVIDIA's exporter, simulated a rule that
	// makes them from the requests running.
	Metrics string `key:"metrics" clouds:"local" values:"dcgm-chart simulated"`
}

// Toleration is a Kubernetes toleration; see providers.Toleration.
type Toleration struct {
	// Key is the taint's key; "" with Exists means every taint.
	Key string `key:"key"`
	// Operator is Exists or Equal.
	Operator string `key:"operator"`
	// Value is the taint's value, with Equal.
	Value string `key:"value"`
	// Effect is the taint's effect; "" means every effect.
	Effect string `key:"effect"`
}

// Monitoring is Prometheus and Grafana.
type Monitoring struct {
	// ScrapeInterval is the scrape interval of everything that is not a scaling signal.
	ScrapeInterval time.Duration `key:"scrapeInterval" min:"1s" max:"2m30s"`
	// EvaluationInterval is the rule interval of everything that is not a scaling signal.
	EvaluationInterval time.Duration `key:"evaluationInterval" min:"1s" max:"2m30s"`
	// SignalInterval is the scrape and rule interval on the path that the autoscaler waits for.
	SignalInterval time.Duration `key:"signalInterval" min:"1s" max:"1m"`
	// Retention is how long Prometheus keeps metrics: a Prometheus duration above 0.
	Retention string `key:"retention" pattern:"^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$" example:"36h"`
	// Storage is the size of Prometheus' volume.
	Storage Quantity `key:"storage" unset:"an emptyDir" example:"30Gi"`
	// StorageClass is the class of that volume; only with monitoring.storage.
	StorageClass string `key:"storageClass" unset:"the cluster's default" pattern:"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" example:"standard"`
	// Grafana is false to leave Grafana out.
	Grafana bool `key:"grafana"`
	// GrafanaPassword is the password of Grafana's admin.
	GrafanaPassword Secret `key:"grafanaPassword" unset:"generated once, then kept"`
	// Dashboards gives Grafana the stack's dashboards (docs/operations.md); only with monitoring.grafana.
	Dashboards bool `key:"dashboards" unset:"the same as monitoring.grafana"`
	// Alerts are the stack's alerts (docs/runbooks.md) and what they measure against.
	Alerts Alerts `key:"alerts"`
}

// Alerts are the stack's alerts and what they measure against.
type Alerts struct {
	// Enabled is false to leave the alerts out.
	Enabled bool `key:"enabled"`
	// TTFTObjective is the time to the first token that monitoring.alerts.ttftRatio of the requests must keep: a bucket of
	// vLLM's histogram (100ms, 250ms, 500ms, 750ms, 1s, 2.5s, 5s, 7.5s, 10s, 20s, 40s, 1m20s, 2m40s,
	// 10m40s, 42m40s), because nothing is known of times between two.
	TTFTObjective time.Duration `key:"ttftObjective" min:"100ms" max:"42m40s" example:"5s"`
	// TTFTRatio is the share of the requests, not percent, that must keep monitoring.alerts.ttftObjective.
	TTFTRatio float64 `key:"ttftRatio" min:"0.5" max:"0.999"`
	// AtMaxFor is how long the HPA may stand at autoscaling.maxReplicas.
	AtMaxFor time.Duration `key:"atMaxFor" min:"1m" max:"24h"`
}

// Autoscaling is the HorizontalPodAutoscaler and the adapter that feeds it.
type Autoscaling struct {
	// MinReplicas is the least number of replicas; the HPA cannot start from 0.
	MinReplicas int `key:"minReplicas" unit:"replicas" min:"1"`
	// MaxReplicas is the largest number of replicas: autoscaling.minReplicas or more, and no more than
	// nodePools.gpu can hold.
	MaxReplicas int `key:"maxReplicas" unit:"replicas" min:"1" example:"3"`
	// Signals are what the HPA scales on; it follows the one that asks for the most replicas.
	Signals Signals `key:"signals"`
	// ScaleUp limits how fast replicas are added.
	ScaleUp ScaleUp `key:"scaleUp"`
	// ScaleDown limits how fast replicas are removed.
	ScaleDown ScaleDown `key:"scaleDown"`
	// AdapterReplicas is the number of pods of the metrics adapter.
	AdapterReplicas int `key:"adapterReplicas" unit:"pods" min:"1" max:"10"`
	// AdapterImage is the Custom Metrics Stackdriver Adapter of metrics google-managed, with a version tag or digest.
	AdapterImage string `key:"adapterImage" clouds:"gke" example:"registry.example.com/custom-metrics-stackdriver-adapter:v0.16.9-gke.0"`
	// AdapterPort is a port that the control plane may open to pods. Every cloud's reaches 10250.
	AdapterPort int `key:"adapterPort" clouds:"local" min:"1024" max:"65535"`
	// RelistInterval is how often the adapter looks for new series: at least monitoring.signalInterval,
	// by default twice that and 10s or more.
	RelistInterval time.Duration `key:"relistInterval" min:"1s" max:"5m"`
}

// ScaleUp limits how fast replicas are added: the larger of Pods and Percent in each Period.
type ScaleUp struct {
	// Stabilization is how long the load has to be high.
	Stabilization time.Duration `key:"stabilization" min:"0s" max:"1h"`
	// Pods is how many replicas may be added in each period; the larger of pods and percent counts.
	Pods int `key:"pods" unit:"replicas" min:"1" max:"1000"`
	// Percent is the same in percent of the replicas.
	Percent int `key:"percent" unit:"percent" min:"1" max:"1000"`
	// Period is the time that pods and percent are counted in.
	Period time.Duration `key:"period" min:"1s" max:"30m"`
}

// ScaleDown limits how fast replicas are removed: Pods in each Period, and only when the load has
// been low for all of Stabilization.
type ScaleDown struct {
	// Stabilization is how long the load has to be low.
	Stabilization time.Duration `key:"stabilization" min:"0s" max:"1h"`
	// Pods is how many replicas may be removed in each period.
	Pods int `key:"pods" unit:"replicas" min:"1" max:"1000"`
	// Period is the time that pods are counted in.
	Period time.Duration `key:"period" min:"1s" max:"30m"`
}

// Charts are the third-party Helm charts.
type Charts struct {
	// KubePrometheusStack brings Prometheus, its operator, kube-state-metrics and Grafana.
	KubePrometheusStack Chart `key:"kubePrometheusStack"`
	// PrometheusAdapter serves the custom metrics API.
	PrometheusAdapter Chart `key:"prometheusAdapter"`
	// DCGMExporter exports GPU metrics where the cloud has no exporter of its own.
	DCGMExporter Chart `key:"dcgmExporter"`
	// DevicePlugin is installed where nothing else tells Kubernetes of the GPUs: on aks, and on eks with
	// AL2023.
	DevicePlugin Chart `key:"devicePlugin"`
	// ClusterAutoscaler is installed where the cloud adds no nodes by itself: on eks.
	ClusterAutoscaler Chart `key:"clusterAutoscaler"`
}

// Policy is what a preview of the stack is held against; docs/policy.md lists the rules. It changes
// nothing that is deployed.
type Policy struct {
	// SpendCeiling is the most that all GPU nodes may cost together when every pool is at its maximum.
	SpendCeiling float64 `key:"spendCeiling" unit:"USD per hour" min:"0" unset:"no ceiling" example:"12.5"`
	// Exceptions allow a resource to break a rule: rule/resource, with the resource's name in the program
	// or *, and the reason.
	Exceptions map[string]string `key:"exceptions" example:"{api-server-not-open/cluster: the office has no fixed address}"`
	// Prices are what a machine type costs you, in USD per hour, instead of its list price.
	Prices map[string]any `key:"prices" example:"{g6.xlarge: 0.55}"`
}

// Chart is where a chart comes from and what is changed in it.
type Chart struct {
	// Version is one exact version.
	Version string `key:"version" pattern:"^v?[0-9]+[.][0-9]+[.][0-9]+([-+][0-9A-Za-z.+-]+)?$" example:"1.2.3"`
	// Repository is a URL (http, https, oci), or a folder that begins with / or a full stop.
	Repository string `key:"repository" pattern:"^(https?://|oci://|[.]{0,2}/)." example:"oci://registry.example.com/charts"`
	// Values are merged over the program's own, and win. Where one is encrypted, all of them stay secret.
	Values map[string]any `key:"values" example:"{podAnnotations: {team: ml}}"`

	// secret is true where the stack file encrypts anything below charts.
	secret bool `key:"-"`
}

// Secret reports whether the stack file encrypts anything of the charts.
func (c Chart) Secret() bool { return c.secret }

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
	// trial marks a source that is only tried, to see whether a change makes a problem go away.
	trial bool
}

// with is the source after a change of keys below the project's namespace.
func (s Source) with(changed change) Source {
	s.Values = maps.Clone(s.Values)
	for key, value := range changed {
		top, path, nested := strings.Cut(key, ".")
		full := s.Project + ":" + top
		if !nested {
			s.Values[full] = fmt.Sprint(value)
			continue
		}
		var object map[string]any
		if json.Unmarshal([]byte(s.Values[full]), &object) != nil || object == nil {
			object = map[string]any{}
		}
		setIn(object, path, value)
		content, err := json.Marshal(object)
		if err != nil {
			continue // It came from JSON and strings.
		}
		s.Values[full] = string(content)
	}
	return s
}

// setIn sets a dotted path in an object, or takes it away for nil.
func setIn(object map[string]any, path string, value any) {
	name, rest, nested := strings.Cut(path, ".")
	switch child, isObject := object[name].(map[string]any); {
	case nested && isObject:
		setIn(child, rest, value)
	case nested && value != nil:
		child = map[string]any{}
		object[name] = child
		setIn(child, rest, value)
	case !nested && value == nil:
		delete(object, name)
	case !nested:
		object[name] = value
	}
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
	orDefault(given, "vllm.modelCache", &c.VLLM.ModelCache, c.defaultModelCache())
	orDefault(given, "vllm.startupBudget", &c.VLLM.StartupBudget, 30*time.Minute)
	orDefault(given, "vllm.preStop", &c.VLLM.PreStop, 15*time.Second)
	orDefault(given, "vllm.shutdownTimeout", &c.VLLM.ShutdownTimeout, 45*time.Second)

	orDefault(given, "monitoring.scrapeInterval", &c.Monitoring.ScrapeInterval, 15*time.Second)
	orDefault(given, "monitoring.evaluationInterval", &c.Monitoring.EvaluationInterval, 15*time.Second)
	orDefault(given, "metrics", &c.Metrics, MetricsPrometheusOperator)
	orDefault(given, "monitoring.signalInterval", &c.Monitoring.SignalInterval,
		choose(c.ManagesMetrics(), components.ManagedMinInterval, 2*time.Second))
	orDefault(given, "monitoring.retention", &c.Monitoring.Retention, "7d")
	// Nodes of a cloud come and go; an emptyDir would lose the metrics with them.
	orDefault(given, "monitoring.storage", &c.Monitoring.Storage, choose(noGPU, Quantity(""), "20Gi"))
	orDefault(given, "monitoring.grafana", &c.Monitoring.Grafana, true)
	orDefault(given, "monitoring.dashboards", &c.Monitoring.Dashboards, c.Monitoring.Grafana)
	orDefault(given, "monitoring.alerts.enabled", &c.Monitoring.Alerts.Enabled, true)
	orDefault(given, "monitoring.alerts.ttftObjective", &c.Monitoring.Alerts.TTFTObjective, 2500*time.Millisecond)
	orDefault(given, "monitoring.alerts.ttftRatio", &c.Monitoring.Alerts.TTFTRatio, 0.95)
	orDefault(given, "monitoring.alerts.atMaxFor", &c.Monitoring.Alerts.AtMaxFor, 15*time.Minute)

	orDefault(given, "autoscaling.minReplicas", &c.Autoscaling.MinReplicas, 1)
	orDefault(given, "autoscaling.maxReplicas", &c.Autoscaling.MaxReplicas, 4)
	c.applySignalDefaults(given)
	orDefault(given, "autoscaling.scaleUp.pods", &c.Autoscaling.ScaleUp.Pods, 4)
	orDefault(given, "autoscaling.scaleUp.percent", &c.Autoscaling.ScaleUp.Percent, 100)
	orDefault(given, "autoscaling.scaleUp.period", &c.Autoscaling.ScaleUp.Period, 15*time.Second)
	orDefault(given, "autoscaling.scaleDown.stabilization", &c.Autoscaling.ScaleDown.Stabilization, 300*time.Second)
	orDefault(given, "autoscaling.scaleDown.pods", &c.Autoscaling.ScaleDown.Pods, 1)
	orDefault(given, "autoscaling.scaleDown.period", &c.Autoscaling.ScaleDown.Period, 60*time.Second)
	orDefault(given, "autoscaling.adapterReplicas", &c.Autoscaling.AdapterReplicas, 2)
	orDefault(given, "autoscaling.adapterImage", &c.Autoscaling.AdapterImage, imageStackdriverAdapter)
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
