package telemetry

import (
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/components/signals"
)

// Select returns a selector: the series with matchers, such as `condition="true"`; empty ones are left out.
func Select(series string, matchers ...string) string {
	var kept []string
	for _, m := range matchers {
		if m != "" {
			kept = append(kept, m)
		}
	}
	return series + "{" + strings.Join(kept, ",") + "}"
}

// Equal returns the matcher label="value".
func Equal(label, value string) string { return fmt.Sprintf("%s=%q", label, value) }

// Matches returns the matcher label=~"pattern".
func Matches(label, pattern string) string { return fmt.Sprintf("%s=~%q", label, pattern) }

// LabelServer is the label of recorded series and alerts of one server of several, with the name of its Deployment.
const LabelServer = "server"

// ServerLabels returns the labels of what is recorded for the Deployment as a whole, and of its alerts: none where no other serves
// in the namespace.
func (s Settings) ServerLabels() map[string]string {
	if len(s.Others) == 0 {
		return nil
	}
	return map[string]string{LabelServer: s.Deployment}
}

// inNamespace selects a series of the serving namespace.
func (s Settings) inNamespace(series string, more ...string) string {
	return Select(series, append([]string{Equal(signals.LabelNamespace, s.ServingNamespace)}, more...)...)
}

// Server selects a series of the serving pods, whichever job scrapes them.
func (s Settings) Server(series string, more ...string) string {
	if len(s.Others) > 0 {
		return s.ServingPods(series, more...)
	}
	return s.inNamespace(series, more...)
}

// ServingPods selects a series that has a pod in its labels, of the Deployment's pods only.
func (s Settings) ServingPods(series string, more ...string) string {
	return s.inNamespace(series, append([]string{Matches(signals.LabelPod, signals.PodsOf(s.Deployment))}, more...)...)
}

// Recorded selects a series that is recorded with ServerLabels.
func (s Settings) Recorded(series string) string {
	if len(s.Others) == 0 {
		return s.inNamespace(series)
	}
	return s.inNamespace(series, Equal(LabelServer, s.Deployment))
}

// ReadyPods returns 1 for each serving pod that is ready, labels namespace and pod.
func (s Settings) ReadyPods() string {
	return fmt.Sprintf("max by (%s) (%s) == 1", strings.Join(signals.ServingLabels(), ", "),
		s.ServingPods(signals.SeriesPodReady, Equal(signals.LabelCondition, "true")))
}

// HPA selects a series of the autoscaler.
func (s Settings) HPA(series string, more ...string) string {
	return s.inNamespace(series, append([]string{Equal("horizontalpodautoscaler", s.Autoscaler)}, more...)...)
}

// OfDeployment selects a series of the serving Deployment.
func (s Settings) OfDeployment(series string, more ...string) string {
	return s.inNamespace(series, append([]string{Equal("deployment", s.Deployment)}, more...)...)
}

// OfSpareNodes selects a series of the Deployment that keeps spare nodes.
func (s Settings) OfSpareNodes(series string) string {
	return s.inNamespace(series, Equal("deployment", s.SpareNodes))
}

// OfAnyDeployment selects a series of all serving Deployments of the namespace.
func (s Settings) OfAnyDeployment(series string) string {
	if len(s.Others) == 0 {
		return s.OfDeployment(series)
	}
	all := append([]string{s.Deployment}, s.Others...)
	slices.Sort(all)
	return s.inNamespace(series, Matches("deployment", strings.Join(all, "|")))
}

// OfAdapter selects a series of the metrics adapter's Deployment.
func (s Settings) OfAdapter(series string) string {
	return Select(series, Equal(signals.LabelNamespace, s.MonitoringNamespace), Equal("deployment", s.Adapter))
}

// podMatchers returns the matchers of the Deployment's pods: those of the namespace where no other serves in it.
func (s Settings) podMatchers() string {
	if len(s.Others) == 0 {
		return signals.PodMatchers(s.ServingNamespace, "")
	}
	return signals.PodMatchers(s.ServingNamespace, s.Deployment)
}

// PerPod returns what the autoscaler reads of a signal: one value per pod, by the adapter's own query.
func (s Settings) PerPod(signal signals.Signal) string {
	return signal.QueryBy(s.podMatchers(), signals.ServingLabels()...)
}

// OnServingGPUs returns a DCGM series of the GPUs of serving pods, labels pod, gpu and UUID.
func (s Settings) OnServingGPUs(series string) string {
	// A scrape that does not honour labels puts the pod that holds the GPU into exported_pod, with its own
	// target in pod. Each form is aggregated before it is renamed, so that no two series become equal.
	by := strings.Join([]string{signals.LabelGPU, signals.LabelGPUUUID}, ", ")
	exported := fmt.Sprintf(`label_replace(max by (%s, %s) (%s), "pod", "$1", "exported_pod", "(.+)")`, signals.LabelExportedPod, by,
		Select(series, Equal(signals.LabelExportedNamespace, s.ServingNamespace), signals.LabelExportedPod+`!=""`))
	honoured := fmt.Sprintf("max by (%s, %s) (%s)", signals.LabelPod, by,
		Select(series, Equal(signals.LabelNamespace, s.ServingNamespace), signals.LabelPod+`!=""`, signals.LabelExportedPod+`=""`))
	return fmt.Sprintf("max by (%s, %s) (%s or %s)", signals.LabelPod, by, exported, honoured)
}

// OnEveryGPU returns a DCGM series of all GPUs, in use or idle, labels node, gpu and UUID.
func OnEveryGPU(series string) string {
	// dcgm-exporter 4.8.3 renamed the label Hostname to hostname.
	return fmt.Sprintf(`max by (node, gpu, UUID) (label_replace(label_replace(%s, "node", "$1", "Hostname", "(.+)"), "node", "$1", "hostname", "(.+)"))`,
		Select(series, `gpu!=""`))
}

// UtilizationOfEveryGPU returns the utilisation in percent of all GPUs, in use or idle, from the fields that the signals read.
// Of a partitioned GPU (MIG) it is that of the busiest instance.
func UtilizationOfEveryGPU() string {
	return fmt.Sprintf("max by (node, gpu, UUID) (%s)", signals.PercentOfGPUs(OnEveryGPU))
}
