package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"vllm-autoscaling/components/signals"
)

// gpuReadings are what DCGM's fields say of the pods' GPUs.
type gpuReadings struct {
	// highest is the percentage that counts of each GPU of each pod, by pod and GPU.
	highest map[string]map[string]float64
	// series are those that gave it.
	series []string
	// odd are samples that the rules drop, by pod, and instances are those of instances of a partitioned GPU (MIG).
	odd, instances map[string][]string
	// engine reports whether the activity of the engine, which an instance has, is there for a pod.
	engine map[string]bool
}

// prometheusGPUs checks DCGM's series of the pods' GPUs, as the recording rules read them.
func (w *walk) prometheusGPUs(ctx context.Context) (string, error) {
	readings, err := w.gpuReadings(ctx)
	if err != nil {
		return "", err
	}
	var without, odd, blind, shown []string
	count := 0
	for _, pod := range w.pods {
		gpus := readings.highest[pod.Name]
		odd = append(odd, readings.odd[pod.Name]...)
		switch {
		case len(gpus) == 0:
			without = append(without, pod.Name)
		case len(readings.instances[pod.Name]) > 0 && !readings.engine[pod.Name]:
			blind = append(blind, readings.instances[pod.Name]...)
		}
		var values []float64
		for _, gpu := range slices.Sorted(maps.Keys(gpus)) {
			values = append(values, gpus[gpu])
		}
		count += len(values)
		shown = append(shown, numbers(values)+" %")
	}
	switch {
	case len(without) > 0 && len(odd) > 0:
		return "", &failure{
			measured: shortened(odd), expected: "a percentage, 0 to 100: the rules drop anything else, and " + shortened(without) + " has no other value",
			look: append([]string{"DCGM writes NaN or a number such as 9223372036854775794 for a field that the GPU or its driver does not support; " +
				"does the exporter's list have " + signals.SeriesGPUEngineActive + "?"}, w.exporterHints()...),
		}
	case len(without) > 0:
		return "", w.noGPUs(readings, without)
	case len(blind) > 0:
		return "", &failure{
			measured: shortened(blind) + ": DCGM has no utilisation of an instance of a partitioned GPU (MIG)",
			expected: signals.SeriesGPUEngineActive + ", which it has",
			look:     append([]string{"add it to the exporter's list of fields (customMetrics in charts.dcgmExporter.values)"}, w.exporterHints()...),
		}
	}
	for _, text := range odd {
		w.warn(text + ", no percentage: the rules drop it")
	}
	return fmt.Sprintf("%s: %s of %s: %s", strings.Join(readings.series, ", "), plural(count, "GPU"), plural(len(w.pods), "pod"), shortened(shown)), nil
}

// gpuReadings reads each of the series that the utilisation may come from.
func (w *walk) gpuReadings(ctx context.Context) (*gpuReadings, error) {
	r := &gpuReadings{highest: map[string]map[string]float64{}, odd: map[string][]string{}, instances: map[string][]string{}, engine: map[string]bool{}}
	won := map[string]map[string]string{}
	for _, field := range signals.GPUFields() {
		if !slices.Contains(w.Pipeline.GPUSeries, field.Series) {
			continue
		}
		namespace := w.Pipeline.Serving.Namespace
		samples, err := w.samples(ctx, fmt.Sprintf(`%s{exported_namespace=%q} or %s{namespace=%q,exported_pod=""}`,
			field.Series, namespace, field.Series, namespace))
		if err != nil {
			return nil, err
		}
		for _, sample := range samples {
			if !w.neighbours.has(podOf(sample)) {
				r.read(field, sample, won)
			}
		}
	}
	for _, field := range signals.GPUFields() {
		for _, gpus := range won {
			if slices.Contains(slices.Collect(maps.Values(gpus)), field.Series) && !slices.Contains(r.series, field.Series) {
				r.series = append(r.series, field.Series)
			}
		}
	}
	return r, nil
}

// read adds a sample; won has the series of the highest value of each GPU so far.
func (r *gpuReadings) read(field signals.GPUField, sample *model.Sample, won map[string]map[string]string) {
	// The rounding of a share, by which it may exceed the percentage of another field.
	const rounding = 0.01
	pod, percent := podOf(sample), field.Percent*float64(sample.Value)
	gpu := string(sample.Metric["UUID"] + "/" + sample.Metric["gpu"] + "/" + sample.Metric["GPU_I_ID"])
	where := fmt.Sprintf("%s of %s, gpu %s", field.Series, pod, sample.Metric["gpu"])
	if profile := sample.Metric["GPU_I_PROFILE"]; profile != "" {
		r.instances[pod] = append(r.instances[pod], fmt.Sprintf("%s, instance %s of %s, is %s", where, sample.Metric["GPU_I_ID"], profile, sample.Value))
	}
	if !signals.IsPercentage(percent) {
		r.odd[pod] = append(r.odd[pod], fmt.Sprintf("%s is %s", where, sample.Value))
		return
	}
	r.engine[pod] = r.engine[pod] || field.Series == signals.SeriesGPUEngineActive
	if r.highest[pod] == nil {
		r.highest[pod], won[pod] = map[string]float64{}, map[string]string{}
	}
	if old, seen := r.highest[pod][gpu]; !seen || percent > old+rounding {
		r.highest[pod][gpu], won[pod][gpu] = percent, field.Series
	}
}

// noGPUs is the failure of pods whose GPUs have no series.
func (w *walk) noGPUs(r *gpuReadings, without []string) error {
	measured := "no series " + strings.Join(w.Pipeline.GPUSeries, " or ") + " with a pod of namespace " + w.Pipeline.Serving.Namespace
	if len(r.series) > 0 {
		measured = fmt.Sprintf("%s is there, but not for %s", strings.Join(r.series, ", "), shortened(without))
	}
	return &failure{
		measured: measured,
		expected: "a sample for the GPUs of each pod, with the pod's name in exported_pod or pod",
		look:     w.exporterHints(),
	}
}

// exporterHints returns where to look at the exporter of the GPUs.
func (w *walk) exporterHints() []string {
	p := w.Pipeline
	namespace := p.Prometheus.Namespace
	if p.Existing != nil {
		namespace = p.Adapter.Namespace
	}
	return []string{
		map[string]string{
			"dcgm-chart": w.kubectl(namespace, "get pods -l app.kubernetes.io/name=dcgm-exporter -o wide"),
			"managed":    "$ " + w.Kubectl + " get daemonsets -A | grep -i dcgm",
		}[p.GPUMetrics],
		"is the exporter's pod on each GPU node ready, and does it map GPUs to pods (DCGM_EXPORTER_KUBERNETES)?",
		w.kubectl(namespace, "get servicemonitors,podmonitors"),
	}
}
