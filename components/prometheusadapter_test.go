package components

import (
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	adapterconfig "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/components/prometheusaccess"
	"vllm-autoscaling/components/signals"
)

const prometheusAdapterType = "vllm-autoscaling:components:PrometheusAdapter"

func prometheusAdapterArgs(t *testing.T) *PrometheusAdapterArgs {
	return &PrometheusAdapterArgs{
		Namespace:      "monitoring",
		Chart:          helm.Chart{Name: "prometheus-adapter", Version: "5.3.0", Repository: "https://prometheus-community.github.io/helm-charts"},
		Prometheus:     PrometheusEndpoint{URL: PrometheusURL("monitoring"), Port: PrometheusPort},
		ListenPort:     10250,
		RelistInterval: 30 * time.Second,
		Replicas:       2,
		Signals:        enabled(t, signalSettings()),
	}
}

func TestPrometheusAdapter(t *testing.T) {
	args := prometheusAdapterArgs(t)
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		prometheus, err := anchor(ctx, "prometheus", provider)
		if err != nil {
			return err
		}
		args.DependsOn = []pulumi.Resource{prometheus}
		_, err = NewPrometheusAdapter(ctx, "prometheus-adapter", args, provider)
		return err
	})
	r.assertChildrenOf(t, prometheusAdapterType)
	assert.Equal(t, []string{
		"kubernetes:core/v1:ConfigMap::prometheus-adapter-rules", secretType + "::prometheus-adapter-certificate", releaseType + "::prometheus-adapter",
	}, r.children(prometheusAdapterType))
	release := r.get(t, releaseType, "prometheus-adapter")
	assert.True(t, release.dependsOn(anchorType, "prometheus"), "the adapter has to go before Prometheus")

	inputs := plain(release)
	assert.Equal(t, "monitoring", inputs["namespace"])
	values := inputs["values"].(map[string]any)
	assert.Equal(t, "http://kps-prometheus.monitoring.svc", path(t, values, "prometheus", "url"))
	assert.EqualValues(t, 9090, path(t, values, "prometheus", "port"))
	assert.EqualValues(t, 10250, values["listenPort"])
	assert.EqualValues(t, 2, values["replicas"])
	assert.Equal(t, "30s", values["metricsRelistInterval"])
	assert.Equal(t, false, path(t, values, "rules", "default"))
	assert.Equal(t, true, path(t, values, "podDisruptionBudget", "enabled"))
	assert.Equal(t, false, path(t, values, "hostNetwork", "enabled"))
	assert.Equal(t, true, path(t, values, "securityContext", "readOnlyRootFilesystem"))
	assert.Equal(t, false, path(t, values, "securityContext", "allowPrivilegeEscalation"))

	rules := r.get(t, "kubernetes:core/v1:ConfigMap", PrometheusAdapterRules)
	assert.Contains(t, rules.Provider, "pulumi:providers:kubernetes::"+providerName+"::")
	assert.True(t, rules.dependsOn(anchorType, "prometheus"))
	assert.True(t, release.dependsOn(anchorType, PrometheusAdapterRules), "the pods mount it")
	assert.Equal(t, PrometheusAdapterRules, path(t, values, "rules", "existing"))
	assert.NotContains(t, values["rules"], "custom", "with rules as values the chart would claim the API itself")
	assert.Equal(t, "monitoring", path(t, plain(rules), "metadata", "namespace"))
	text, ok := path(t, plain(rules), "data").(map[string]any)["config.yaml"].(string)
	require.True(t, ok)
	var config adapterconfig.MetricsDiscoveryConfig
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), &config))
	var served []string
	for _, rule := range config.Rules {
		served = append(served, rule.Name.As)
	}
	assert.Equal(t, []string{signals.MetricRequestsInFlight, signals.MetricRequestsWaiting, signals.MetricGPUUtilization}, served)
}

// The adapter reads its rules only when it starts.
func TestPrometheusAdapterRestartsWithItsRules(t *testing.T) {
	checksum := func(settings signals.Settings) any {
		args := prometheusAdapterArgs(t)
		args.Signals = enabled(t, settings)
		config, err := signals.AdapterConfigYAML(args.Signals)
		require.NoError(t, err)
		values := prometheusAdapterValues(args, config)
		return path(t, values, "podAnnotations", "vllm-autoscaling/rules-checksum")
	}
	settings := signalSettings()
	before := checksum(settings)
	assert.NotEmpty(t, before)
	assert.Equal(t, before, checksum(settings))
	// A target is the autoscaler's business; the adapter need not restart for it.
	settings.Targets[signals.KeyRequestsInFlight] = 10
	assert.Equal(t, before, checksum(settings))
	delete(settings.Targets, signals.KeyRequestsWaiting)
	assert.NotEqual(t, before, checksum(settings))
}

func TestPrometheusAdapterValuesOfTheUserWin(t *testing.T) {
	args := prometheusAdapterArgs(t)
	args.Values = map[string]any{"logLevel": 6, "resources": map[string]any{"limits": map[string]any{"memory": "1Gi"}}}
	values := prometheusAdapterValues(args, nil)
	assert.Equal(t, 6, values["logLevel"])
	assert.Equal(t, "1Gi", path(t, values, "resources", "limits", "memory"))
	assert.Equal(t, "50m", path(t, values, "resources", "requests", "cpu"))
}

