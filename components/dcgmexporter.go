package components

import (
	"errors"
	"fmt"
	"strings"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	kmetav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
)

const (
	// DCGMExporterName is the name of the release, or of the PodMonitor of a managed exporter.
	DCGMExporterName = "dcgm-exporter"
	// GPUExporterJobs is a regular expression of the label job of the exporter's targets: its Service's name, or
	// namespace and name of a cloud exporter's PodMonitor.
	GPUExporterJobs = "(.+/)?" + DCGMExporterName

	// dcgmCPULimit replaces the chart's 200m, which throttles the exporter where it reads many GPUs every few seconds
	// (NVIDIA/dcgm-exporter#741). Helm merges maps, so that a limit which is left out stays.
	dcgmCPULimit = "2"
	// dcgmMemoryLimit and dcgmGoMemoryLimit bound the exporter's memory and, below it, that of its Go part. It uses up to
	// 500 MiB, and more with 8 GPUs (NVIDIA/dcgm-exporter#609).
	dcgmMemoryLimit, dcgmGoMemoryLimit = "1Gi", "768MiB"

	// dcgmTimeout leaves time for the image on a GPU node that has just started.
	dcgmTimeout = 10 * time.Minute
)

// dcgmField is one field that the exporter collects, as a line of its CSV file.
type dcgmField struct{ name, kind, help string }

// dcgmFields is the complete list of fields. It replaces the chart's own list, so that a new chart
// that renames fields cannot remove a series unnoticed.
var dcgmFields = []dcgmField{
	{signals.SeriesGPUUtil, "gauge", "GPU utilization (in %)."},
	{"DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "Memory utilization (in %)."},
	{"DCGM_FI_DEV_FB_FREE", "gauge", "Frame buffer memory free (in MiB)."},
	{"DCGM_FI_DEV_FB_USED", "gauge", "Frame buffer memory used (in MiB)."},
	{"DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (in W)."},
	{"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", "Total energy consumption since boot (in mJ)."},
	{"DCGM_FI_DEV_GPU_TEMP", "gauge", "GPU temperature (in C)."},
	{"DCGM_FI_DEV_MEMORY_TEMP", "gauge", "Memory temperature (in C)."},
	{"DCGM_FI_DEV_SM_CLOCK", "gauge", "SM clock frequency (in MHz)."},
	{"DCGM_FI_DEV_MEM_CLOCK", "gauge", "Memory clock frequency (in MHz)."},
	{"DCGM_FI_DEV_XID_ERRORS", "gauge", "Value of the last XID error encountered."},
	{"DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge", "Ratio of time the graphics engine is active."},
	{"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "gauge", "Ratio of cycles the tensor pipe is active."},
	{"DCGM_FI_PROF_DRAM_ACTIVE", "gauge", "Ratio of cycles the device memory interface is active."},
}

// DCGMExporterArgs are the inputs of DCGMExporter.
type DCGMExporterArgs struct {
	// Namespace of the release or the PodMonitor: the monitoring namespace. Required.
	Namespace string
	// Metrics is the source of the series. With providers.Simulated nothing is registered.
	Metrics providers.GPUMetrics
	// Chart is dcgm-exporter's version and repository; required for providers.DCGMChart.
	Chart helm.Chart
	// Nodes are those with GPUs.
	Nodes providers.GPUNodes
	// ScrapeInterval of the GPU metrics; at least 1 s.
	ScrapeInterval time.Duration
	// Metadata of the chart's objects and pods.
	Metadata Metadata
	// Values of the chart, merged last over the program's own.
	Values map[string]any
	// DependsOn lists what must exist first: the namespace, and what installs the kinds ServiceMonitor
	// and PodMonitor.
	DependsOn []pulumi.Resource
}

// DCGMExporter makes Prometheus scrape the GPUs' metrics.
type DCGMExporter struct {
	pulumi.ResourceState

	// Source is where the series come from: dcgm-chart, managed or simulated.
	Source pulumi.StringOutput `pulumi:"source"`

	// Exporter is the release or the PodMonitor; nil when simulated.
	Exporter pulumi.Resource
}

// NewDCGMExporter registers the exporter's release, the PodMonitor of the cloud's exporter, or
// nothing below the component.
func NewDCGMExporter(ctx *pulumi.Context, name string, args *DCGMExporterArgs, opts ...pulumi.ResourceOption) (*DCGMExporter, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("dcgm-exporter: %w", err)
	}
	c := &DCGMExporter{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:DCGMExporter", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering dcgm-exporter: %w", err)
	}
	// Set after the registration, which clears the output fields.
	c.Source = pulumi.String(string(args.Metrics.Source)).ToStringOutput()

	switch args.Metrics.Source {
	case providers.DCGMChart:
		release, err := helm.NewRelease(ctx, DCGMExporterName, &helm.ReleaseArgs{
			Name:      DCGMExporterName,
			Namespace: args.Namespace,
			Chart:     args.Chart,
			Values:    dcgmExporterValues(args),
			Timeout:   dcgmTimeout,
		}, childOptions(c, args.DependsOn)...)
		if err != nil {
			return nil, err
		}
		c.Exporter = release
	case providers.Managed:
		monitor, err := newPodMonitor(ctx, args.Namespace, DCGMExporterName, managedDCGMPodMonitor(args), childOptions(c, args.DependsOn))
		if err != nil {
			return nil, err
		}
		c.Exporter = monitor
	case providers.Simulated:
		// The series come from a recording rule.
	}

	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"source": c.Source}); err != nil {
		return nil, fmt.Errorf("registering the outputs of dcgm-exporter: %w", err)
	}
	return c, nil
}

