package components

import (
	"errors"
	"fmt"
	"slices"

	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// The ports of the pods in the monitoring namespace, which differ from those of their Services.
const (
	alertmanagerPodPort  = 9093
	alertmanagerMeshPort = 9094
	grafanaPodPort       = 3000
	// servingPortName is the port of an adapter's API and of the operator's webhooks.
	servingPortName = "https"
	// dcgmPortName is the port of the GPU exporter's series.
	dcgmPortName = "metrics"
)

// MonitoringPoliciesArgs are the inputs of MonitoringPolicies.
type MonitoringPoliciesArgs struct {
	// Namespace of the policies: the monitoring namespace. Required.
	Namespace string
	// Adapter is the name of the adapter of the custom metrics API, which its pods have as label app.kubernetes.io/name; "" where
	// none runs in the namespace.
	Adapter string
	// Prometheus is true where kube-prometheus-stack runs in the namespace.
	Prometheus bool
	// ClientNamespaces and ClientCIDRs may reach Grafana; AllNamespaces stands for every namespace.
	ClientNamespaces, ClientCIDRs []string
	// ScraperNamespace is the namespace of another Prometheus, whose pods scrape the GPU exporter in this one; "" for none.
	ScraperNamespace string
	// QueryNamespaces may query, and stop, Prometheus and Alertmanager, which ask for no password.
	QueryNamespaces []string
	// DependsOn lists what must exist first: the namespace.
	DependsOn []pulumi.Resource
}

// MonitoringPolicies are the NetworkPolicies of the monitoring namespace. Everything that is not admitted is refused:
// Prometheus answers POST /-/quit without a password, because the operator's reloader needs its lifecycle API, and pods
// without Prometheus or an adapter stop the scaling. Probes and port-forwards come from the pod's own node, which no policy
// blocks, and pods in the host's network have no policy.
type MonitoringPolicies struct {
	pulumi.ResourceState

	// Policies are for others to depend on: no pod should start before them.
	Policies []pulumi.Resource
}

// monitoringPolicy admits peers to the ports of pods. Without pods it selects all, without peers everybody, and without
// ports all ports.
type monitoringPolicy struct {
	name  string
	pods  map[string]string
	peers networkingv1.NetworkPolicyPeerArray
	ports networkingv1.NetworkPolicyPortArray
}

// NewMonitoringPolicies registers the policies.
func NewMonitoringPolicies(ctx *pulumi.Context, name string, args *MonitoringPoliciesArgs, opts ...pulumi.ResourceOption) (*MonitoringPolicies, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("monitoring policies: %w", err)
	}
	c := &MonitoringPolicies{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:MonitoringPolicies", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering monitoring policies: %w", err)
	}
	if err := args.register(ctx, c, "deny-all-ingress", metav1.LabelSelectorArgs{}, nil); err != nil {
		return nil, err
	}
	for _, policy := range args.policies() {
		if err := args.register(ctx, c, policy.name, policy.selector(), policy.ingress()); err != nil {
			return nil, err
		}
	}
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{}); err != nil {
		return nil, fmt.Errorf("registering the outputs of monitoring policies: %w", err)
	}
	return c, nil
}

// selector returns the selector of the policy's pods.
func (p monitoringPolicy) selector() metav1.LabelSelectorArgs {
	if len(p.pods) == 0 {
		return metav1.LabelSelectorArgs{}
	}
	return metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(p.pods)}
}

// ingress returns the policy's rule. An empty list is left out, as the API server does.
func (p monitoringPolicy) ingress() networkingv1.NetworkPolicyIngressRuleArray {
	rule := networkingv1.NetworkPolicyIngressRuleArgs{}
	if len(p.peers) > 0 {
		rule.From = p.peers
	}
	if len(p.ports) > 0 {
		rule.Ports = p.ports
	}
	return networkingv1.NetworkPolicyIngressRuleArray{rule}
}

// register registers a policy. Without a rule it refuses everything.
func (a *MonitoringPoliciesArgs) register(ctx *pulumi.Context, c *MonitoringPolicies, name string, pods metav1.LabelSelectorArgs,
	ingress networkingv1.NetworkPolicyIngressRuleArrayInput,
) error {
	policy, err := networkingv1.NewNetworkPolicy(ctx, "monitoring-"+name, &networkingv1.NetworkPolicyArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String(name),
			Namespace: pulumi.String(a.Namespace),
			Labels:    pulumi.ToStringMap(commonLabels()),
		},
		Spec: networkingv1.NetworkPolicySpecArgs{
			PodSelector: pods,
			PolicyTypes: pulumi.ToStringArray([]string{"Ingress"}),
			Ingress:     ingress,
		},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return fmt.Errorf("registering NetworkPolicy %s/%s: %w", a.Namespace, name, err)
	}
	c.Policies = append(c.Policies, policy)
	return nil
}