// The adapter has to serve with the certificate that the APIService names, or nothing scales.
func TestPrometheusAdapterCertificate(t *testing.T) {
	const certificate, key = "--tls-cert-file=/var/run/adapter-certificate/tls.crt", "--tls-private-key-file=/var/run/adapter-certificate/tls.key"
	args := prometheusAdapterArgs(t)
	release := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		_, err := NewPrometheusAdapter(ctx, "prometheus-adapter", args, provider)
		return err
	}).get(t, releaseType, "prometheus-adapter")
	assert.True(t, release.dependsOn(secretType, "prometheus-adapter-certificate"), "the pods mount it")
	assert.False(t, release.Inputs.ContainsSecrets(), "the key has no business in the release")

	mine := map[string]any{"name": "mine"}
	args.Values = map[string]any{"extraArguments": []any{"--v=6"}, "extraVolumes": []any{mine}, "extraVolumeMounts": []any{mine}}
	values := prometheusAdapterValues(args, nil)
	assert.Equal(t, []any{"--v=6", certificate, key}, values["extraArguments"], "beside those of the user")
	assert.Equal(t, []any{mine, map[string]any{"name": certificateVolume, "secret": map[string]any{"secretName": "prometheus-adapter-certificate"}}},
		values["extraVolumes"])
	assert.Equal(t, []any{mine, map[string]any{"name": certificateVolume, "mountPath": "/var/run/adapter-certificate", "readOnly": true}},
		values["extraVolumeMounts"])
}

func TestPrometheusAdapterRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*PrometheusAdapterArgs)
		want   string
	}{
		"no namespace":       {func(a *PrometheusAdapterArgs) { a.Namespace = "" }, "Namespace"},
		"no Prometheus":      {func(a *PrometheusAdapterArgs) { a.Prometheus.URL = "" }, `prometheus URL ""`},
		"a URL with a port":  {func(a *PrometheusAdapterArgs) { a.Prometheus.URL += ":9090" }, "without a port"},
		"keys and no Secret": {func(a *PrometheusAdapterArgs) { a.Prometheus.SecretKeys = []string{prometheusaccess.Token} }, "both or neither"},
		"an unknown key": {func(a *PrometheusAdapterArgs) {
			a.Prometheus.Secret, a.Prometheus.SecretKeys = "login", []string{"password"}
		}, `key "password" of the Secret has no use`},
		"two logins": {func(a *PrometheusAdapterArgs) {
			a.Prometheus.Secret, a.Prometheus.SecretKeys = "login", []string{prometheusaccess.Kubeconfig, prometheusaccess.Token}
		}, "a kubeconfig beside other keys"},
		"a relative path":    {func(a *PrometheusAdapterArgs) { a.Prometheus.Path = "prometheus" }, "does not begin with a slash"},
		"no port":            {func(a *PrometheusAdapterArgs) { a.Prometheus.Port = 0 }, "prometheus port 0"},
		"a privileged port":  {func(a *PrometheusAdapterArgs) { a.ListenPort = 443 }, "listen port 443"},
		"no relist interval": {func(a *PrometheusAdapterArgs) { a.RelistInterval = 0 }, "RelistInterval 0s"},
		"no replicas":        {func(a *PrometheusAdapterArgs) { a.Replicas = 0 }, "replicas 0"},
		"nothing to serve":   {func(a *PrometheusAdapterArgs) { a.Signals = nil }, "no signal to serve"},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				args := prometheusAdapterArgs(t)
				test.change(args)
				_, err := NewPrometheusAdapter(ctx, "prometheus-adapter", args, provider)
				return err
			})
		})
	}
	t.Run("nothing", func(t *testing.T) {
		assertRefused(t, "arguments are missing", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			_, err := NewPrometheusAdapter(ctx, "prometheus-adapter", nil, provider)
			return err
		})
	})
}

// The arguments are those of prometheus-adapter 0.12, and the Secret's keys are files in its pods.
func TestPrometheusAdapterWithALogin(t *testing.T) {
	values := func(access PrometheusAccess) map[string]any {
		args := prometheusAdapterArgs(t)
		args.Prometheus = PrometheusEndpoint{URL: "https://prometheus.example.com", Port: 443, PrometheusAccess: access}
		r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			_, err := NewPrometheusAdapter(ctx, "prometheus-adapter", args, provider)
			return err
		})
		return plain(r.get(t, releaseType, "prometheus-adapter"))["values"].(map[string]any)
	}
	with := values(PrometheusAccess{
		Path: "/prometheus", Headers: map[string]string{"X-Scope-OrgID": "team-a", "X-Other": "b=c"}, Secret: "login",
		SecretKeys: []string{prometheusaccess.CA, prometheusaccess.Token},
	})
	assert.Equal(t, "/prometheus", path(t, with, "prometheus", "path"))
	assert.Subset(t, with["extraArguments"], []any{
		"--prometheus-header=X-Other=b=c", "--prometheus-header=X-Scope-OrgID=team-a",
		"--prometheus-ca-file=/etc/prometheus-access/ca.crt", "--prometheus-token-file=/etc/prometheus-access/token",
	})
	assert.Contains(t, with["extraVolumes"], map[string]any{"name": "prometheus-access", "secret": map[string]any{"secretName": "login"}})
	assert.Contains(t, with["extraVolumeMounts"], map[string]any{"name": "prometheus-access", "mountPath": "/etc/prometheus-access", "readOnly": true})
	assert.Len(t, with["extraVolumes"], 2, "beside that of the certificate")

	with = values(PrometheusAccess{Secret: "login", SecretKeys: []string{prometheusaccess.Kubeconfig}})
	assert.Contains(t, with["extraArguments"], "--prometheus-auth-config=/etc/prometheus-access/kubeconfig")
	assert.NotContains(t, with["prometheus"], "path")

	without := values(PrometheusAccess{})
	assert.Len(t, without["extraVolumes"], 1)
}
