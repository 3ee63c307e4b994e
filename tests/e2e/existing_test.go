package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/cli"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/components"
	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/tests/lab"
)

// platform is the namespace of the platform's monitoring, and the name of its releases.
const platform = "observability"

// platformPrometheus are the values of the platform's kube-prometheus-stack. By the chart's defaults its Prometheus reads the monitors
// and rules of every namespace that have the label release with the name of the release.
var platformPrometheus = map[string]any{
	"fullnameOverride": platform,
	"grafana":          map[string]any{"enabled": false},
	"alertmanager":     map[string]any{"enabled": false},
	"nodeExporter":     map[string]any{"enabled": false},
	"prometheus":       map[string]any{"prometheusSpec": map[string]any{"scrapeInterval": "10s"}},
}

// onPlatform is the configuration of a stack on that Prometheus, queried as these keys tell.
func onPlatform(queried map[string]any) map[string]any {
	return map[string]any{
		"metrics": "existing",
		"monitoring": map[string]any{
			"prometheus":    merged(map[string]any{"namespace": platform}, queried),
			"monitorLabels": map[string]any{"release": platform},
		},
	}
}

// TestExistingPrometheus deploys to a cluster whose platform runs the Prometheus Operator, first with an adapter of the stack, then
// with one of the platform.
func TestExistingPrometheus(t *testing.T) {
	t.Parallel()
	l := startLab(t, 4)
	installChart(t, l, platform, "kube-prometheus-stack", platformPrometheus)
	onGPUs := merged(quick, map[string]any{"gpu": map[string]any{"mode": "nvidia"}, "vllm": map[string]any{"modelCache": "3Gi"}})
	atService := onPlatform(map[string]any{"service": platform + "-prometheus"})
	stack := newStack(t, l, "local", merged(onGPUs, atService), token)
	require.NoError(t, stack.Up(testContext(t)))
	w := newWatch(t, l)

	t.Run("second preview has no change", func(t *testing.T) { require.NoError(t, stack.Preview(testContext(t), true)) })
	t.Run("the stack brings no Prometheus", func(t *testing.T) {
		sets, err := l.Client().AppsV1().StatefulSets("").List(testContext(t), listAll)
		require.NoError(t, err)
		require.Len(t, sets.Items, 1)
		assert.Equal(t, platform, sets.Items[0].Namespace)
	})
	t.Run("verify passes", func(t *testing.T) { verifyPasses(t, l, stack) })
	t.Run("requests in flight scale", func(t *testing.T) {
		w.rest(t)
		scalesUpAndDown(t, w, scaling{signal: inFlight, load: 10, replicas: 3, remains: 3})
	})
	t.Run("verify names the monitor that is not selected", func(t *testing.T) {
		w.rest(t)
		v := newVerifier(t, l, stack)
		repair := v.patch(t, serviceMonitors, serving, components.VLLMName,
			`{"metadata":{"labels":{"release":"another"}}}`, fmt.Sprintf(`{"metadata":{"labels":{"release":%q}}}`, platform))
		v.until(t, 2*time.Minute, "targets", fmt.Sprintf("Prometheus %[1]s/%[1]s-prometheus does not select ServiceMonitor vllm/vllm: "+
			"its serviceMonitorSelector is release=%[1]s", platform))
		repair()
		v.until(t, 2*time.Minute, "", "")
	})
	t.Run("verify names the rule that is not selected", func(t *testing.T) {
		v := newVerifier(t, l, stack)
		repair := v.patch(t, prometheusRules, serving, "vllm-signals",
			`{"metadata":{"labels":{"release":"another"}}}`, fmt.Sprintf(`{"metadata":{"labels":{"release":%q}}}`, platform))
		v.until(t, 2*time.Minute, "rules", "does not select PrometheusRule vllm/vllm-signals")
		repair()
		v.until(t, 2*time.Minute, "", "")
	})
	t.Run("queried at a URL with a token", func(t *testing.T) {
		_, err := l.Client().CoreV1().Secrets(monitoring).Create(testContext(t), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "login"}, StringData: map[string]string{"token": "not-asked-for"},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		stack.reconfigure(t, l, onGPUs, onPlatform(map[string]any{
			"url":     fmt.Sprintf("http://%s-prometheus.%s.svc.cluster.local:9090/", platform, platform),
			"headers": map[string]any{"X-Scope-OrgID": "team-a"}, "secret": "login", "secretKeys": []any{"token"},
		}))
		require.NoError(t, stack.Up(testContext(t)))
		verifyPasses(t, l, stack)
	})
	t.Run("the platform's adapter", func(t *testing.T) {
		w.rest(t)
		stack.reconfigure(t, l, onGPUs, atService, map[string]any{"autoscaling": map[string]any{"adapter": "existing"}})
		require.NoError(t, stack.Up(testContext(t)))
		v := newVerifier(t, l, stack)
		v.until(t, time.Minute, "adapter", "no APIService of group custom.metrics.k8s.io")
		// An adapter that serves something, but not the stack's signals.
		install := func(rules []any) {
			installChart(t, l, platform, "prometheus-adapter", map[string]any{
				"prometheus": map[string]any{"url": fmt.Sprintf("http://%s-prometheus.%s.svc", platform, platform), "port": 9090},
				"rules":      map[string]any{"default": false, "custom": rules}, "metricsRelistInterval": "10s",
			})
		}
		install([]any{map[string]any{
			"seriesQuery": `up{namespace!="",pod!=""}`, "name": map[string]any{"as": "platform_up"},
			"resources":    map[string]any{"template": "<<.Resource>>"},
			"metricsQuery": "max by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})",
		}})
		v.until(t, 2*time.Minute, "custom-metrics", "does not list "+inFlight)
		install(adapterRules(t, stack))
		v.until(t, 2*time.Minute, "", "")
		w.rest(t)
		scalesUpAndDown(t, w, scaling{signal: inFlight, load: 10, replicas: 3, remains: 3})
	})
	t.Run("destroy leaves the platform's objects", func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(testContext(t), 3*time.Minute, fmt.Errorf("destroy took 3 minutes"))
		defer cancel()
		require.NoError(t, stack.Destroy(ctx))
		assert.Empty(t, stack.resources(t))
		namespaces, err := l.Client().CoreV1().Namespaces().List(ctx, listAll)
		require.NoError(t, err)
		var names []string
		for _, namespace := range namespaces.Items {
			names = append(names, namespace.Name)
		}
		assert.Contains(t, names, platform)
		assert.NotContains(t, names, serving)
		assert.NotContains(t, names, monitoring)
		pods, err := l.Client().CoreV1().Pods(platform).List(ctx, listAll)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, len(pods.Items), 4, "operator, Prometheus, kube-state-metrics and adapter")
	})
}

