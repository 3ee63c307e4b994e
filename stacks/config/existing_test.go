package config

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
)

// onPlatform returns the keys of a stack on the platform's Prometheus, with more keys.
func onPlatform(more map[string]any) map[string]any {
	keys := map[string]any{
		"metrics": "existing", "monitoring.prometheus.namespace": "observability", "monitoring.prometheus.service": "prometheus-operated",
	}
	maps.Copy(keys, more)
	return keys
}

// atURL returns the same with a URL in place of the Service.
func atURL(url string, more map[string]any) map[string]any {
	keys := onPlatform(more)
	delete(keys, "monitoring.prometheus.service")
	keys["monitoring.prometheus.url"] = url
	return keys
}

func TestExistingMetrics(t *testing.T) {
	for _, cloud := range Clouds {
		keys := onPlatform(nil)
		if cloud != CloudLocal {
			keys = onCloud(cloud, keys)
		}
		c := read(t, cloud, keys)
		assert.True(t, c.ExistingMetrics(), cloud)
		assert.False(t, c.Monitoring.Grafana, "%s: Grafana is the platform's", cloud)
		assert.False(t, c.Monitoring.Dashboards, cloud)
		assert.Empty(t, c.Monitoring.Storage, cloud)
		assert.Equal(t, AdapterOwn, c.Autoscaling.Adapter, cloud)
		assert.Equal(t, "http://prometheus-operated.observability.svc:9090", c.Monitoring.Prometheus.QueryURL(), cloud)
		assert.Contains(t, c.Opened(), "monitoring.prometheus.namespace [observability]", cloud)
		assert.Nil(t, c.request(nil).MetricsReader, cloud)
	}
}

func TestEndpointOfAnExistingPrometheus(t *testing.T) {
	for url, want := range map[string]components.PrometheusEndpoint{
		"https://mimir.example.com/prometheus/":  {URL: "https://mimir.example.com", Port: 443, PrometheusAccess: components.PrometheusAccess{Path: "/prometheus"}},
		"http://thanos-query.thanos.svc:9090":    {URL: "http://thanos-query.thanos.svc", Port: 9090},
		"http://proxy.amp.svc/workspaces/ws-1":   {URL: "http://proxy.amp.svc", Port: 80, PrometheusAccess: components.PrometheusAccess{Path: "/workspaces/ws-1"}},
		"https://[2001:db8::1]:8443/a%2Fb/query": {URL: "https://[2001:db8::1]", Port: 8443, PrometheusAccess: components.PrometheusAccess{Path: "/a%2Fb/query"}},
	} {
		endpoint, err := read(t, CloudLocal, atURL(url, nil)).Monitoring.Prometheus.Endpoint()
		require.NoError(t, err, url)
		assert.Equal(t, want, *endpoint, url)
	}
}

