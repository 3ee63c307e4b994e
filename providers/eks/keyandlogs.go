package eks

import (
	"fmt"

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

// newLogGroup registers the group that EKS writes the control plane's logs to.
func (b *builder) newLogGroup() (pulumi.Resource, error) {
	group := &logGroup{}
	err := b.ctx.RegisterResource(logGroupType, b.resourceName("logs"), pulumi.Map{
		// The name is EKS' choice.
		"name":            pulumi.String(fmt.Sprintf("/aws/eks/%s/cluster", b.args.Name)),
		"retentionInDays": pulumi.Int(b.args.LogRetentionDays),
		"tags":            b.nameTag("logs"),
	}, group, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("registering the log group of EKS cluster %q: %w", b.args.Name, err)
	}
	return group, nil
}
