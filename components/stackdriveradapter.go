package components

import (
	"errors"
	"fmt"
	"slices"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	policyv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/policy/v1"
	rbacv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/rbac/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/signals"
)

const (
	// StackdriverAdapterName is the name of the adapter's Deployment, Service, ServiceAccount and
	// PodDisruptionBudget, and the beginning of the names of its roles.
	StackdriverAdapterName = "custom-metrics-stackdriver-adapter"

	stackdriverAdapterPort = servingPortName
	// stackdriverUser is the user "nobody".
	stackdriverUser = 65534
	// stackdriverAdapterTimeout bounds the wait for the adapter's pods. They exit at startup until they may
	// read from Cloud Monitoring, and a new grant is effective everywhere only after minutes.
	stackdriverAdapterTimeout = "15m"
)

// StackdriverAdapterArgs are the inputs of StackdriverAdapter.
type StackdriverAdapterArgs struct {
	// Namespace of the adapter. Required.
	Namespace string
	// ServingNamespace is where the pods run whose metrics are served; the adapter may list pods only there.
	ServingNamespace string
	// Image with an explicit version.
	Image string
	// ListenPort is the port of the API in the pod, which the control plane must be able to reach; 1024 to 65535.
	ListenPort int
	// Replicas of the adapter; at least 1.
	Replicas int
	// Signals to serve, under the names of signals.ForCloudMonitoring. At least one. The adapter itself
	// serves every gauge of the project's Cloud Monitoring.
	Signals []signals.Signal
	// DependsOn lists what must exist first: the namespaces, and what allows the adapter's ServiceAccount to read
	// from Cloud Monitoring.
	DependsOn []pulumi.Resource
}

// StackdriverAdapter is Google's Custom Metrics Stackdriver Adapter, which serves the custom metrics API from
// Cloud Monitoring. It has no chart. It does not serve external metrics (--enable-external-metrics-api=false):
// nothing here reads them, and KEDA registers the same API.
type StackdriverAdapter struct {
	pulumi.ResourceState

	// Metrics are the names of the HPA's metrics in the custom metrics API.
	Metrics pulumi.StringArrayOutput `pulumi:"metrics"`

	// CABundle is the authority of the certificate of the adapter's Service, PEM in base64.
	CABundle pulumi.StringOutput

	// Objects are for others to depend on: everything without which the adapter cannot answer.
	Objects []pulumi.Resource
}

// NewStackdriverAdapter registers the adapter's objects. Its API is registered by MetricsAPI.
func NewStackdriverAdapter(ctx *pulumi.Context, name string, args *StackdriverAdapterArgs,
	opts ...pulumi.ResourceOption,
) (*StackdriverAdapter, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("stackdriver adapter: %w", err)
	}
	c := &StackdriverAdapter{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:StackdriverAdapter", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering the stackdriver adapter: %w", err)
	}
	// Set after the registration, which clears the output fields.
	c.Metrics = pulumi.ToStringArray(signals.Names(args.Signals)).ToStringArrayOutput()

	account, err := corev1.NewServiceAccount(ctx, StackdriverAdapterName, &corev1.ServiceAccountArgs{
		Metadata: args.metadata(args.Namespace, StackdriverAdapterName),
	}, childOptions(c, args.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering ServiceAccount %s/%s: %w", args.Namespace, StackdriverAdapterName, err)
	}
	rights, err := args.newRights(ctx, c)
	if err != nil {
		return nil, err
	}
	certificate, err := newServingCertificate(ctx, args.Namespace, StackdriverAdapterName, childOptions(c, args.DependsOn))
	if err != nil {
		return nil, err
	}
	c.CABundle = authority(certificate)
	deployment, err := args.newDeployment(ctx, c, slices.Concat(args.DependsOn, []pulumi.Resource{account, certificate}, rights))
	if err != nil {
		return nil, err
	}
	service, err := corev1.NewService(ctx, StackdriverAdapterName, &corev1.ServiceArgs{
		Metadata: args.metadata(args.Namespace, StackdriverAdapterName),
		Spec: corev1.ServiceSpecArgs{
			Type:     pulumi.String("ClusterIP"),
			Selector: pulumi.ToStringMap(stackdriverSelector()),
			Ports: corev1.ServicePortArray{corev1.ServicePortArgs{
				Name:       pulumi.String(stackdriverAdapterPort),
				Port:       pulumi.Int(metricsAPIServicePort),
				TargetPort: pulumi.String(stackdriverAdapterPort),
				Protocol:   pulumi.String("TCP"),
			}},
		},
		// Pulumi waits for a Service's endpoints, 10 minutes by default: they exist when the pods are ready.
	}, childOptions(c, args.DependsOn, stackdriverWait())...)
	if err != nil {
		return nil, fmt.Errorf("registering Service %s/%s: %w", args.Namespace, StackdriverAdapterName, err)
	}
	if _, err := policyv1.NewPodDisruptionBudget(ctx, StackdriverAdapterName, &policyv1.PodDisruptionBudgetArgs{
		Metadata: args.metadata(args.Namespace, StackdriverAdapterName),
		Spec: policyv1.PodDisruptionBudgetSpecArgs{
			MaxUnavailable: pulumi.Int(1),
			Selector:       metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(stackdriverSelector())},
		},
	}, childOptions(c, args.DependsOn)...); err != nil {
		return nil, fmt.Errorf("registering PodDisruptionBudget %s/%s: %w", args.Namespace, StackdriverAdapterName, err)
	}
	c.Objects = append([]pulumi.Resource{deployment, service}, rights...)
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"metrics": c.Metrics}); err != nil {
		return nil, fmt.Errorf("registering the outputs of the stackdriver adapter: %w", err)
	}
	return c, nil
}

