package components

import (
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/signals"
)

const (
	// vllmUser is any user but root; the images bring no user of their own to rely on.
	vllmUser = 1000
	// probePeriod of the start-up and readiness probes: what a new replica may idle before it serves.
	probePeriod = 5 * time.Second

	homeDir       = "/home/vllm"
	modelCacheDir = "/models"
)

// ownedFlags are the flags that this program sets, and the setting that each stands for.
var ownedFlags = map[string]string{
	"--model":                            "the model's id",
	"--revision":                         "the model's revision",
	"--port":                             "the port",
	"--max-model-len":                    "maxModelLen",
	"--max-num-seqs":                     "maxNumSeqs",
	"--gpu-memory-utilization":           "gpuMemoryUtilization",
	"--dtype":                            "dtype",
	"--tensor-parallel-size":             "the number of GPUs per replica",
	"-tp":                                "the number of GPUs per replica",
	"--shutdown-timeout":                 "the shutdown timeout",
	"--disable-access-log-for-endpoints": "the probes and the scrape",
	"--api-key":                          "the API key, which must not stand in the Deployment",
	"--hf-token":                         "the Hugging Face token, which must not stand in the Deployment",
	"--time-to-first-token":              "the simulation",
	"--inter-token-latency":              "the simulation",
	"--time-factor-under-load":           "the simulation",
	"--force-dummy-tokenizer":            "the simulation",
}

// ownedVariables are the variables that this program sets.
var ownedVariables = []string{
	"HOME", "USER", "HF_HUB_CACHE", "TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR", "VLLM_NO_USAGE_STATS", "HF_TOKEN", "VLLM_API_KEY",
}

// serverArgs are the arguments of the container. The simulator exits on a flag it does not know, so
// it only gets those that both have, and its own.
func serverArgs(a *VLLMArgs) []string {
	args := []string{
		"--model=" + a.Model.ID,
		"--port=" + strconv.Itoa(a.Port),
		"--max-model-len=" + strconv.Itoa(a.Model.MaxModelLen),
		"--max-num-seqs=" + strconv.Itoa(a.Model.MaxNumSeqs),
	}
	switch a.Engine {
	case EngineSimulator:
		args = append(args,
			"--time-to-first-token="+a.Simulation.TimeToFirstToken.String(),
			"--inter-token-latency="+a.Simulation.InterTokenLatency.String(),
			"--time-factor-under-load="+decimal(a.Simulation.LoadFactor),
			// The real tokenizer would be downloaded from the hub.
			"--force-dummy-tokenizer",
		)
	default:
		args = append(args,
			"--gpu-memory-utilization="+decimal(a.Model.GPUMemoryUtilization),
			"--dtype="+a.Model.DType,
			// Without it the stop signal aborts the requests in flight.
			"--shutdown-timeout="+strconv.Itoa(wholeSeconds(a.ShutdownTimeout)),
			// Probes and scrapes come every few seconds and would drown the log.
			"--disable-access-log-for-endpoints="+healthPath+","+signals.MetricsPath+",/ping",
		)
		if a.Model.Revision != "" {
			args = append(args, "--revision="+a.Model.Revision)
		}
		if a.GPU.PerReplica > 1 {
			args = append(args, "--tensor-parallel-size="+strconv.Itoa(a.GPU.PerReplica))
		}
	}
	return append(args, a.Model.ExtraArgs...)
}

