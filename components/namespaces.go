package components

import (
	"errors"
	"fmt"
	"strings"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
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
	if c.MonitoringNamespace, err = newNamespace(ctx, c, args.Monitoring, monitoring, args.DependsOn); err != nil {
		return nil, err
	}
	// The server needs no privilege; the API server refuses a privileged pod here.
	if c.ServingNamespace, err = newNamespace(ctx, c, args.Serving, "restricted", args.DependsOn); err != nil {
		return nil, err
	}
	c.Monitoring = pulumi.String(args.Monitoring).ToStringOutput()
	c.Serving = pulumi.String(args.Serving).ToStringOutput()
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"monitoring": c.Monitoring, "serving": c.Serving}); err != nil {
		return nil, fmt.Errorf("registering the outputs of namespaces: %w", err)
	}
	return c, nil
}

func newNamespace(ctx *pulumi.Context, parent pulumi.Resource, name, podSecurity string, dependsOn []pulumi.Resource) (*corev1.Namespace, error) {
	namespace, err := corev1.NewNamespace(ctx, name, &corev1.NamespaceArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name: pulumi.String(name),
			Labels: pulumi.ToStringMap(withLabels(map[string]string{
				"pod-security.kubernetes.io/enforce": podSecurity,
			})),
		},
	}, childOptions(parent, dependsOn)...)
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
