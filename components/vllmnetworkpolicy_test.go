package components

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	knetworkingv1 "k8s.io/api/networking/v1"
	kmetav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestVLLMNetworkPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		clients []string
		want    []*kmetav1.LabelSelector
	}{
		"every namespace": {nil, []*kmetav1.LabelSelector{{}}},
		"named ones": {[]string{"web", "batch"}, []*kmetav1.LabelSelector{
			{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "web"}},
			{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "batch"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			args := vllmArgs()
			args.ClientNamespaces = test.clients
			policy := decode[knetworkingv1.NetworkPolicy](t, runVLLM(t, args).get(t, networkPolicyType, VLLMName))
			assert.Equal(t, vllmSelector(), policy.Spec.PodSelector.MatchLabels)
			assert.Equal(t, []knetworkingv1.PolicyType{knetworkingv1.PolicyTypeIngress}, policy.Spec.PolicyTypes)
			require.Len(t, policy.Spec.Ingress, 2)
			var clients []*kmetav1.LabelSelector
			for _, peer := range policy.Spec.Ingress[0].From {
				assert.Nil(t, peer.PodSelector)
				clients = append(clients, peer.NamespaceSelector)
			}
			assert.Equal(t, test.want, clients)
			assert.Equal(t, map[string]string{"kubernetes.io/metadata.name": "monitoring"},
				policy.Spec.Ingress[1].From[0].NamespaceSelector.MatchLabels, "a policy without Prometheus stops the scaling")
			for _, rule := range policy.Spec.Ingress {
				require.Len(t, rule.Ports, 1)
				assert.Equal(t, VLLMPortName, rule.Ports[0].Port.StrVal)
			}
		})
	}
}
