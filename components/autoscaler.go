package components

import (
	"errors"
	"fmt"
	"time"

	autoscalingv2 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/autoscaling/v2"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	k8sautoscalingv2 "k8s.io/api/autoscaling/v2"

	"vllm-autoscaling/components/signals"
)

// The API server's bounds on a scaling rule.
const (
	maxStabilization = time.Hour
	maxPolicyPeriod  = 30 * time.Minute
)

// ScalingRules limit how fast the number of replicas may change in one direction.
type ScalingRules struct {
	// Stabilization is the window in which the most cautious recommendation is used: the lowest on
	// the way up, the highest on the way down. Whole seconds, 0 to 1 h.
	Stabilization time.Duration
	// Pods is the most replicas to change in a Period; 0 leaves this policy out.
	Pods int
	// Percent is the most percent of the replicas to change in a Period; 0 leaves this policy out.
	// With both policies the larger change is allowed.
	Percent int
	// Period of the policies; whole seconds, 1 s to 30 min.
	Period time.Duration
}

// AutoscalerArgs are the inputs of Autoscaler.
type AutoscalerArgs struct {
	// Namespace of the Deployment. Required.
	Namespace string
	// DeploymentName is the Deployment to scale, and the name of the autoscaler. It must have no other autoscaler: two of them
	// stop each other.
	DeploymentName string
	// MinReplicas is the number of replicas without load; at least 1.
	MinReplicas int
	// MaxReplicas bounds the cost; at least MinReplicas.
	MaxReplicas int
	// Signals to scale on; the one that requires the most replicas decides. At least one.
	Signals []signals.Signal
	// ScaleUp and ScaleDown are the speed in each direction.
	ScaleUp, ScaleDown ScalingRules
	// DependsOn lists what must exist first and outlive the autoscaler: the adapter, the Deployment
	// and the recording rules.
	DependsOn []pulumi.Resource
}

// Autoscaler is the one HorizontalPodAutoscaler of a server, over all signals.
type Autoscaler struct {
	pulumi.ResourceState

	// Name of the HorizontalPodAutoscaler.
	Name pulumi.StringOutput `pulumi:"name"`

	// HPA is for others to depend on.
	HPA *autoscalingv2.HorizontalPodAutoscaler
}

// NewAutoscaler registers the autoscaler.
func NewAutoscaler(ctx *pulumi.Context, name string, args *AutoscalerArgs, opts ...pulumi.ResourceOption) (*Autoscaler, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("autoscaler: %w", err)
	}
	c := &Autoscaler{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:Autoscaler", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering autoscaler: %w", err)
	}
	// Set after the registration, which clears the output fields.
	c.Name = pulumi.String(args.DeploymentName).ToStringOutput()

	metrics := autoscalingv2.MetricSpecArray{}
	for _, signal := range args.Signals {
		metrics = append(metrics, autoscalingv2.MetricSpecArgs{
			Type: pulumi.String("Pods"),
			Pods: autoscalingv2.PodsMetricSourceArgs{
				Metric: autoscalingv2.MetricIdentifierArgs{Name: pulumi.String(signal.Name)},
				Target: autoscalingv2.MetricTargetArgs{
					Type:         pulumi.String("AverageValue"),
					AverageValue: pulumi.String(signal.AverageValue()),
				},
			},
		})
	}
	hpa, err := autoscalingv2.NewHorizontalPodAutoscaler(ctx, args.DeploymentName, &autoscalingv2.HorizontalPodAutoscalerArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String(args.DeploymentName),
			Namespace: pulumi.String(args.Namespace),
			Labels:    pulumi.ToStringMap(commonLabels()),
		},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpecArgs{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReferenceArgs{
				ApiVersion: pulumi.String("apps/v1"),
				Kind:       pulumi.String("Deployment"),
				Name:       pulumi.String(args.DeploymentName),
			},
			MinReplicas: pulumi.Int(args.MinReplicas),
			MaxReplicas: pulumi.Int(args.MaxReplicas),
			Metrics:     metrics,
			Behavior: autoscalingv2.HorizontalPodAutoscalerBehaviorArgs{
				ScaleUp:   args.ScaleUp.inputs(),
				ScaleDown: args.ScaleDown.inputs(),
			},
		},
	}, childOptions(c, args.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering HorizontalPodAutoscaler %s/%s: %w", args.Namespace, args.DeploymentName, err)
	}
	c.HPA = hpa

	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"name": c.Name}); err != nil {
		return nil, fmt.Errorf("registering the outputs of autoscaler: %w", err)
	}
	return c, nil
}