// podTemplate is the pod of one replica. It satisfies the restricted Pod Security Standard.
func (a *VLLMArgs) podTemplate() corev1.PodTemplateSpecArgs {
	metadata := metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(withLabels(vllmSelector()))}
	if checksum := a.secretsChecksum(); checksum != nil {
		metadata.Annotations = pulumi.StringMap{"vllm-autoscaling/secrets-checksum": checksum}
	}
	spec := corev1.PodSpecArgs{
		ServiceAccountName:           pulumi.String(VLLMName),
		AutomountServiceAccountToken: pulumi.Bool(false),
		// The Service is called vllm, so its link would set VLLM_PORT, which vLLM reads as its own.
		EnableServiceLinks:            pulumi.Bool(false),
		TerminationGracePeriodSeconds: pulumi.Int(wholeSeconds(a.PreStop + a.ShutdownTimeout + graceMargin)),
		SecurityContext: corev1.PodSecurityContextArgs{
			RunAsNonRoot:   pulumi.Bool(true),
			RunAsUser:      pulumi.Int(vllmUser),
			RunAsGroup:     pulumi.Int(vllmUser),
			FsGroup:        pulumi.Int(vllmUser),
			SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
		},
		TopologySpreadConstraints: corev1.TopologySpreadConstraintArray{
			spreadOver("topology.kubernetes.io/zone"),
			spreadOver("kubernetes.io/hostname"),
		},
		Containers: corev1.ContainerArray{a.container()},
		Volumes:    a.volumes(),
	}
	if selector := a.nodeSelector(); len(selector) > 0 {
		spec.NodeSelector = pulumi.ToStringMap(selector)
	}
	if len(a.GPU.Tolerations) > 0 {
		tolerations := corev1.TolerationArray{}
		for _, t := range a.GPU.Tolerations {
			tolerations = append(tolerations, corev1.TolerationArgs{
				Key:      optionalString(t.Key),
				Operator: optionalString(t.Operator),
				Value:    optionalString(t.Value),
				Effect:   optionalString(t.Effect),
			})
		}
		spec.Tolerations = tolerations
	}
	if a.PriorityClassName != "" {
		spec.PriorityClassName = pulumi.String(a.PriorityClassName)
	}
	return corev1.PodTemplateSpecArgs{Metadata: metadata, Spec: spec}
}

func (a *VLLMArgs) container() corev1.ContainerArgs {
	return corev1.ContainerArgs{
		Name:  pulumi.String(VLLMName),
		Image: pulumi.String(a.Image),
		Args:  pulumi.ToStringArray(serverArgs(a)),
		Env:   a.environment(),
		Ports: corev1.ContainerPortArray{corev1.ContainerPortArgs{
			Name:          pulumi.String(VLLMPortName),
			ContainerPort: pulumi.Int(a.Port),
			Protocol:      pulumi.String("TCP"),
		}},
		Resources: a.resources(),
		SecurityContext: corev1.SecurityContextArgs{
			AllowPrivilegeEscalation: pulumi.Bool(false),
			ReadOnlyRootFilesystem:   pulumi.Bool(true),
			Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
		},
		StartupProbe: healthProbe(probePeriod, int((a.StartupBudget+probePeriod-1)/probePeriod)),
		// Out of the Service after 15 s without an answer, restarted after a minute: a busy server
		// may be slow to answer, and a restart costs a cold start.
		ReadinessProbe: healthProbe(probePeriod, 3),
		LivenessProbe:  healthProbe(2*probePeriod, 6),
		Lifecycle: corev1.LifecycleArgs{
			// The kubelet's own sleep: the simulator's image has no shell to sleep in.
			PreStop: corev1.LifecycleHandlerArgs{Sleep: corev1.SleepActionArgs{Seconds: pulumi.Int(wholeSeconds(a.PreStop))}},
		},
		VolumeMounts: a.volumeMounts(),
	}
}

func healthProbe(period time.Duration, failures int) corev1.ProbeArgs {
	return corev1.ProbeArgs{
		HttpGet: corev1.HTTPGetActionArgs{
			Path: pulumi.String(healthPath),
			Port: pulumi.String(VLLMPortName),
		},
		PeriodSeconds:    pulumi.Int(wholeSeconds(period)),
		TimeoutSeconds:   pulumi.Int(wholeSeconds(probePeriod)),
		FailureThreshold: pulumi.Int(failures),
	}
}

// spreadOver prefers to spread replicas over a topology and never blocks one: a GPU in the wrong
// zone is better than none.
func spreadOver(topologyKey string) corev1.TopologySpreadConstraintArgs {
	return corev1.TopologySpreadConstraintArgs{
		MaxSkew:           pulumi.Int(1),
		TopologyKey:       pulumi.String(topologyKey),
		WhenUnsatisfiable: pulumi.String("ScheduleAnyway"),
		LabelSelector:     metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(vllmSelector())},
	}
}

func (a *VLLMArgs) nodeSelector() map[string]string {
	selector := map[string]string{}
	maps.Copy(selector, a.GPU.NodeSelector)
	maps.Copy(selector, a.NodeSelector)
	return selector
}

