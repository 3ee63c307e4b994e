package cloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// awsIAMKinds lists the simulated resource types of AWS IAM.
func awsIAMKinds() []*kind {
	return []*kind{awsRoleKind(), awsRolePolicyKind(), awsRolePolicyAttachmentKind()}
}

// awsRoleReference is an input that names an IAM role.
func awsRoleReference(path string, then deletion) reference {
	return reference{path: path, token: AWSRole, by: []string{"name", "id", "arn"}, then: then}
}

func awsRoleKind() *kind {
	return &kind{
		token: AWSRole, name: "name", replace: []string{"name", "namePrefix", "path"}, computed: []string{"arn", "uniqueId", "createDate"},
		validate: func(in object) []string { return policyProblems(in, "assumeRolePolicy", "Principal") },
		create: func(_ *Cloud, r *Resource, _ Settings) error {
			r.ID = object(r.Inputs).text("name")
			r.Outputs["arn"] = "arn:aws:iam::" + AWSAccount + ":role/" + r.ID
			return nil
		},
		refuseDelete: func(c *Cloud, r *Resource) error {
			if len(c.all(AWSRolePolicy, func(a *Resource) bool { return object(a.Inputs).text("role") == r.ID })) > 0 {
				return errors.New("api error DeleteConflict: Cannot delete entity, must detach all policies first")
			}
			return nil
		},
	}
}

func awsRolePolicyKind() *kind {
	return &kind{
		token: awsInlineRole, name: "name", replace: []string{"name", "namePrefix", "role"}, references: []reference{awsRoleReference("role", blocks)},
		validate: func(in object) []string { return policyProblems(in, "policy", "Resource") },
		create: func(_ *Cloud, r *Resource, _ Settings) error {
			r.ID = object(r.Inputs).text("role") + ":" + object(r.Inputs).text("name")
			return nil
		},
	}
}

func awsRolePolicyAttachmentKind() *kind {
	return &kind{
		token: AWSRolePolicy, replace: []string{"role", "policyArn"}, references: []reference{awsRoleReference("role", blocks)},
		importID: func(r *Resource) string { return named(r, "role") + "/" + named(r, "policyArn") },
		create: func(_ *Cloud, r *Resource, _ Settings) error {
			in := object(r.Inputs)
			if _, name, found := strings.Cut(in.text("policyArn"), ":policy/"); !found || !slices.Contains(awsPolicies, name) {
				return fmt.Errorf("api error NoSuchEntity: Policy %s does not exist or is not attachable", in.text("policyArn"))
			}
			r.ID = in.text("role") + "-" + randomHex(20)
			return nil
		},
	}
}

// awsPolicies are the policies managed by AWS.
var awsPolicies = []string{"AmazonEKSClusterPolicy", "AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly",
	"AmazonEC2ContainerRegistryReadOnly", "AmazonEKS_CNI_Policy", "AmazonSSMManagedInstanceCore", "service-role/AmazonEBSCSIDriverPolicy"}

// policyProblems lists what is wrong with a policy document.
func policyProblems(in object, path, needed string) []string {
	text := in.text(path)
	if text == "" {
		return nil
	}
	var document struct{ Statement []map[string]any }
	if err := json.Unmarshal([]byte(text), &document); err != nil || len(document.Statement) == 0 {
		return []string{fmt.Sprintf("%q contains an invalid JSON policy", path)}
	}
	for _, statement := range document.Statement {
		if statement["Effect"] == nil || statement["Action"] == nil || statement[needed] == nil {
			return []string{fmt.Sprintf("%q: a statement lacks Effect, Action or %s", path, needed)}
		}
	}
	return nil
}

// attached reports whether a policy managed by AWS is attached to a role.
func (c *Cloud) attached(roleArn, policy string) bool {
	role := c.find(AWSRole, "arn", roleArn)
	return role != nil && len(c.all(AWSRolePolicy, func(a *Resource) bool {
		return object(a.Inputs).text("role") == role.ID && strings.HasSuffix(object(a.Inputs).text("policyArn"), "/"+policy)
	})) > 0
}
