package components

import (
	"fmt"
	"slices"
	"strings"

	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// AllNamespaces among VLLMArgs.ClientNamespaces stands for every namespace.
const AllNamespaces = "*"

// notPublic are the IPv4 ranges that are not on the public internet (IANA's special-purpose registry), among them those of
// pods, nodes, and the clouds' metadata servers (169.254.169.254), and Azure's platform address 168.63.129.16.
var notPublic = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
}

// newNetworkPolicy allows clients and the collector to reach the API's port, and the server to reach what it needs, and nothing
// else. Probes and port-forwards come from the pod's own node, which no policy blocks.
func (a *VLLMArgs) newNetworkPolicy(ctx *pulumi.Context, c *VLLM) (*networkingv1.NetworkPolicy, error) {
	policy, err := networkingv1.NewNetworkPolicy(ctx, a.Name, &networkingv1.NetworkPolicyArgs{
		Metadata: a.metadata(nil),
		Spec: networkingv1.NetworkPolicySpecArgs{
			PodSelector: metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(vllmSelector(a.Name))},
			PolicyTypes: pulumi.ToStringArray([]string{"Ingress", "Egress"}),
			Ingress:     a.ingress(),
			Egress:      a.egress(),
		},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering NetworkPolicy %s/%s: %w", a.Namespace, a.Name, err)
	}
	return policy, nil
}

// ingress returns the rules for clients, which the serving namespace always belongs to, and for the collector.
func (a *VLLMArgs) ingress() networkingv1.NetworkPolicyIngressRuleArray {
	others := slices.DeleteFunc(slices.Clone(a.ClientNamespaces), func(namespace string) bool { return namespace == a.Namespace })
	clients := namespacePeers(append([]string{a.Namespace}, others...))
	port := networkingv1.NetworkPolicyPortArray{networkingv1.NetworkPolicyPortArgs{
		Port:     pulumi.String(VLLMPortName),
		Protocol: pulumi.String("TCP"),
	}}
	return networkingv1.NetworkPolicyIngressRuleArray{
		networkingv1.NetworkPolicyIngressRuleArgs{From: append(clients, networkPeers(a.ClientCIDRs)...), Ports: port},
		networkingv1.NetworkPolicyIngressRuleArgs{
			From:  networkingv1.NetworkPolicyPeerArray{namespacePeer(a.MonitoringNamespace)},
			Ports: port,
		},
	}
}

// egress returns the rules for what the server connects to.
func (a *VLLMArgs) egress() networkingv1.NetworkPolicyEgressRuleArray {
	rules := networkingv1.NetworkPolicyEgressRuleArray{
		// DNS, at any address: depending on the cluster it is a pod, a cache on the node, or the cloud's metadata server
		// (Cloud DNS on GKE), which no selector matches.
		networkingv1.NetworkPolicyEgressRuleArgs{Ports: networkingv1.NetworkPolicyPortArray{
			networkingv1.NetworkPolicyPortArgs{Port: pulumi.Int(53), Protocol: pulumi.String("UDP")},
			networkingv1.NetworkPolicyPortArgs{Port: pulumi.Int(53), Protocol: pulumi.String("TCP")},
		}},
	}
	if a.needsInternet() {
		// The hub and its content delivery network have no fixed addresses, and a policy has no names. IPv6 is left out
		// because a cluster with IPv6 gives its pods public addresses.
		rules = append(rules, networkingv1.NetworkPolicyEgressRuleArgs{
			To: networkingv1.NetworkPolicyPeerArray{networkingv1.NetworkPolicyPeerArgs{IpBlock: networkingv1.IPBlockArgs{
				Cidr: pulumi.String("0.0.0.0/0"), Except: pulumi.ToStringArray(notPublic),
			}}},
			Ports: networkingv1.NetworkPolicyPortArray{
				networkingv1.NetworkPolicyPortArgs{Port: pulumi.Int(443), Protocol: pulumi.String("TCP")},
			},
		})
	}
	rules = append(rules, a.weights().identityRules()...)
	named := slices.Concat(networkPeers(a.EgressCIDRs), namespacePeers(a.EgressNamespaces))
	if len(named) > 0 {
		rules = append(rules, networkingv1.NetworkPolicyEgressRuleArgs{To: named})
	}
	return rules
}

// needsInternet reports whether the server loads its model from the hub or from a bucket, or media from hosts that the user names.
func (a *VLLMArgs) needsInternet() bool {
	inPod := (a.weights().Mounted() || strings.HasPrefix(a.Model.ID, "/")) && a.Model.LoRA.inImage()
	return a.Engine == EngineVLLM && (!inPod || len(a.MediaDomains) > 0)
}

// namespacePeers returns a peer for each namespace, or one for every namespace where AllNamespaces is among them.
func namespacePeers(namespaces []string) networkingv1.NetworkPolicyPeerArray {
	if slices.Contains(namespaces, AllNamespaces) {
		return networkingv1.NetworkPolicyPeerArray{networkingv1.NetworkPolicyPeerArgs{NamespaceSelector: metav1.LabelSelectorArgs{}}}
	}
	peers := networkingv1.NetworkPolicyPeerArray{}
	for _, namespace := range namespaces {
		peers = append(peers, namespacePeer(namespace))
	}
	return peers
}

// namespacePeer returns a peer for every pod of a namespace.
func namespacePeer(namespace string) networkingv1.NetworkPolicyPeerArgs {
	return networkingv1.NetworkPolicyPeerArgs{NamespaceSelector: metav1.LabelSelectorArgs{
		MatchLabels: pulumi.StringMap{namespaceNameLabel: pulumi.String(namespace)},
	}}
}

// networkPeers returns a peer for each network.
func networkPeers(cidrs []string) networkingv1.NetworkPolicyPeerArray {
	peers := networkingv1.NetworkPolicyPeerArray{}
	for _, cidr := range cidrs {
		peers = append(peers, networkingv1.NetworkPolicyPeerArgs{IpBlock: networkingv1.IPBlockArgs{Cidr: pulumi.String(cidr)}})
	}
	return peers
}