func (a *VLLMArgs) resources() corev1.ResourceRequirementsArgs {
	requests := map[string]string{"cpu": a.CPU, "memory": a.Memory}
	limits := map[string]string{"memory": a.Memory}
	if a.GPU.ResourceName != "" {
		// An extended resource cannot be overcommitted: both have to be stated and equal.
		requests[a.GPU.ResourceName] = strconv.Itoa(a.GPU.PerReplica)
		limits[a.GPU.ResourceName] = strconv.Itoa(a.GPU.PerReplica)
	}
	return corev1.ResourceRequirementsArgs{
		Requests: pulumi.ToStringMap(requests),
		Limits:   pulumi.ToStringMap(limits),
	}
}

// environment points everything that vLLM, its compilers and the hub's client write at volumes, as
// the image's file system is read-only.
func (a *VLLMArgs) environment() corev1.EnvVarArray {
	env := corev1.EnvVarArray{}
	add := func(name, value string) {
		env = append(env, corev1.EnvVarArgs{Name: pulumi.String(name), Value: pulumi.String(value)})
	}
	if a.Engine == EngineVLLM {
		add("HOME", homeDir)
		// The user id has no entry in the image's passwd; PyTorch asks for its name.
		add("USER", VLLMName)
		add("HF_HUB_CACHE", modelCacheDir)
		add("TORCHINDUCTOR_CACHE_DIR", homeDir+"/.cache/torchinductor")
		add("NUMBA_CACHE_DIR", homeDir+"/.cache/numba")
		// No usage report leaves the cluster.
		add("VLLM_NO_USAGE_STATS", "1")
	}
	addSecret := func(name, secret, key string) {
		env = append(env, corev1.EnvVarArgs{Name: pulumi.String(name), ValueFrom: corev1.EnvVarSourceArgs{
			SecretKeyRef: corev1.SecretKeySelectorArgs{Name: pulumi.String(secret), Key: pulumi.String(key)},
		}})
	}
	if a.HuggingFaceToken != nil {
		addSecret("HF_TOKEN", HuggingFaceSecret, huggingFaceKey)
	}
	if a.APIKey != nil {
		addSecret("VLLM_API_KEY", APIKeySecret, apiKeyKey)
	}
	// Sorted, because another order would roll all replicas.
	for _, name := range slices.Sorted(maps.Keys(a.Env)) {
		add(name, a.Env[name])
	}
	return env
}

// scratchVolume is an empty volume of the pod.
type scratchVolume struct {
	name, path, sizeLimit string
	inMemory              bool
}

// scratchVolumes are what the server writes to. The simulator loads no model and shares no memory.
func (a *VLLMArgs) scratchVolumes() []scratchVolume {
	tmp := scratchVolume{name: "tmp", path: "/tmp"}
	if a.Engine == EngineSimulator {
		return []scratchVolume{tmp}
	}
	return []scratchVolume{
		tmp,
		{name: "home", path: homeDir},
		{name: "model-cache", path: modelCacheDir, sizeLimit: a.ModelCache},
		// The container runtime gives 64 MiB, too little for the workers of several GPUs.
		{name: "shm", path: "/dev/shm", sizeLimit: a.SharedMemory, inMemory: true},
	}
}

func (a *VLLMArgs) volumes() corev1.VolumeArray {
	volumes := corev1.VolumeArray{}
	for _, scratch := range a.scratchVolumes() {
		source := corev1.EmptyDirVolumeSourceArgs{SizeLimit: optionalString(scratch.sizeLimit)}
		if scratch.inMemory {
			source.Medium = pulumi.String("Memory")
		}
		volumes = append(volumes, corev1.VolumeArgs{Name: pulumi.String(scratch.name), EmptyDir: source})
	}
	return volumes
}

func (a *VLLMArgs) volumeMounts() corev1.VolumeMountArray {
	mounts := corev1.VolumeMountArray{}
	for _, scratch := range a.scratchVolumes() {
		mounts = append(mounts, corev1.VolumeMountArgs{Name: pulumi.String(scratch.name), MountPath: pulumi.String(scratch.path)})
	}
	return mounts
}

// optionalString leaves a field out when it is empty.
func optionalString(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.String(s)
}

// decimal writes a number as command lines take it, without an exponent.
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// OwnedFlags lists the server's flags that settings of their own stand for, sorted; they are refused
// among the extra arguments.
func OwnedFlags() []string { return slices.Sorted(maps.Keys(ownedFlags)) }
