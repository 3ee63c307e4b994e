package stagemodel

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/utils/ptr"

	"vllm-autoscaling/components"
)

const (
	// container is the name of the Job's container.
	container = "stage-model"
	// jobPrefix is longer than the name of a server may be, so that no server's rules and dashboards select the Job's pods, which they
	// do by the name of a Deployment and two further parts.
	jobPrefix = "vllm-autoscaling-stage-"
	// nameLabel marks the Job and its pods. No server may have a name of that length, so that no Service selects them.
	nameLabel  = "app.kubernetes.io/name"
	nameOfJobs = "vllm-autoscaling-stage-model"
	// targetAnnotation is what the Job copies, for a later command.
	targetAnnotation = "vllm-autoscaling/stage-target"

	// retries is how many pods may follow one that has failed for a reason that may pass.
	retries = 4
	// exitRefused is the script's exit status for a reason that another pod would not change.
	exitRefused = 3
	// kept is how long a Job that has ended is kept.
	kept = time.Hour

	tokenVariable = "HF_TOKEN"

	scriptsDir = "/etc/stage-model"
	claimDir   = "/weights"
	scratchDir = "/tmp"
)

// JobName returns the name of the Job, and of its ConfigMap, that fills the weights of a server.
func JobName(server string) string { return jobPrefix + server }

// place is what the Job takes from the cluster.
type place struct {
	// image runs the script; pullSecrets are for its registry.
	image       string
	pullSecrets []corev1.LocalObjectReference
	// env is the part of the server's environment that is about the network, the hub and the object store.
	env []corev1.EnvVar
	// account is the ServiceAccount, security the server's users and groups, with which its pods read what the Job writes to a claim.
	account  string
	security *corev1.PodSecurityContext
	// hasToken reports whether env has a Hugging Face token.
	hasToken bool
	// tolerations bring the pod to the GPU nodes where there are no others.
	tolerations []corev1.Toleration
}

// placeOf returns what the Job takes from the server's Deployment.
func placeOf(d *appsv1.Deployment, t Target) place {
	spec := d.Spec.Template.Spec
	p := place{pullSecrets: spec.ImagePullSecrets, account: spec.ServiceAccountName, security: spec.SecurityContext.DeepCopy()}
	if t.Weights.Source == components.WeightsBucket {
		p.account = components.StagerAccount(t.Server)
	}
	for _, c := range spec.Containers {
		if c.Name != components.VLLMName {
			continue
		}
		p.image = c.Image
		for _, variable := range c.Env {
			if passed(variable.Name) {
				p.env = append(p.env, variable)
			}
		}
	}
	has := slices.ContainsFunc(p.env, func(v corev1.EnvVar) bool { return v.Name == tokenVariable })
	if t.HasToken && !has {
		// A server that reads its weights elsewhere may go without.
		p.env = append(p.env, corev1.EnvVar{Name: tokenVariable, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: components.HuggingFaceSecret(t.Server)}, Key: "token",
		}}})
	}
	p.hasToken = t.HasToken || has
	return p
}

// passed reports whether the Job gets a variable of the server: proxies, the hub with its token, and the clients of the object stores.
func passed(name string) bool {
	upper := strings.ToUpper(name)
	if strings.HasPrefix(upper, "HF_HUB_") || upper == "HF_HOME" {
		return false // Folders of the server's volumes, and what keeps it from asking the hub.
	}
	return slices.Contains([]string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"}, upper) ||
		slices.ContainsFunc([]string{"HF_", "AWS_", "AZURE_", "GOOGLE_"}, func(prefix string) bool { return strings.HasPrefix(upper, prefix) })
}

// endpoint returns the address of the hub that the server uses.
func (p place) endpoint() string {
	for _, v := range p.env {
		if v.Name == "HF_ENDPOINT" && v.Value != "" {
			return strings.TrimSuffix(v.Value, "/")
		}
	}
	return "https://huggingface.co"
}

func labelsOf(t Target) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, t.Labels)
	maps.Copy(labels, map[string]string{
		nameLabel: nameOfJobs, "app.kubernetes.io/instance": t.Server,
		"app.kubernetes.io/part-of": components.Project, "app.kubernetes.io/managed-by": "stage-model",
	})
	return labels
}

