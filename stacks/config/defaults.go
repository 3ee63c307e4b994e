package config

import (
	"slices"
	"time"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
)

// applyDefaults fills in every key that was not given. Later defaults may depend on earlier keys.
func (c *Config) applyDefaults(given keySet) {
	orDefault(given, "cloud", &c.Cloud, c.Stack)

	orDefault(given, "namespaces.monitoring", &c.Namespaces.Monitoring, "monitoring")
	orDefault(given, "namespaces.serving", &c.Namespaces.Serving, "vllm")

	orDefault(given, "model.id", &c.Model.ID, "google/gemma-3-1b-it")
	orDefault(given, "model.maxModelLen", &c.Model.MaxModelLen, 8192)
	orDefault(given, "model.maxNumSeqs", &c.Model.MaxNumSeqs, defaultMaxNumSeqs)
	orDefault(given, "model.gpuMemoryUtilization", &c.Model.GPUMemoryUtilization, 0.90)
	orDefault(given, "model.dtype", &c.Model.DType, "auto")

	// An unknown cloud is one problem, without those that follow from what it would need.
	noGPU := c.Cloud == CloudLocal || !slices.Contains(Clouds, c.Cloud)
	orDefault(given, "gpu.mode", &c.GPU.Mode, choose(noGPU, GPUSimulated, GPUNvidia))
	simulated := c.GPU.Mode == GPUSimulated
	orDefault(given, "gpu.perReplica", &c.GPU.PerReplica, 1)
	if !noGPU {
		c.applyCloudDefaults(given)
	}
	orDefault(given, "gpu.metrics", &c.GPU.Metrics,
		choose(simulated, string(providers.Simulated), string(providers.DCGMChart)))
	if !simulated && c.Cloud == CloudLocal {
		orDefault(given, "gpu.nodeSelector", &c.GPU.NodeSelector, map[string]string{"nvidia.com/gpu.present": "true"})
		orDefault(given, "gpu.tolerations", &c.GPU.Tolerations,
			[]Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}})
	}

	orDefault(given, "vllm.image", &c.VLLM.Image, choose(simulated, imageSimulator, imageVLLM))
	orDefault(given, "vllm.port", &c.VLLM.Port, 8000)
	orDefault(given, "vllm.cpu", &c.VLLM.CPU, "2")
	orDefault(given, "vllm.memory", &c.VLLM.Memory, "10Gi")
	orDefault(given, "vllm.shm", &c.VLLM.Shm, "2Gi")
	orDefault(given, "vllm.modelCache", &c.VLLM.ModelCache, c.defaultModelCache())
	orDefault(given, "vllm.startupBudget", &c.VLLM.StartupBudget, 30*time.Minute)
	orDefault(given, "vllm.preStop", &c.VLLM.PreStop, 15*time.Second)
	orDefault(given, "vllm.shutdownTimeout", &c.VLLM.ShutdownTimeout, 45*time.Second)

	orDefault(given, "monitoring.scrapeInterval", &c.Monitoring.ScrapeInterval, 15*time.Second)
	orDefault(given, "monitoring.evaluationInterval", &c.Monitoring.EvaluationInterval, 15*time.Second)
	orDefault(given, "metrics", &c.Metrics, MetricsPrometheusOperator)
	orDefault(given, "monitoring.signalInterval", &c.Monitoring.SignalInterval,
		choose(c.ManagesMetrics(), components.ManagedMinInterval, 2*time.Second))
	orDefault(given, "monitoring.retention", &c.Monitoring.Retention, "7d")
	// Nodes of a cloud come and go; an emptyDir would lose the metrics with them.
	orDefault(given, "monitoring.storage", &c.Monitoring.Storage, choose(noGPU, Quantity(""), "20Gi"))
	orDefault(given, "monitoring.grafana", &c.Monitoring.Grafana, true)
	orDefault(given, "monitoring.dashboards", &c.Monitoring.Dashboards, c.Monitoring.Grafana)
	orDefault(given, "monitoring.alerts.enabled", &c.Monitoring.Alerts.Enabled, true)
	orDefault(given, "monitoring.alerts.ttftObjective", &c.Monitoring.Alerts.TTFTObjective, 2500*time.Millisecond)
	orDefault(given, "monitoring.alerts.ttftRatio", &c.Monitoring.Alerts.TTFTRatio, 0.95)
	orDefault(given, "monitoring.alerts.atMaxFor", &c.Monitoring.Alerts.AtMaxFor, 15*time.Minute)

	orDefault(given, "autoscaling.minReplicas", &c.Autoscaling.MinReplicas, 1)
	orDefault(given, "autoscaling.maxReplicas", &c.Autoscaling.MaxReplicas, 4)
	c.applySignalDefaults(given)
	orDefault(given, "autoscaling.scaleUp.pods", &c.Autoscaling.ScaleUp.Pods, 4)
	orDefault(given, "autoscaling.scaleUp.percent", &c.Autoscaling.ScaleUp.Percent, 100)
	orDefault(given, "autoscaling.scaleUp.period", &c.Autoscaling.ScaleUp.Period, 15*time.Second)
	orDefault(given, "autoscaling.scaleDown.stabilization", &c.Autoscaling.ScaleDown.Stabilization, 300*time.Second)
	orDefault(given, "autoscaling.scaleDown.pods", &c.Autoscaling.ScaleDown.Pods, 1)
	orDefault(given, "autoscaling.scaleDown.period", &c.Autoscaling.ScaleDown.Period, 60*time.Second)
	orDefault(given, "autoscaling.adapterReplicas", &c.Autoscaling.AdapterReplicas, 2)
	orDefault(given, "autoscaling.adapterImage", &c.Autoscaling.AdapterImage, imageStackdriverAdapter)
	orDefault(given, "autoscaling.adapterPort", &c.Autoscaling.AdapterPort, 10250)
	// The first samples after a deployment wait for a relist; shorter than two scrapes, a series comes and goes.
	orDefault(given, "autoscaling.relistInterval", &c.Autoscaling.RelistInterval, max(10*time.Second, 2*c.Monitoring.SignalInterval))

	orDefault(given, "charts.kubePrometheusStack.version", &c.Charts.KubePrometheusStack.Version, "88.5.3")
	orDefault(given, "charts.kubePrometheusStack.repository", &c.Charts.KubePrometheusStack.Repository, prometheusCommunity)
	orDefault(given, "charts.prometheusAdapter.version", &c.Charts.PrometheusAdapter.Version, "5.3.0")
	orDefault(given, "charts.prometheusAdapter.repository", &c.Charts.PrometheusAdapter.Repository, prometheusCommunity)
	orDefault(given, "charts.dcgmExporter.version", &c.Charts.DCGMExporter.Version, "4.8.2")
	orDefault(given, "charts.dcgmExporter.repository", &c.Charts.DCGMExporter.Repository, nvidiaDCGM)
	orDefault(given, "charts.devicePlugin.version", &c.Charts.DevicePlugin.Version, "0.20.0")
	orDefault(given, "charts.devicePlugin.repository", &c.Charts.DevicePlugin.Repository, nvidiaDevicePlugin)
	orDefault(given, "charts.clusterAutoscaler.version", &c.Charts.ClusterAutoscaler.Version, "9.59.0")
	orDefault(given, "charts.clusterAutoscaler.repository", &c.Charts.ClusterAutoscaler.Repository, kubernetesAutoscale)
}

// orDefault sets a field unless its key was given.
func orDefault[T any](given keySet, key string, field *T, value T) {
	if !given.has(key) {
		*field = value
	}
}

func choose[T any](condition bool, yes, no T) T {
	if condition {
		return yes
	}
	return no
}
