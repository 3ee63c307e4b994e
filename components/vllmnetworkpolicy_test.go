package components

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kcorev1 "k8s.io/api/core/v1"
	knetworkingv1 "k8s.io/api/networking/v1"
	kmetav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func vllmNetworkPolicy(t *testing.T, args *VLLMArgs) knetworkingv1.NetworkPolicySpec {
	t.Helper()
	return decode[knetworkingv1.NetworkPolicy](t, runVLLM(t, args).get(t, networkPolicyType, VLLMName)).Spec
}

func podsOf(namespace string) knetworkingv1.NetworkPolicyPeer {
	return knetworkingv1.NetworkPolicyPeer{NamespaceSelector: &kmetav1.LabelSelector{
		MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace},
	}}
}

func network(cidr string) knetworkingv1.NetworkPolicyPeer {
	return knetworkingv1.NetworkPolicyPeer{IPBlock: &knetworkingv1.IPBlock{CIDR: cidr}}
}

func TestVLLMClients(t *testing.T) {
	for name, test := range map[string]struct {
		namespaces, cidrs []string
		want              []knetworkingv1.NetworkPolicyPeer
	}{
		"nobody named":          {nil, nil, []knetworkingv1.NetworkPolicyPeer{podsOf("vllm")}},
		"namespaces":            {[]string{"web", "batch"}, nil, []knetworkingv1.NetworkPolicyPeer{podsOf("vllm"), podsOf("web"), podsOf("batch")}},
		"the serving namespace": {[]string{"vllm"}, nil, []knetworkingv1.NetworkPolicyPeer{podsOf("vllm")}},
		"every namespace": {[]string{AllNamespaces}, nil,
			[]knetworkingv1.NetworkPolicyPeer{{NamespaceSelector: &kmetav1.LabelSelector{}}}},
		"networks": {nil, []string{"10.0.0.0/16", "2001:db8::/32"},
			[]knetworkingv1.NetworkPolicyPeer{podsOf("vllm"), network("10.0.0.0/16"), network("2001:db8::/32")}},
		"both": {[]string{"web"}, []string{"192.0.2.7/32"}, []knetworkingv1.NetworkPolicyPeer{podsOf("vllm"), podsOf("web"), network("192.0.2.7/32")}},
	} {
		t.Run(name, func(t *testing.T) {
			args := vllmArgs()
			args.ClientNamespaces, args.ClientCIDRs = test.namespaces, test.cidrs
			policy := vllmNetworkPolicy(t, args)
			assert.Equal(t, vllmSelector(), policy.PodSelector.MatchLabels)
			assert.Equal(t, []knetworkingv1.PolicyType{knetworkingv1.PolicyTypeIngress, knetworkingv1.PolicyTypeEgress}, policy.PolicyTypes)
			require.Len(t, policy.Ingress, 2)
			assert.Equal(t, test.want, policy.Ingress[0].From)
			assert.Equal(t, []knetworkingv1.NetworkPolicyPeer{podsOf("monitoring")}, policy.Ingress[1].From,
				"a policy without the collector stops the scaling")
			for _, rule := range policy.Ingress {
				require.Len(t, rule.Ports, 1)
				assert.Equal(t, VLLMPortName, rule.Ports[0].Port.StrVal)
			}
		})
	}
}

// reaches reports whether an egress policy allows a TCP connection to an address outside of every named namespace.
func reaches(policy knetworkingv1.NetworkPolicySpec, address string, port int) bool {
	at := netip.MustParseAddr(address)
	contains := func(cidr string) bool { return netip.MustParsePrefix(cidr).Contains(at) }
	return slices.ContainsFunc(policy.Egress, func(rule knetworkingv1.NetworkPolicyEgressRule) bool {
		return (len(rule.Ports) == 0 || slices.ContainsFunc(rule.Ports, func(p knetworkingv1.NetworkPolicyPort) bool {
			return *p.Protocol == kcorev1.ProtocolTCP && *p.Port == intstr.FromInt(port)
		})) && (len(rule.To) == 0 || slices.ContainsFunc(rule.To, func(peer knetworkingv1.NetworkPolicyPeer) bool {
			return peer.IPBlock != nil && contains(peer.IPBlock.CIDR) && !slices.ContainsFunc(peer.IPBlock.Except, contains)
		}))
	})
}