// metadata returns the metadata of the Job and its ConfigMap.
func (t Target) metadata(more map[string]string) metav1.ObjectMeta {
	annotations := map[string]string{}
	maps.Copy(annotations, t.Annotations)
	maps.Copy(annotations, more)
	return metav1.ObjectMeta{Name: JobName(t.Server), Namespace: t.Namespace, Labels: labelsOf(t), Annotations: annotations}
}

// newJob returns the Job. Its pods satisfy the restricted Pod Security Standard.
func newJob(t Target, p place, again bool, limit time.Duration) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: t.metadata(map[string]string{targetAnnotation: t.String()}),
		Spec: batchv1.JobSpec{
			BackoffLimit:            ptr.To(int32(retries)),
			ActiveDeadlineSeconds:   ptr.To(int64(limit.Seconds())),
			TTLSecondsAfterFinished: ptr.To(int32(kept.Seconds())),
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
				{
					Action: batchv1.PodFailurePolicyActionFailJob,
					OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
						ContainerName: ptr.To(container), Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{exitRefused},
					},
				},
				{
					// A drained node is no failure of the copy.
					Action: batchv1.PodFailurePolicyActionIgnore,
					OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
						{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue},
					},
				},
			}},
			Template: podOf(t, p, again),
		},
	}
}

func podOf(t Target, p place, again bool) corev1.PodTemplateSpec {
	labels := labelsOf(t)
	maps.Copy(labels, t.Weights.PodLabels())
	annotations := map[string]string{}
	maps.Copy(annotations, t.Annotations)
	// The node autoscaler waits for the copy before it removes a node that is little used.
	annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] = "false"
	security := p.security.DeepCopy()
	if security != nil {
		// The files of a large volume are not walked at each start.
		security.FSGroupChangePolicy = ptr.To(corev1.FSGroupChangeOnRootMismatch)
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations},
		Spec: corev1.PodSpec{
			RestartPolicy:                corev1.RestartPolicyNever,
			ServiceAccountName:           p.account,
			AutomountServiceAccountToken: ptr.To(false),
			EnableServiceLinks:           ptr.To(false),
			ImagePullSecrets:             p.pullSecrets,
			Tolerations:                  p.tolerations,
			SecurityContext:              security,
			Containers:                   []corev1.Container{containerOf(t, p, again)},
			Volumes:                      volumesOf(t),
		},
	}
}

func containerOf(t Target, p place, again bool) corev1.Container {
	c := corev1.Container{
		Name: container, Image: p.image,
		Command: []string{"python3", path.Join(scriptsDir, mainFile)},
		Args:    []string{"--model", t.Model, "--target", t.path()},
		Env: append([]corev1.EnvVar{
			{Name: "HOME", Value: scratchDir}, {Name: "PYTHONDONTWRITEBYTECODE", Value: "1"},
		}, p.env...),
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("1Gi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		VolumeMounts: []corev1.VolumeMount{
			{Name: "scripts", MountPath: scriptsDir, ReadOnly: true},
			{Name: "scratch", MountPath: scratchDir},
		},
	}
	if t.Revision != "" {
		c.Args = append(c.Args, "--revision", t.Revision)
	}
	if again {
		c.Args = append(c.Args, "--again")
	}
	if t.Weights.Source == components.WeightsClaim {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "weights", MountPath: claimDir})
	}
	return c
}

// path returns the folder to fill in the words of the script: a URI, or a path in the mounted claim.
func (t Target) path() string {
	if t.Weights.Source == components.WeightsClaim {
		return path.Join(claimDir, t.Weights.Path)
	}
	return t.Weights.Bucket.URI()
}

func volumesOf(t Target) []corev1.Volume {
	// Files are streamed: the scratch space is for temporary files of the clients only.
	scratch := resource.MustParse("128Mi")
	volumes := []corev1.Volume{
		{Name: "scripts", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: JobName(t.Server)},
		}}},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &scratch}}},
	}
	if t.Weights.Source == components.WeightsClaim {
		volumes = append(volumes, corev1.Volume{Name: "weights", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: t.Weights.Claim},
		}})
	}
	return volumes
}

// newConfigMap returns the ConfigMap with the script, which is deleted with its Job.
func newConfigMap(t Target, job *batchv1.Job) *corev1.ConfigMap {
	metadata := t.metadata(nil)
	metadata.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID}}
	return &corev1.ConfigMap{ObjectMeta: metadata, Data: scripts()}
}
