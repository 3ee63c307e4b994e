package config

import "time"

// GPU modes.
const (
	// GPUNvidia runs vLLM on NVIDIA GPUs.
	GPUNvidia = "nvidia"
	// GPUSimulated runs a vLLM simulator without a GPU, so that the pipeline works on any cluster.
	GPUSimulated = "simulated"
)

// Config is the valid configuration of one stack, with its defaults set. Its fields are the keys; the package comment
// explains their tags.
type Config struct {
	// Project is the project's name, the namespace of the keys; it is not a key.
	Project string `key:"-"`
	// Stack is the stack's name; it is not a key.
	Stack string `key:"-"`
	// Server is the name of the server that Model, VLLM, GPU, SLO and Autoscaling are of, and of its objects; it is not a key. See
	// ServerConfigs.
	Server string `key:"-"`
	// Cloud is where the stack runs. By default it is the cloud that the stack is named after.
	Cloud string `key:"cloud" values:"$clouds" hint:"name the stack after its cloud, or set the key to one of them"`
	// Cluster is the cluster to create or to use.
	Cluster Cluster `key:"cluster"`
	// Namespaces names the namespaces that the stack creates.
	Namespaces Namespaces `key:"namespaces"`
	// NodePools are the nodes that a cloud makes.
	NodePools NodePools `key:"nodePools" clouds:"$nodes"`
	// CloudKeys are the sections of the clouds' own keys, each called like its cloud; see Fields.
	CloudKeys CloudKeys
	// Model is what vLLM serves and how much of it at a time.
	Model Model `key:"model"`
	// HuggingFaceToken is a token that downloads gated models; needed for Gemma 3 with gpu.mode nvidia and model.source hub.
	HuggingFaceToken Secret `key:"huggingFaceToken"`
	// APIKey is what clients have to send as bearer token. With it vLLM answers on /v1, /version, /health, /ping and /metrics
	// only (docs/security.md); the simulator does not check it.
	APIKey Secret `key:"apiKey" unset:"nothing is asked for"`
	// VLLM is how the server runs.
	VLLM VLLM `key:"vllm"`
	// Expose is the way in for clients outside the cluster.
	Expose Expose `key:"expose"`
	// GPU is what a replica gets and where its metrics come from.
	GPU GPU `key:"gpu"`
	// Servers are several servers, by name (docs/several-models.md): each has the keys of model, vllm, gpu, autoscaling, slo and
	// expose that it sets itself, and for the others those of the stack, and the GPU nodes of nodePools.gpu or with nodePool its own.
	Servers Servers `key:"servers" unset:"one server, called vllm" example:"{chat: {model: {id: google/gemma-3-4b-it}}, code: {autoscaling: {maxReplicas: 2}}}"`
	// Metrics is the pipeline from the server's metrics to the autoscaler: one of the stack's own, Google's managed collection on GKE
	// (docs/google-managed-prometheus.md), or the existing Prometheus of the cluster's platform (docs/existing-clusters.md).
	Metrics string `key:"metrics" values:"$metrics" default:"prometheus-operator" hint:"remove the key: prometheus-operator works everywhere"`
	// SLO is the service level objective, which the alerts and `make simulate` measure against.
	SLO SLO `key:"slo"`
	// Monitoring is Prometheus and Grafana.
	Monitoring Monitoring `key:"monitoring"`
	// Autoscaling is the HorizontalPodAutoscaler and the adapter that feeds it.
	Autoscaling Autoscaling `key:"autoscaling"`
	// Charts are the third-party Helm charts.
	Charts Charts `key:"charts"`
	// Labels are added to every Kubernetes object and pod of the stack, for cost allocation and admission policies
	// (docs/existing-clusters.md). A change restarts the replicas.
	Labels map[string]string `key:"labels" unset:"only the program's own" example:"{cost-center: ml-4711}" format:"object-labels"`
	// Annotations are added to the same objects; together at most 252 KiB. A change restarts the replicas.
	Annotations map[string]string `key:"annotations" unset:"only the program's own" example:"{example.com/owner: ml-platform}" format:"annotations"`
	// Production marks a stack that people rely on: `make preview` then requires deletion protection too.
	Production bool `key:"production"`
	// Policy is what `make preview` holds the stack against.
	Policy Policy `key:"policy"`

	// givenMaxNumSeqs reports whether model.maxNumSeqs was given.
	givenMaxNumSeqs bool `key:"-"`
	// warnings are sorted by key.
	warnings []Warning `key:"-"`
	// servers are the configurations of Servers, in the order of their names.
	servers []*Config `key:"-"`
	// neighbours are the configurations of the other servers on the same GPU pool.
	neighbours []*Config `key:"-"`
	// named is true for the configuration of an entry of Servers.
	named bool `key:"-"`
	// ownPool is true for a server with a GPU pool of its own.
	ownPool bool `key:"-"`
}

