package components

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/helm"
)

const (
	kubePrometheusStackType = "vllm-autoscaling:components:KubePrometheusStack"
	releaseType             = "kubernetes:helm.sh/v3:Release"
	secretType              = "kubernetes:core/v1:Secret"
)

func kubePrometheusStackArgs() *KubePrometheusStackArgs {
	return &KubePrometheusStackArgs{
		Namespace:        "monitoring",
		ServingNamespace: "vllm",
		Chart: helm.Chart{
			Name: "kube-prometheus-stack", Version: "88.5.3",
			Repository: "https://prometheus-community.github.io/helm-charts",
		},
		ScrapeInterval:     15 * time.Second,
		EvaluationInterval: 15 * time.Second,
		Retention:          "7d",
		Grafana:            true,
	}
}

func runKubePrometheusStack(t *testing.T, args *KubePrometheusStackArgs) *record {
	t.Helper()
	return run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		namespace, err := anchor(ctx, "namespace", provider)
		if err != nil {
			return err
		}
		args.DependsOn = []pulumi.Resource{namespace}
		_, err = NewKubePrometheusStack(ctx, "kube-prometheus-stack", args, provider)
		return err
	})
}

func TestKubePrometheusStackRegistersItsRelease(t *testing.T) {
	r := runKubePrometheusStack(t, kubePrometheusStackArgs())
	r.assertChildrenOf(t, kubePrometheusStackType)
	assert.Equal(t, []string{
		secretType + "::" + GrafanaAdminSecret, serviceType + "::" + KubeletService, releaseType + "::kps",
		roleType + "::" + GrafanaRole, roleBindingType + "::" + GrafanaRole,
	}, r.children(kubePrometheusStackType))

	release := r.get(t, releaseType, "kps")
	assert.True(t, release.dependsOn("kubernetes:core/v1:ConfigMap", "namespace"))
	assert.True(t, release.dependsOn(secretType, GrafanaAdminSecret), "Grafana's pod does not start without its Secret")
	inputs := plain(release)
	assert.Equal(t, "kps", inputs["name"])
	assert.Equal(t, "monitoring", inputs["namespace"])
	assert.Equal(t, "88.5.3", inputs["version"])
	assert.EqualValues(t, 600, inputs["timeout"])
	assert.Equal(t, "kps", path(t, inputs, "values", "fullnameOverride"))

	// Left to the operator, the Service would stay behind when the stack is destroyed; deleted before the
	// operator, it would come back.
	assert.True(t, release.dependsOn(serviceType, KubeletService))
	assert.Equal(t, KubeletService, path(t, inputs, "values", "prometheusOperator", "kubeletService", "name"))
	kubelets := plain(r.get(t, serviceType, KubeletService))
	assert.Equal(t, "kube-system", path(t, kubelets, "metadata", "namespace"))
	assert.Equal(t, map[string]any{partOfLabel: Project}, path(t, kubelets, "metadata", "labels"), "the operator owns the other labels")
	assert.Equal(t, map[string]any{"clusterIP": "None"}, kubelets["spec"])
}

func TestKubePrometheusStackWithoutGrafana(t *testing.T) {
	args := kubePrometheusStackArgs()
	args.Grafana = false
	r := runKubePrometheusStack(t, args)
	assert.False(t, r.has(secretType, GrafanaAdminSecret))
	assert.False(t, r.has(roleType, GrafanaRole))
	assert.Equal(t, map[string]any{"enabled": false}, path(t, plain(r.get(t, releaseType, "kps")), "values", "grafana"))
}

func TestGrafanaPassword(t *testing.T) {
	password := func(t *testing.T, reg registration) string {
		t.Helper()
		return secretEntry(t, reg, grafanaPasswordKey)
	}

	t.Run("generated: the first one stays", func(t *testing.T) {
		first := runKubePrometheusStack(t, kubePrometheusStackArgs()).get(t, secretType, GrafanaAdminSecret)
		second := runKubePrometheusStack(t, kubePrometheusStackArgs()).get(t, secretType, GrafanaAdminSecret)
		assert.Equal(t, []string{"data"}, first.IgnoreChanges)
		assert.True(t, first.dependsOn("kubernetes:core/v1:ConfigMap", "namespace"))
		assert.GreaterOrEqual(t, len(password(t, first)), 20)
		assert.NotEqual(t, password(t, first), password(t, second), "two stacks must not share a password")
	})
	t.Run("given: a change is applied", func(t *testing.T) {
		args := kubePrometheusStackArgs()
		args.GrafanaPassword = pulumi.String("correct horse")
		reg := runKubePrometheusStack(t, args).get(t, secretType, GrafanaAdminSecret)
		assert.Empty(t, reg.IgnoreChanges)
		assert.Equal(t, "correct horse", password(t, reg))
	})
}

