package components

import (
	"fmt"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	policyv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/policy/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func (a *VLLMArgs) newDeployment(ctx *pulumi.Context, c *VLLM, needs []pulumi.Resource) (*appsv1.Deployment, error) {
	args, options := a.deployment(), childOptions(c, needs)
	if len(a.PodTemplate.Fields) > 0 {
		merged, err := a.PodTemplate.mergedPod(args)
		if err != nil {
			return nil, err
		}
		options = append(options, merged)
	}
	deployment, err := appsv1.NewDeployment(ctx, a.Name, args, options...)
	if err != nil {
		return nil, fmt.Errorf("registering Deployment %s/%s: %w", a.Namespace, a.Name, err)
	}
	return deployment, nil
}

// deployment returns the Deployment with the program's own pod template.
func (a *VLLMArgs) deployment() *appsv1.DeploymentArgs {
	return &appsv1.DeploymentArgs{
		// skipAwait: nothing may have to wait for the first GPU node. Rollout waits, after everything else.
		Metadata: a.metadata(skipAwait()),
		Spec: appsv1.DeploymentSpecArgs{
			Selector:                metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(vllmSelector(a.Name))},
			RevisionHistoryLimit:    pulumi.Int(3),
			ProgressDeadlineSeconds: pulumi.Int(wholeSeconds(ColdStart(a.StartupBudget))),
			Strategy:                a.updateStrategy(),
			Template:                a.podTemplate(),
		},
	}
}

// updateStrategy replaces one replica at a time, and keeps the others even when the next version never becomes ready.
func (a *VLLMArgs) updateStrategy() appsv1.DeploymentStrategyArgs {
	// Without a spare GPU, a surge would wait for one for good.
	more, fewer := 0, 1
	if a.Surge {
		more, fewer = 1, 0
	}
	return appsv1.DeploymentStrategyArgs{
		Type: pulumi.String("RollingUpdate"),
		RollingUpdate: appsv1.RollingUpdateDeploymentArgs{
			MaxSurge:       pulumi.Int(more),
			MaxUnavailable: pulumi.Int(fewer),
		},
	}
}

// skipAwait returns the annotation with which Pulumi's provider neither waits until an object is ready, nor until it is gone:
// the deletion of the namespace waits for what is in it.
func skipAwait() pulumi.StringMap {
	return pulumi.StringMap{"pulumi.com/skipAwait": pulumi.String("true")}
}

func (a *VLLMArgs) newService(ctx *pulumi.Context, c *VLLM) (*corev1.Service, error) {
	service, err := corev1.NewService(ctx, a.Name, &corev1.ServiceArgs{
		// skipAwait: the Service has no endpoint before the first model is loaded.
		Metadata: a.metadata(skipAwait()),
		Spec: corev1.ServiceSpecArgs{
			Type:     pulumi.String("ClusterIP"),
			Selector: pulumi.ToStringMap(vllmSelector(a.Name)),
			Ports: corev1.ServicePortArray{corev1.ServicePortArgs{
				Name:       pulumi.String(VLLMPortName),
				Port:       pulumi.Int(a.Port),
				TargetPort: pulumi.String(VLLMPortName),
				Protocol:   pulumi.String("TCP"),
			}},
		},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering Service %s/%s: %w", a.Namespace, a.Name, err)
	}
	return service, nil
}

func (a *VLLMArgs) newDisruptionBudget(ctx *pulumi.Context, c *VLLM) error {
	_, err := policyv1.NewPodDisruptionBudget(ctx, a.Name, &policyv1.PodDisruptionBudgetArgs{
		Metadata: a.metadata(nil),
		Spec: policyv1.PodDisruptionBudgetSpecArgs{
			// minAvailable 1 would make the node of a single replica impossible to drain.
			MaxUnavailable: pulumi.Int(1),
			Selector:       metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(vllmSelector(a.Name))},
			// A server that never became ready serves no requests and must not block a drain.
			UnhealthyPodEvictionPolicy: pulumi.String("AlwaysAllow"),
		},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return fmt.Errorf("registering PodDisruptionBudget %s/%s: %w", a.Namespace, a.Name, err)
	}
	return nil
}
