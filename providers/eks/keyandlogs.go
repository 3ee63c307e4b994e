package eks

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// The two resources of this file are registered by their type: the SDK's packages kms and
// cloudwatch would add 1.5 MB of generated code to every cold build for six properties.

const (
	keyType      = "aws:kms/key:Key"
	logGroupType = "aws:cloudwatch/logGroup:LogGroup"

	// keyDeletionDays is how long AWS keeps a deleted key, in which its deletion can be cancelled; 7 to
	// 30 (KMS' limits). A key in that state costs nothing.
	keyDeletionDays, protectedKeyDeletionDays = 7, 30
)

// kmsKey is a KMS key.
type kmsKey struct {
	pulumi.CustomResourceState

	ARN pulumi.StringOutput `pulumi:"arn"`
}

// secretsKey returns the ARN of the key for Kubernetes Secrets: the given one, or that of a new key.
func (b *builder) secretsKey() (pulumi.StringInput, error) {
	if b.args.SecretsKeyARN != "" {
		return pulumi.String(b.args.SecretsKeyARN), nil
	}
	days := keyDeletionDays
	if b.args.DeletionProtection {
		days = protectedKeyDeletionDays
	}
	key := &kmsKey{}
	err := b.ctx.RegisterResource(keyType, b.resourceName("secrets"), pulumi.Map{
		"description":          pulumi.String(fmt.Sprintf("Secrets of EKS cluster %s", b.args.Name)),
		"enableKeyRotation":    pulumi.Bool(true),
		"deletionWindowInDays": pulumi.Int(days),
		"tags":                 b.nameTag("secrets"),
		// Without its key a cluster cannot read its Secrets any more, for good.
	}, key, b.options(pulumi.Protect(b.args.DeletionProtection))...)
	if err != nil {
		return nil, fmt.Errorf("registering the key of EKS cluster %q: %w", b.args.Name, err)
	}
	return key.ARN, nil
}

// logGroup is a log group of CloudWatch.
type logGroup struct {
	pulumi.CustomResourceState
}

// logGroup registers the group that EKS writes the control plane's logs to, unless there is one that is not the stack's: EKS
// writes its last lines after a cluster is deleted, for which CloudWatch creates the deleted group again. AWS refuses to
// create it a second time, and does not set its retention either, so it is used as it is.
func (b *builder) logGroup() ([]pulumi.Resource, error) {
	tags := b.nameTag("logs")
	name := fmt.Sprintf("/aws/eks/%s/cluster", b.args.Name)
	left, err := b.leftLogGroup(name, b.args.Name+"-logs")
	if err != nil {
		return nil, err
	}
	if left {
		return nil, b.ctx.Log.Warn(fmt.Sprintf("eks: log group %s is left from an earlier cluster of the name %q and is used as it is: its lines are kept for ever, "+
			"and a destroy leaves it; for an end, run `aws logs put-retention-policy --region %s --log-group-name %[1]s --retention-in-days %[4]d`, "+
			"or delete it before the cluster is created", name, b.args.Name, b.args.Region, b.args.LogRetentionDays), nil)
	}
	group := &logGroup{}
	err = b.ctx.RegisterResource(logGroupType, b.resourceName("logs"), pulumi.Map{
		// The name is EKS' choice.
		"name":            pulumi.String(name),
		"retentionInDays": pulumi.Int(b.args.LogRetentionDays),
		"tags":            tags,
	}, group, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("registering the log group of EKS cluster %q: %w", b.args.Name, err)
	}
	return []pulumi.Resource{group}, nil
}

// leftLogGroup reports whether there is a log group of a name that lacks the tag which the stack's own has.
func (b *builder) leftLogGroup(name, tag string) (bool, error) {
	failed := func(err error) (bool, error) {
		return false, fmt.Errorf("eks: looking up log group %s in region %s: check eks.region and the credentials: %w", name, b.args.Region, err)
	}
	var found struct {
		Names []string `pulumi:"logGroupNames"`
	}
	// A look-up of one group fails where there is none.
	if err := b.ctx.Invoke("aws:cloudwatch/getLogGroups:getLogGroups", &struct {
		Prefix string `pulumi:"logGroupNamePrefix"`
	}{name}, &found, b.invokeOptions()...); err != nil {
		return failed(err)
	}
	if !slices.Contains(found.Names, name) {
		return false, nil
	}
	var group struct {
		Tags map[string]string `pulumi:"tags"`
	}
	if err := b.ctx.Invoke("aws:cloudwatch/getLogGroup:getLogGroup", &struct {
		Name string `pulumi:"name"`
	}{name}, &group, b.invokeOptions()...); err != nil {
		return failed(err)
	}
	return group.Tags["Name"] != tag, nil
}