// secretEntry is an entry of a Secret, which must be secret in the state.
func secretEntry(t *testing.T, reg registration, key string) string {
	t.Helper()
	require.True(t, reg.Inputs["data"].IsSecret(), "the data of Secret %s is plain text in the state", reg.Name)
	encoded, ok := path(t, plain(reg), "data", key).(string)
	require.True(t, ok)
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	return string(decoded)
}

// The output must be what is in the Secret, not what this run generated and dropped.
func TestGrafanaPasswordOutputIsReadFromTheSecret(t *testing.T) {
	args := kubePrometheusStackArgs()
	args.GrafanaPassword = pulumi.String("correct horse")
	var output string
	var secret bool
	var wait pulumi.Output
	run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		stack, err := NewKubePrometheusStack(ctx, "kps", args, provider)
		if err != nil {
			return err
		}
		wait = stack.GrafanaPassword.ApplyT(func(password string) string { output = password; return password })
		secret = pulumi.IsSecret(stack.GrafanaPassword)
		ctx.Export("password", wait)
		return nil
	})
	assert.Equal(t, "correct horse", output)
	assert.True(t, secret)
}

func TestKubePrometheusStackValues(t *testing.T) {
	values := kubePrometheusStackValues(kubePrometheusStackArgs())
	spec := path(t, values, "prometheus", "prometheusSpec").(map[string]any)
	assert.Equal(t, "15s", spec["scrapeInterval"])
	assert.Equal(t, "15s", spec["evaluationInterval"])
	assert.Equal(t, "7d", spec["retention"])
	assert.NotContains(t, spec, "storageSpec", "no volume unless asked for")
	for _, kind := range []string{"serviceMonitor", "podMonitor", "rule", "probe", "scrapeConfig"} {
		assert.Equal(t, false, spec[kind+"SelectorNilUsesHelmValues"], "%s: only objects of the release would be seen", kind)
	}
	assert.Equal(t, "kps-grafana", path(t, values, "grafana", "fullnameOverride"))
	assert.Equal(t, GrafanaAdminSecret, path(t, values, "grafana", "admin", "existingSecret"))
	assert.Equal(t, "kps-kube-state-metrics", path(t, values, "kube-state-metrics", "fullnameOverride"))

	for _, container := range [][]string{
		{"prometheus", "prometheusSpec"}, {"prometheusOperator"}, {"alertmanager", "alertmanagerSpec"},
		{"grafana"}, {"kube-state-metrics"}, {"prometheus-node-exporter"},
	} {
		for _, resources := range [][]string{{"requests", "cpu"}, {"requests", "memory"}, {"limits", "memory"}} {
			quantity := path(t, values, append(append(append([]string{}, container...), "resources"), resources...)...)
			assert.NoError(t, validateQuantity("", quantity.(string)), "%v %v", container, resources)
		}
		assert.Equal(t, true, path(t, values, append(append([]string{}, container...), "securityContext", "runAsNonRoot")...), container)
	}
}

func TestKubePrometheusStackStorage(t *testing.T) {
	args := kubePrometheusStackArgs()
	args.Storage = "20Gi"
	claim := path(t, kubePrometheusStackValues(args), "prometheus", "prometheusSpec", "storageSpec", "volumeClaimTemplate", "spec").(map[string]any)
	assert.Equal(t, "20Gi", path(t, claim, "resources", "requests", "storage"))
	assert.NotContains(t, claim, "storageClassName", "an empty class would switch the default class off")

	args.StorageClass = "fast"
	claim = path(t, kubePrometheusStackValues(args), "prometheus", "prometheusSpec", "storageSpec", "volumeClaimTemplate", "spec").(map[string]any)
	assert.Equal(t, "fast", claim["storageClassName"])
}

