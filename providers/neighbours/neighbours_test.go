package neighbours

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers/kubeclient"
)

// cluster is an API server with these answers, by path and label selector.
type cluster map[string]string

func (c cluster) Get(_ context.Context, path string, query url.Values, into any) error {
	answer, ok := c[path+query.Get("labelSelector")]
	switch {
	case answer == "forbidden":
		return &kubeclient.StatusError{Code: 403}
	case answer == "broken":
		return errors.New("connection refused")
	case !ok && len(query) == 0:
		return &kubeclient.StatusError{Code: 404}
	case !ok:
		answer = `{"items": []}`
	}
	return json.Unmarshal([]byte(answer), into)
}

const (
	apiPath       = "/apis/apiregistration.k8s.io/v1/apiservices"
	rolePath      = "/apis/rbac.authorization.k8s.io/v1/clusterroles/"
	daemonSetPath = "/apis/apps/v1/daemonsets"
	servicePath   = "/api/v1/servicesapp.kubernetes.io/name=kube-state-metrics"
	operatorPath  = "/apis/apps/v1/deploymentsapp.kubernetes.io/name=prometheus-operator"
	chartPath     = "/apis/apps/v1/deploymentsapp=kube-prometheus-stack-operator"
	crdPath       = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/prometheusrules.monitoring.coreos.com"
)

var stack = Stack{
	Monitoring: "monitoring", APIs: []string{"custom.metrics.k8s.io"}, ClusterRoles: []string{"kps-operator"}, Project: "vllm-autoscaling", NodeExporterPort: 9100,
}

// helm returns the annotations of a release's objects.
func helm(namespace, name string) string {
	return `"annotations": {"meta.helm.sh/release-name": "` + name + `", "meta.helm.sh/release-namespace": "` + namespace + `"}`
}

// find looks at a cluster that has these answers, and no APIServices and DaemonSets unless they are among them.
func find(t *testing.T, answers cluster) Found {
	t.Helper()
	for _, path := range []string{apiPath, daemonSetPath} {
		if answers[path] == "" {
			answers[path] = `{"items": []}`
		}
	}
	found, err := Find(t.Context(), answers, stack)
	require.NoError(t, err)
	return found
}

func TestAnEmptyCluster(t *testing.T) {
	assert.Equal(t, Found{NoCRDs: true, OperatorsRead: true}, find(t, cluster{}))
}

func TestAPIs(t *testing.T) {
	api := func(name, metadata, group, service string) string {
		return `{"items": [{"metadata": {"name": "` + name + `"` + metadata + `}, "spec": {"group": "` + group + `"` + service + `}}]}`
	}
	service := func(namespace string) string {
		return `, "service": {"namespace": "` + namespace + `", "name": "adapter"}`
	}
	for name, test := range map[string]struct {
		answer string
		want   string // "" for none
		stack  bool
	}{
		"the stack's own, of any adapter": {answer: api("v1beta1.custom.metrics.k8s.io", "", "custom.metrics.k8s.io", service("monitoring"))},
		"a release of another namespace": {
			answer: api("v1beta1.custom.metrics.k8s.io", ", "+helm("theirs", "pa"), "custom.metrics.k8s.io", service("theirs")),
			want:   "APIService v1beta1.custom.metrics.k8s.io (of Helm release theirs/pa)",
		},
		"another version of the group": {
			answer: api("v1beta2.custom.metrics.k8s.io", "", "custom.metrics.k8s.io", service("custom-metrics")),
			want:   "APIService v1beta2.custom.metrics.k8s.io",
		},
		"another stack": {
			answer: api("v1beta1.custom.metrics.k8s.io", `, "labels": {"app.kubernetes.io/part-of": "vllm-autoscaling"}`, "custom.metrics.k8s.io", service("other")),
			want:   "APIService v1beta1.custom.metrics.k8s.io (of another stack of this program in namespace other)", stack: true,
		},
		"KEDA's, of another group":       {answer: api("v1beta1.external.metrics.k8s.io", "", "external.metrics.k8s.io", service("keda"))},
		"one of the API server's own":    {answer: api("v1.custom.metrics.k8s.io", "", "custom.metrics.k8s.io", "")},
		"a name that looks like a group": {answer: api("v1beta1.custom.metrics.k8s.io.example.com", "", "custom.metrics.k8s.io.example.com", service("x"))},
	} {
		t.Run(name, func(t *testing.T) {
			found := find(t, cluster{apiPath: test.answer}).APIs
			if test.want == "" {
				assert.Empty(t, found)
				return
			}
			require.Len(t, found, 1)
			assert.Equal(t, test.want, found[0].String())
			assert.Equal(t, test.stack, found[0].Stack)
		})
	}
	found, err := Find(t.Context(), cluster{apiPath: "broken"}, Stack{Monitoring: "monitoring"})
	require.NoError(t, err, "a stack that registers no API asks for none")
	assert.Empty(t, found.APIs)
}