// adapterRules returns the rules that the stack prints for the platform's adapter.
func adapterRules(t *testing.T, stack *deployment) []any {
	t.Helper()
	all, err := stack.Outputs(testContext(t), false)
	require.NoError(t, err)
	text, ok := all["adapterRules"].(string)
	require.True(t, ok, "no output adapterRules")
	var config struct{ Rules []any }
	require.NoError(t, yaml.Unmarshal([]byte(text), &config))
	require.Len(t, config.Rules, len(allSignals))
	return config.Rules
}

// installChart installs or upgrades a release of one of the lab's charts, as somebody else than the stack does.
func installChart(t *testing.T, l *lab.Lab, namespace, chart string, values map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), 3*time.Minute)
	defer cancel()
	folder := t.TempDir()
	settings := cli.New()
	settings.KubeConfig, settings.KubeContext = l.Kubeconfig(), l.ContextName()
	settings.RepositoryCache, settings.RepositoryConfig = folder, folder+"/repositories.yaml"
	settings.SetNamespace(namespace)
	config := &action.Configuration{}
	require.NoError(t, config.Init(settings.RESTClientGetter(), namespace, "", t.Logf))
	release := platform
	if chart != "kube-prometheus-stack" {
		release = chart
	}
	path, err := (&action.ChartPathOptions{RepoURL: l.ChartRepository()}).LocateChart(chart, settings)
	require.NoError(t, err)
	loaded, err := loader.Load(path)
	require.NoError(t, err)
	history := action.NewHistory(config)
	if releases, err := history.Run(release); err == nil && len(releases) > 0 {
		upgrade := action.NewUpgrade(config)
		upgrade.Namespace, upgrade.Wait, upgrade.Timeout = namespace, true, 2*time.Minute
		_, err := upgrade.RunWithContext(ctx, release, loaded, values)
		require.NoError(t, err, "upgrade %s", release)
		return
	}
	install := action.NewInstall(config)
	install.ReleaseName, install.Namespace, install.CreateNamespace, install.Wait, install.Timeout = release, namespace, true, true, 2*time.Minute
	_, err = install.RunWithContext(ctx, loaded, values)
	require.NoError(t, err, "install %s", release)
}

