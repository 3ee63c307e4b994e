package charts

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
)

// recorder keeps the inputs of every Release that the program registers, and the other objects.
type recorder struct {
	mu       sync.Mutex
	releases map[string]map[string]any
	own      []*unstructured.Unstructured
}

func (r *recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch inputs := args.Inputs.Mappable(); {
	case args.TypeToken == "kubernetes:helm.sh/v3:Release":
		r.releases[args.Name] = inputs
	case inputs["kind"] != nil:
		r.own = append(r.own, &unstructured.Unstructured{Object: inputs})
	}
	return args.Name, args.Inputs, nil
}

func (*recorder) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return resource.PropertyMap{}, nil
}

// gpuTolerations are those of a pool of spot machines, where the chart's own lists are too short.
var gpuTolerations = []providers.Toleration{
	{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"},
	{Key: "spot", Operator: "Equal", Value: "yes", Effect: "NoSchedule"},
}

// runProgram registers what the program's components register for the five charts, with metadata of the stack's owner.
func runProgram(t *testing.T, metadata components.Metadata) *recorder {
	t.Helper()
	r := &recorder{releases: map[string]map[string]any{}}
	of := func(name string) helm.Chart {
		c, err := Load(name)
		require.NoError(t, err)
		return helm.Chart{Name: name, Version: c.Metadata.Version, Repository: "https://charts.example.com"}
	}
	nodes := providers.GPUNodes{NodeSelector: map[string]string{"nvidia.com/gpu.present": "true"}, Tolerations: gpuTolerations}
	enabled, err := signals.Enabled(signals.Catalogue(), signals.Settings{Namespace: "vllm", Interval: 2 * time.Second, MaxNumSeqs: 16,
		Targets: map[signals.Key]float64{signals.KeyRequestsRunning: 12}})
	require.NoError(t, err)
	require.NoError(t, pulumi.RunErr(func(ctx *pulumi.Context) error {
		if _, err := components.NewMonitoringPolicies(ctx, "monitoring-policies", &components.MonitoringPoliciesArgs{
			Namespace: "monitoring", Adapter: components.PrometheusAdapterRelease, Prometheus: true,
		}); err != nil {
			return err
		}
		if _, err := components.NewKubePrometheusStack(ctx, "monitoring", &components.KubePrometheusStackArgs{
			Namespace: "monitoring", ServingNamespace: "vllm", Chart: of(KubePrometheusStack), ScrapeInterval: 15 * time.Second, EvaluationInterval: 15 * time.Second,
			Retention: "7d", Storage: "20Gi", StorageClass: "fast", Grafana: true, CoreDNSScrapes: true, UpgradeCRDs: true, Metadata: metadata,
		}); err != nil {
			return err
		}
		if _, err := components.NewDCGMExporter(ctx, "exporter", &components.DCGMExporterArgs{
			Namespace: "monitoring", Metrics: providers.GPUMetrics{Source: providers.DCGMChart}, Chart: of("dcgm-exporter"),
			Nodes: nodes, ScrapeInterval: 2 * time.Second, Metadata: metadata,
		}); err != nil {
			return err
		}
		if _, err := components.NewPrometheusAdapter(ctx, "adapter", &components.PrometheusAdapterArgs{
			Namespace: "monitoring", Chart: of("prometheus-adapter"), PrometheusURL: components.PrometheusURL("monitoring"),
			PrometheusPort: components.PrometheusPort, ListenPort: 10250, RelistInterval: 10 * time.Second, Replicas: 2, Signals: enabled,
			Metadata: metadata,
		}); err != nil {
			return err
		}
		if _, err := components.NewDevicePlugin(ctx, "plugin", &components.DevicePluginArgs{
			Namespace: "kube-system", Chart: of("nvidia-device-plugin"), ResourceName: "nvidia.com/gpu", Nodes: nodes,
			Capabilities: []string{"SYS_ADMIN"}, Metadata: metadata,
		}); err != nil {
			return err
		}
		_, err := components.NewClusterAutoscaler(ctx, "autoscaler", &components.ClusterAutoscalerArgs{
			Autoscaler: providers.NodeAutoscaler{CloudProvider: "aws", ClusterName: "prod", Region: "eu-central-1",
				Namespace: "kube-system", ServiceAccount: "scaler"},
			Chart: of("cluster-autoscaler"), Metadata: metadata,
		})
		return err
	}, pulumi.WithMocks("project", "stack", r)))
	return r
}

// ownObjects returns the objects that the program registers beside the releases.
func ownObjects(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	return runProgram(t, components.Metadata{}).own
}

// programReleases returns the inputs of the five releases as the program's components register them, by chart.
func programReleases(t *testing.T) map[string]map[string]any {
	t.Helper()
	return releasesWith(t, components.Metadata{})
}

// releasesWith returns the same with metadata of the stack's owner.
func releasesWith(t *testing.T, metadata components.Metadata) map[string]map[string]any {
	t.Helper()
	r := runProgram(t, metadata)
	byChart := map[string]map[string]any{}
	for _, inputs := range r.releases {
		byChart[inputs["chart"].(string)] = inputs
	}
	names, err := Names()
	require.NoError(t, err)
	require.ElementsMatch(t, names, slices.Collect(maps.Keys(byChart)), "every chart of the lab is one that the program installs")
	return byChart
}

// load returns a chart of the folder in $LAB_CHARTS, as the lab does, or the lab's own.
func load(t *testing.T, name string) *chart.Chart {
	t.Helper()
	published := filepath.Join(os.Getenv("LAB_CHARTS"), name)
	if _, err := os.Stat(filepath.Join(published, chartutil.ChartfileName)); err == nil && os.Getenv("LAB_CHARTS") != "" {
		c, err := loader.LoadDir(published)
		require.NoError(t, err)
		return c
	}
	c, err := Load(name)
	require.NoError(t, err)
	return c
}

// objects returns what Helm would create for a release of the program, hooks included.
func objects(t *testing.T, inputs map[string]any) []*unstructured.Unstructured {
	t.Helper()
	install := action.NewInstall(&action.Configuration{Log: t.Logf})
	install.ReleaseName, install.Namespace = inputs["name"].(string), inputs["namespace"].(string)
	install.DryRun, install.ClientOnly = true, true
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.34.1-gke.1829001", Major: "1", Minor: "34"}
	r, err := install.Run(load(t, inputs["chart"].(string)), inputs["values"].(map[string]any))
	require.NoError(t, err)
	var all []*unstructured.Unstructured
	for _, manifest := range append([]string{r.Manifest}, hookManifests(r.Hooks)...) {
		all = append(all, parse(t, manifest)...)
	}
	return all
}

// pod is a pod that a chart makes, with the object that it is of.
type pod struct {
	owner string
	kind  string
	meta  map[string]string
	// labels are those of the pod.
	labels map[string]string
	spec   corev1.PodSpec
}

// pods returns the pods of the objects that have a template of one. A field that Kubernetes does not have fails the test.
func pods(t *testing.T, all []*unstructured.Unstructured) []pod {
	t.Helper()
	var found []pod
	for _, o := range all {
		template, ok, err := unstructured.NestedMap(o.Object, "spec", "template")
		require.NoError(t, err)
		if !ok {
			continue
		}
		var typed corev1.PodTemplateSpec
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(template, &typed, true), o.GetName())
		found = append(found, pod{owner: o.GetKind() + " " + o.GetName(), kind: o.GetKind(), meta: typed.Annotations,
			labels: typed.Labels, spec: typed.Spec})
	}
	return found
}