// stackdriverSelector returns the labels that select the adapter's pods.
func stackdriverSelector() map[string]string {
	return map[string]string{
		nameLabel:   StackdriverAdapterName,
		partOfLabel: Project,
	}
}

// stackdriverWait is how long Pulumi waits for the adapter's pods and what is ready with them.
func stackdriverWait() pulumi.ResourceOption {
	return pulumi.Timeouts(&pulumi.CustomTimeouts{Create: stackdriverAdapterTimeout, Update: stackdriverAdapterTimeout})
}

func (a *StackdriverAdapterArgs) metadata(namespace, name string) metav1.ObjectMetaArgs {
	metadata := metav1.ObjectMetaArgs{
		Name:   pulumi.String(name),
		Labels: pulumi.ToStringMap(withLabels(stackdriverSelector())),
	}
	if namespace != "" {
		metadata.Namespace = pulumi.String(namespace)
	}
	return metadata
}

// newRights registers the adapter's permissions in the cluster: to delegate authentication and authorization of its
// clients to the API server, and to list the server's pods.
func (a *StackdriverAdapterArgs) newRights(ctx *pulumi.Context, c *StackdriverAdapter) ([]pulumi.Resource, error) {
	opts := childOptions(c, a.DependsOn)
	subjects := rbacv1.SubjectArray{rbacv1.SubjectArgs{
		Kind:      pulumi.String("ServiceAccount"),
		Name:      pulumi.String(StackdriverAdapterName),
		Namespace: pulumi.String(a.Namespace),
	}}
	reference := func(kind, name string) rbacv1.RoleRefArgs {
		return rbacv1.RoleRefArgs{
			ApiGroup: pulumi.String("rbac.authorization.k8s.io"), Kind: pulumi.String(kind), Name: pulumi.String(name),
		}
	}
	const (
		delegator = StackdriverAdapterName + "-auth-delegator"
		reader    = StackdriverAdapterName + "-auth-reader"
		pods      = StackdriverAdapterName + "-pod-reader"
	)
	// Cluster-wide objects carry the namespace in their names: the upstream manifest has the same kinds of them.
	delegation, err := rbacv1.NewClusterRoleBinding(ctx, delegator, &rbacv1.ClusterRoleBindingArgs{
		Metadata: a.metadata("", a.Namespace+":"+delegator),
		RoleRef:  reference("ClusterRole", "system:auth-delegator"),
		Subjects: subjects,
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("registering ClusterRoleBinding %s: %w", delegator, err)
	}
	configuration, err := rbacv1.NewRoleBinding(ctx, reader, &rbacv1.RoleBindingArgs{
		Metadata: a.metadata("kube-system", reader),
		RoleRef:  reference("Role", "extension-apiserver-authentication-reader"),
		Subjects: subjects,
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("registering RoleBinding kube-system/%s: %w", reader, err)
	}
	role, err := rbacv1.NewRole(ctx, pods, &rbacv1.RoleArgs{
		Metadata: a.metadata(a.ServingNamespace, pods),
		Rules: rbacv1.PolicyRuleArray{rbacv1.PolicyRuleArgs{
			ApiGroups: pulumi.ToStringArray([]string{""}),
			Resources: pulumi.ToStringArray([]string{"pods"}),
			Verbs:     pulumi.ToStringArray([]string{"get", "list"}),
		}},
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("registering Role %s/%s: %w", a.ServingNamespace, pods, err)
	}
	listing, err := rbacv1.NewRoleBinding(ctx, pods, &rbacv1.RoleBindingArgs{
		Metadata: a.metadata(a.ServingNamespace, pods),
		RoleRef:  reference("Role", pods),
		Subjects: subjects,
	}, childOptions(c, append(slices.Clone(a.DependsOn), role))...)
	if err != nil {
		return nil, fmt.Errorf("registering RoleBinding %s/%s: %w", a.ServingNamespace, pods, err)
	}
	return []pulumi.Resource{delegation, configuration, listing}, nil
}

func (a *StackdriverAdapterArgs) newDeployment(ctx *pulumi.Context, c *StackdriverAdapter, needs []pulumi.Resource) (*appsv1.Deployment, error) {
	deployment, err := appsv1.NewDeployment(ctx, StackdriverAdapterName, &appsv1.DeploymentArgs{
		Metadata: a.metadata(a.Namespace, StackdriverAdapterName),
		Spec: appsv1.DeploymentSpecArgs{
			Replicas:             pulumi.Int(a.Replicas),
			RevisionHistoryLimit: pulumi.Int(3),
			Selector:             metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(stackdriverSelector())},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(withLabels(stackdriverSelector()))},
				Spec:     a.podSpec(),
			},
		},
	}, childOptions(c, needs, stackdriverWait())...)
	if err != nil {
		return nil, fmt.Errorf("registering Deployment %s/%s: %w", a.Namespace, StackdriverAdapterName, err)
	}
	return deployment, nil
}