func TestClusterRoles(t *testing.T) {
	role := func(annotations string) string { return `{"metadata": {"name": "kps-operator", ` + annotations + `}}` }
	assert.Empty(t, find(t, cluster{rolePath + "kps-operator": role(helm("monitoring", "kps"))}).ClusterRoles)
	found := find(t, cluster{rolePath + "kps-operator": role(helm("platform", "kps"))}).ClusterRoles
	assert.Equal(t, []Object{{Kind: "ClusterRole", Name: "kps-operator", Owner: "Helm release platform/kps"}}, found)
	assert.Len(t, find(t, cluster{rolePath + "kps-operator": role(`"annotations": {}`)}).ClusterRoles, 1, "Helm takes over no object without a release")
}

func TestWorkloads(t *testing.T) {
	plugin := Object{Kind: "DaemonSet", Namespace: "kube-system", Name: "nvidia-device-plugin"}
	asked := Stack{Monitoring: "monitoring", Workloads: []Object{plugin, {Kind: "Deployment", Namespace: "kube-system", Name: "cluster-autoscaler"}}}
	found, err := Find(t.Context(), cluster{"/apis/apps/v1/namespaces/kube-system/daemonsets/nvidia-device-plugin": `{"metadata": {"name": "nvidia-device-plugin", ` +
		helm("kube-system", "nvidia-device-plugin") + `}}`}, asked)
	require.NoError(t, err)
	plugin.Owner = "Helm release kube-system/nvidia-device-plugin"
	assert.Equal(t, []Object{plugin}, found.Workloads)
}