// Rules returns the rules as the API of Kubernetes has them.
func (r ScalingRules) Rules() *k8sautoscalingv2.HPAScalingRules {
	window, selected := int32(wholeSeconds(r.Stabilization)), k8sautoscalingv2.MaxChangePolicySelect
	rules := &k8sautoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &window, SelectPolicy: &selected}
	for _, policy := range []struct {
		kind  k8sautoscalingv2.HPAScalingPolicyType
		value int
	}{{k8sautoscalingv2.PodsScalingPolicy, r.Pods}, {k8sautoscalingv2.PercentScalingPolicy, r.Percent}} {
		if policy.value > 0 {
			rules.Policies = append(rules.Policies, k8sautoscalingv2.HPAScalingPolicy{
				Type: policy.kind, Value: int32(policy.value), PeriodSeconds: int32(wholeSeconds(r.Period)),
			})
		}
	}
	return rules
}

func (r ScalingRules) inputs() autoscalingv2.HPAScalingRulesArgs {
	rules := r.Rules()
	policies := autoscalingv2.HPAScalingPolicyArray{}
	for _, policy := range rules.Policies {
		policies = append(policies, autoscalingv2.HPAScalingPolicyArgs{
			Type:          pulumi.String(policy.Type),
			Value:         pulumi.Int(policy.Value),
			PeriodSeconds: pulumi.Int(policy.PeriodSeconds),
		})
	}
	return autoscalingv2.HPAScalingRulesArgs{
		StabilizationWindowSeconds: pulumi.Int(*rules.StabilizationWindowSeconds),
		SelectPolicy:               pulumi.String(*rules.SelectPolicy),
		Policies:                   policies,
	}
}

func (a *AutoscalerArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	problems := []error{
		validateNamespace("Namespace", a.Namespace),
		a.ScaleUp.validate("scaleUp"),
		a.ScaleDown.validate("scaleDown"),
	}
	add := func(format string, values ...any) { problems = append(problems, fmt.Errorf(format, values...)) }
	if a.DeploymentName == "" {
		add("no Deployment to scale")
	}
	if a.MinReplicas < 1 {
		add("minReplicas %d not possible (at least 1: with none there is no pod to measure)", a.MinReplicas)
	}
	if a.MaxReplicas < a.MinReplicas {
		add("maxReplicas %d is below minReplicas %d", a.MaxReplicas, a.MinReplicas)
	}
	if len(a.Signals) == 0 {
		add("no signal to scale on: switch at least one on")
	}
	seen := map[string]bool{}
	for _, signal := range a.Signals {
		if signal.Name == "" || !(signal.Target > 0) {
			add("signal %q has the target %v (a name, and a target above 0)", signal.Name, signal.Target)
		}
		if seen[signal.Name] {
			add("signal %q is there twice", signal.Name)
		}
		seen[signal.Name] = true
	}
	return errors.Join(problems...)
}

func (r ScalingRules) validate(direction string) error {
	var problems []error
	add := func(format string, values ...any) {
		problems = append(problems, fmt.Errorf(direction+": "+format, values...))
	}
	if r.Stabilization < 0 || r.Stabilization > maxStabilization || r.Stabilization%time.Second != 0 {
		add("stabilization %s not possible (whole seconds, 0 to %s)", r.Stabilization, maxStabilization)
	}
	if r.Period < time.Second || r.Period > maxPolicyPeriod || r.Period%time.Second != 0 {
		add("period %s not possible (whole seconds, 1s to %s)", r.Period, maxPolicyPeriod)
	}
	if r.Pods < 0 || r.Percent < 0 || r.Pods+r.Percent == 0 {
		add("pods %d and percent %d not possible (0 or more, one of them above 0)", r.Pods, r.Percent)
	}
	return errors.Join(problems...)
}
