package components

import (
	"fmt"

	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newNetworkPolicy allows clients and the collector to reach the API's port, and nothing else. Probes
// come from the pod's own node, which no policy blocks. Egress is not restricted: the server downloads
// the model.
func (a *VLLMArgs) newNetworkPolicy(ctx *pulumi.Context, c *VLLM) (*networkingv1.NetworkPolicy, error) {
	clients := networkingv1.NetworkPolicyPeerArray{}
	for _, namespace := range a.ClientNamespaces {
		clients = append(clients, namespacePeer(namespace))
	}
	if len(a.ClientNamespaces) == 0 {
		clients = append(clients, networkingv1.NetworkPolicyPeerArgs{NamespaceSelector: metav1.LabelSelectorArgs{}})
	}
	port := networkingv1.NetworkPolicyPortArray{networkingv1.NetworkPolicyPortArgs{
		Port:     pulumi.String(VLLMPortName),
		Protocol: pulumi.String("TCP"),
	}}
	policy, err := networkingv1.NewNetworkPolicy(ctx, VLLMName, &networkingv1.NetworkPolicyArgs{
		Metadata: a.metadata(nil),
		Spec: networkingv1.NetworkPolicySpecArgs{
			PodSelector: metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(vllmSelector())},
			PolicyTypes: pulumi.ToStringArray([]string{"Ingress"}),
			Ingress: networkingv1.NetworkPolicyIngressRuleArray{
				networkingv1.NetworkPolicyIngressRuleArgs{From: clients, Ports: port},
				networkingv1.NetworkPolicyIngressRuleArgs{
					From:  networkingv1.NetworkPolicyPeerArray{namespacePeer(a.MonitoringNamespace)},
					Ports: port,
				},
			},
		},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering NetworkPolicy %s/%s: %w", a.Namespace, VLLMName, err)
	}
	return policy, nil
}

// namespacePeer returns a peer for every pod of a namespace.
func namespacePeer(namespace string) networkingv1.NetworkPolicyPeerArgs {
	return networkingv1.NetworkPolicyPeerArgs{NamespaceSelector: metav1.LabelSelectorArgs{
		MatchLabels: pulumi.StringMap{"kubernetes.io/metadata.name": pulumi.String(namespace)},
	}}
}
