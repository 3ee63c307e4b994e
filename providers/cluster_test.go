package providers

import (
	"testing"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/stretchr/testify/assert"
)

func validCluster() *Cluster {
	return &Cluster{
		Name:     "prod",
		Provider: &kubernetes.Provider{},
		GPU: GPUScheduling{
			ResourceName: "nvidia.com/gpu", PerReplica: 1,
			Tolerations: []Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}},
		},
		GPUMetrics:        GPUMetrics{Source: DCGMChart},
		AggregatedAPIPort: 10250,
	}
}

func TestClusterValidate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Cluster)
		want   string
	}{
		"valid":                 {func(*Cluster) {}, ""},
		"no GPU requested":      {func(c *Cluster) { c.GPU = GPUScheduling{} }, ""},
		"simulated metrics":     {func(c *Cluster) { c.GPUMetrics.Source = Simulated }, ""},
		"every taint tolerated": {func(c *Cluster) { c.GPU.Tolerations = []Toleration{{Operator: "Exists"}} }, ""},
		"an equal taint":        {func(c *Cluster) { c.GPU.Tolerations = []Toleration{{Key: "sku", Value: "gpu"}} }, ""},
		"a managed exporter":    {func(c *Cluster) { c.GPUMetrics = managed() }, ""},
		"no provider":           {func(c *Cluster) { c.Provider = nil }, `cluster "prod": Provider is missing`},
		"an own pool":           {func(c *Cluster) { c.OwnGPU = ownGPU("chat") }, ""},
		"an own pool of all": {func(c *Cluster) { c.OwnGPU = map[string]GPUScheduling{"chat": c.GPU} },
			`OwnGPU of "chat" does not select vllm-autoscaling/pool`},
		"an own pool without GPUs": {func(c *Cluster) {
			c.OwnGPU = ownGPU("chat")
			own := c.OwnGPU["chat"]
			own.ResourceName = "nvidia.com/gpu"
			c.OwnGPU["chat"] = own
		}, `OwnGPU of "chat": GPU.PerReplica 0`},
		"no port":                {func(c *Cluster) { c.AggregatedAPIPort = 0 }, "AggregatedAPIPort 0 is not a port"},
		"a port too high":        {func(c *Cluster) { c.AggregatedAPIPort = 65536 }, "AggregatedAPIPort 65536 is not a port"},
		"no GPU in a GPU":        {func(c *Cluster) { c.GPU.PerReplica = 0 }, "GPU.PerReplica 0"},
		"an operator":            {func(c *Cluster) { c.GPU.Tolerations[0].Operator = "In" }, `operator "In"`},
		"an effect":              {func(c *Cluster) { c.GPU.Tolerations[0].Effect = "Evict" }, `effect "Evict"`},
		"Exists with a value":    {func(c *Cluster) { c.GPU.Tolerations[0].Value = "x" }, "remove the value or use Equal"},
		"neither key nor Exists": {func(c *Cluster) { c.GPU.Tolerations = []Toleration{{}} }, "without a key needs operator Exists"},
		"no source":              {func(c *Cluster) { c.GPUMetrics.Source = "" }, `source "" not supported (one of: dcgm-chart, managed, simulated)`},
		"an incomplete exporter": {func(c *Cluster) { c.GPUMetrics = managed(); c.GPUMetrics.Managed.PodLabels = nil }, "needs Namespace, PodLabels and Port"},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := validCluster()
			test.change(cluster)
			if err := cluster.Validate(); test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.want)
			}
		})
	}
}

func TestClusterValidateReportsEverything(t *testing.T) {
	err := (&Cluster{Name: "prod", GPUMetrics: GPUMetrics{Source: "none"}}).Validate()
	for _, want := range []string{"Provider", "AggregatedAPIPort", `source "none"`} {
		assert.ErrorContains(t, err, want)
	}
}

func managed() GPUMetrics {
	return GPUMetrics{Source: Managed, Managed: ManagedExporter{
		Namespace: "exporter", PodLabels: map[string]string{"app": "exporter"}, Port: "metrics",
	}}
}
