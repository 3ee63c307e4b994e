package charts

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"

	"vllm-autoscaling/tests/networkpolicy"
)

// ownPolicies returns the NetworkPolicies that the program registers in the monitoring namespace.
func ownPolicies(t *testing.T) []networkingv1.NetworkPolicy {
	t.Helper()
	var policies []networkingv1.NetworkPolicy
	for _, o := range ownObjects(t) {
		if o.GetKind() != "NetworkPolicy" {
			continue
		}
		text, err := json.Marshal(o.Object)
		require.NoError(t, err)
		var policy networkingv1.NetworkPolicy
		require.NoError(t, json.Unmarshal(text, &policy))
		policies = append(policies, policy)
	}
	return policies
}

// monitoringPods returns the pods in the monitoring namespace by a short name: those of the charts, as they are rendered, and
// those that the operator makes.
func monitoringPods(t *testing.T) map[string]networkpolicy.Pod {
	t.Helper()
	found := map[string]networkpolicy.Pod{
		"prometheus": {Labels: map[string]string{
			"app.kubernetes.io/name": "prometheus", "app.kubernetes.io/instance": "kps-prometheus",
			"app.kubernetes.io/managed-by": "prometheus-operator", "prometheus": "kps-prometheus", "operator.prometheus.io/name": "kps-prometheus",
		}},
		"alertmanager": {Labels: map[string]string{
			"app.kubernetes.io/name": "alertmanager", "app.kubernetes.io/instance": "kps-alertmanager",
			"app.kubernetes.io/managed-by": "prometheus-operator", "alertmanager": "kps-alertmanager",
		}},
	}
	names := map[string]string{
		"Deployment kps-operator": "operator", "Deployment kps-grafana": "grafana", "Deployment kps-kube-state-metrics": "state",
		"Deployment prometheus-adapter": "adapter", "DaemonSet dcgm-exporter": "gpus",
	}
	for _, inputs := range programReleases(t) {
		for _, p := range pods(t, objects(t, inputs)) {
			name, wanted := names[p.owner]
			if !wanted {
				continue
			}
			made := networkpolicy.Pod{Labels: p.labels, Ports: map[string]int32{}}
			for _, c := range p.spec.Containers {
				for _, port := range c.Ports {
					made.Ports[port.Name] = port.ContainerPort
				}
			}
			found[name] = made
		}
	}
	for _, name := range names {
		require.Contains(t, found, name)
	}
	// The published operator serves its webhooks by TLS at this port; the stand-in has plain HTTP, which the lab can run.
	found["operator"].Ports["https"] = 10250
	for name, made := range found {
		made.Namespace = "monitoring"
		found[name] = made
	}
	return found
}

// TestMonitoringPolicies evaluates the policies for the pods that really run in the namespace.
func TestMonitoringPolicies(t *testing.T) {
	policies, inside := ownPolicies(t), monitoringPods(t)
	stranger := networkpolicy.Pod{Namespace: "apps", Labels: map[string]string{"app": "anything"}}
	// A pod may call itself what it likes in its own namespace.
	impostor := networkpolicy.Pod{Namespace: "apps", Labels: inside["prometheus"].Labels}
	server := networkpolicy.Pod{Namespace: "vllm", Labels: map[string]string{"app.kubernetes.io/name": "vllm"}}
	apiServer := networkpolicy.Pod{Address: "172.16.0.2"}
	proxy := networkpolicy.Pod{Namespace: "kube-system", Labels: map[string]string{"k8s-app": "konnectivity-agent"}}
	others := map[string]networkpolicy.Pod{"stranger": stranger, "impostor": impostor, "server": server, "api server": apiServer, "proxy": proxy}
	for name, pod := range inside {
		others[name] = pod
	}
	type connection struct {
		from, to string
		port     int32
	}
	admitted := map[connection]bool{}
	for _, c := range []connection{
		{"adapter", "prometheus", 9090}, {"grafana", "prometheus", 9090}, {"prometheus", "prometheus", 9090},
		{"prometheus", "prometheus", 8080}, {"prometheus", "alertmanager", 9093}, {"prometheus", "alertmanager", 8080},
		{"grafana", "alertmanager", 9093}, {"alertmanager", "alertmanager", 9094}, {"prometheus", "alertmanager", 9094},
		{"prometheus", "grafana", 3000}, {"prometheus", "state", 8080}, {"prometheus", "gpus", 9400}, {"prometheus", "operator", 10250},
		{"prometheus", "operator", 8080}, {"prometheus", "adapter", 10250},
	} {
		admitted[c] = true
	}
	for from := range others {
		// The API server's address is not known, so that these two ports are open to everybody. Both ask for a certificate.
		admitted[connection{from, "adapter", 10250}] = true
		admitted[connection{from, "operator", 10250}] = true
	}
	checked := 0
	for from, client := range others {
		for to, pod := range inside {
			for _, port := range []int32{3000, 8080, 9090, 9093, 9094, 9400, 10250} {
				c := connection{from, to, port}
				got, err := networkpolicy.Admits(policies, client, pod, networkpolicy.TCP(port))
				require.NoError(t, err)
				want := admitted[c] || from == "prometheus"
				assert.Equal(t, want, got, "%s to %s at port %d", from, to, port)
				checked++
			}
		}
	}
	assert.Len(t, inside, 7)
	assert.Equal(t, len(others)*len(inside)*7, checked)

	open, err := networkpolicy.Admits(nil, stranger, inside["prometheus"], networkpolicy.TCP(9090))
	require.NoError(t, err)
	assert.True(t, open, "POST /-/quit of any pod would end Prometheus without the policies")
}