func TestControlPlaneScrapesFollowTheCluster(t *testing.T) {
	for _, on := range []bool{true, false} {
		args := kubePrometheusStackArgs()
		args.ControlPlaneScrapes = on
		values := kubePrometheusStackValues(args)
		for _, part := range []string{"kubeControllerManager", "kubeScheduler", "kubeEtcd", "kubeProxy"} {
			assert.Equal(t, on, path(t, values, part, "enabled"), part)
		}
		for _, rules := range []string{"etcd", "kubeControllerManager", "kubeSchedulerAlerting", "kubeSchedulerRecording", "kubeProxy"} {
			assert.Equal(t, on, path(t, values, "defaultRules", "rules", rules), rules)
		}
	}
}

func TestDNSScrapeFollowsTheCluster(t *testing.T) {
	for _, on := range []bool{true, false} {
		args := kubePrometheusStackArgs()
		args.CoreDNSScrapes = on
		values := kubePrometheusStackValues(args)
		assert.Equal(t, on, path(t, values, "coreDns", "enabled"))
		assert.NotContains(t, values, "kubeDns", "off in the chart")
	}
}

func TestCRDsAreUpgradedOnlyWhereAskedFor(t *testing.T) {
	args := kubePrometheusStackArgs()
	assert.Equal(t, map[string]any{"enabled": false}, path(t, kubePrometheusStackValues(args), "crds", "upgradeJob"))
	args.UpgradeCRDs = true
	job := path(t, kubePrometheusStackValues(args), "crds", "upgradeJob").(map[string]any)
	assert.Equal(t, true, job["enabled"])
	assert.Equal(t, true, job["forceConflicts"], "Helm owns the CRDs that it has installed")
	assert.Regexp(t, `^[0-9.]+$`, path(t, job, "image", "busybox", "tag"), "not latest")
	args.Values = map[string]any{"crds": map[string]any{"upgradeJob": map[string]any{"image": map[string]any{
		"busybox": map[string]any{"registry": "registry.example.com"}}}}}
	busybox := path(t, kubePrometheusStackValues(args), "crds", "upgradeJob", "image", "busybox").(map[string]any)
	assert.Equal(t, map[string]any{"registry": "registry.example.com", "tag": busyboxTag}, busybox)
}

func TestKubePrometheusStackValuesOfTheUserWin(t *testing.T) {
	args := kubePrometheusStackArgs()
	args.Values = map[string]any{
		"alertmanager": map[string]any{"enabled": false},
		"prometheus":   map[string]any{"prometheusSpec": map[string]any{"replicas": 2}},
	}
	values := kubePrometheusStackValues(args)
	assert.Equal(t, false, path(t, values, "alertmanager", "enabled"))
	assert.Equal(t, 2, path(t, values, "prometheus", "prometheusSpec", "replicas"))
	assert.Equal(t, "15s", path(t, values, "prometheus", "prometheusSpec", "scrapeInterval"), "what the user leaves alone stays")
}

func TestKubePrometheusStackRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*KubePrometheusStackArgs)
		want   string
	}{
		"no namespace":        {func(a *KubePrometheusStackArgs) { a.Namespace = "" }, `Namespace ""`},
		"no server":           {func(a *KubePrometheusStackArgs) { a.ServingNamespace = "" }, `ServingNamespace ""`},
		"a pattern":           {func(a *KubePrometheusStackArgs) { a.WatchNamespaces = []string{"team-*"} }, `WatchNamespaces "team-*"`},
		"no scrape interval":  {func(a *KubePrometheusStackArgs) { a.ScrapeInterval = 0 }, "ScrapeInterval 0s"},
		"no rule interval":    {func(a *KubePrometheusStackArgs) { a.EvaluationInterval = 0 }, "EvaluationInterval 0s"},
		"no retention":        {func(a *KubePrometheusStackArgs) { a.Retention = "" }, `retention ""`},
		"retention of no use": {func(a *KubePrometheusStackArgs) { a.Retention = "a week" }, `retention "a week"`},
		"storage of no size":  {func(a *KubePrometheusStackArgs) { a.Storage = "much" }, `Storage "much"`},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				args := kubePrometheusStackArgs()
				test.change(args)
				_, err := NewKubePrometheusStack(ctx, "kps", args, provider)
				return err
			})
		})
	}
	t.Run("nothing", func(t *testing.T) {
		assertRefused(t, "arguments are missing", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			_, err := NewKubePrometheusStack(ctx, "kps", nil, provider)
			return err
		})
	})
}

func TestPrometheusURL(t *testing.T) {
	assert.Equal(t, "http://kps-prometheus.monitoring.svc", PrometheusURL("monitoring"))
}