// dcgmExporterValues returns the chart's values, with the user's merged last. The chart's security context
// is kept: the profiling fields need SYS_ADMIN.
func dcgmExporterValues(a *DCGMExporterArgs) map[string]any {
	interval := prometheusDuration(a.ScrapeInterval)
	resources := resourceValues("100m", "512Mi", dcgmMemoryLimit)
	resources["limits"].(map[string]any)["cpu"] = dcgmCPULimit
	// The chart's own list of tolerations has that of control-plane nodes only.
	values := mergeValues(mergeValues(mergeValues(gpuNodeValues(a.Nodes), map[string]any{
		"resources": resources,
		"extraEnv": []any{
			// The exporter's own 30s would add half a minute to every decision.
			map[string]any{"name": "DCGM_EXPORTER_INTERVAL", "value": fmt.Sprint(a.ScrapeInterval.Milliseconds())},
			map[string]any{"name": "GOMEMLIMIT", "value": dcgmGoMemoryLimit},
		},
		"serviceMonitor": map[string]any{
			"enabled":       true,
			"interval":      interval,
			"scrapeTimeout": interval,
			// The serving pod's name is then in exported_pod, and an idle GPU has none.
			"honorLabels": false,
		},
		"customMetrics": dcgmMetricsCSV(),
	}), a.Metadata.values(dcgmExporterMetadata)), a.Values)
	// A running exporter does not get a changed list: the chart mounts the file by subPath, and has no checksum of it.
	return mergeValues(map[string]any{"podAnnotations": map[string]any{"vllm-autoscaling/fields-checksum": checksum(values["customMetrics"])}}, values)
}

// dcgmMetricsCSV returns the exporter's list of fields in its own format.
func dcgmMetricsCSV() string {
	var csv strings.Builder
	for _, field := range dcgmFields {
		fmt.Fprintf(&csv, "%s, %s, %s\n", field.name, field.kind, field.help)
	}
	return csv.String()
}

// managedDCGMPodMonitor selects the pods of a cloud's exporter from the monitoring namespace.
func managedDCGMPodMonitor(a *DCGMExporterArgs) monitoringv1.PodMonitorSpec {
	interval := monitoringv1.Duration(prometheusDuration(a.ScrapeInterval))
	port := a.Metrics.Managed.Port
	return monitoringv1.PodMonitorSpec{
		NamespaceSelector: monitoringv1.NamespaceSelector{MatchNames: []string{a.Metrics.Managed.Namespace}},
		Selector:          kmetav1.LabelSelector{MatchLabels: a.Metrics.Managed.PodLabels},
		PodMetricsEndpoints: []monitoringv1.PodMetricsEndpoint{{
			Port:          &port,
			Path:          signals.MetricsPath,
			Interval:      interval,
			ScrapeTimeout: interval,
		}},
	}
}

func (a *DCGMExporterArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	return errors.Join(
		validateNamespace("Namespace", a.Namespace),
		validateInterval("ScrapeInterval", a.ScrapeInterval),
		a.Metrics.Validate(),
		a.Nodes.Validate(),
	)
}
