package components

import (
	"errors"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/signals"
)

// GPURulesName is the name of the PrometheusRule; its group has it too.
const GPURulesName = signals.RuleGroup

// GPURulesArgs are the inputs of GPURules.
type GPURulesArgs struct {
	// Namespace of the PrometheusRule: the monitoring namespace, or with the platform's Prometheus the serving namespace. Required.
	Namespace string
	// Settings of the signals, from which the rules follow.
	Settings signals.Settings
	// Signals that are on; their rules are added to those that are always there.
	Signals []signals.Signal
	// DependsOn lists what must exist first: the namespace, and what installs the kind PrometheusRule.
	DependsOn []pulumi.Resource
}

// GPURules are the recording rules that turn the GPUs' metrics into one utilisation per serving pod.
type GPURules struct {
	pulumi.ResourceState

	// Name of the PrometheusRule.
	Name pulumi.StringOutput `pulumi:"name"`

	// Rule is the PrometheusRule, for others to depend on.
	Rule pulumi.Resource
}

// NewGPURules registers the rules.
func NewGPURules(ctx *pulumi.Context, name string, args *GPURulesArgs, opts ...pulumi.ResourceOption) (*GPURules, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("recording rules: %w", err)
	}
	c := &GPURules{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:GPURules", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering recording rules: %w", err)
	}
	// Set after the registration, which clears the output fields.
	c.Name = pulumi.String(GPURulesName).ToStringOutput()
	rule, err := newPrometheusRule(ctx, args.Namespace, GPURulesName, signals.Rules(args.Settings, args.Signals), childOptions(c, args.DependsOn))
	if err != nil {
		return nil, err
	}
	c.Rule = rule
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"name": c.Name}); err != nil {
		return nil, fmt.Errorf("registering the outputs of recording rules: %w", err)
	}
	return c, nil
}

func (a *GPURulesArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	return errors.Join(validateNamespace("Namespace", a.Namespace), a.Settings.Validate())
}