// Warnings returns the warnings about the configuration, sorted by key.
func (c *Config) Warnings() []Warning { return c.warnings }

// Cluster configures the cluster to create or to use.
type Cluster struct {
	// Kubeconfig is the path of a kubeconfig file. Several files in $KUBECONFIG are not merged.
	Kubeconfig string `key:"kubeconfig" clouds:"local" unset:"the first existing file of $KUBECONFIG, else ~/.kube/config"`
	// Context is a context of that file.
	Context string `key:"context" clouds:"local" unset:"its current-context"`
	// Name is the name of the cluster to create: project and stack, or vllm and stack where that is
	// longer than 24 characters; where the cloud does not accept that, vllm, what it accepts of the stack's
	// name and a hash. Not with cluster.existing, but for gke, where it also names what is added.
	Name string `key:"name" clouds:"$nodes" pattern:"^[A-Za-z0-9][A-Za-z0-9_-]*$" example:"inference" allowed:"letters, digits, '-' and '_', a letter or digit first"`
	// Existing is the name of a cluster to attach to. It keeps its owner; only a GPU pool is added.
	Existing string `key:"existing" clouds:"$nodes" unset:"one is created"`
	// KubernetesVersion is a minor version. On GKE see gke.releaseChannel.
	KubernetesVersion string `key:"kubernetesVersion" clouds:"$versions" when:"create" unset:"the cloud's own" pattern:"^1[.][0-9][0-9]$" example:"1.34" allowed:"a minor version such as 1.34"`
	// APIAccessCIDRs are the IPv4 networks that may reach the API server over the internet, yours among
	// them. 0.0.0.0/0 opens it to everyone; on eks [] means from inside the network of eks.subnetIds only.
	APIAccessCIDRs []string `key:"apiAccessCidrs" clouds:"$nodes" when:"create" pattern:"^[0-9.]+/[0-9]+$" example:"[1.2.3.4/32]" allowed:"IPv4 networks on the internet, such as 1.2.3.4/32 for one address"`
	// DeletionProtection guards the cluster; it has to be switched off, by an up of its own, before a
	// destroy.
	DeletionProtection bool `key:"deletionProtection" clouds:"$nodes" when:"create"`
}

// Namespaces configures the namespaces that the stack creates and, on destroy, deletes.
type Namespaces struct {
	// Monitoring is the namespace of Prometheus, Grafana and the adapter. It is created, and deleted on
	// destroy, so it is neither default nor kube-*.
	Monitoring string `key:"monitoring" example:"observability" format:"namespace" default:"monitoring"`
	// Serving is the namespace of the server and the autoscaler: the same rules, and another name.
	Serving string `key:"serving" example:"inference" format:"namespace" default:"vllm"`
}