func (a *StackdriverAdapterArgs) podSpec() corev1.PodSpecArgs {
	return corev1.PodSpecArgs{
		ServiceAccountName: pulumi.String(StackdriverAdapterName),
		SecurityContext: corev1.PodSecurityContextArgs{
			RunAsNonRoot:   pulumi.Bool(true),
			RunAsUser:      pulumi.Int(stackdriverUser),
			RunAsGroup:     pulumi.Int(stackdriverUser),
			FsGroup:        pulumi.Int(stackdriverUser),
			SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
		},
		// Two replicas on one node would be lost with it. A preference, for clusters of one node.
		TopologySpreadConstraints: corev1.TopologySpreadConstraintArray{corev1.TopologySpreadConstraintArgs{
			MaxSkew:           pulumi.Int(1),
			TopologyKey:       pulumi.String("kubernetes.io/hostname"),
			WhenUnsatisfiable: pulumi.String("ScheduleAnyway"),
			LabelSelector:     metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(stackdriverSelector())},
		}},
		Containers: corev1.ContainerArray{a.container()},
		Volumes: corev1.VolumeArray{corev1.VolumeArgs{
			Name: pulumi.String(certificateVolume), Secret: corev1.SecretVolumeSourceArgs{SecretName: pulumi.String(certificateSecret(StackdriverAdapterName))},
		}},
	}
}

func (a *StackdriverAdapterArgs) container() corev1.ContainerArgs {
	return corev1.ContainerArgs{
		Name:  pulumi.String("adapter"),
		Image: pulumi.String(a.Image),
		// The image has no entrypoint (custom-metrics-stackdriver-adapter/Dockerfile of github.com/GoogleCloudPlatform/k8s-stackdriver).
		Command: pulumi.ToStringArray([]string{"/adapter"}),
		Args: pulumi.ToStringArray(append([]string{
			// The series of the managed collection exist in this model only.
			"--use-new-resource-model=true",
			"--enable-external-metrics-api=false",
			fmt.Sprintf("--secure-port=%d", a.ListenPort),
		}, certificateArguments()...)),
		Ports: corev1.ContainerPortArray{corev1.ContainerPortArgs{
			Name: pulumi.String(stackdriverAdapterPort), ContainerPort: pulumi.Int(a.ListenPort), Protocol: pulumi.String("TCP"),
		}},
		StartupProbe:   stackdriverProbe("/livez", 5, 24),
		ReadinessProbe: stackdriverProbe("/readyz", 5, 3),
		LivenessProbe:  stackdriverProbe("/livez", 10, 6),
		// Upstream's manifest allows 250m and 200Mi. A CPU limit would only slow answers down.
		Resources: corev1.ResourceRequirementsArgs{
			Requests: pulumi.StringMap{"cpu": pulumi.String("50m"), "memory": pulumi.String("96Mi")},
			Limits:   pulumi.StringMap{"memory": pulumi.String("256Mi")},
		},
		SecurityContext: corev1.SecurityContextArgs{
			AllowPrivilegeEscalation: pulumi.Bool(false),
			Privileged:               pulumi.Bool(false),
			ReadOnlyRootFilesystem:   pulumi.Bool(true),
			RunAsNonRoot:             pulumi.Bool(true),
			RunAsUser:                pulumi.Int(stackdriverUser),
			Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
			SeccompProfile:           corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
		},
		VolumeMounts: corev1.VolumeMountArray{corev1.VolumeMountArgs{
			Name: pulumi.String(certificateVolume), MountPath: pulumi.String(certificatePath), ReadOnly: pulumi.Bool(true),
		}},
	}
}

// stackdriverProbe returns a probe that runs every period seconds.
func stackdriverProbe(path string, period, failures int) corev1.ProbeArgs {
	return corev1.ProbeArgs{
		HttpGet: corev1.HTTPGetActionArgs{
			Path: pulumi.String(path), Port: pulumi.String(stackdriverAdapterPort), Scheme: pulumi.String("HTTPS"),
		},
		PeriodSeconds:    pulumi.Int(period),
		TimeoutSeconds:   pulumi.Int(5),
		FailureThreshold: pulumi.Int(failures),
	}
}

func (a *StackdriverAdapterArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	return errors.Join(
		validateNamespace("Namespace", a.Namespace),
		validateNamespace("ServingNamespace", a.ServingNamespace),
		validateImage(a.Image),
		validateAdapter(a.ListenPort, a.Replicas, a.Signals),
	)
}
