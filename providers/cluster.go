package providers

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Cluster is everything the pipeline may know about the place it runs in, as data. What would
// otherwise be a switch on the cloud somewhere in a component is a field here.
type Cluster struct {
	// Name is the cluster's name as people know it: the cloud's name of it, or the kubeconfig
	// context of an existing cluster.
	Name string
	// Kubectl is how people call kubectl for it, such as "kubectl --context kind-kind".
	Kubectl string
	// Login is the cloud's command that gives kubectl that context; "" where it is there already.
	Login string
	// Provider creates the objects in the cluster. Required.
	Provider *kubernetes.Provider
	// Ready lists what every object has to wait for, such as node pools. Empty for a cluster that
	// already stands.
	Ready []pulumi.Resource
	// GPU describes how a pod gets a GPU.
	GPU GPUScheduling
	// OwnGPU describes how a pod of a server with a pool of its own gets a GPU there, by the server's name.
	OwnGPU map[string]GPUScheduling
	// GPUMetrics describes where the DCGM series come from.
	GPUMetrics GPUMetrics
	// InstallDevicePlugin is true where nothing else advertises nvidia.com/gpu to the kubelet.
	InstallDevicePlugin bool
	// MainDevicePlugin is true where the nodes of GPU have a device plugin already, and that of InstallDevicePlugin is for the
	// nodes of OwnGPU alone.
	MainDevicePlugin bool
	// DevicePluginCapabilities lists the Linux capabilities that the device plugin needs with the image of the GPU
	// nodes, such as SYS_ADMIN; empty for none.
	DevicePluginCapabilities []string
	// StorageClass is the class of Prometheus' volume; "" means the cluster's default class.
	StorageClass string
	// ControlPlaneScrapes is true where Prometheus can reach etcd, the scheduler, the controller
	// manager and kube-proxy. Managed control planes hide them, and their alerts would always fire.
	ControlPlaneScrapes bool
	// CoreDNSScrapes is true where the cluster's DNS is CoreDNS with its metrics on port 9153, its usual one. Of
	// another server, nothing would answer there and an alert would always fire.
	CoreDNSScrapes bool
	// AggregatedAPIPort is a TCP port on which the control plane can reach the pods of an
	// aggregated API server. Private clusters open only a few to it; 10250 is open everywhere,
	// because the kubelet needs it.
	AggregatedAPIPort int
	// Kubeconfig is a kubeconfig for people and CI, without a token: it names the cloud's exec
	// plugin. A secret.
	Kubeconfig pulumi.StringOutput
	// ExistingKubeconfig is the kubeconfig of Provider where the user has one, and Kubeconfig is unset. A secret.
	ExistingKubeconfig pulumi.StringOutput
	// ServerEnv is extra environment of the inference server that this place needs, by variable. It
	// has the paths of things at that place, such as the GPU driver's libraries, and no secrets.
	ServerEnv map[string]string
	// NodeAutoscaler is set where the cloud runs no node autoscaler of its own.
	NodeAutoscaler *NodeAutoscaler
	// ManagedMetrics is set where the cloud collects and stores the metrics and the stack asked to read them
	// from there.
	ManagedMetrics *ManagedMetrics
	// Buckets are the identities with which the pods of Request.Buckets reach their folders, by the server's name.
	Buckets map[string]BucketIdentity
}

// ManagedMetrics is a cloud's own collection and store of metrics.
type ManagedMetrics struct {
	// CollectorNamespace is where the cloud's collectors run, which scrape the server's pods.
	CollectorNamespace string
	// Access lists what lets the stack's adapter read from the store; its pods have to wait for it.
	Access []pulumi.Resource
}

// ServiceAccount names a ServiceAccount of the cluster, for which a cloud can be told to trust it.
type ServiceAccount struct {
	Namespace, Name string
}

// GPUScheduling describes how a pod requests GPUs and lands on a node that has them.
type GPUScheduling struct {
	// ResourceName is the extended resource to request, usually "nvidia.com/gpu"; "" means that no
	// GPU is requested (simulated GPUs).
	ResourceName string
	// PerReplica is the number of GPUs of one replica; at least 1 when ResourceName is set.
	PerReplica int
	// NodeSelector selects the GPU nodes; empty selects every node.
	NodeSelector map[string]string
	// Tolerations let a pod onto the GPU nodes, which clouds taint to keep other pods off them.
	Tolerations []Toleration
}

// Toleration is a Kubernetes toleration as plain values.
type Toleration struct {
	// Key is the taint's key; "" together with Exists tolerates every taint.
	Key string
	// Operator is "Exists" or "Equal"; "" means Equal, as in Kubernetes.
	Operator string
	// Value is the taint's value; must be "" with Exists.
	Value string
	// Effect is "NoSchedule", "PreferNoSchedule" or "NoExecute"; "" means every effect.
	Effect string
}

// GPUMetricsSource is who produces the DCGM series.
type GPUMetricsSource string

