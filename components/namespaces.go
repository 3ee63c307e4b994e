package components

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers/apiservices"
	"vllm-autoscaling/providers/kubeclient"
)

// NamespacesArgs are the inputs of Namespaces.
type NamespacesArgs struct {
	// Monitoring is the namespace of Prometheus, Grafana, the adapter and the GPU exporter.
	Monitoring string
	// Serving is the namespace of the vLLM server. Must differ from Monitoring, which needs more
	// privileges.
	Serving string
	// Restricted enforces Kubernetes' restricted profile in the monitoring namespace too. False where the node
	// exporter of kube-prometheus-stack runs, which reads the host's files and network.
	Restricted bool
	// Kubeconfig reaches a cluster that others use too: what of theirs would keep the namespaces from being deleted is a
	// warning. Unset for a cluster that the stack creates. A secret.
	Kubeconfig pulumi.StringOutput
	// Kubectl is how people call kubectl for the cluster.
	Kubectl string
	// Drain is how long a pod in Serving may take to end.
	Drain time.Duration
	// DependsOn lists what must exist first, such as node pools.
	DependsOn []pulumi.Resource
}

// Namespaces are the two namespaces of everything else. Each is one shared resource, so that it
// outlives everything in it when the stack is destroyed.
type Namespaces struct {
	pulumi.ResourceState

	// Monitoring is the name of the monitoring namespace.
	Monitoring pulumi.StringOutput `pulumi:"monitoring"`
	// Serving is the name of the serving namespace.
	Serving pulumi.StringOutput `pulumi:"serving"`

	// MonitoringNamespace and ServingNamespace are for others to depend on.
	MonitoringNamespace, ServingNamespace *corev1.Namespace
}

// NewNamespaces registers both namespaces. Names that Kubernetes owns are refused, because a
// destroy would delete them.
func NewNamespaces(ctx *pulumi.Context, name string, args *NamespacesArgs, opts ...pulumi.ResourceOption) (*Namespaces, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("namespaces: %w", err)
	}
	c := &Namespaces{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:Namespaces", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering namespaces: %w", err)
	}

	var err error
	monitoring := "privileged"
	if args.Restricted {
		monitoring = "restricted"
	}
	if c.MonitoringNamespace, err = newNamespace(ctx, c, args.Monitoring, monitoring, deletionTime, args.DependsOn); err != nil {
		return nil, err
	}
	// The server needs no privilege; the API server refuses a privileged pod here.
	if c.ServingNamespace, err = newNamespace(ctx, c, args.Serving, "restricted", args.Drain+deletionTime, args.DependsOn); err != nil {
		return nil, err
	}
	c.Monitoring = pulumi.String(args.Monitoring).ToStringOutput()
	c.Serving = pulumi.String(args.Serving).ToStringOutput()
	outputs := pulumi.Map{"monitoring": c.Monitoring, "serving": c.Serving}
	if args.Kubeconfig.OutputState != nil {
		// Through an output, so that the program does not end before it has looked.
		looked := pulumi.All(c.URN(), args.Kubeconfig).ApplyT(func(values []any) (string, error) {
			return args.Monitoring, args.warnOfDeadAPIs(ctx, c, values[1].(string))
		})
		outputs["monitoring"] = pulumi.Unsecret(looked)
	}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering the outputs of namespaces: %w", err)
	}
	return c, nil
}

// deletionTime is how long a namespace may take to be gone, besides the pods that drain: its objects are deleted before, volumes
// are released, and of a pod whose node is lost Kubernetes learns after a minute or two.
const deletionTime = 3 * time.Minute

// lookTimeout bounds the look at a cluster's APIServices, which is only for a warning.
const lookTimeout = 5 * time.Second

// warnOfDeadAPIs warns of what would keep the namespaces from being deleted, which nobody would find out before a destroy. Where it
// cannot look, there is nothing to warn of.
func (a *NamespacesArgs) warnOfDeadAPIs(ctx *pulumi.Context, c *Namespaces, kubeconfig string) error {
	client, err := kubeclient.New(kubeconfig)
	if err != nil {
		return nil //nolint:nilerr // The provider reports a kubeconfig that cannot be used.
	}
	defer client.Close()
	limited, cancel := context.WithTimeout(ctx.Context(), lookTimeout)
	defer cancel()
	found, err := apiservices.Find(limited, client)
	if err != nil {
		return ctx.Log.Debug(err.Error(), &pulumi.LogArgs{Resource: c})
	}
	for _, dead := range apiservices.Others(found, a.Monitoring) {
		text := fmt.Sprintf("%s. While it is so, Kubernetes deletes no namespace of the cluster for good, so that `pulumi destroy` would wait "+
			"for this stack's: %s", dead, dead.Remedy(a.Kubectl))
		if err := ctx.Log.Warn(text, &pulumi.LogArgs{Resource: c}); err != nil {
			return err
		}
	}
	return nil
}

func newNamespace(ctx *pulumi.Context, parent pulumi.Resource, name, podSecurity string, deletion time.Duration,
	dependsOn []pulumi.Resource,
) (*corev1.Namespace, error) {
	namespace, err := corev1.NewNamespace(ctx, name, &corev1.NamespaceArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name: pulumi.String(name),
			Labels: pulumi.ToStringMap(withLabels(map[string]string{
				"pod-security.kubernetes.io/enforce": podSecurity,
			})),
		},
	}, childOptions(parent, dependsOn, pulumi.Timeouts(&pulumi.CustomTimeouts{Delete: deletion.String()}))...)
	if err != nil {
		return nil, fmt.Errorf("registering namespace %q: %w", name, err)
	}
	return namespace, nil
}

func (a *NamespacesArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	if err := errors.Join(validateNamespace("Monitoring", a.Monitoring), validateNamespace("Serving", a.Serving)); err != nil {
		return err
	}
	if a.Monitoring == a.Serving {
		return fmt.Errorf("monitoring and serving are both %q: give them different names, their pods need different privileges", a.Serving)
	}
	for _, name := range []string{a.Monitoring, a.Serving} {
		if name == "default" || strings.HasPrefix(name, "kube-") {
			return fmt.Errorf("namespace %q belongs to Kubernetes and would be deleted on destroy: choose another name", name)
		}
	}
	return nil
}
