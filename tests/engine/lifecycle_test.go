package engine

import (
	"fmt"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/pulumi/pulumi/pkg/v3/resource/deploy"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// variants are the configurations of every test of the lifecycle.
var variants = map[string]map[string]any{
	"simulated": {},
	"nvidia": {
		"gpu.mode": "nvidia", "huggingFaceToken": secret("hf_token"), "apiKey": secret("api-key"),
		"monitoring.grafanaPassword": secret("grafana-password"), "monitoring.storage": "20Gi",
	},
}

func eachVariant(t *testing.T, test func(t *testing.T, s *stack)) {
	for name, keys := range variants {
		t.Run(name, func(t *testing.T) { test(t, newStack(t, "local", keys)) })
	}
}

func TestPreviewChangesNothing(t *testing.T) {
	eachVariant(t, func(t *testing.T, s *stack) {
		require.NoError(t, s.preview().err)
		assert.Empty(t, s.cluster.remaining())
	})
}

func TestSecondUpIsAllTheSame(t *testing.T) {
	eachVariant(t, func(t *testing.T, s *stack) {
		first := s.up()
		assert.NotEmpty(t, s.cluster.created)
		for _, entry := range first.entries {
			assert.Equal(t, deploy.OpCreate, entry.Step.Op(), entry.Step.URN())
		}
		s.cluster.forget()

		second := s.up()
		require.NotEmpty(t, second.entries)
		for _, entry := range second.entries {
			assert.Equal(t, deploy.OpSame, entry.Step.Op(), entry.Step.URN())
		}
		assert.Empty(t, s.cluster.created)
		assert.Empty(t, s.cluster.updated)
		assert.Empty(t, s.cluster.deleted)
	})
}

// A change of one key updates what it must and nothing else: an update of the Deployment restarts every replica, which loads
// its model for minutes.
func TestUpdateChangesOnlyWhatItMust(t *testing.T) {
	const hpa, deployment, adapter = "update HorizontalPodAutoscaler vllm", "update Deployment vllm", "update Release prometheus-adapter"
	const alerts, dashboard = "update PrometheusRule vllm-alerts", "update ConfigMap vllm-dashboard-autoscaling"
	const rules = "update ConfigMap prometheus-adapter-rules"
	for name, test := range map[string]struct {
		key   string
		value any
		want  []string
	}{
		"most replicas":  {"autoscaling.maxReplicas", 7, []string{hpa}},
		"least replicas": {"autoscaling.minReplicas", 2, []string{hpa}},
		"target":         {"autoscaling.signals.requestsInFlight.target", 9, []string{hpa}},
		"scale-down":     {"autoscaling.scaleDown.stabilization", "120s", []string{hpa}},
		"GPU guard":      {"autoscaling.signals.gpuUtilization.waitingRequests", 2, []string{"update PrometheusRule vllm-signals"}},
		"signal off":     {"autoscaling.signals.requestsInFlight.enabled", false, []string{hpa, rules, adapter, alerts, dashboard}},
		"signal on": {"autoscaling.signals.kvCacheUsage.enabled", true, []string{hpa, rules, adapter, alerts, dashboard,
			"update PrometheusRule vllm-signals"}},
		"relist":               {"autoscaling.relistInterval", "40s", []string{adapter}},
		"adapter replicas":     {"autoscaling.adapterReplicas", 3, []string{adapter}},
		"adapter port":         {"autoscaling.adapterPort", 6443, []string{adapter}},
		"requests at a time":   {"model.maxNumSeqs", 32, []string{deployment, hpa, alerts}},
		"first token":          {"slo.ttft", "1s", []string{alerts}},
		"tokens":               {"slo.interToken", "50ms", []string{alerts}},
		"share of requests":    {"slo.ratio", 0.99, []string{alerts}},
		"a longer peak":        {"monitoring.alerts.atMaxFor", "30m", []string{alerts}},
		"image":                {"vllm.image", "ghcr.io/llm-d/llm-d-inference-sim:v0.10.3", []string{deployment}},
		"memory":               {"vllm.memory", "12Gi", []string{deployment}},
		"retention":            {"monitoring.retention", "14d", []string{"update Release kps"}},
		"values of kps":        {"charts.kubePrometheusStack.values", map[string]any{"x": 1}, []string{"update Release kps"}},
		"values of adapter":    {"charts.prometheusAdapter.values", map[string]any{"x": 1}, []string{adapter}},
		"version of adapter":   {"charts.prometheusAdapter.version", "5.3.1", []string{adapter}},
		"repository of kps":    {"charts.kubePrometheusStack.repository", "https://mirror.example.com", []string{"update Release kps"}},
		"clients":              {"vllm.clientNamespaces", []any{"apps"}, []string{"update NetworkPolicy vllm"}},
		"client networks":      {"vllm.clientCidrs", []any{"10.0.0.0/16"}, []string{"update NetworkPolicy vllm"}},
		"networks to reach":    {"vllm.egressCidrs", []any{"10.1.0.0/24"}, []string{"update NetworkPolicy vllm"}},
		"namespaces to reach":  {"vllm.egressNamespaces", []any{"proxy"}, []string{"update NetworkPolicy vllm"}},
		"new API key":          {"apiKey", secret("key-of-clients"), []string{"create Secret vllm-api-key", deployment}},
		"values of no release": {"charts.dcgmExporter.values", map[string]any{"x": 1}, nil},
		"given what is kept":   {"autoscaling.maxReplicas", 4, nil},

		"clients of Grafana": {"monitoring.clientNamespaces", []any{"ingress-nginx"}, []string{"create NetworkPolicy monitoring-allow-to-grafana"}},
		"who may query": {"monitoring.queryNamespaces", []any{"grafana"},
			[]string{"update NetworkPolicy monitoring-allow-to-prometheus", "update NetworkPolicy monitoring-allow-to-alertmanager"}},
		"whose rules count": {"monitoring.watchNamespaces", []any{"apps"}, []string{"update Release kps"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, "local", nil)
			s.up()
			s.set(test.key, test.value)
			assert.ElementsMatch(t, test.want, s.up().changes())
			assert.Empty(t, s.up().changes(), "and then everything is the same again")
		})
	}
}

