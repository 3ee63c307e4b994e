package stacks

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/internals"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/kubeclient"
	"vllm-autoscaling/providers/neighbours"
	"vllm-autoscaling/stacks/config"
)

const (
	// neighboursTimeout bounds the look at what a cluster has, which is over in less than a second where it answers.
	neighboursTimeout = 5 * time.Second
	// nodeExporterPort is the port of kube-prometheus-stack's node exporter on every node.
	nodeExporterPort = 9100
)

// The groups of the APIs that prometheus-adapter's chart can register.
const (
	customMetricsGroup   = "custom.metrics.k8s.io"
	externalMetricsGroup = "external.metrics.k8s.io"
	resourceMetricsGroup = "metrics.k8s.io"
)

// checkNeighbours looks at a cluster that others use too: it proposes keys for what is there already, and refuses what the stack
// would fight over. Where it gets no answer, there is nothing to propose or refuse.
func (d *deployment) checkNeighbours() error {
	if !d.config.ExistingCluster() {
		return nil
	}
	kubeconfig, err := internals.UnsafeAwaitOutput(d.ctx.Context(), d.cluster.ProviderKubeconfig())
	if err != nil {
		return nil //nolint:nilerr // Whatever it comes from reports why there is none.
	}
	text, ok := kubeconfig.Value.(string)
	if !ok {
		return nil // Not known in a preview.
	}
	client, err := kubeclient.New(text)
	if err != nil {
		return nil //nolint:nilerr // The provider reports a kubeconfig that cannot be used.
	}
	defer client.Close()
	limited, cancel := context.WithTimeout(d.ctx.Context(), neighboursTimeout)
	defer cancel()
	stack := registered(d.config)
	if d.cluster.InstallDevicePlugin {
		stack.Workloads = append(stack.Workloads, devicePlugin)
	}
	if a := d.cluster.NodeAutoscaler; a != nil {
		stack.Workloads = append(stack.Workloads, nodeAutoscaler(a))
	}
	found, err := neighbours.Find(limited, client, stack)
	if err != nil {
		if err := d.ctx.Log.Debug("what the cluster has already: "+err.Error(), &pulumi.LogArgs{}); err != nil {
			return err
		}
	}
	return d.judge(found)
}

// judge refuses what the stack would fight over, and otherwise proposes keys.
func (d *deployment) judge(found neighbours.Found) error {
	foreign := len(found.ClusterRoles) > 0
	for _, api := range found.APIs {
		foreign = foreign || !api.Stack
	}
	if foreign {
		return d.taken(found.APIs, found.ClusterRoles)
	}
	// The API may be this stack's own, under an earlier namespaces.monitoring: checkRival finds out.
	d.rivals, d.installed = found.APIs, found.Workloads
	if d.config.Monitoring.Operator == config.OperatorShared && pipelines[d.config.Metrics].prometheus && found.NoCRDs {
		return fmt.Errorf("%s = shared: the cluster has no CRDs of the Prometheus Operator (prometheusrules.monitoring.coreos.com), so no operator "+
			"runs there that could be shared: have it installed first, or `%s`", d.key("monitoring.operator"), d.set("monitoring.operator", config.OperatorOwn))
	}
	for _, proposal := range d.proposals(found) {
		if err := d.ctx.Log.Warn(proposal, &pulumi.LogArgs{}); err != nil {
			return err
		}
	}
	return nil
}

// checkRival refuses an API that another stack of the program has registered: a preview finds out whether this stack has registered
// it, because it would create it otherwise.
func (d *deployment) checkRival() error {
	if len(d.rivals) == 0 || !d.ctx.DryRun() {
		return nil
	}
	for _, r := range d.pipeline.serving {
		service, ok := r.(pulumi.CustomResource)
		if !ok {
			continue
		}
		urn, err := internals.UnsafeAwaitOutput(d.ctx.Context(), r.URN())
		if err != nil {
			return err
		}
		if text := fmt.Sprint(urn.Value); !strings.HasSuffix(text, "::"+components.MetricsAPIName) {
			continue
		}
		if creates, err := d.creates(service); err != nil || !creates {
			return err
		}
		return d.taken(d.rivals, nil)
	}
	return nil
}

// creates reports whether a preview plans to create a resource, which has no ID then.
func (d *deployment) creates(r pulumi.CustomResource) (bool, error) {
	id, err := internals.UnsafeAwaitOutput(d.ctx.Context(), r.ID())
	return err == nil && !id.Known, err
}

// devicePlugin is what the device plugin's release creates.
var devicePlugin = neighbours.Object{Kind: "DaemonSet", Namespace: devicePluginNamespace, Name: components.DevicePluginName}

// nodeAutoscaler returns what the node autoscaler's release creates.
func nodeAutoscaler(a *providers.NodeAutoscaler) neighbours.Object {
	return neighbours.Object{Kind: "Deployment", Namespace: a.Namespace, Name: components.ClusterAutoscalerName}
}

