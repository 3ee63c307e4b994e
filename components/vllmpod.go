package components

import (
	"maps"
	"strconv"
	"time"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

const (
	// vllmUser is any user but root; the images define no user to rely on.
	vllmUser = 1000
	// probePeriod is the period of the start-up and readiness probes, and so the longest time that a ready replica is idle.
	probePeriod = 5 * time.Second

	homeDir       = "/home/vllm"
	modelCacheDir = "/models"
)

// podTemplate returns the pod of one replica. It satisfies the restricted Pod Security Standard.
func (a *VLLMArgs) podTemplate() corev1.PodTemplateSpecArgs {
	labels := withLabels(vllmSelector(a.Name))
	maps.Copy(labels, a.weights().PodLabels())
	metadata := metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(labels)}
	annotations := pulumi.StringMap{}
	if checksum := a.secretsChecksum(); checksum != nil {
		annotations["vllm-autoscaling/secrets-checksum"] = checksum
	}
	if a.guardsRequests() {
		annotations["vllm-autoscaling/request-guard-checksum"] = pulumi.String(requestGuardChecksum())
	}
	// Set only when there is one: a nil map in the interface field would be sent as a value.
	if len(annotations) > 0 {
		metadata.Annotations = annotations
	}
	spec := corev1.PodSpecArgs{
		ServiceAccountName:           pulumi.String(a.Name),
		AutomountServiceAccountToken: pulumi.Bool(false),
		// The link of a Service called vllm would set VLLM_PORT, which vLLM reads as its own.
		EnableServiceLinks:            pulumi.Bool(false),
		TerminationGracePeriodSeconds: pulumi.Int(wholeSeconds(DrainTime(a.PreStop, a.ShutdownTimeout))),
		SecurityContext:               restrictedPod(),
		TopologySpreadConstraints: corev1.TopologySpreadConstraintArray{
			spreadOver("topology.kubernetes.io/zone", vllmSelector(a.Name)),
			spreadOver("kubernetes.io/hostname", vllmSelector(a.Name)),
		},
		Containers: corev1.ContainerArray{a.container()},
		Volumes:    a.volumes(),
	}
	if a.keepsCompiled() {
		spec.InitContainers = a.compileCacheContainers()
		spec.SecurityContext = sharedClaims(restrictedPod())
	}
	if selector := a.nodeSelector(); len(selector) > 0 {
		spec.NodeSelector = pulumi.ToStringMap(selector)
	}
	if len(a.GPU.Tolerations) > 0 {
		spec.Tolerations = tolerationInputs(a.GPU.Tolerations)
	}
	if a.PriorityClassName != "" {
		spec.PriorityClassName = pulumi.String(a.PriorityClassName)
	}
	return corev1.PodTemplateSpecArgs{Metadata: metadata, Spec: spec}
}

// restrictedPod returns the security context of a pod that the restricted Pod Security Standard admits.
func restrictedPod() corev1.PodSecurityContextArgs {
	return corev1.PodSecurityContextArgs{
		RunAsNonRoot:   pulumi.Bool(true),
		RunAsUser:      pulumi.Int(vllmUser),
		RunAsGroup:     pulumi.Int(vllmUser),
		FsGroup:        pulumi.Int(vllmUser),
		SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
	}
}

// DrainTime returns how long a replica may take to end, from the removal from the Service to the end of its process.
func DrainTime(preStop, shutdownTimeout time.Duration) time.Duration {
	return preStop + shutdownTimeout + graceMargin
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
		Resources:       a.resources(),
		SecurityContext: restrictedContainer(),
		StartupProbe:    healthProbe(probePeriod, int((a.StartupBudget+probePeriod-1)/probePeriod)),
		// Out of the Service after 15 s without an answer, restarted after a minute: a busy server
		// may be slow to answer, and a restart costs a cold start.
		ReadinessProbe: healthProbe(probePeriod, 3),
		LivenessProbe:  a.livenessProbe(),
		Lifecycle: corev1.LifecycleArgs{
			// The kubelet's own sleep: the simulator's image has no shell to sleep in.
			PreStop: corev1.LifecycleHandlerArgs{Sleep: corev1.SleepActionArgs{Seconds: pulumi.Int(wholeSeconds(a.PreStop))}},
		},
		VolumeMounts: a.volumeMounts(),
		// The end of the log has the reason why the server ended; `pulumi up` and kubectl show it from the status.
		TerminationMessagePolicy: pulumi.String("FallbackToLogsOnError"),
	}
}

// restrictedContainer returns the security context of a container that the restricted Pod Security Standard admits.
func restrictedContainer() corev1.SecurityContextArgs {
	return corev1.SecurityContextArgs{
		AllowPrivilegeEscalation: pulumi.Bool(false),
		ReadOnlyRootFilesystem:   pulumi.Bool(true),
		Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
	}
}

// livenessProbe returns the probe that restarts a server. One that has not answered for a minute drains nothing: with the
// pod's grace period, its clients would wait for another minute, in which the other replicas look idle.
func (a *VLLMArgs) livenessProbe() corev1.ProbeArgs {
	probe := healthProbe(2*probePeriod, 6)
	probe.TerminationGracePeriodSeconds = pulumi.Int(wholeSeconds(graceMargin))
	return probe
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

// spreadOver returns a preference to spread pods over a topology. It never blocks one: a GPU in
// the wrong zone is better than none.
func spreadOver(topologyKey string, pods map[string]string) corev1.TopologySpreadConstraintArgs {
	return corev1.TopologySpreadConstraintArgs{
		MaxSkew:           pulumi.Int(1),
		TopologyKey:       pulumi.String(topologyKey),
		WhenUnsatisfiable: pulumi.String("ScheduleAnyway"),
		LabelSelector:     metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(pods)},
	}
}

// tolerationInputs returns tolerations as inputs.
func tolerationInputs(tolerations []providers.Toleration) corev1.TolerationArray {
	inputs := corev1.TolerationArray{}
	for _, t := range tolerations {
		inputs = append(inputs, corev1.TolerationArgs{
			Key:      optionalString(t.Key),
			Operator: optionalString(t.Operator),
			Value:    optionalString(t.Value),
			Effect:   optionalString(t.Effect),
		})
	}
	return inputs
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
		// An extended resource cannot be overcommitted: request and limit must be equal.
		requests[a.GPU.ResourceName] = strconv.Itoa(a.GPU.PerReplica)
		limits[a.GPU.ResourceName] = strconv.Itoa(a.GPU.PerReplica)
	}
	return corev1.ResourceRequirementsArgs{
		Requests: pulumi.ToStringMap(requests),
		Limits:   pulumi.ToStringMap(limits),
	}
}

// optionalString returns nil for an empty string, so that its field is left out.
func optionalString(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.String(s)
}