func TestNodeExporters(t *testing.T) {
	daemonSet := func(metadata, pod string) string {
		return `{"items": [{"metadata": {"namespace": "platform", "name": "node-exporter"` + metadata + `}, "spec": {"template": {"spec": ` + pod + `}}}]}`
	}
	const host = `{"hostNetwork": true, "containers": [{"image": "i", "ports": [{"containerPort": 9100}]}]}`
	for name, test := range map[string]struct {
		answer string
		want   int
	}{
		"in the host's network":    {daemonSet("", host), 1},
		"a port of the host":       {daemonSet("", `{"containers": [{"image": "i", "ports": [{"containerPort": 80, "hostPort": 9100}]}]}`), 1},
		"a port of the pod":        {daemonSet("", `{"containers": [{"image": "i", "ports": [{"containerPort": 9100}]}]}`), 0},
		"another port":             {daemonSet("", `{"hostNetwork": true, "containers": [{"image": "i", "ports": [{"containerPort": 9101}]}]}`), 0},
		"on Windows":               {daemonSet("", `{"nodeSelector": {"kubernetes.io/os": "windows"}, `+host[1:]), 0},
		"the stack's own":          {daemonSet(", "+helm("monitoring", "kps"), host), 0},
		"a release with our name":  {daemonSet(", "+helm("platform", "kps"), host), 1},
		"in the stack's namespace": {`{"items": [{"metadata": {"namespace": "monitoring", "name": "n"}, "spec": {"template": {"spec": ` + host + `}}}]}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Len(t, find(t, cluster{daemonSetPath: test.answer}).NodeExporters, test.want)
		})
	}
}

func TestStateMetrics(t *testing.T) {
	found := find(t, cluster{servicePath: `{"items": [
		{"metadata": {"namespace": "monitoring", "name": "kps-kube-state-metrics", ` + helm("monitoring", "kps") + `}},
		{"metadata": {"namespace": "kube-system", "name": "kube-state-metrics", "labels": {"app.kubernetes.io/name": "kube-state-metrics"}},
		 "spec": {"ports": [{"name": "http-metrics"}, {"name": "telemetry"}]}}]}`}).StateMetrics
	require.Len(t, found, 1)
	assert.Equal(t, "kube-system/kube-state-metrics", found[0].Namespace+"/"+found[0].Name)
	assert.Equal(t, []string{"http-metrics", "telemetry"}, found[0].Ports)
}

func TestOperators(t *testing.T) {
	const image = "quay.io/prometheus-operator/prometheus-operator:v0.80.1@sha256:00"
	deployment := func(metadata, image, args string) string {
		return `{"items": [{"metadata": {` + metadata + `}, "spec": {"template": {"spec": {"containers": [{"image": "` + image + `", "args": [` + args + `]}]}}}}]}`
	}
	const theirs = `"namespace": "platform", "name": "prometheus-operator"`
	for name, test := range map[string]struct {
		args string
		want bool
	}{
		"everything":                      {`"--log-level=info"`, true},
		"namespaces with ours":            {`"--namespaces=apps,monitoring"`, true},
		"other namespaces":                {`"--namespaces=apps"`, false},
		"a Prometheus of others":          {`"--prometheus-instance-namespaces=platform"`, false},
		"a Prometheus of any namespace":   {`"--prometheus-instance-namespaces="`, true},
		"all but ours":                    {`"--deny-namespaces=monitoring"`, false},
		"those with its id":               {`"--controller-id=platform/operator"`, false},
		"an Alertmanager of others alone": {`"--alertmanager-instance-namespaces=platform"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			found := find(t, cluster{operatorPath: deployment(theirs, image, test.args)})
			assert.Empty(t, found.OwnOperator)
			if !test.want {
				assert.Empty(t, found.Operators)
				return
			}
			require.Len(t, found.Operators, 1)
			assert.Equal(t, "v0.80.1", found.Operators[0].Version)
		})
	}
	both := find(t, cluster{operatorPath: deployment(theirs, image, ""), chartPath: deployment(theirs, image, "")})
	assert.Len(t, both.Operators, 1, "selected by two of its labels")
	own := find(t, cluster{chartPath: deployment(`"namespace": "monitoring", "name": "kps-operator", `+helm("monitoring", "kps"), image, "")})
	assert.Empty(t, own.Operators)
	assert.Equal(t, "v0.80.1", own.OwnOperator)
	other := find(t, cluster{operatorPath: deployment(theirs, "registry.example.com:5000/tools/backup", "")})
	assert.Empty(t, other.Operators, "another program with the label")
	assert.Empty(t, tagOf("registry.example.com:5000/operator"))
}

func TestCRDs(t *testing.T) {
	found := find(t, cluster{crdPath: `{"metadata": {"annotations": {"operator.prometheus.io/version": "0.80.1"}}}`})
	require.NotNil(t, found.CRDs)
	assert.Equal(t, "0.80.1", found.CRDs.Version)
	assert.False(t, found.NoCRDs)
}

// What cannot be read keeps nothing else from being found, and is not taken for missing.
func TestWithoutAccess(t *testing.T) {
	found, err := Find(t.Context(), cluster{
		apiPath: "forbidden", rolePath + "kps-operator": "forbidden", daemonSetPath: "broken", operatorPath: "forbidden", crdPath: "forbidden",
		servicePath: `{"items": [{"metadata": {"namespace": "platform", "name": "ksm"}}]}`,
	}, stack)
	for _, what := range []string{"APIServices", "ClusterRole kps-operator", "DaemonSets", "Prometheus Operator", "CRD"} {
		assert.ErrorContains(t, err, what)
	}
	assert.Len(t, found.StateMetrics, 1)
	assert.False(t, found.NoCRDs)
	assert.False(t, found.OperatorsRead)
}
