package components

import (
	"fmt"
	"maps"
	"math"
	"strconv"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	schedulingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/scheduling/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

const (
	// SparePriority is the lowest priority of a pod that cluster-autoscaler adds nodes for: its --expendable-pods-priority-cutoff is -10,
	// and pods below it are ignored (cluster-autoscaler/FAQ.md, "How can I configure overprovisioning with Cluster Autoscaler?"). Google
	// recommends the same for GKE (cloud.google.com/kubernetes-engine/docs/how-to/capacity-provisioning); AKS leaves the default.
	SparePriority = -10
	// pauseImage is a program that does nothing, which every kubelet has for its own use. It is the one of Kubernetes 1.34.
	pauseImage = "registry.k8s.io/pause:3.10.1"
	// spareContainer is the name of the container that does nothing, pullContainer that of the one that only has the server's image.
	spareContainer, pullContainer = "spare", "pull"
	// SpareComponentLabel is the label that marks the Deployments of spare nodes.
	SpareComponentLabel = "app.kubernetes.io/component"
	// SpareComponent is its value.
	SpareComponent = "spare-node"
)

// SpareNodesName returns the name of the Deployment of the spare nodes of a server.
func SpareNodesName(server string) string { return server + "-spare" }

// SparePriorityClass returns the name of the PriorityClass of the spare nodes of a server. It is the cluster's and not a namespace's: the
// name has that of the namespace, which belongs to one stack, before a full stop, which no namespace has.
func SparePriorityClass(namespace, server string) string {
	return namespace + "." + SpareNodesName(server)
}

// spareSelector returns the labels that select the pods of spare nodes. No selector of the server's matches them.
func spareSelector(server string) map[string]string {
	return map[string]string{
		nameLabel:           SpareNodesName(server),
		SpareComponentLabel: SpareComponent,
		partOfLabel:         Project,
	}
}

// SpareNodesArgs are the inputs of SpareNodes.
type SpareNodesArgs struct {
	// Server is the name of the server whose replicas may have the nodes. Required.
	Server string
	// Namespace is that of the server. Required.
	Namespace string
	// Nodes is the number of nodes; at least 1.
	Nodes int
	// GPUs is the number of GPUs that keep a node, all that it has; at least 1.
	GPUs int
	// Image is the server's image, which has /bin/true. Required.
	Image string
	// NodeSelector is added to the one of GPU, as for the server.
	NodeSelector map[string]string
	// GPU is how a pod of the server gets its GPUs.
	GPU providers.GPUScheduling
	// PodTemplate is that of the server, of which the fields count that choose a node or let it pull the image.
	PodTemplate PodTemplate
	// DependsOn lists what must exist first: the namespace and the server.
	DependsOn []pulumi.Resource
}

// SpareNodes keeps GPU nodes ready for the replicas of a server that are asked for next: a pod that does nothing has all GPUs of a node, and
// a pod of the server without a node replaces it at once, because its priority is higher. The pod then waits for a new node, which the
// node autoscaler adds.
type SpareNodes struct {
	pulumi.ResourceState

	// Deployment is for others to depend on.
	Deployment *appsv1.Deployment
}

// NewSpareNodes registers the pods that keep spare nodes and their priority, after every argument has been checked.
func NewSpareNodes(ctx *pulumi.Context, name string, args *SpareNodesArgs, opts ...pulumi.ResourceOption) (*SpareNodes, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("spare nodes: %w", err)
	}
	c := &SpareNodes{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:SpareNodes", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering spare nodes: %w", err)
	}
	priority, err := schedulingv1.NewPriorityClass(ctx, SpareNodesName(args.Server), &schedulingv1.PriorityClassArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:   pulumi.String(SparePriorityClass(args.Namespace, args.Server)),
			Labels: pulumi.ToStringMap(commonLabels()),
		},
		Value:            pulumi.Int(SparePriority),
		PreemptionPolicy: pulumi.String("Never"),
		Description:      pulumi.String("Pods that keep GPU nodes ready for the server " + args.Server + " in namespace " + args.Namespace + "; its replicas replace them."),
	}, childOptions(c, args.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering PriorityClass %s: %w", SparePriorityClass(args.Namespace, args.Server), err)
	}
	deployment, options := args.deployment(), childOptions(c, append([]pulumi.Resource{priority}, args.DependsOn...))
	if template := args.PodTemplate.choosingNodes(); len(template.Fields) > 0 {
		merged, err := template.mergedPod(deployment)
		if err != nil {
			return nil, err
		}
		options = append(options, merged)
	}
	if c.Deployment, err = appsv1.NewDeployment(ctx, SpareNodesName(args.Server), deployment, options...); err != nil {
		return nil, fmt.Errorf("registering Deployment %s/%s: %w", args.Namespace, SpareNodesName(args.Server), err)
	}
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{}); err != nil {
		return nil, fmt.Errorf("registering the outputs of spare nodes: %w", err)
	}
	return c, nil
}

func (a *SpareNodesArgs) validate() error {
	switch {
	case a.Server == "" || a.Namespace == "":
		return fmt.Errorf("server %q in namespace %q: both names are required", a.Server, a.Namespace)
	case a.Nodes < 1:
		return fmt.Errorf("%d nodes: at least 1", a.Nodes)
	case a.GPU.ResourceName == "" || a.GPUs < 1:
		return fmt.Errorf("%d of GPU resource %q: without a GPU it would keep nothing", a.GPUs, a.GPU.ResourceName)
	}
	return validateImage(a.Image)
}

