package eks

import (
	"encoding/json"
	"fmt"
	"path"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// statement is one of a policy document.
type statement struct {
	Effect    string                       `json:"Effect"`
	Action    []string                     `json:"Action"`
	Principal map[string]string            `json:"Principal,omitempty"`
	Resource  []string                     `json:"Resource,omitempty"`
	Condition map[string]map[string]string `json:"Condition,omitempty"`
}

// allow returns a statement that permits actions on resources.
func allow(actions []string, resources ...string) statement {
	return statement{Effect: "Allow", Action: actions, Resource: resources}
}

// trustService returns a statement that lets an AWS service assume a role.
func trustService(service string) statement {
	return statement{Effect: "Allow", Action: []string{"sts:AssumeRole"}, Principal: map[string]string{"Service": service}}
}

// trustPods returns a statement that lets pods assume a role through EKS Pod Identity, which tags each session with cluster,
// namespace and service account. The association has the pods.
func trustPods() statement {
	trust := trustService("pods.eks.amazonaws.com")
	trust.Action = append(trust.Action, "sts:TagSession")
	return trust
}

// policyDocument returns a policy as IAM reads it.
func policyDocument(statements ...statement) (string, error) {
	document, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements})
	if err != nil {
		return "", fmt.Errorf("writing a policy: %w", err)
	}
	return string(document), nil
}

// role is an IAM role and what it may do.
type role struct {
	*iam.Role
	// ready is everything that makes the role usable.
	ready []pulumi.Resource
}

// newRole registers a role with policies that AWS manages, such as AmazonEKSClusterPolicy. It has no
// name of its own: a name would tie the program to one cluster in an account, and nothing needs it.
func (b *builder) newRole(suffix string, trust statement, policies ...string) (*role, error) {
	document, err := policyDocument(trust)
	if err != nil {
		return nil, err
	}
	r, err := iam.NewRole(b.ctx, b.resourceName(suffix), &iam.RoleArgs{
		AssumeRolePolicy: pulumi.String(document),
		Description:      pulumi.String(fmt.Sprintf("EKS cluster %s: %s", b.args.ClusterName(), suffix)),
	}, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("registering role %q: %w", suffix, err)
	}
	result := &role{Role: r}
	for _, policy := range policies {
		attachment, err := iam.NewRolePolicyAttachment(b.ctx, b.resourceName(suffix+"-"+path.Base(policy)), &iam.RolePolicyAttachmentArgs{
			Role:      r.Name,
			PolicyArn: pulumi.String(fmt.Sprintf("arn:%s:iam::aws:policy/%s", b.args.partition(), policy)),
		}, b.options()...)
		if err != nil {
			return nil, fmt.Errorf("attaching %s to role %q: %w", policy, suffix, err)
		}
		result.ready = append(result.ready, attachment)
	}
	return result, nil
}