// policies returns what is admitted.
func (a *MonitoringPoliciesArgs) policies() []monitoringPolicy {
	adapter := map[string]string{nameLabel: a.Adapter}
	// By port only, because the API server's address differs between clusters: it may be a node, an address outside of the
	// cluster, or the pod of a proxy. The adapter authenticates it.
	var all []monitoringPolicy
	if a.Adapter != "" {
		all = append(all, monitoringPolicy{name: "allow-to-" + a.Adapter, pods: adapter, ports: tcpPorts(pulumi.String(servingPortName))})
	}
	if a.ScraperNamespace != "" {
		all = append(all, monitoringPolicy{
			name: "allow-to-" + DCGMExporterName, pods: map[string]string{nameLabel: DCGMExporterName}, ports: tcpPorts(pulumi.String(dcgmPortName)),
			peers: namespacePeers([]string{a.ScraperNamespace}),
		})
	}
	if !a.Prometheus {
		return all
	}
	prometheus := map[string]string{nameLabel: "prometheus", "operator.prometheus.io/name": PrometheusService}
	alertmanager := map[string]string{nameLabel: "alertmanager", "alertmanager": AlertmanagerService}
	grafana := map[string]string{nameLabel: "grafana", instanceLabel: KubePrometheusStackRelease}
	operator := map[string]string{"app": "kube-prometheus-stack-operator", "release": KubePrometheusStackRelease}
	queries := networkingv1.NetworkPolicyPeerArray{}
	for _, namespace := range a.QueryNamespaces {
		queries = append(queries, namespacePeer(namespace))
	}
	all = append(all,
		// Every exporter in the namespace, its own Alertmanager and Prometheus itself among them.
		monitoringPolicy{name: "allow-from-prometheus", peers: podPeers(prometheus)},
		monitoringPolicy{
			name: "allow-to-prometheus", pods: prometheus, ports: tcpPorts(pulumi.Int(PrometheusPort)),
			peers: slices.Concat(podPeers(adapter, grafana), queries),
		},
		monitoringPolicy{
			name: "allow-to-alertmanager", pods: alertmanager, ports: tcpPorts(pulumi.Int(alertmanagerPodPort)),
			peers: slices.Concat(podPeers(grafana), queries),
		},
		monitoringPolicy{name: "allow-alertmanager-peers", pods: alertmanager, peers: podPeers(alertmanager), ports: slices.Concat(
			tcpPorts(pulumi.Int(alertmanagerMeshPort)), policyPorts("UDP", pulumi.Int(alertmanagerMeshPort)))},
		// The API server calls the webhooks on rules.
		monitoringPolicy{name: "allow-to-operator", pods: operator, ports: tcpPorts(pulumi.String(servingPortName))},
	)
	if clients := slices.Concat(namespacePeers(a.ClientNamespaces), networkPeers(a.ClientCIDRs)); len(clients) > 0 {
		all = append(all, monitoringPolicy{name: "allow-to-grafana", pods: grafana, peers: clients, ports: tcpPorts(pulumi.Int(grafanaPodPort))})
	}
	return all
}

// podPeers returns a peer for the pods of the policy's own namespace with each set of labels.
func podPeers(selectors ...map[string]string) networkingv1.NetworkPolicyPeerArray {
	peers := networkingv1.NetworkPolicyPeerArray{}
	for _, labels := range selectors {
		peers = append(peers, networkingv1.NetworkPolicyPeerArgs{PodSelector: metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(labels)}})
	}
	return peers
}

func tcpPorts(list ...pulumi.Input) networkingv1.NetworkPolicyPortArray {
	return policyPorts("TCP", list...)
}

func policyPorts(protocol string, list ...pulumi.Input) networkingv1.NetworkPolicyPortArray {
	all := networkingv1.NetworkPolicyPortArray{}
	for _, port := range list {
		all = append(all, networkingv1.NetworkPolicyPortArgs{Port: port, Protocol: pulumi.String(protocol)})
	}
	return all
}

func (a *MonitoringPoliciesArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	problems := []error{validateNamespace("Namespace", a.Namespace)}
	if a.ScraperNamespace != "" {
		problems = append(problems, validateNamespace("ScraperNamespace", a.ScraperNamespace))
	}
	for _, namespace := range a.ClientNamespaces {
		if namespace != AllNamespaces {
			problems = append(problems, validateNamespace("ClientNamespaces", namespace))
		}
	}
	for _, namespace := range a.QueryNamespaces {
		problems = append(problems, validateNamespace("QueryNamespaces", namespace))
	}
	for _, cidr := range a.ClientCIDRs {
		problems = append(problems, validateNetwork("ClientCIDRs", cidr))
	}
	return errors.Join(problems...)
}