// vLLM guards only some paths with the key, so its first key brings the middleware that guards the rest.
func TestKeyOfVLLMBringsTheRequestGuard(t *testing.T) {
	s := newStack(t, "local", map[string]any{"gpu.mode": "nvidia", "huggingFaceToken": secret("hf_token")})
	s.up()
	s.set("apiKey", secret("first-key"))
	assert.ElementsMatch(t, []string{"create ConfigMap vllm-request-guard", "create Secret vllm-api-key", "update Deployment vllm"}, s.up().changes())
	s.set("apiKey", secret("second-key"))
	assert.ElementsMatch(t, []string{"update Secret vllm-api-key", "update Deployment vllm"}, s.up().changes())
	s.set("vllm.mediaDomains", []any{"images.example.com"})
	assert.ElementsMatch(t, []string{"update Deployment vllm"}, s.up().changes())
	assert.Empty(t, s.up().changes(), "and then everything is the same again")
}

// None of these settings may replace the provider, and with it every object, unless the GPU mode changes.
func TestOtherCredentialsReplaceNothing(t *testing.T) {
	s := newStack(t, "local", nil)
	s.up()
	s.writeKubeconfig("renamed", "another-token")
	assert.Equal(t, []string{"update kubernetes cluster"}, s.up().changes())
}

// The generated password is random in every run, but the one in the state must stay.
func TestGrafanaPasswordStays(t *testing.T) {
	s := newStack(t, "local", nil)
	s.up()
	first := s.find("Secret", "kps-grafana-admin").Outputs
	s.up()
	assert.Equal(t, first, s.find("Secret", "kps-grafana-admin").Outputs)

	s.set("monitoring.grafanaPassword", secret("chosen"))
	assert.Equal(t, []string{"update Secret kps-grafana-admin"}, s.up().changes())
}

