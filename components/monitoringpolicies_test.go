package components

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	knetworkingv1 "k8s.io/api/networking/v1"
)

const monitoringPoliciesType = "vllm-autoscaling:components:MonitoringPolicies"

func monitoringPoliciesArgs() *MonitoringPoliciesArgs {
	return &MonitoringPoliciesArgs{Namespace: "monitoring", Adapter: PrometheusAdapterRelease, Prometheus: true}
}

// monitoringPolicies are the policies by name. Package charts of the lab evaluates them with the labels of the charts' pods.
func monitoringPolicies(t *testing.T, args *MonitoringPoliciesArgs) map[string]knetworkingv1.NetworkPolicySpec {
	t.Helper()
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		namespace, err := anchor(ctx, "namespace", provider)
		if err != nil {
			return err
		}
		args.DependsOn = []pulumi.Resource{namespace}
		policies, err := NewMonitoringPolicies(ctx, "monitoring-policies", args, provider)
		if err == nil {
			assert.NotEmpty(t, policies.Policies)
		}
		return err
	})
	r.assertChildrenOf(t, monitoringPoliciesType)
	all := map[string]knetworkingv1.NetworkPolicySpec{}
	for _, child := range r.children(monitoringPoliciesType) {
		reg := r.get(t, networkPolicyType, strings.TrimPrefix(child, networkPolicyType+"::"))
		assert.True(t, reg.dependsOn(anchorType, "namespace"))
		policy := decode[knetworkingv1.NetworkPolicy](t, reg)
		assert.Equal(t, "monitoring", policy.Namespace)
		assert.Equal(t, []knetworkingv1.PolicyType{knetworkingv1.PolicyTypeIngress}, policy.Spec.PolicyTypes)
		all[policy.Name] = policy.Spec
	}
	return all
}

func TestMonitoringPolicies(t *testing.T) {
	all := monitoringPolicies(t, monitoringPoliciesArgs())
	var names []string
	for name := range all {
		names = append(names, name)
	}
	assert.ElementsMatch(t, []string{"deny-all-ingress", "allow-from-prometheus", "allow-to-prometheus", "allow-to-alertmanager",
		"allow-alertmanager-peers", "allow-to-operator", "allow-to-prometheus-adapter"}, names)
	deny := all["deny-all-ingress"]
	assert.Empty(t, deny.Ingress)
	assert.Empty(t, deny.PodSelector.MatchLabels)
	assert.Empty(t, deny.PodSelector.MatchExpressions)
	for name, policy := range all {
		if name != "deny-all-ingress" {
			require.Len(t, policy.Ingress, 1, name)
			assert.True(t, len(policy.Ingress[0].From) > 0 || len(policy.Ingress[0].Ports) > 0, "%s admits everything", name)
		}
	}
}

func TestMonitoringPoliciesOpen(t *testing.T) {
	args := monitoringPoliciesArgs()
	args.ClientNamespaces, args.ClientCIDRs, args.QueryNamespaces = []string{"ingress"}, []string{"10.0.0.0/16"}, []string{"grafana"}
	all := monitoringPolicies(t, args)
	assert.Equal(t, []knetworkingv1.NetworkPolicyPeer{podsOf("ingress"), network("10.0.0.0/16")}, all["allow-to-grafana"].Ingress[0].From)
	for _, name := range []string{"allow-to-prometheus", "allow-to-alertmanager"} {
		assert.Contains(t, all[name].Ingress[0].From, podsOf("grafana"), name)
		assert.NotContains(t, all[name].Ingress[0].From, podsOf("ingress"), name)
	}
	args.ClientNamespaces, args.ClientCIDRs = []string{AllNamespaces}, nil
	from := monitoringPolicies(t, args)["allow-to-grafana"].Ingress[0].From
	require.Len(t, from, 1)
	assert.Empty(t, from[0].NamespaceSelector.MatchLabels)
}

func TestMonitoringPoliciesWithoutPrometheus(t *testing.T) {
	all := monitoringPolicies(t, &MonitoringPoliciesArgs{Namespace: "monitoring", Adapter: StackdriverAdapterName, ClientNamespaces: []string{"ingress"}})
	require.Len(t, all, 2, "the adapter is all that runs there")
	assert.Contains(t, all, "deny-all-ingress")
	adapter := all["allow-to-"+StackdriverAdapterName]
	for key, value := range adapter.PodSelector.MatchLabels {
		assert.Equal(t, value, stackdriverSelector()[key])
	}
	assert.Equal(t, stackdriverAdapterPort, adapter.Ingress[0].Ports[0].Port.StrVal)
}

// With the platform's Prometheus and adapter, the GPU exporter is all that runs there.
func TestMonitoringPoliciesOfTheExporterAlone(t *testing.T) {
	all := monitoringPolicies(t, &MonitoringPoliciesArgs{Namespace: "monitoring", ScraperNamespace: "observability"})
	require.Len(t, all, 2)
	exporter := all["allow-to-dcgm-exporter"]
	assert.Equal(t, map[string]string{nameLabel: "dcgm-exporter"}, exporter.PodSelector.MatchLabels)
	assert.Equal(t, []knetworkingv1.NetworkPolicyPeer{podsOf("observability")}, exporter.Ingress[0].From)
	assert.Equal(t, "metrics", exporter.Ingress[0].Ports[0].Port.StrVal)
	assert.Len(t, monitoringPolicies(t, &MonitoringPoliciesArgs{Namespace: "monitoring"}), 1, "where nothing runs, everything is refused")
}

func TestMonitoringPoliciesRefuse(t *testing.T) {
	for want, change := range map[string]func(*MonitoringPoliciesArgs){
		`Namespace ""`:              func(a *MonitoringPoliciesArgs) { a.Namespace = "" },
		`ScraperNamespace "*"`:      func(a *MonitoringPoliciesArgs) { a.ScraperNamespace = "*" },
		`ClientNamespaces "team-*"`: func(a *MonitoringPoliciesArgs) { a.ClientNamespaces = []string{"team-*"} },
		`QueryNamespaces "*"`:       func(a *MonitoringPoliciesArgs) { a.QueryNamespaces = []string{"*"} },
		`ClientCIDRs "10.0.0.1"`:    func(a *MonitoringPoliciesArgs) { a.ClientCIDRs = []string{"10.0.0.1"} },
	} {
		assertRefused(t, want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			args := monitoringPoliciesArgs()
			change(args)
			_, err := NewMonitoringPolicies(ctx, "monitoring-policies", args, provider)
			return err
		})
	}
	assertRefused(t, "arguments are missing", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		_, err := NewMonitoringPolicies(ctx, "monitoring-policies", nil, provider)
		return err
	})
}