// A limit below a request is refused by the API server, and a limit that the program did not state is one of the chart's
// defaults, which stays because Helm merges maps: the exporter was throttled by one.
func TestPodsHaveTheLimitsThatTheProgramStates(t *testing.T) {
	for name, inputs := range programReleases(t) {
		t.Run(name, func(t *testing.T) {
			stated := limitsIn(inputs["values"])
			require.NotEmpty(t, stated)
			all := objects(t, inputs)
			found := pods(t, all)
			require.NotEmpty(t, found)
			for _, p := range found {
				for _, c := range slices.Concat(p.spec.InitContainers, p.spec.Containers) {
					checkResources(t, p.owner+" "+c.Name, c.Resources, stated)
				}
			}
			// The operator makes the pods of these.
			for _, o := range all {
				if kind := o.GetKind(); kind != "Prometheus" && kind != "Alertmanager" {
					continue
				}
				resources, ok, err := unstructured.NestedMap(o.Object, "spec", "resources")
				require.NoError(t, err)
				require.True(t, ok, o.GetName())
				var typed corev1.ResourceRequirements
				require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(resources, &typed, true))
				checkResources(t, o.GetKind(), typed, stated)
			}
		})
	}
}

func checkResources(t *testing.T, what string, r corev1.ResourceRequirements, stated []string) {
	t.Helper()
	for resource, limit := range r.Limits {
		request := r.Requests[resource]
		assert.LessOrEqual(t, request.Cmp(limit), 0, "%s: %s request %s, limit %s", what, resource, &request, &limit)
	}
	if len(r.Limits) > 0 {
		assert.Contains(t, stated, limitsText(r.Limits), "%s: limits that the program does not state", what)
	}
}