// before asserts that each of the objects is created before the next one and deleted after it. It checks the dependencies in
// the state, because the order of one run may be right by chance.
func (s *stack) before(objects ...[2]string) {
	s.t.Helper()
	byURN := map[resource.URN]*resource.State{}
	for _, r := range s.state.Resources {
		byURN[r.URN] = r
	}
	var needs func(r *resource.State, other resource.URN) bool
	needs = func(r *resource.State, other resource.URN) bool {
		for _, urn := range r.Dependencies {
			if urn == other || needs(byURN[urn], other) {
				return true
			}
		}
		return false
	}
	for i, object := range objects[1:] {
		earlier, later := s.find(objects[i][0], objects[i][1]), s.find(object[0], object[1])
		assert.True(s.t, needs(later, earlier.URN), "%v does not depend on %v", object, objects[i])
	}
}

func TestOrderOfCreationAndDestruction(t *testing.T) {
	eachVariant(t, func(t *testing.T, s *stack) {
		s.up()
		var (
			hpa        = [2]string{"HorizontalPodAutoscaler", "vllm"}
			adapter    = [2]string{"Release", "prometheus-adapter"}
			kps        = [2]string{"Release", "kps"}
			api        = [2]string{"APIService", "v1beta1.custom.metrics.k8s.io"}
			deployment = [2]string{"Deployment", "vllm"}
			monitor    = [2]string{"ServiceMonitor", "vllm"}
			rule       = [2]string{"PrometheusRule", "vllm-signals"}
			monitoring = [2]string{"Namespace", "monitoring"}
			serving    = [2]string{"Namespace", "vllm"}
		)
		s.before(monitoring, kps, adapter, api, hpa)
		// An APIService without pods would also block the deletion of this namespace.
		s.before(serving, adapter, api)
		s.before(serving, deployment, hpa)
		s.before(serving, monitor)
		s.before(kps, monitor)
		s.before(kps, rule, hpa)
		s.before(kps, [2]string{"PrometheusRule", "vllm-alerts"})
		// If it were deleted before the operator, the operator would create it again.
		s.before([2]string{"Service", "kps-kubelet"}, kps)
		for _, r := range s.state.Resources {
			namespace := text(r.Inputs, "metadata.namespace") + text(r.Inputs, "namespace")
			// kube-system is the cluster's own.
			if r.Custom && namespace != "" && namespace != "kube-system" {
				s.before([2]string{"Namespace", namespace}, [2]string{string(r.Type.Name()), r.URN.Name()})
			}
		}

		s.destroy()
		assert.Empty(t, s.cluster.remaining(), "destroy leaves nothing")
		assert.Empty(t, s.state.Resources)
	})
}

// An up that fails at any change is completed by the next one, and can also be destroyed.
func TestBrokenOffUp(t *testing.T) {
	whole := newStack(t, "local", nil)
	whole.up()
	want, steps := whole.cluster.remaining(), len(whole.cluster.created)
	require.NotZero(t, steps)
	for at := 1; at <= steps; at++ {
		t.Run(fmt.Sprintf("change %d", at), func(t *testing.T) {
			s := newStack(t, "local", nil)
			s.cluster.failAt = at
			require.Error(t, s.run(engine.Update, false).err)
			s.cluster.failAt = 0
			partial := s.state

			s.up()
			assert.Equal(t, want, s.cluster.remaining())
			assert.Empty(t, s.up().changes())

			// The same failure, then a destroy.
			d := newStack(t, "local", nil)
			d.cluster.failAt = at
			require.Error(t, d.run(engine.Update, false).err)
			require.NotNil(t, partial)
			d.cluster.failAt = 0
			d.destroy()
			assert.Empty(t, d.cluster.remaining())
		})
	}
}

// A destroy that fails at any change is completed by the next one.
func TestBrokenOffDestroy(t *testing.T) {
	whole := newStack(t, "local", nil)
	whole.up()
	steps := len(whole.cluster.created)
	for at := 1; at <= steps; at++ {
		s := newStack(t, "local", nil)
		s.up()
		s.cluster.failAt = at
		require.Error(t, s.run(engine.Destroy, false).err)
		s.cluster.failAt = 0
		s.destroy()
		assert.Empty(t, s.cluster.remaining(), "after a destroy that broke off at change %d", at)
	}
}