func TestVLLMEgress(t *testing.T) {
	const hub = "18.164.174.23"
	t.Run("the hub and DNS", func(t *testing.T) {
		policy := vllmNetworkPolicy(t, vllmArgs())
		assert.True(t, reaches(policy, hub, 443))
		assert.False(t, reaches(policy, hub, 80), "the hub has TLS only")
		assert.False(t, reaches(policy, hub, 22))
		for _, resolver := range []string{"10.96.0.10", "169.254.20.10", "169.254.169.254"} {
			assert.True(t, reaches(policy, resolver, 53), "a cluster's resolver may be %s", resolver)
		}
		for what, address := range map[string]string{
			"a metadata server": "169.254.169.254", "EKS' pod identity agent": "169.254.170.23", "Azure's platform": "168.63.129.16",
			"a pod": "10.244.3.7", "a node": "172.31.4.5", "a Service": "192.168.0.1", "a pod in shared address space": "100.64.7.7",
			"a pod in class E": "240.10.0.1", "a pod with IPv6": "2600:1f14::7", "a metadata server with IPv6": "fd00:ec2::254",
		} {
			for _, port := range []int{80, 443, 8080} {
				assert.False(t, reaches(policy, address, port), "%s (%s) at port %d", what, address, port)
			}
		}
	})
	t.Run("what is named", func(t *testing.T) {
		args := vllmArgs()
		args.EgressCIDRs, args.EgressNamespaces = []string{"10.9.0.0/16"}, []string{"proxy"}
		policy := vllmNetworkPolicy(t, args)
		assert.True(t, reaches(policy, "10.9.1.2", 3128))
		assert.False(t, reaches(policy, "10.10.1.2", 3128))
		assert.Contains(t, policy.Egress[len(policy.Egress)-1].To, podsOf("proxy"))
	})
	for name, test := range map[string]struct {
		change func(*VLLMArgs)
		public bool
	}{
		"a model in the image": {func(a *VLLMArgs) { a.Model.ID = "/models/gemma" }, false},
		"and an adapter of the hub": {func(a *VLLMArgs) {
			a.Model.ID = "/models/gemma"
			a.Model.LoRA = LoRA{Adapters: map[string]string{"a": "/adapters/a", "b": "org/b"}, MaxRank: 8, MaxLoras: 1}
		}, true},
		"and an adapter in the image": {func(a *VLLMArgs) {
			a.Model.ID = "/models/gemma"
			a.Model.LoRA = LoRA{Adapters: map[string]string{"a": "/adapters/a"}, MaxRank: 8, MaxLoras: 1}
		}, false},
		"and media from hosts":             {func(a *VLLMArgs) { a.Model.ID, a.MediaDomains = "/models/gemma", []string{"a.example"} }, true},
		"the simulator downloads no model": {func(a *VLLMArgs) { *a = *simulatorArgs() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			args := vllmArgs()
			test.change(args)
			policy := vllmNetworkPolicy(t, args)
			assert.Equal(t, test.public, reaches(policy, hub, 443))
			assert.True(t, reaches(policy, "10.96.0.10", 53))
		})
	}
}

// The API server refuses a policy whose exceptions are not inside of their network.
func TestVLLMEgressExceptionsAreNetworks(t *testing.T) {
	for _, cidr := range notPublic {
		assert.Empty(t, NetworkProblem(cidr), cidr)
	}
	assert.True(t, slices.IsSortedFunc(notPublic, func(a, b string) int {
		return netip.MustParsePrefix(a).Addr().Compare(netip.MustParsePrefix(b).Addr())
	}), "in order, so that nothing is there twice")
}

func TestNetworkProblem(t *testing.T) {
	for _, cidr := range []string{"0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "::/0", "2001:db8::/32"} {
		assert.Empty(t, NetworkProblem(cidr), cidr)
	}
	for _, cidr := range []string{"", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "010.0.0.0/8", "example.com", "::ffff:10.0.0.0/104", "fe80::%1/64"} {
		assert.NotEmpty(t, NetworkProblem(cidr), cidr)
	}
	assert.Contains(t, NetworkProblem("10.0.0.1/16"), "10.0.0.0/16")
}