// Model configures the model that vLLM serves and its limits.
type Model struct {
	// ID is the model: organisation/name on Hugging Face, or an absolute path in the image.
	ID string `key:"id" example:"google/gemma-3-4b-it" format:"model" default:"google/gemma-3-1b-it"`
	// Revision is a commit, tag or branch of it; with another model.source than hub, the one that `make stage-model` puts there.
	Revision string `key:"revision" unset:"the newest" example:"main"`
	// Source is where a replica gets the model's files (docs/cold-start.md): hub downloads them from Hugging Face, bucket streams them from
	// model.bucket, claim reads them from the volume of model.claim, and image from the OCI image model.image.
	Source string `key:"source" values:"hub bucket claim image" default:"hub" hint:"hub works everywhere"`
	// Bucket is the folder with config.json, the tokenizer and the safetensors files: gs://bucket/folder on gke, s3://bucket/folder on eks,
	// az://account/container/folder on aks. Only with model.source bucket. Where the stack creates the cluster, it also grants the right
	// to read it.
	Bucket string `key:"bucket" unset:"none" example:"$model.bucket" format:"bucket"`
	// Claim is the volume of model.source claim.
	Claim Claim `key:"claim"`
	// Image is the image of model.source image.
	Image WeightsImage `key:"image"`
	// MaxModelLen is the longest context, at most the model's own.
	MaxModelLen int `key:"maxModelLen" unit:"tokens" min:"1" default:"8192"`
	// MaxNumSeqs is how many requests one replica works on at a time; the rest waits. With model.parallel.data, it is how many each of its
	// engines works on. The default is as many requests of 1024 tokens as fit the KV cache and keep slo.interToken, at most 256
	// (docs/sizing.md), and 16 where the GPU or the model is not known.
	MaxNumSeqs int `key:"maxNumSeqs" unit:"requests" min:"1" example:"32"`
	// GPUMemoryUtilization is the share of GPU memory that vLLM takes.
	GPUMemoryUtilization float64 `key:"gpuMemoryUtilization" above:"0" max:"1" example:"0.85" default:"0.9" hint:"a share, not percent: for example 0.9"`
	// DType is the type of weights and activations; not float16 or half with Gemma.
	DType string `key:"dtype" values:"auto bfloat16 float float16 float32 half" default:"auto" hint:"auto takes the model's own"`
	// Quantization is how the weights are quantised, in the words of vLLM's --quantization. fp8 and bitsandbytes quantise weights in 16 bits
	// while they are loaded; all others are for a checkpoint that is quantised so.
	Quantization string `key:"quantization" values:"awq awq_marlin bitsandbytes compressed-tensors fp8 gptq gptq_marlin modelopt modelopt_fp4 torchao" unset:"what the checkpoint declares" example:"fp8" hint:"remove the key to take what the checkpoint declares"`
	// KVCacheDType is the type of the KV cache; auto is that of the activations. The 8-bit types hold twice as many tokens, on GPUs of
	// compute capability 8.9 or more.
	KVCacheDType string `key:"kvCacheDType" values:"auto fp8 fp8_e4m3 fp8_e5m2" default:"auto" hint:"auto takes the type of the activations"`
	// Parallel is how the model is spread over the GPUs of a replica.
	Parallel Parallel `key:"parallel"`
	// LoRA are the adapters that the server has beside the model.
	LoRA LoRA `key:"lora"`
	// ExtraArgs are further flags of the server, other than those that keys set.
	ExtraArgs []string `key:"extraArgs" example:"[--enable-prefix-caching]"`
	// Size is the size of a model that the program does not know, so that it can check whether it fits.
	Size ModelSize `key:"size"`
}

// ModelSize is the size of a model that is not in the catalogue; docs/sizing.md describes how to find it.
type ModelSize struct {
	// WeightsGiB is what vLLM reports for the loaded weights, over all GPUs of a replica together. With
	// model.size.kvBytesPerToken; only for a model that docs/sizing.md does not list.
	WeightsGiB float64 `key:"weightsGiB" unit:"GiB" min:"0" example:"8" unset:"whether the model fits is not checked"`
	// KVBytesPerToken is what a token takes in the KV cache, over all layers together.
	KVBytesPerToken int `key:"kvBytesPerToken" unit:"bytes" min:"0" example:"100000" unset:"whether the model fits is not checked"`
	// ContextLength is the longest context that the model was made for.
	ContextLength int `key:"contextLength" unit:"tokens" min:"0" example:"32768" unset:"model.maxModelLen is not checked against it" hint:"the model's longest context, or 0 for unknown"`
}

