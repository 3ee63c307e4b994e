package cloud

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// awsStatement is a statement of a policy.
type awsStatement struct {
	Effect           string
	Action, Resource []string
	Condition        map[string]map[string]string
}

// awsRefusal returns why a ServiceAccount may not do something in a bucket; nil where its role, through EKS Pod Identity, allows it. The
// caller holds the lock.
func (c *Cloud) awsRefusal(access Access) *StoreError {
	var role *Resource
	for _, association := range c.all(awsPodIdentity, func(r *Resource) bool {
		in := object(r.Inputs)
		return in.text("namespace") == access.Namespace && in.text("serviceAccount") == access.ServiceAccount
	}) {
		role = c.find(AWSRole, "arn", object(association.Inputs).text("roleArn"))
	}
	if role == nil {
		return &StoreError{Exception: "botocore.exceptions.NoCredentialsError", Message: "Unable to locate credentials"}
	}
	operation, action, resource := "ListObjectsV2", "s3:ListBucket", "arn:aws:s3:::"+access.Location.Bucket
	switch access.Action {
	case Read:
		operation, action = "GetObject", "s3:GetObject"
	case Write:
		operation, action = "PutObject", "s3:PutObject"
	}
	if access.Action != List {
		resource += "/" + access.Location.Path
	}
	for _, policy := range c.all(awsInlineRole, func(r *Resource) bool { return object(r.Inputs).text("role") == role.ID }) {
		var document struct{ Statement []awsStatement }
		if json.Unmarshal([]byte(object(policy.Inputs).text("policy")), &document) != nil {
			continue
		}
		if slices.ContainsFunc(document.Statement, func(s awsStatement) bool { return s.allows(action, resource, access.Location.Path) }) {
			return nil
		}
	}
	return &StoreError{Exception: "botocore.exceptions.ClientError", Message: fmt.Sprintf(
		"An error occurred (AccessDenied) when calling the %s operation: User: arn:aws:sts::%s:assumed-role/%s is not authorized to perform: %s on "+
			"resource: \"%s\" because no identity-based policy allows the %[4]s action", operation, AWSAccount, role.ID, action, resource)}
}

// allows reports whether the statement permits an action on a resource; prefix is that of a list.
func (s awsStatement) allows(action, resource, prefix string) bool {
	if s.Effect != "Allow" || !slices.Contains(s.Action, action) {
		return false
	}
	if pattern, ok := s.Condition["StringLike"]["s3:prefix"]; ok && !wildcard(pattern, prefix) {
		return false
	}
	return slices.ContainsFunc(s.Resource, func(pattern string) bool { return wildcard(pattern, resource) })
}

// wildcard reports whether a text matches a pattern of IAM, in which * also matches slashes.
func wildcard(pattern, text string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x01"), strings.ReplaceAll(text, "/", "\x01"))
	return err == nil && ok
}