// checkInstalled refuses to install what another stack has installed for the whole cluster. key is that of the cloud by which a stack
// uses what is there. A preview finds out whether the release is the stack's own, because it would create it otherwise.
func (d *deployment) checkInstalled(release pulumi.CustomResource, object neighbours.Object, key string) error {
	if !d.ctx.DryRun() {
		return nil
	}
	for _, there := range d.installed {
		if there.Kind != object.Kind || there.Name != object.Name {
			continue
		}
		if creates, err := d.creates(release); err != nil || !creates {
			return err
		}
		return fmt.Errorf("%s is in the cluster already, and this stack would install another one of the same name. Nothing was created in the cluster. Use it: `%s`; "+
			"or, where an update of this stack that was killed has left it, `make recover` (docs/recovery.md)", there, d.set(d.config.Cloud+"."+key, "true"))
	}
	return nil
}

// taken returns the error of objects that the stack would create and somebody else has.
func (d *deployment) taken(apis []neighbours.API, roles []neighbours.Object) error {
	var objects, ways []string
	attach := false
	for _, api := range apis {
		objects = append(objects, fmt.Sprintf("%s, which Service %s/%s answers", api.Object, api.ServiceNamespace, api.Service))
		if rules, found := adapterRules[api.Group]; found {
			ways = append(ways, fmt.Sprintf("remove %s, for which the adapter's chart registers it", d.key("charts.prometheusAdapter.values.rules."+rules)))
			continue
		}
		attach = true
	}
	for _, role := range roles {
		objects, attach = append(objects, role.String()), true
	}
	if attach {
		ways = append(ways, fmt.Sprintf("attach this stack to that Prometheus and adapter (docs/existing-clusters.md): `pulumi config set %s existing` and `%s`",
			d.key("metrics"), d.set("autoscaling.adapter", "existing")))
	}
	ways = append(ways, fmt.Sprintf("remove them with their owner if nobody needs them (`%s describe %s`)", d.cluster.Kubectl, names(apis, roles)),
		fmt.Sprintf("take another cluster; where they are this stack's own, of before %s was changed, set that key back", d.key("namespaces.monitoring")))
	return fmt.Errorf("the cluster has, of somebody else, what a cluster has once and this stack would register too: %s. Nothing was created in the cluster. Ways out: %s",
		strings.Join(objects, "; "), strings.Join(ways, "; or "))
}

// names returns the objects as kubectl names them.
func names(apis []neighbours.API, roles []neighbours.Object) string {
	var all []string
	for _, api := range apis {
		all = append(all, "apiservice/"+api.Name)
	}
	for _, role := range roles {
		all = append(all, "clusterrole/"+role.Name)
	}
	return strings.Join(all, " ")
}

// registered returns what the stack registers in a cluster that others may have there too.
func registered(c *config.Config) neighbours.Stack {
	parts := pipelines[c.Metrics]
	stack := neighbours.Stack{Monitoring: c.Namespaces.Monitoring, Project: components.Project, APIs: registeredAPIs(c)}
	if parts.adapter == components.PrometheusAdapterRelease && len(stack.APIs) > 0 {
		stack.ClusterRoles = append(stack.ClusterRoles, components.PrometheusAdapterRelease+"-resource-reader")
	}
	if !parts.prometheus {
		return stack
	}
	stack.ClusterRoles = append(stack.ClusterRoles, components.PrometheusService)
	if c.Monitoring.Operator == config.OperatorOwn && enabled(c, "prometheusOperator") {
		stack.ClusterRoles = append(stack.ClusterRoles, components.KubePrometheusStackRelease+"-operator")
	}
	if c.Monitoring.KubeStateMetrics == config.StateMetricsOwn && enabled(c, "kubeStateMetrics") {
		stack.ClusterRoles = append(stack.ClusterRoles, components.KubePrometheusStackRelease+"-kube-state-metrics")
	}
	if c.Monitoring.NodeExporter == config.NodeExporterOwn && enabled(c, "nodeExporter") {
		stack.NodeExporterPort = nodeExporterPort
		given := value(c.Charts.KubePrometheusStack.Values, "prometheus-node-exporter", "service", "port")
		if port, err := strconv.Atoi(fmt.Sprint(given)); err == nil {
			stack.NodeExporterPort = port
		}
	}
	return stack
}

// adapterRules are the values of prometheus-adapter's chart with which it registers an API of its own, by the group of the API.
var adapterRules = map[string]string{externalMetricsGroup: "external", resourceMetricsGroup: "resource"}

// registeredAPIs returns the groups of the aggregated APIs that the stack registers.
func registeredAPIs(c *config.Config) []string {
	if pipelines[c.Metrics].adapter == "" {
		return nil
	}
	groups := []string{customMetricsGroup}
	if pipelines[c.Metrics].adapter != components.PrometheusAdapterRelease {
		return groups
	}
	for group, rules := range adapterRules {
		if value(c.Charts.PrometheusAdapter.Values, "rules", rules) != nil {
			groups = append(groups, group)
		}
	}
	return groups
}

// enabled reports whether the values of kube-prometheus-stack leave one of its parts on.
func enabled(c *config.Config, part string) bool {
	return value(c.Charts.KubePrometheusStack.Values, part, "enabled") != false
}

// value returns a value of a chart, or nil.
func value(values map[string]any, path ...string) any {
	var at any = values
	for _, name := range path {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[name]
	}
	return at
}

// key returns a key with the project's namespace.
func (d *deployment) key(key string) string { return d.config.Project + ":" + key }

// set returns the command that sets a key below a top-level one.
func (d *deployment) set(key, value string) string {
	return fmt.Sprintf("pulumi config set --path '%s' %s", d.key(key), value)
}