func limitsText(limits corev1.ResourceList) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		quantity := limits[name]
		words = append(words, fmt.Sprintf("%s=%s", name, &quantity))
	}
	return strings.Join(words, " ")
}

// limitsIn returns every "limits" in a chart's values, as text.
func limitsIn(values any) []string {
	object, ok := values.(map[string]any)
	if !ok {
		return nil
	}
	var found []string
	for key, value := range object {
		if limits, ok := value.(map[string]any); ok && key == "limits" {
			var words []string
			for _, name := range slices.Sorted(maps.Keys(limits)) {
				words = append(words, fmt.Sprintf("%s=%s", name, limits[name]))
			}
			found = append(found, strings.Join(words, " "))
			continue
		}
		found = append(found, limitsIn(value)...)
	}
	return found
}

// freeForm are objects of values whose keys are not the chart's: it copies them as they are.
var freeForm = []string{"nodeSelector", "resources", "securityContext", "podSecurityContext", "containerSecurityContext", "podAnnotations",
	"annotations", "extraArgs", "storageSpec", "namespaceSelector", "ruleNamespaceSelector", "serviceMonitorNamespaceSelector",
	"podMonitorNamespaceSelector", "probeNamespaceSelector", "scrapeConfigNamespaceSelector", "alertmanagerConfigNamespaceSelector"}

// A value that a chart does not have is ignored without a word.
func TestChartsHaveTheValuesThatTheProgramSets(t *testing.T) {
	for name, inputs := range programReleases(t) {
		t.Run(name, func(t *testing.T) {
			known, err := chartutil.CoalesceValues(load(t, name), map[string]any{})
			require.NoError(t, err)
			missing := unknownValues("", inputs["values"].(map[string]any), known)
			// These exist upstream as comments only.
			missing = slices.DeleteFunc(missing, func(path string) bool {
				return path == "customMetrics" || path == "autoDiscovery.clusterName" || path == "grafana.fullnameOverride"
			})
			assert.Empty(t, missing)
		})
	}
}

func unknownValues(prefix string, set, known map[string]any) []string {
	var missing []string
	for _, key := range slices.Sorted(maps.Keys(set)) {
		there, ok := known[key]
		path := prefix + key
		if !ok {
			missing = append(missing, path)
			continue
		}
		inner, isObject := set[key].(map[string]any)
		below, hasObject := there.(map[string]any)
		if isObject && hasObject && !slices.Contains(freeForm, key) {
			missing = append(missing, unknownValues(path+".", inner, below)...)
		}
	}
	return missing
}

// A probe at a port that the container does not name would never succeed, or restart it for ever.
func TestProbesAreAtPortsOfTheirContainers(t *testing.T) {
	probed := map[string]bool{}
	for name, inputs := range programReleases(t) {
		for _, p := range pods(t, objects(t, inputs)) {
			for _, c := range p.spec.Containers {
				for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
					if probe == nil || probe.HTTPGet == nil {
						continue
					}
					probed[name] = true
					assert.True(t, slices.ContainsFunc(c.Ports, func(port corev1.ContainerPort) bool {
						return port.Name == probe.HTTPGet.Port.String() || fmt.Sprint(port.ContainerPort) == probe.HTTPGet.Port.String()
					}), "%s %s: port %s of %v", p.owner, c.Name, &probe.HTTPGet.Port, c.Ports)
				}
			}
		}
	}
	for _, name := range []string{KubePrometheusStack, "dcgm-exporter", "prometheus-adapter", "cluster-autoscaler"} {
		assert.True(t, probed[name], "%s has no probe", name)
	}
}

func TestExporterPod(t *testing.T) {
	p := onlyPod(t, programReleases(t)["dcgm-exporter"])
	assert.Equal(t, coreTolerations(), p.spec.Tolerations)
	container := p.spec.Containers[0]
	assert.Equal(t, "2", container.Resources.Limits.Cpu().String(), "the chart's 200m throttle it")
	assert.Contains(t, container.SecurityContext.Capabilities.Add, corev1.Capability("SYS_ADMIN"), "profiling needs it")
	env := map[string]string{}
	for _, variable := range container.Env {
		env[variable.Name] = variable.Value
	}
	assert.Equal(t, "2000", env["DCGM_EXPORTER_INTERVAL"])
	assert.Equal(t, "768MiB", env["GOMEMLIMIT"])
	assert.Equal(t, []string{"-f", "/etc/dcgm-exporter/default-counters.csv"}, container.Args)
	at := slices.IndexFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == container.Args[1] })
	require.GreaterOrEqual(t, at, 0)
	assert.NotEmpty(t, container.VolumeMounts[at].SubPath, "a kubelet never updates it, so that the pods have to be replaced")
}

