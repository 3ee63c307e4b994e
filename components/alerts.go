package components

import (
	"errors"
	"fmt"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/alerts"
)

// AlertsName is the name of the PrometheusRule.
const AlertsName = "vllm-alerts"

// AlertsArgs are the inputs of Alerts.
type AlertsArgs struct {
	// Namespace of the PrometheusRule: that of the signals' rules. Required.
	Namespace string
	// Servers are the settings of the alerts, from which they follow, for each server of the stack. At least one.
	Servers []alerts.Settings
	// DependsOn lists what must exist first: the namespace, and what installs the kind PrometheusRule.
	DependsOn []pulumi.Resource
}

// Alerts are the alerts of the stack and the recording rules that they read.
type Alerts struct {
	pulumi.ResourceState

	// Name of the PrometheusRule.
	Name pulumi.StringOutput `pulumi:"name"`
}

// ColdStart returns the longest time from a replica's creation until it serves, with the time that the
// server itself may take to start.
func ColdStart(startupBudget time.Duration) time.Duration { return nodeAndImageTime + startupBudget }

// NewAlerts registers the rules.
func NewAlerts(ctx *pulumi.Context, name string, args *AlertsArgs, opts ...pulumi.ResourceOption) (*Alerts, error) {
	if args == nil {
		return nil, errors.New("alerts: arguments are missing")
	}
	if err := validateNamespace("Namespace", args.Namespace); err != nil {
		return nil, fmt.Errorf("alerts: %w", err)
	}
	spec, err := alerts.Rules(args.Servers...)
	if err != nil {
		return nil, err
	}
	c := &Alerts{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:Alerts", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering alerts: %w", err)
	}
	// Set after the registration, which clears the output fields.
	c.Name = pulumi.String(AlertsName).ToStringOutput()
	if _, err := newPrometheusRule(ctx, args.Namespace, AlertsName, spec, childOptions(c, args.DependsOn)); err != nil {
		return nil, err
	}
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"name": c.Name}); err != nil {
		return nil, fmt.Errorf("registering the outputs of alerts: %w", err)
	}
	return c, nil
}