// deployment returns the Deployment with the program's own pod template.
func (a *SpareNodesArgs) deployment() *appsv1.DeploymentArgs {
	return &appsv1.DeploymentArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String(SpareNodesName(a.Server)),
			Namespace: pulumi.String(a.Namespace),
			Labels:    pulumi.ToStringMap(withLabels(spareSelector(a.Server))),
			// skipAwait: nothing waits for a spare node.
			Annotations: skipAwait(),
		},
		Spec: appsv1.DeploymentSpecArgs{
			Replicas:             pulumi.Int(a.Nodes),
			Selector:             metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(spareSelector(a.Server))},
			RevisionHistoryLimit: pulumi.Int(1),
			// A pool at its maximum has no node to spare for as long as the load lasts, which is no failure: this stands for no deadline.
			ProgressDeadlineSeconds: pulumi.Int(math.MaxInt32),
			// A surge would need a node more.
			Strategy: appsv1.DeploymentStrategyArgs{Type: pulumi.String("Recreate")},
			Template: a.podTemplate(),
		},
	}
}

// podTemplate returns the pod that keeps a node. It satisfies the restricted Pod Security Standard.
func (a *SpareNodesArgs) podTemplate() corev1.PodTemplateSpecArgs {
	selector := map[string]string{}
	maps.Copy(selector, a.GPU.NodeSelector)
	maps.Copy(selector, a.NodeSelector)
	gpus := map[string]string{a.GPU.ResourceName: strconv.Itoa(a.GPUs)}
	spec := corev1.PodSpecArgs{
		AutomountServiceAccountToken: pulumi.Bool(false),
		EnableServiceLinks:           pulumi.Bool(false),
		PriorityClassName:            pulumi.String(SparePriorityClass(a.Namespace, a.Server)),
		// The pod has nothing to end, and the replica that replaces it waits for its end.
		TerminationGracePeriodSeconds: pulumi.Int(0),
		SecurityContext:               restrictedPod(),
		// On nodes of the stack the GPUs keep two of them apart. Where it does not create the nodes, a pod may not have all GPUs of one.
		Affinity: corev1.AffinityArgs{PodAntiAffinity: corev1.PodAntiAffinityArgs{
			RequiredDuringSchedulingIgnoredDuringExecution: corev1.PodAffinityTermArray{corev1.PodAffinityTermArgs{
				LabelSelector: metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(spareSelector(a.Server))},
				TopologyKey:   pulumi.String("kubernetes.io/hostname"),
			}},
		}},
		TopologySpreadConstraints: corev1.TopologySpreadConstraintArray{
			spreadOver("topology.kubernetes.io/zone", spareSelector(a.Server)),
		},
		InitContainers: corev1.ContainerArray{a.pull()},
		Containers:     corev1.ContainerArray{spareNodeContainer(spareContainer, pauseImage, "1m", "8Mi", "16Mi", gpus)},
	}
	if len(selector) > 0 {
		spec.NodeSelector = pulumi.ToStringMap(selector)
	}
	if len(a.GPU.Tolerations) > 0 {
		spec.Tolerations = tolerationInputs(a.GPU.Tolerations)
	}
	return corev1.PodTemplateSpecArgs{
		Metadata: metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(withLabels(spareSelector(a.Server)))},
		Spec:     spec,
	}
}

// pull returns the container that has the node pull the server's image, and ends.
func (a *SpareNodesArgs) pull() corev1.ContainerArgs {
	container := spareNodeContainer(pullContainer, a.Image, "10m", "32Mi", "128Mi", nil)
	container.Command = pulumi.ToStringArray([]string{"/bin/true"})
	// CUDA's images ask for all GPUs of the node, which /bin/true does not need.
	container.Env = corev1.EnvVarArray{corev1.EnvVarArgs{Name: pulumi.String("NVIDIA_VISIBLE_DEVICES"), Value: pulumi.String("void")}}
	return container
}

// spareNodeContainer returns a container with the given requests of CPU and memory, limit of memory, and other resources, which are
// requested and limited alike.
func spareNodeContainer(name, image, cpu, memory, limit string, resources map[string]string) corev1.ContainerArgs {
	requests, limits := map[string]string{"cpu": cpu, "memory": memory}, map[string]string{"memory": limit}
	maps.Copy(requests, resources)
	maps.Copy(limits, resources)
	return corev1.ContainerArgs{
		Name:            pulumi.String(name),
		Image:           pulumi.String(image),
		Resources:       corev1.ResourceRequirementsArgs{Requests: pulumi.ToStringMap(requests), Limits: pulumi.ToStringMap(limits)},
		SecurityContext: restrictedContainer(),
	}
}

// nodeFields are the fields of a pod that choose its node or that pulling its image needs.
var nodeFields = []string{"tolerations", "imagePullSecrets", "runtimeClassName", "schedulerName"}

// choosingNodes returns the part of the template that chooses a node or that pulling the server's image needs: without it, the spare nodes
// could be others than those of the server.
func (t PodTemplate) choosingNodes() PodTemplate {
	spec, _ := t.Fields["spec"].(map[string]any)
	chosen := map[string]any{}
	for _, name := range nodeFields {
		if value, ok := spec[name]; ok {
			chosen[name] = value
		}
	}
	affinity, _ := spec["affinity"].(map[string]any)
	if value, ok := affinity["nodeAffinity"]; ok {
		chosen["affinity"] = map[string]any{"nodeAffinity": value}
	}
	if len(chosen) == 0 {
		return PodTemplate{}
	}
	return PodTemplate{Fields: map[string]any{"spec": chosen}, Secret: t.Secret}
}