// TestExistingMetricsRules checks each rule with a configuration that breaks it, beside one that keeps it.
func TestExistingMetricsRules(t *testing.T) {
	type keys = map[string]any
	const secure = "https://prometheus.example.com"
	login := func(key ...any) keys {
		return keys{"monitoring.prometheus.secret": "login", "monitoring.prometheus.secretKeys": key}
	}
	for name, rule := range map[string]struct {
		wrong, right keys
		key, says    string
	}{
		"no namespace": {keys{"metrics": "existing", "monitoring.prometheus.service": "p"}, onPlatform(nil),
			"monitoring.prometheus.namespace", "required with metrics existing"},
		"the stack's own namespace": {onPlatform(keys{"monitoring.prometheus.namespace": "monitoring"}),
			onPlatform(keys{"monitoring.prometheus.namespace": "monitoring", "namespaces.monitoring": "vllm-monitoring"}),
			"monitoring.prometheus.namespace", "other than those"},
		"neither Service nor URL": {keys{"metrics": "existing", "monitoring.prometheus.namespace": "o"}, atURL(secure, nil),
			"monitoring.prometheus.service", "or monitoring.prometheus.url"},
		"Service and URL": {onPlatform(keys{"monitoring.prometheus.url": secure}), atURL(secure, nil), "monitoring.prometheus.url", "together with"},
		"port and URL": {atURL(secure, keys{"monitoring.prometheus.port": 9091}), onPlatform(keys{"monitoring.prometheus.port": 9091}),
			"monitoring.prometheus.port", "has its own"},
		"no URL": {atURL("prometheus:9090", nil), atURL(secure, nil), "monitoring.prometheus.url", "http:// or https://"},
		"login in the URL": {atURL("https://u:p@prometheus.example.com", nil), atURL(secure, nil),
			"monitoring.prometheus.url", "monitoring.prometheus.secret"},
		"path of the API":  {atURL(secure+"/api/v1/query", nil), atURL(secure+"/api", nil), "monitoring.prometheus.url", "without /api/v1"},
		"query in the URL": {atURL(secure+"?tenant=a", nil), atURL(secure, nil), "monitoring.prometheus.url", "without a query"},
		"Secret without keys": {atURL(secure, keys{"monitoring.prometheus.secret": "login"}), atURL(secure, login("token")),
			"monitoring.prometheus.secret", "secretKeys"},
		"keys without a Secret": {atURL(secure, keys{"monitoring.prometheus.secretKeys": []any{"token"}}), atURL(secure, login("token")),
			"monitoring.prometheus.secretKeys", "together with monitoring.prometheus.secret"},
		"unknown key": {atURL(secure, login("password")), atURL(secure, login("kubeconfig")),
			"monitoring.prometheus.secretKeys[0]", "ca.crt, token, kubeconfig"},
		"kubeconfig and token": {atURL(secure, login("kubeconfig", "token")), atURL(secure, login("ca.crt", "token")),
			"monitoring.prometheus.secretKeys", "kubeconfig alone"},
		"authority over HTTP": {atURL("http://p.o.svc", login("ca.crt")), atURL("http://p.o.svc", login("token")),
			"monitoring.prometheus.secretKeys", "https://"},
		"login at a Service": {onPlatform(login("token")), atURL("http://prometheus-operated.observability.svc:9090", login("token")),
			"monitoring.prometheus.secret", "without a login"},
		"secret header": {onPlatform(keys{"monitoring.prometheus.headers": keys{"Authorization": "Bearer x"}}),
			onPlatform(keys{"monitoring.prometheus.headers": keys{"X-Scope-OrgID": "a|b"}}),
			"monitoring.prometheus.headers.Authorization", "monitoring.prometheus.secret"},
		"no header": {onPlatform(keys{"monitoring.prometheus.headers": keys{"a b": "c"}}), onPlatform(nil), "monitoring.prometheus.headers.a b", "letters, digits"},

		"keys of another pipeline": {keys{"monitoring.prometheus.service": "p"}, onPlatform(nil), "monitoring.prometheus.service", "only with metrics existing"},
		"adapter of another pipeline": {keys{"autoscaling.adapter": "existing"}, onPlatform(keys{"autoscaling.adapter": "existing"}),
			"autoscaling.adapter", "only with metrics existing"},
		"storage":   {onPlatform(keys{"monitoring.storage": "20Gi"}), keys{"monitoring.storage": "20Gi"}, "monitoring.storage", "it has no effect"},
		"retention": {onPlatform(keys{"monitoring.retention": "7d"}), onPlatform(nil), "monitoring.retention", "it has no effect"},
		"evaluation": {onPlatform(keys{"monitoring.evaluationInterval": "15s"}), onPlatform(keys{"monitoring.scrapeInterval": "30s"}),
			"monitoring.evaluationInterval", "it has no effect"},
		"opening what is not there": {onPlatform(keys{"monitoring.clientCidrs": []any{"10.0.0.0/8"}}), onPlatform(nil),
			"monitoring.clientCidrs", "it has no effect"},
		"Grafana": {onPlatform(keys{"monitoring.grafana": true}), onPlatform(keys{"monitoring.grafana": false, "monitoring.dashboards": true}),
			"monitoring.grafana", "false with metrics existing"},
		"replicas of the existing adapter": {onPlatform(keys{"autoscaling.adapter": "existing", "autoscaling.adapterReplicas": 1}),
			onPlatform(keys{"autoscaling.adapterReplicas": 1}), "autoscaling.adapterReplicas", "only with autoscaling.adapter own"},
		"relist of the existing adapter": {onPlatform(keys{"autoscaling.adapter": "existing", "autoscaling.relistInterval": "1m"}),
			onPlatform(keys{"autoscaling.relistInterval": "1m"}), "autoscaling.relistInterval", "only with autoscaling.adapter own"},
	} {
		t.Run(name, func(t *testing.T) {
			read(t, CloudLocal, rule.right)
			refused := problemsOf(t, source(t, CloudLocal, rule.wrong))
			require.Len(t, refused.Problems, 1, "%v", refused)
			assert.Equal(t, project+":"+rule.key, refused.Problems[0].Key)
			assert.Contains(t, refused.Error(), rule.says)
		})
	}
}

// The keys of the chart stay allowed, as those of a mirror are the same for every stack.
func TestChartsOfAnExistingPrometheus(t *testing.T) {
	c := read(t, CloudLocal, onPlatform(map[string]any{"charts.kubePrometheusStack.repository": "oci://registry.example.com/charts"}))
	assert.Equal(t, providers.Simulated, providers.GPUMetricsSource(c.GPU.Metrics))
}
