package eks

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAddons(t *testing.T) {
	r, _ := run(t, created())
	assert.Equal(t, []string{"llm-aws-ebs-csi-driver", "llm-coredns", "llm-eks-pod-identity-agent", "llm-kube-proxy", "llm-vpc-cni"}, r.NamesOf(addonType))
	system := r.One(t, nodeGroupType, "llm-system")
	for _, name := range []string{"llm-vpc-cni", "llm-kube-proxy", "llm-eks-pod-identity-agent"} {
		addon := r.One(t, addonType, name)
		assert.True(t, r.WaitsFor(system, addonType, name), "nodes are never ready without %s", name)
		assert.False(t, r.WaitsFor(addon, nodeGroupType, "llm-system"), "a circle")
		assert.NotContains(t, plain(addon), "preserve", name)
	}
	for _, name := range []string{"llm-coredns", "llm-aws-ebs-csi-driver"} {
		assert.True(t, r.WaitsFor(r.One(t, addonType, name), nodeGroupType, "llm-system"), "%s is degraded without a node", name)
	}
	assert.JSONEq(t, `{"enableNetworkPolicy":"true"}`, plain(r.One(t, addonType, "llm-vpc-cni"))["configurationValues"].(string),
		"vLLM's NetworkPolicy would be ignored")
	driver := plain(r.One(t, addonType, "llm-aws-ebs-csi-driver"))
	assert.JSONEq(t, `{"defaultStorageClass":{"enabled":true}}`, driver["configurationValues"].(string))
	assert.Equal(t, []any{map[string]any{"serviceAccount": "ebs-csi-controller-sa", "roleArn": "arn:aws:iam::123456789012:role/llm-ebs-csi"}},
		driver["podIdentityAssociations"])
	assert.Equal(t, true, driver["preserve"], "volumes whose claims were just deleted would stay")
	assert.True(t, r.WaitsFor(system, attachmentType, "llm-ebs-csi-AmazonEBSCSIDriverPolicy"), "the driver needs its role as long as it runs")
}