// TestSecondStackOnOneCluster attaches a stack to the Prometheus and the adapter of another one: each scales by its own load.
func TestSecondStackOnOneCluster(t *testing.T) {
	t.Parallel()
	const theirs = "vllm-2"
	l := startLab(t, 0)
	first := newStack(t, l, "local", merged(quick, map[string]any{"monitoring": map[string]any{"watchNamespaces": []any{theirs}}}), nil)
	require.NoError(t, first.Up(testContext(t)))
	second := newStack(t, l, "second", merged(quick, map[string]any{
		"cloud": "local", "metrics": "existing",
		"namespaces":  map[string]any{"monitoring": "monitoring-2", "serving": theirs},
		"monitoring":  map[string]any{"prometheus": map[string]any{"namespace": monitoring, "service": components.PrometheusService}},
		"vllm":        map[string]any{"cpu": "100m", "memory": "512Mi", "shm": "64Mi", "modelCache": "1Gi"},
		"autoscaling": map[string]any{"adapter": "existing", "minReplicas": 1, "maxReplicas": 4},
	}), nil)
	require.NoError(t, second.Up(testContext(t)))
	require.NoError(t, second.Preview(testContext(t), true))
	for _, stack := range []*deployment{first, second} {
		newVerifier(t, l, stack).until(t, 3*time.Minute, "", "")
	}

	desired := func(ctx context.Context, namespace string) (int32, error) {
		hpa, err := l.Client().AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(ctx, components.VLLMName, metav1.GetOptions{})
		if err != nil {
			return 0, err
		}
		return hpa.Status.DesiredReplicas, nil
	}
	generator, err := load.Start(testContext(t), load.Options{Model: modelID, MaxTokens: 100, Routing: load.Least,
		Targets: load.ByURL(func(ctx context.Context) ([]string, error) { return l.ReadyPodURLs(ctx, theirs, selector, apiPort) })})
	require.NoError(t, err)
	t.Cleanup(func() { t.Logf("load: %+v", generator.Stop()) })
	generator.Set(load.Shape{Concurrency: 10})
	eventuallyNoError(t, decision, func(ctx context.Context) error {
		replicas, err := desired(ctx, theirs)
		if err == nil && replicas < 2 {
			err = fmt.Errorf("%d replicas are desired under load", replicas)
		}
		return err
	})
	replicas, err := desired(testContext(t), serving)
	require.NoError(t, err)
	assert.EqualValues(t, 1, replicas, "the load is the other stack's")

	require.NoError(t, second.Destroy(testContext(t)))
	newVerifier(t, l, first).until(t, time.Minute, "", "")
}