// VLLM configures how the server runs in Kubernetes.
type VLLM struct {
	// Image is the server's image, with a version tag or a digest; not latest. With gpu.mode simulated
	// it is the simulator.
	Image string `key:"image" example:"registry.example.com/vllm-openai:v0.20.0" format:"image"`
	// Port serves the API and /metrics.
	Port int `key:"port" min:"1024" max:"65535" default:"8000" hint:"the server runs without privileges; 8000 is usual"`
	// CPU is what a replica requests, without a limit. The default follows from gpu.perReplica and the machine type: docs/sizing.md.
	// Where the machine type is not known, it is 2.
	CPU Quantity `key:"cpu" example:"4"`
	// Memory is what a replica requests, and its limit. The default follows from the model, whether it reads images, gpu.perReplica,
	// vllm.shm and the machine type: docs/sizing.md.
	Memory Quantity `key:"memory" example:"12Gi"`
	// Shm is the size of /dev/shm: less than vllm.memory, which it counts against. The default follows from gpu.perReplica:
	// docs/sizing.md.
	Shm Quantity `key:"shm" example:"512Mi"`
	// ModelCache is the most that downloaded weights may take on the node; no less than the files of a
	// known model.
	ModelCache Quantity `key:"modelCache" example:"30Gi"`
	// Cache keeps what the server compiles for the replicas after it.
	Cache Cache `key:"cache"`
	// PrePull keeps the image of the server on all its GPU nodes, also on those without a replica, by a DaemonSet. It has an effect only
	// on nodes that stand idle, such as those of nodePools.gpu.minNodes.
	PrePull bool `key:"prePull"`
	// StartupBudget is how long download, load and warm-up may take together.
	StartupBudget time.Duration `key:"startupBudget" min:"1m" max:"6h" default:"30m" hint:"download, load and warm-up have to fit in"`
	// ReadyTimeout is how long `pulumi up` waits for the next replica to become ready before it fails; 0s
	// does not wait. By default vllm.startupBudget and 30m for the node and the image.
	ReadyTimeout time.Duration `key:"readyTimeout" min:"0s" max:"24h" example:"0s" hint:"0s ends the update without waiting for the server"`
	// UpdateStrategy is how an update replaces replicas. surge starts each new one before an earlier one stops, for which it needs
	// the GPUs of one replica more. inPlace stops one first: with one replica, nothing serves until the next is ready. auto is
	// surge where nodePools.gpu.maxNodes has room for a replica more than autoscaling.maxReplicas, else inPlace.
	UpdateStrategy string `key:"updateStrategy" values:"auto surge inPlace" default:"auto" hint:"auto never waits for a GPU that the pool cannot have"`
	// PreStop is how long a terminating pod goes on serving while load balancers notice.
	PreStop time.Duration `key:"preStop" min:"1s" max:"10m" default:"15s" hint:"5s to 15s let load balancers notice"`
	// ShutdownTimeout is how long running requests may then take to finish; with vllm.preStop at most
	// 10m.
	ShutdownTimeout time.Duration `key:"shutdownTimeout" min:"0s" max:"10m" default:"45s" hint:"as long as a usual request takes"`
	// ClientNamespaces are the namespaces whose pods may call the API; ["*"] is every one. Those of namespaces.serving and what
	// collects the metrics always may.
	ClientNamespaces []string `key:"clientNamespaces" unset:"no other namespace may" example:"[apps]" format:"namespaces"`
	// ClientCIDRs are the networks outside the cluster that may call the API, such as the subnets of a load balancer.
	ClientCIDRs []string `key:"clientCidrs" unset:"none may" example:"[10.0.0.0/16]" format:"network"`
	// EgressNamespaces are the namespaces whose pods the server may connect to, such as that of a proxy.
	EgressNamespaces []string `key:"egressNamespaces" unset:"none" example:"[proxy]" format:"label"`
	// EgressCIDRs are the networks that the server may connect to, on every port, besides DNS and, for model and media, the
	// public internet at port 443.
	EgressCIDRs []string `key:"egressCidrs" unset:"none" example:"[10.1.0.0/24]" format:"network"`
	// MediaDomains are the hosts that vLLM may load images and other media from, when a request has a URL of them. Media within
	// the request (data URLs) are always allowed.
	MediaDomains []string `key:"mediaDomains" unset:"a request with a URL is refused" example:"[images.example.com]" format:"host"`
	// NodeSelector are labels of nodes, on top of gpu.nodeSelector.
	NodeSelector map[string]string `key:"nodeSelector" example:"{pool: inference}" format:"labels"`
	// ServiceAccountAnnotations are added to the server's ServiceAccount, and to that which fills model.bucket, where they select an identity
	// of the cloud (docs/cold-start.md).
	ServiceAccountAnnotations map[string]string `key:"serviceAccountAnnotations" unset:"none" example:"{eks.amazonaws.com/role-arn: 'arn:aws:iam::123456789012:role/models'}" format:"annotations"`
	// PriorityClassName is an existing PriorityClass.
	PriorityClassName string `key:"priorityClassName" unset:"the cluster's default" example:"inference" format:"subdomain"`
	// PodTemplate is a part of a Kubernetes PodTemplateSpec that is merged over the server's pod (docs/existing-clusters.md): image
	// pull secrets, environment, volumes, sidecars, labels and others. The server's container is called vllm. Where a value of
	// vllm is encrypted, all of them stay secret.
	PodTemplate PodTemplate `key:"podTemplate" example:"{spec: {imagePullSecrets: [{name: registry}]}}"`

	// secret is true where the stack file encrypts anything below vllm.
	secret bool `key:"-"`
}

