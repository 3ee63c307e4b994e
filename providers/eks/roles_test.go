package eks

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// policyOf reads a policy document.
func policyOf(t *testing.T, document any) []statement {
	t.Helper()
	var policy struct {
		Version   string
		Statement []statement
	}
	require.NoError(t, json.Unmarshal([]byte(document.(string)), &policy))
	assert.Equal(t, "2012-10-17", policy.Version)
	return policy.Statement
}

func TestRoles(t *testing.T) {
	r, _ := run(t, created())
	for name, want := range map[string]struct {
		service  string
		actions  []string
		policies []string
	}{
		"llm-cluster": {"eks.amazonaws.com", []string{"sts:AssumeRole"}, []string{"AmazonEKSClusterPolicy"}},
		"llm-system-node": {"ec2.amazonaws.com", []string{"sts:AssumeRole"}, []string{"AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy",
			"AmazonEKS_CNI_Policy"}},
		"llm-gpu-node": {"ec2.amazonaws.com", []string{"sts:AssumeRole"}, []string{"AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy",
			"AmazonEKS_CNI_Policy"}},
		"llm-ebs-csi":    {"pods.eks.amazonaws.com", []string{"sts:AssumeRole", "sts:TagSession"}, []string{"service-role/AmazonEBSCSIDriverPolicy"}},
		"llm-autoscaler": {"pods.eks.amazonaws.com", []string{"sts:AssumeRole", "sts:TagSession"}, nil},
	} {
		trust := policyOf(t, plain(r.One(t, roleType, name))["assumeRolePolicy"])
		assert.Equal(t, []statement{{Effect: "Allow", Action: want.actions, Principal: map[string]string{"Service": want.service}}}, trust, name)
		var attached []string
		for _, attachment := range r.All(attachmentType) {
			if inputs := plain(attachment); inputs["role"] == name+"-name" {
				attached = append(attached, strings.TrimPrefix(inputs["policyArn"].(string), "arn:aws:iam::aws:policy/"))
			}
		}
		slices.Sort(attached)
		assert.Equal(t, want.policies, attached, "policies of %s", name)
	}
	assert.Len(t, r.All(roleType), 5)
	assert.Equal(t, []string{"llm-autoscaler", "llm-cluster-secrets"}, r.NamesOf(rolePolicyType))
	assert.Equal(t, []statement{
		allow([]string{"kms:DescribeKey", "kms:Encrypt", "kms:Decrypt", "kms:ListGrants"}, "arn:aws:kms:eu-central-1:123456789012:key/created"),
	}, policyOf(t, plain(r.One(t, rolePolicyType, "llm-cluster-secrets"))["policy"]))
}