// The sources of GPU metrics.
const (
	// DCGMChart installs NVIDIA's dcgm-exporter chart.
	DCGMChart GPUMetricsSource = "dcgm-chart"
	// Managed selects an exporter that the cloud runs, in a namespace that is not ours to write to.
	Managed GPUMetricsSource = "managed"
	// Simulated installs nothing: a recording rule produces the series from the server's load.
	Simulated GPUMetricsSource = "simulated"
)

// GPUMetrics describes where the DCGM series come from.
type GPUMetrics struct {
	// Source is one of DCGMChart, Managed and Simulated.
	Source GPUMetricsSource
	// Managed describes the cloud's exporter; required when Source is Managed, else ignored.
	Managed ManagedExporter
}

// ManagedExporter describes how to find the pods of an exporter that the cloud runs.
type ManagedExporter struct {
	// Namespace is the namespace of the exporter's pods.
	Namespace string
	// PodLabels select the exporter's pods.
	PodLabels map[string]string
	// Port is the name of the container port that serves /metrics.
	Port string
}

// ProviderKubeconfig returns the kubeconfig with which the program itself reaches the cluster, as a secret.
func (c *Cluster) ProviderKubeconfig() pulumi.StringOutput {
	if c.ExistingKubeconfig.OutputState != nil {
		return c.ExistingKubeconfig
	}
	return c.Kubeconfig
}

// Validate reports what is missing or contradictory in a Cluster. A provider package that
// returns an invalid Cluster has a bug, so the messages name fields, not configuration keys.
func (c *Cluster) Validate() error {
	var problems []string
	if c.Provider == nil {
		problems = append(problems, "Provider is missing")
	}
	if c.AggregatedAPIPort < 1 || c.AggregatedAPIPort > 65535 {
		problems = append(problems, fmt.Sprintf("AggregatedAPIPort %d is not a port (1 to 65535)", c.AggregatedAPIPort))
	}
	if err := c.GPU.Validate(); err != nil {
		problems = append(problems, err.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(c.OwnGPU)) {
		own := c.OwnGPU[name]
		if err := own.Validate(); err != nil {
			problems = append(problems, fmt.Sprintf("OwnGPU of %q: %s", name, err))
		}
		if own.NodeSelector[PoolLabel] == "" {
			problems = append(problems, fmt.Sprintf("OwnGPU of %q does not select %s", name, PoolLabel))
		}
	}
	if err := c.GPUMetrics.Validate(); err != nil {
		problems = append(problems, err.Error())
	}
	if len(problems) > 0 {
		return fmt.Errorf("cluster %q: %s", c.Name, strings.Join(problems, "; "))
	}
	return nil
}

// Validate reports an impossible GPU request or toleration.
func (g GPUScheduling) Validate() error {
	if g.ResourceName != "" && g.PerReplica < 1 {
		return fmt.Errorf("GPU.PerReplica %d is not a number of %s (at least 1)", g.PerReplica, g.ResourceName)
	}
	for _, t := range g.Tolerations {
		if err := t.Validate(); err != nil {
			return fmt.Errorf("GPU.Tolerations: %w", err)
		}
	}
	return nil
}

// Validate reports a toleration that the API server would refuse.
func (t Toleration) Validate() error {
	if operators := []string{"", "Exists", "Equal"}; !slices.Contains(operators, t.Operator) {
		return fmt.Errorf("operator %q of toleration %q not supported (one of: Exists, Equal)", t.Operator, t.Key)
	}
	if effects := []string{"", "NoSchedule", "PreferNoSchedule", "NoExecute"}; !slices.Contains(effects, t.Effect) {
		return fmt.Errorf("effect %q of toleration %q not supported (one of: NoSchedule, PreferNoSchedule, NoExecute, or empty for all)",
			t.Effect, t.Key)
	}
	if t.Operator == "Exists" && t.Value != "" {
		return fmt.Errorf("toleration %q has operator Exists and value %q: remove the value or use Equal", t.Key, t.Value)
	}
	if t.Key == "" && t.Operator != "Exists" {
		return fmt.Errorf("toleration without a key needs operator Exists, which tolerates every taint")
	}
	return nil
}

// Validate reports an unknown source or an incomplete managed exporter.
func (m GPUMetrics) Validate() error {
	switch m.Source {
	case DCGMChart, Simulated:
		return nil
	case Managed:
		if m.Managed.Namespace == "" || len(m.Managed.PodLabels) == 0 || m.Managed.Port == "" {
			return fmt.Errorf("a managed GPU exporter needs Namespace, PodLabels and Port (have %q, %v, %q)",
				m.Managed.Namespace, m.Managed.PodLabels, m.Managed.Port)
		}
		return nil
	default:
		return fmt.Errorf("GPU metrics source %q not supported (one of: %s, %s, %s)", m.Source, DCGMChart, Managed, Simulated)
	}
}