// Secret reports whether the stack file encrypts anything below vllm.
func (v VLLM) Secret() bool { return v.secret }

// GPU configures the GPUs of a replica and the source of their metrics.
type GPU struct {
	// Mode is what serves: nvidia is vLLM on NVIDIA GPUs; simulated, on local only, its simulator, which
	// needs no GPU.
	Mode string `key:"mode" values:"nvidia simulated" hint:"simulated needs no GPU"`
	// PerReplica is the number of GPUs of one replica. By default all of them share every layer (model.parallel.tensor), so that it is
	// a divisor of the model's attention heads.
	PerReplica int `key:"perReplica" values:"1 2 4 8" default:"1" hint:"1 unless the model is too large for one GPU"`
	// MemoryGiB is the memory of one GPU; 0 means unknown. When known, a known model has to fit. On a
	// cloud it follows from the accelerator.
	MemoryGiB float64 `key:"memoryGiB" unit:"GiB" min:"0" example:"24" hint:"the memory of one GPU, for example 24 for an L4, or 0 for unknown"`
	// NodeSelector are labels of the GPU nodes. On a cloud they follow from the node pool.
	NodeSelector map[string]string `key:"nodeSelector" clouds:"local" example:"{gpu: l4}" format:"labels"`
	// Tolerations bring a pod to the GPU nodes, as in Kubernetes. On a cloud they follow from the node
	// pool.
	Tolerations []Toleration `key:"tolerations" clouds:"local" example:"[{key: gpu, operator: Exists}]"`
	// Metrics are where GPU metrics come from: dcgm-chart is NVIDIA's exporter, simulated a rule that
	// makes them from the requests running.
	Metrics string `key:"metrics" clouds:"local" values:"dcgm-chart simulated" hint:"remove the key to get what suits gpu.mode"`
}

// Toleration is a Kubernetes toleration; see providers.Toleration.
type Toleration struct {
	// Key is the taint's key; "" with Exists means every taint.
	Key string `key:"key" example:"a"`
	// Operator is Exists or Equal.
	Operator string `key:"operator" example:"Equal"`
	// Value is the taint's value, with Equal.
	Value string `key:"value" example:"b"`
	// Effect is the taint's effect; "" means every effect.
	Effect string `key:"effect" example:"NoExecute"`
}

// SLO configures the service level objective. Its limits are bounds of the buckets of vLLM's histograms, because a histogram
// counts the requests within a bound but no times between two bounds.
type SLO struct {
	// TTFT is the time within which slo.ratio of the requests get their first token: 100ms, 250ms, 500ms, 750ms, 1s, 2.5s, 5s,
	// 7.5s, 10s, 20s, 40s, 1m20s, 2m40s, 10m40s or 42m40s, the bounds at which vLLM counts them.
	TTFT time.Duration `key:"ttft" min:"100ms" max:"42m40s" example:"5s" default:"2.5s" step:"1ms"`
	// InterToken is the longest mean time between the tokens of a request that slo.ratio of the requests keep: 10ms, 25ms, 50ms,
	// 75ms, 100ms, 150ms, 200ms, 300ms, 400ms, 500ms, 750ms, 1s, 2.5s, 5s, 7.5s, 10s, 20s, 40s or 1m20s, the bounds at which vLLM
	// counts them. The default is ten tokens per second, which is faster than people read.
	InterToken time.Duration `key:"interToken" min:"10ms" max:"1m20s" example:"50ms" default:"100ms" step:"1ms"`
	// Ratio is the share of the requests, not percent, that keep slo.ttft, and the share that keep slo.interToken.
	Ratio float64 `key:"ratio" min:"0.5" max:"0.999" default:"0.95" hint:"a share, not percent: for example 0.95"`
}

