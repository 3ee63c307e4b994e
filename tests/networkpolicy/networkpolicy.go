// Package networkpolicy evaluates NetworkPolicies, which nothing in the lab enforces.
package networkpolicy

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Pod is one end of a connection: a pod of the cluster, or with Address only, something outside of it.
type Pod struct {
	Namespace string
	Labels    map[string]string
	// Ports are the named ports of the containers.
	Ports map[string]int32
	// Address of something outside of the cluster.
	Address string
}

// Port is the port of a connection.
type Port struct {
	Protocol corev1.Protocol
	Number   int32
}

// TCP returns a TCP port.
func TCP(number int32) Port { return Port{Protocol: corev1.ProtocolTCP, Number: number} }

// Admits reports whether the policies let a connection in, as Kubernetes defines it: a pod that no policy selects for
// ingress is open; one that is selected admits what any of them allows. Namespaces have no label but their name.
func Admits(policies []networkingv1.NetworkPolicy, from, to Pod, port Port) (bool, error) {
	selected := false
	for _, policy := range policies {
		applies, err := selects(policy, to)
		if err != nil {
			return false, err
		}
		if !applies {
			continue
		}
		selected = true
		for _, rule := range policy.Spec.Ingress {
			admitted, err := matches(rule, policy.Namespace, from, to, port)
			if err != nil || admitted {
				return admitted, err
			}
		}
	}
	return !selected, nil
}

func selects(policy networkingv1.NetworkPolicy, pod Pod) (bool, error) {
	if policy.Namespace != pod.Namespace || !slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
		return false, nil
	}
	return selected(&policy.Spec.PodSelector, pod.Labels)
}

func matches(rule networkingv1.NetworkPolicyIngressRule, namespace string, from, to Pod, port Port) (bool, error) {
	if len(rule.Ports) > 0 && !slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool { return includes(p, to, port) }) {
		return false, nil
	}
	if len(rule.From) == 0 {
		return true, nil
	}
	for _, peer := range rule.From {
		matched, err := isPeer(peer, namespace, from)
		if err != nil || matched {
			return matched, err
		}
	}
	return false, nil
}

func includes(allowed networkingv1.NetworkPolicyPort, to Pod, port Port) bool {
	protocol := corev1.ProtocolTCP
	if allowed.Protocol != nil {
		protocol = *allowed.Protocol
	}
	if protocol != port.Protocol {
		return false
	}
	switch {
	case allowed.Port == nil:
		return true
	case allowed.Port.Type == intstr.String:
		named, found := to.Ports[allowed.Port.StrVal]
		return found && named == port.Number
	case allowed.EndPort != nil:
		return allowed.Port.IntVal <= port.Number && port.Number <= *allowed.EndPort
	}
	return allowed.Port.IntVal == port.Number
}

func isPeer(peer networkingv1.NetworkPolicyPeer, namespace string, from Pod) (bool, error) {
	if peer.IPBlock != nil {
		return inside(peer.IPBlock, from.Address)
	}
	if from.Namespace == "" {
		return false, nil
	}
	if peer.NamespaceSelector == nil {
		if from.Namespace != namespace {
			return false, nil
		}
	} else {
		matched, err := selected(peer.NamespaceSelector, map[string]string{corev1.LabelMetadataName: from.Namespace})
		if err != nil || !matched {
			return false, err
		}
	}
	if peer.PodSelector == nil {
		return true, nil
	}
	return selected(peer.PodSelector, from.Labels)
}

func inside(block *networkingv1.IPBlock, address string) (bool, error) {
	if address == "" {
		return false, nil
	}
	at, err := netip.ParseAddr(address)
	if err != nil {
		return false, err
	}
	in := func(cidr string) bool {
		network, err := netip.ParsePrefix(cidr)
		return err == nil && network.Contains(at)
	}
	return in(block.CIDR) && !slices.ContainsFunc(block.Except, in), nil
}

func selected(selector *metav1.LabelSelector, set map[string]string) (bool, error) {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false, fmt.Errorf("selector %v: %w", selector, err)
	}
	return parsed.Matches(labels.Set(set)), nil
}
