package components

import (
	"fmt"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	// nodeCacheNamespace is Kubernetes' own: what makes a folder of the node writable is root there, which the namespace of the server
	// does not admit.
	nodeCacheNamespace = "kube-system"
	nodeCacheMount     = "/nodes-cache"

	// nodePodPrefix is longer than the name of any server, so that no server has these labels, and the names of these pods do not match the
	// pattern of any server's pods (signals.PodsOf).
	nodePodPrefix = Project + "-"

	// The requests of a pod that stands on each GPU node. It sleeps.
	nodePodCPU, nodePodMemory, nodePodMemoryLimit = "1m", "8Mi", "64Mi"
)

// newNodePods registers the pods that stand on each GPU node: one that keeps the server's image there, and one that makes the folder of
// the cache writable.
func (a *VLLMArgs) newNodePods(ctx *pulumi.Context, c *VLLM) error {
	if a.PrePull {
		if err := a.newNodePod(ctx, c, prePullName(a.Name), prePullName(a.Name), a.Namespace, a.prePullPod()); err != nil {
			return err
		}
	}
	if a.keepsCompiled() && a.CompileCache.OnNodes {
		name := nodePodPrefix + "cache-" + a.Name
		return a.newNodePod(ctx, c, name+"-"+a.Namespace, name, nodeCacheNamespace, a.nodeCachePod())
	}
	return nil
}

// prePullName returns the name of the DaemonSet that keeps the image of a server on its nodes.
func prePullName(server string) string { return nodePodPrefix + "prepull-" + server }

// newNodePod registers a DaemonSet on the nodes of the server, whose pods have that label as their name.
func (a *VLLMArgs) newNodePod(ctx *pulumi.Context, c *VLLM, name, label, namespace string, pod corev1.PodSpecArgs) error {
	labels := map[string]string{nameLabel: label, instanceLabel: a.Namespace, partOfLabel: Project}
	pod.NodeSelector = pulumi.ToStringMap(a.nodeSelector())
	pod.Tolerations = tolerationInputs(a.GPU.Tolerations)
	pod.AutomountServiceAccountToken = pulumi.Bool(false)
	pod.EnableServiceLinks = pulumi.Bool(false)
	// The process of a container ignores the stop signal unless it handles it.
	pod.TerminationGracePeriodSeconds = pulumi.Int(1)
	_, err := appsv1.NewDaemonSet(ctx, name, &appsv1.DaemonSetArgs{
		// skipAwait: nothing waits for the image on a GPU node.
		Metadata: metav1.ObjectMetaArgs{
			Name:        pulumi.String(name),
			Namespace:   pulumi.String(namespace),
			Labels:      pulumi.ToStringMap(withLabels(labels)),
			Annotations: skipAwait(),
		},
		Spec: appsv1.DaemonSetSpecArgs{
			Selector:             metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(labels)},
			RevisionHistoryLimit: pulumi.Int(3),
			// A new image is pulled by all nodes at once: none of them serves anything here.
			UpdateStrategy: appsv1.DaemonSetUpdateStrategyArgs{
				Type:          pulumi.String("RollingUpdate"),
				RollingUpdate: appsv1.RollingUpdateDaemonSetArgs{MaxUnavailable: pulumi.String("100%")},
			},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(withLabels(labels))},
				Spec:     pod,
			},
		},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return fmt.Errorf("registering DaemonSet %s/%s: %w", namespace, name, err)
	}
	return nil
}

// prePullPod returns a pod that has a node pull the server's image and keep it: the kubelet removes no image that a container uses.
func (a *VLLMArgs) prePullPod() corev1.PodSpecArgs {
	pod := corev1.PodSpecArgs{
		SecurityContext: restrictedPod(),
		Containers:      corev1.ContainerArray{a.nodeContainer("image", "sleep", "infinity")},
	}
	secrets := corev1.LocalObjectReferenceArray{}
	for _, name := range a.PodTemplate.imagePullSecrets() {
		secrets = append(secrets, corev1.LocalObjectReferenceArgs{Name: pulumi.String(name)})
	}
	if len(secrets) > 0 {
		pod.ImagePullSecrets = secrets
	}
	return pod
}

// nodeCachePod returns a pod that gives the folder of the cache on its node to the user of the server. Nothing else in it is root.
func (a *VLLMArgs) nodeCachePod() corev1.PodSpecArgs {
	owner := fmt.Sprint(vllmUser)
	own := a.nodeContainer("own", "install", "-d", "-o", owner, "-g", owner, "-m", "0755", nodeCacheMount+"/"+a.Namespace)
	own.SecurityContext = corev1.SecurityContextArgs{
		RunAsUser: pulumi.Int(0), RunAsNonRoot: pulumi.Bool(false),
		AllowPrivilegeEscalation: pulumi.Bool(false), ReadOnlyRootFilesystem: pulumi.Bool(true),
		Capabilities: corev1.CapabilitiesArgs{
			Drop: pulumi.ToStringArray([]string{"ALL"}), Add: pulumi.ToStringArray([]string{"CHOWN", "FOWNER"}),
		},
	}
	own.VolumeMounts = corev1.VolumeMountArray{corev1.VolumeMountArgs{
		Name: pulumi.String(compileCacheVolume), MountPath: pulumi.String(nodeCacheMount),
	}}
	return corev1.PodSpecArgs{
		SecurityContext: restrictedPod(),
		InitContainers:  corev1.ContainerArray{own},
		Containers:      corev1.ContainerArray{a.nodeContainer("idle", "sleep", "infinity")},
		Volumes: corev1.VolumeArray{corev1.VolumeArgs{
			Name:     pulumi.String(compileCacheVolume),
			HostPath: corev1.HostPathVolumeSourceArgs{Path: pulumi.String(NodeCacheDir), Type: pulumi.String("DirectoryOrCreate")},
		}},
	}
}

// nodeContainer returns a container of the server's image, which the node needs anyway, without GPUs.
func (a *VLLMArgs) nodeContainer(name string, command ...string) corev1.ContainerArgs {
	return corev1.ContainerArgs{
		Name:    pulumi.String(name),
		Image:   pulumi.String(a.Image),
		Command: pulumi.ToStringArray(command),
		Env:     withoutGPUs(),
		Resources: corev1.ResourceRequirementsArgs{
			Requests: pulumi.ToStringMap(map[string]string{"cpu": nodePodCPU, "memory": nodePodMemory}),
			Limits:   pulumi.ToStringMap(map[string]string{"memory": nodePodMemoryLimit}),
		},
		SecurityContext: restrictedContainer(),
	}
}

// withoutGPUs returns the environment of a container of the server's image that uses no GPU. The image asks for all GPUs of the node,
// where NVIDIA's runtime is that of all containers.
func withoutGPUs() corev1.EnvVarArray {
	return corev1.EnvVarArray{corev1.EnvVarArgs{Name: pulumi.String("NVIDIA_VISIBLE_DEVICES"), Value: pulumi.String("void")}}
}

// imagePullSecrets returns the names of the pull secrets of the template.
func (t PodTemplate) imagePullSecrets() []string {
	var names []string
	spec, _ := t.Fields["spec"].(map[string]any)
	secrets, _ := spec["imagePullSecrets"].([]any)
	for _, secret := range secrets {
		fields, _ := secret.(map[string]any)
		if name, ok := fields["name"].(string); ok {
			names = append(names, name)
		}
	}
	return names
}