// A changed list of fields has to replace the exporter's pods: nothing else brings it to them.
func TestExporterFollowsItsFields(t *testing.T) {
	inputs := programReleases(t)["dcgm-exporter"]
	values := inputs["values"].(map[string]any)
	annotation := "vllm-autoscaling/fields-checksum"
	assert.NotEmpty(t, onlyPod(t, inputs).meta[annotation])
	without := maps.Clone(values)
	delete(without, "podAnnotations")
	before := onlyPod(t, map[string]any{"name": "dcgm-exporter", "namespace": "monitoring", "chart": "dcgm-exporter", "values": without})
	without["customMetrics"] = "DCGM_FI_DEV_GPU_UTIL, gauge, another list.\n"
	after := onlyPod(t, map[string]any{"name": "dcgm-exporter", "namespace": "monitoring", "chart": "dcgm-exporter", "values": without})
	assert.Equal(t, before.meta, after.meta, "the chart itself does not replace them")
}

func TestDevicePluginPod(t *testing.T) {
	// Upstream has a second DaemonSet, for the nodes of another way of sharing.
	found := pods(t, objects(t, programReleases(t)["nvidia-device-plugin"]))
	at := slices.IndexFunc(found, func(p pod) bool { return p.owner == "DaemonSet nvidia-device-plugin" })
	require.GreaterOrEqual(t, at, 0)
	p := found[at]
	assert.Equal(t, coreTolerations(), p.spec.Tolerations)
	security := p.spec.Containers[0].SecurityContext
	assert.Equal(t, []corev1.Capability{"SYS_ADMIN"}, security.Capabilities.Add)
	assert.Equal(t, []corev1.Capability{"ALL"}, security.Capabilities.Drop)
	assert.Nil(t, security.AllowPrivilegeEscalation, "false contradicts SYS_ADMIN")
}

// The target of a DNS server that a cluster does not have is down for ever.
func TestDNSScrapesFollowTheValues(t *testing.T) {
	inputs := programReleases(t)[KubePrometheusStack]
	services := func() []string {
		var found []string
		for _, o := range objects(t, inputs) {
			if o.GetKind() == "Service" && o.GetNamespace() == "kube-system" {
				found = append(found, o.GetName())
			}
		}
		return found
	}
	assert.Equal(t, []string{"kps-coredns"}, services())
	inputs["values"].(map[string]any)["coreDns"] = map[string]any{"enabled": false}
	assert.Empty(t, services())
}

// The Job needs the rights on its CRDs, and images with a fixed version.
func TestCRDUpgradeJob(t *testing.T) {
	all := objects(t, programReleases(t)[KubePrometheusStack])
	found := pods(t, all)
	at := slices.IndexFunc(found, func(p pod) bool { return p.owner == "Job kps-crds-upgrade" })
	require.GreaterOrEqual(t, at, 0)
	job := found[at].spec
	assert.Equal(t, "docker.io/busybox:1.37.0", job.InitContainers[0].Image)
	assert.Equal(t, "registry.k8s.io/kubectl:v1.34.1", job.Containers[0].Image, "that of the cluster, without the cloud's suffix")
	assert.Equal(t, []string{"apply", "--server-side", "--force-conflicts", "--filename", "/tmp/crds.yaml"}, job.Containers[0].Args)
	assert.True(t, *job.SecurityContext.RunAsNonRoot)
	for _, kind := range []string{"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap"} {
		assert.True(t, slices.ContainsFunc(all, func(o *unstructured.Unstructured) bool {
			return o.GetKind() == kind && o.GetName() == "kps-crds-upgrade" && strings.Contains(o.GetAnnotations()["helm.sh/hook"], "pre-upgrade")
		}), kind)
	}
}

func onlyPod(t *testing.T, inputs map[string]any) pod {
	t.Helper()
	found := pods(t, objects(t, inputs))
	require.Len(t, found, 1)
	return found[0]
}

func coreTolerations() []corev1.Toleration {
	var out []corev1.Toleration
	for _, toleration := range gpuTolerations {
		out = append(out, corev1.Toleration{Key: toleration.Key, Operator: corev1.TolerationOperator(cmp.Or(toleration.Operator, "Equal")),
			Value: toleration.Value, Effect: corev1.TaintEffect(toleration.Effect)})
	}
	return out
}