// Monitoring configures Prometheus and Grafana.
type Monitoring struct {
	// Prometheus is the Prometheus of the cluster's platform; only with metrics existing.
	Prometheus Prometheus `key:"prometheus"`
	// ScrapeInterval is the scrape interval of everything that is not a scaling signal.
	ScrapeInterval time.Duration `key:"scrapeInterval" min:"1s" max:"2m30s" default:"15s" hint:"a series is gone 5m after its last sample"`
	// EvaluationInterval is the rule interval of everything that is not a scaling signal.
	EvaluationInterval time.Duration `key:"evaluationInterval" min:"1s" max:"2m30s" default:"15s" hint:"a series is gone 5m after its last sample"`
	// SignalInterval is the scrape and rule interval on the path that the autoscaler waits for.
	SignalInterval time.Duration `key:"signalInterval" min:"1s" max:"1m" hint:"the HPA looks every 15s"`
	// Retention is how long Prometheus keeps metrics: a Prometheus duration above 0.
	Retention string `key:"retention" example:"36h" format:"prometheus-duration" default:"7d"`
	// Storage is the size of Prometheus' volume.
	Storage Quantity `key:"storage" unset:"an emptyDir" example:"30Gi"`
	// StorageClass is the class of that volume; only with monitoring.storage.
	StorageClass string `key:"storageClass" unset:"the cluster's default" example:"standard" format:"subdomain"`
	// Grafana is false to leave Grafana out. With metrics existing there is none.
	Grafana bool `key:"grafana" default:"true"`
	// GrafanaPassword is the password of Grafana's admin.
	GrafanaPassword Secret `key:"grafanaPassword" unset:"generated once, then kept"`
	// Dashboards gives Grafana the stack's dashboards (docs/operations.md); only with monitoring.grafana, or with metrics existing for
	// the platform's Grafana.
	Dashboards bool `key:"dashboards" unset:"the same as monitoring.grafana; false with metrics existing"`
	// ClientNamespaces are the namespaces whose pods, such as an ingress controller's, may reach Grafana; ["*"] is every one.
	// kubectl port-forward needs no entry.
	ClientNamespaces []string `key:"clientNamespaces" unset:"none may" example:"[ingress-nginx]" format:"namespaces"`
	// ClientCIDRs are the networks outside the cluster that may reach Grafana, such as the subnets of a load balancer.
	ClientCIDRs []string `key:"clientCidrs" unset:"none may" example:"[10.0.0.0/16]" format:"network"`
	// QueryNamespaces are the namespaces whose pods may query Prometheus and Alertmanager. They may also stop both: neither
	// asks for a password.
	QueryNamespaces []string `key:"queryNamespaces" unset:"none may" example:"[grafana]" format:"label"`
	// WatchNamespaces are further namespaces whose rules, monitors, probes, and scrape and Alertmanager configurations are
	// used. Their series get the label namespace with the name of theirs.
	WatchNamespaces []string `key:"watchNamespaces" unset:"those of the stack only" example:"[apps]" format:"label"`
	// MonitorLabels are added to the stack's monitors and rules, beside labels, where another Prometheus selects them by a label such
	// as release. The stack's own Prometheus selects them whatever labels they have.
	MonitorLabels map[string]string `key:"monitorLabels" unset:"only those of labels" example:"{release: platform}" format:"monitor-labels"`
	// UpgradeCRDs brings the CRDs of the Prometheus Operator to the version of charts.kubePrometheusStack, whoever
	// installed them. Where it is false, an up installs the missing ones only.
	UpgradeCRDs bool `key:"upgradeCRDs" unset:"true where the stack creates the cluster and monitoring.operator is own, else false"`
	// NodeExporter is own for the node exporter of kube-prometheus-stack, or none where the nodes have one: two need port 9100 of a node
	// (docs/existing-clusters.md).
	NodeExporter string `key:"nodeExporter" values:"own none" default:"own" hint:"none leaves it out, own is what kube-prometheus-stack installs"`
	// KubeStateMetrics is own for that of kube-prometheus-stack, shared for one that the cluster has, which the stack's Prometheus then
	// scrapes, or none for neither: the alerts and panels that read it are then missing (docs/existing-clusters.md).
	KubeStateMetrics string `key:"kubeStateMetrics" values:"own shared none" default:"own" hint:"own works everywhere"`
	// KubeStateMetricsService is the Service of the kube-state-metrics that monitoring.kubeStateMetrics shared scrapes.
	KubeStateMetricsService StateMetricsService `key:"kubeStateMetricsService"`
	// Operator is own for the Prometheus Operator of kube-prometheus-stack, or shared for one that the cluster has: it then runs the
	// stack's Prometheus, and its owner installs the CRDs (docs/existing-clusters.md).
	Operator string `key:"operator" values:"own shared" default:"own" hint:"own works everywhere"`
	// Alerts are the stack's alerts (docs/runbooks.md); their objective is that of slo.
	Alerts Alerts `key:"alerts"`

	// given are the keys below monitoring of what the cluster may have already, as far as the stack file has them.
	given map[string]bool `key:"-"`
}

// Alerts configures the stack's alerts; SLO is their objective.
type Alerts struct {
	// Enabled is false to leave the alerts out.
	Enabled bool `key:"enabled" default:"true"`
	// AtMaxFor is how long the HPA may stand at autoscaling.maxReplicas.
	AtMaxFor time.Duration `key:"atMaxFor" min:"1m" max:"24h" default:"15m" hint:"longer than a usual peak"`
}

// Autoscaling configures the HorizontalPodAutoscaler and the adapter that serves its metrics.
type Autoscaling struct {
	// MinReplicas is the least number of replicas; the HPA cannot start from 0.
	MinReplicas int `key:"minReplicas" unit:"replicas" min:"1" default:"1" hint:"the HPA cannot start from 0, where there are no metrics to scale on"`
	// MaxReplicas is the largest number of replicas: autoscaling.minReplicas or more, and no more than
	// nodePools.gpu can hold.
	MaxReplicas int `key:"maxReplicas" unit:"replicas" min:"1" example:"3" default:"4"`
	// SpareNodes is how many GPU nodes are kept ready beside those of the replicas, each by a pod of low priority that a new replica
	// replaces at once (docs/cold-start.md). Those of servers that share a pool add up.
	SpareNodes int `key:"spareNodes" unit:"nodes" min:"0" max:"100" default:"0" example:"1" hint:"1 lets one replica start without waiting for a node"`
	// Signals are what the HPA scales on; it follows the signal that requires the most replicas.
	Signals Signals `key:"signals"`
	// ScaleUp limits how fast replicas are added.
	ScaleUp ScaleUp `key:"scaleUp"`
	// ScaleDown limits how fast replicas are removed.
	ScaleDown ScaleDown `key:"scaleDown"`
	// Adapter is own for a prometheus-adapter of the stack, or existing for the one that serves the custom metrics API of the cluster
	// already; only with metrics existing.
	Adapter string `key:"adapter" values:"own existing" default:"own"`
	// AdapterReplicas is the number of pods of the metrics adapter.
	AdapterReplicas int `key:"adapterReplicas" unit:"pods" min:"1" max:"10" default:"2" hint:"2 survive the loss of a node"`
	// AdapterImage is the Custom Metrics Stackdriver Adapter of metrics google-managed, with a version tag or digest.
	AdapterImage string `key:"adapterImage" clouds:"$managedMetrics" example:"registry.example.com/custom-metrics-stackdriver-adapter:v0.16.9-gke.0" format:"image" default:"gcr.io/gke-release/custom-metrics-stackdriver-adapter:v0.16.9-gke.0"`
	// AdapterPort is a port that the control plane may open to pods. Every cloud's reaches 10250.
	AdapterPort int `key:"adapterPort" clouds:"local" min:"1024" max:"65535" default:"10250" hint:"10250 is open to every control plane"`
	// RelistInterval is how often the adapter looks for new series: at least monitoring.signalInterval,
	// by default twice that and 10s or more.
	RelistInterval time.Duration `key:"relistInterval" min:"1s" max:"5m" hint:"10s suits"`
}

// ScaleUp limits how fast replicas are added: the larger of Pods and Percent in each Period.
type ScaleUp struct {
	// Stabilization is how long the load has to be high. 30s leaves out peaks that are over before a replica could start.
	Stabilization time.Duration `key:"stabilization" min:"0s" max:"1h" default:"30s" hint:"0s reacts at once"`
	// Pods is how many replicas may be added in each period; the larger of pods and percent counts.
	Pods int `key:"pods" unit:"replicas" min:"1" max:"1000" default:"4" hint:"4 suits"`
	// Percent is the same in percent of the replicas.
	Percent int `key:"percent" unit:"percent" min:"1" max:"1000" default:"100" hint:"100 doubles"`
	// Period is the time that pods and percent are counted in.
	Period time.Duration `key:"period" min:"1s" max:"30m" default:"15s" hint:"15s is the HPA's own period"`
}

// ScaleDown limits how fast replicas are removed: Pods in each Period, and only after the load has been low for all of
// Stabilization.
type ScaleDown struct {
	// Stabilization is how long the load has to be low. The default is 15m, or the estimated time that a new replica takes to start,
	// where that is longer: a replica that is removed earlier may be asked for again before its successor is ready.
	Stabilization time.Duration `key:"stabilization" min:"0s" max:"1h" example:"20m" hint:"15m outlasts a pause in the load"`
	// Pods is how many replicas may be removed in each period.
	Pods int `key:"pods" unit:"replicas" min:"1" max:"1000" default:"1" hint:"1 keeps warm replicas longest"`
	// Period is the time that pods are counted in.
	Period time.Duration `key:"period" min:"1s" max:"30m" default:"1m" hint:"1m suits"`
}

// Charts configures the third-party Helm charts.
type Charts struct {
	// KubePrometheusStack brings Prometheus, its operator, kube-state-metrics and Grafana.
	KubePrometheusStack Chart `key:"kubePrometheusStack"`
	// PrometheusAdapter serves the custom metrics API.
	PrometheusAdapter Chart `key:"prometheusAdapter"`
	// DCGMExporter exports GPU metrics where the cloud has no exporter of its own.
	DCGMExporter Chart `key:"dcgmExporter"`
	// DevicePlugin is installed where nothing else announces the GPUs to Kubernetes: on aks, and on eks with
	// AL2023.
	DevicePlugin Chart `key:"devicePlugin"`
	// ClusterAutoscaler is installed where the cloud adds no nodes by itself: on eks.
	ClusterAutoscaler Chart `key:"clusterAutoscaler"`
}

// Policy configures the rules that a preview of the stack is checked against; docs/policy.md lists them. It does not affect
// what is deployed.
type Policy struct {
	// SpendCeiling is the most that all GPU nodes may cost together when every pool is at its maximum.
	SpendCeiling float64 `key:"spendCeiling" unit:"USD per hour" min:"0" unset:"no ceiling" example:"12.5"`
	// Exceptions allow a resource to break a rule: rule/resource, with the resource's name in the program
	// or *, and the reason.
	Exceptions map[string]string `key:"exceptions" example:"{api-server-not-open/cluster: the office has no fixed address}"`
	// Prices are what a machine type costs you, in USD per hour, instead of its list price.
	Prices map[string]any `key:"prices" example:"{g6.xlarge: 0.55}"`
}

// Chart configures the source and the values of a chart.
type Chart struct {
	// Version is one exact version.
	Version string `key:"version" example:"1.2.3" format:"version"`
	// Repository is a URL (http, https, oci), or a folder that begins with / or a full stop.
	Repository string `key:"repository" example:"oci://registry.example.com/charts" format:"repository"`
	// Values are merged over the program's own, and win. Where one is encrypted, all of them stay secret.
	Values map[string]any `key:"values" example:"{podAnnotations: {team: ml}}"`

	// secret is true where the stack file encrypts anything below charts.
	secret bool `key:"-"`
}

// Secret reports whether the stack file encrypts anything below charts.
func (c Chart) Secret() bool { return c.secret }
