package promql

import (
	"fmt"
	"testing"
	"time"

	"vllm-autoscaling/components/signals"
)

// Samples in the form of their exporters. "more" is appended to the labels, to distinguish duplicates.

func running(namespace, pod string, value any, more ...string) string {
	return vllmSample("vllm:num_requests_running", namespace, pod, value, more...)
}

func waiting(namespace, pod string, value any, more ...string) string {
	return vllmSample("vllm:num_requests_waiting", namespace, pod, value, more...)
}

func vllmSample(name, namespace, pod string, value any, more ...string) string {
	return fmt.Sprintf(`%s{namespace=%q,pod=%q,container="vllm",endpoint="http",service="vllm",job="vllm"%s} %v`,
		name, namespace, pod, join(`,engine="0",model_name="gemma"`, more), value)
}

func ready(namespace, pod string, value any, more ...string) string {
	return fmt.Sprintf(`kube_pod_status_ready{namespace=%q,pod=%q,uid="u-%s",job="kube-state-metrics"%s} %v`,
		namespace, pod, pod, join(`,condition="true"`, more), value)
}

// renamed is a GPU scraped without honor_labels: pod is the exporter's, exported_pod the GPU's holder.
func renamed(field, namespace, pod string, value any, more ...string) string {
	return fmt.Sprintf(`%s{namespace="monitoring",pod="dcgm-1",container="exporter",exported_namespace=%q,exported_pod=%q,exported_container="vllm",Hostname="node-1",modelName="L4"%s} %v`,
		field, namespace, pod, join(`,gpu="0",UUID="GPU-0",instance="10.0.0.1:9400"`, more), value)
}

// honored is a GPU scraped with honor_labels: pod is the GPU's holder, or the exporter's for a free GPU.
func honored(field, namespace, pod string, value any, more ...string) string {
	return fmt.Sprintf(`%s{namespace=%q,pod=%q,container="vllm",Hostname="node-1",modelName="L4"%s} %v`,
		field, namespace, pod, join(`,gpu="0",UUID="GPU-0",instance="10.0.0.1:9400"`, more), value)
}

// unheld is a free GPU scraped without honor_labels.
func unheld(field, exporterNamespace string, value any) string {
	return fmt.Sprintf(`%s{namespace=%q,pod="dcgm-1",container="exporter",Hostname="node-1",gpu="7",UUID="GPU-7"} %v`, field, exporterNamespace, value)
}

// join returns the default labels, or the given ones instead.
func join(standard string, instead []string) string {
	if len(instead) == 0 {
		return standard
	}
	return "," + instead[0]
}

// serving returns the samples of a ready pod with requests running and that many waiting.
func serving(namespace, pod string, queue int) []string {
	return []string{ready(namespace, pod, 1), running(namespace, pod, 16), waiting(namespace, pod, queue)}
}

func with(base []string, more ...string) []string {
	return append(append([]string(nil), base...), more...)
}

const (
	percent = signals.SeriesGPUUtil
	ratio   = signals.SeriesGPUUtilRatio
	engine  = signals.SeriesGPUEngineActive
)

// instance are the labels of an instance of a partitioned GPU (MIG).
const instance = `gpu="0",UUID="GPU-0",GPU_I_PROFILE="3g.20gb",GPU_I_ID="2"`

func TestGPUUtilisation(t *testing.T) {
	none := map[string]float64{}
	a := func(v float64) map[string]float64 { return map[string]float64{"vllm/a": v} }
	busy := serving("vllm", "a", 2) // enough requests wait for utilisation to count in full

	for _, tc := range []struct {
		name    string
		samples []string
		max     map[string]float64 // unguarded
		guarded map[string]float64
	}{
		{"labels renamed", with(busy, renamed(percent, "vllm", "a", 98)), a(98), a(98)},
		{"labels honoured", with(busy, honored(percent, "vllm", "a", 98)), a(98), a(98)},
		{"ratio, labels renamed", with(busy, renamed(ratio, "vllm", "a", 0.5)), a(50), a(50)},
		{"ratio, labels honoured", with(busy, honored(ratio, "vllm", "a", 0.5)), a(50), a(50)},
		{"full ratio", with(busy, renamed(ratio, "vllm", "a", 1)), a(100), a(100)},
		{"both names of the field, same labels", with(busy, renamed(percent, "vllm", "a", 70), renamed(ratio, "vllm", "a", 0.7)), a(70), a(70)},
		{"both names of the field, other labels", with(busy,
			renamed(percent, "vllm", "a", 60), renamed(ratio, "vllm", "a", 0.75, `gpu="0",UUID="GPU-0",instance="10.0.0.2:9400"`)), a(75), a(75)},
		{"one pod renamed, one honoured", with(with(busy, serving("vllm", "b", 2)...),
			renamed(percent, "vllm", "a", 90), honored(ratio, "vllm", "b", 0.25, `gpu="1",UUID="GPU-1"`)),
			map[string]float64{"vllm/a": 90, "vllm/b": 25}, map[string]float64{"vllm/a": 90, "vllm/b": 25}},

		{"several GPUs: the busiest, not the sum", with(busy,
			renamed(percent, "vllm", "a", 40), renamed(percent, "vllm", "a", 90, `gpu="1",UUID="GPU-1"`),
			renamed(percent, "vllm", "a", 20, `gpu="2",UUID="GPU-2"`)), a(90), a(90)},
		{"several GPUs, labels honoured", with(busy,
			honored(percent, "vllm", "a", 40), honored(percent, "vllm", "a", 90, `gpu="1",UUID="GPU-1"`)), a(90), a(90)},
		{"scraped twice", with(busy,
			renamed(percent, "vllm", "a", 90), renamed(percent, "vllm", "a", 90, `gpu="0",UUID="GPU-0",job="second"`)), a(90), a(90)},
		{"scraped both ways", with(busy, renamed(percent, "vllm", "a", 90), honored(percent, "vllm", "a", 90)), a(90), a(90)},
		{"exporter replaced behind the same address", with(busy,
			renamed(percent, "vllm", "a", 90),
			// Equal to the sample above except for the pod that the rule renames; the two must not collide.
			`DCGM_FI_DEV_GPU_UTIL{namespace="monitoring",pod="dcgm-2",container="exporter",exported_namespace="vllm",exported_pod="a",exported_container="vllm",Hostname="node-1",modelName="L4",gpu="0",UUID="GPU-0",instance="10.0.0.1:9400"} 80`), a(90), a(90)},

		// A partitioned GPU (MIG) has no utilisation, or reads 0: the activity of its engine counts.
		{"MIG without utilisation", with(busy, renamed(engine, "vllm", "a", 0.93, instance)), a(93), a(93)},
		{"MIG with utilisation 0", with(busy, renamed(percent, "vllm", "a", 0, instance), renamed(engine, "vllm", "a", 0.93, instance)), a(93), a(93)},
		{"MIG without utilisation, labels honoured", with(busy, honored(engine, "vllm", "a", 0.93, instance)), a(93), a(93)},
		{"MIG with utilisation 0, labels honoured", with(busy,
			honored(percent, "vllm", "a", 0, instance), honored(engine, "vllm", "a", 0.93, instance)), a(93), a(93)},
		{"MIG with a blank utilisation", with(busy,
			renamed(percent, "vllm", "a", "9223372036854775794", instance), renamed(engine, "vllm", "a", 0.93, instance)), a(93), a(93)},
		{"MIG with a ratio of 0", with(busy, renamed(ratio, "vllm", "a", 0, instance), renamed(engine, "vllm", "a", 0.93, instance)), a(93), a(93)},
		{"two pods on instances of one GPU", with(with(busy, serving("vllm", "b", 2)...),
			renamed(engine, "vllm", "a", 0.93, instance), renamed(engine, "vllm", "b", 0.25, `gpu="0",UUID="GPU-0",GPU_I_PROFILE="3g.20gb",GPU_I_ID="1"`)),
			map[string]float64{"vllm/a": 93, "vllm/b": 25}, map[string]float64{"vllm/a": 93, "vllm/b": 25}},
		{"an idle instance reads 0", with(busy, renamed(percent, "vllm", "a", 0, instance), renamed(engine, "vllm", "a", 0, instance)), a(0), a(0)},
		{"a whole GPU with both", with(busy, renamed(percent, "vllm", "a", 98), renamed(engine, "vllm", "a", 0.93)), a(98), a(98)},
		// The profiling module of an exporter that runs for weeks may stop (NVIDIA/dcgm-exporter#662).
		{"a whole GPU whose engine activity stays 0", with(busy, renamed(percent, "vllm", "a", 98), renamed(engine, "vllm", "a", 0)), a(98), a(98)},
		{"engine activity that is no share", with(busy, renamed(engine, "vllm", "a", 93)), none, none},

		{"unheld GPU", with(busy, renamed(percent, "vllm", "a", 50), unheld(percent, "monitoring", 99)), a(50), a(50)},
		{"unheld GPU, exporter in the serving namespace", with(busy, renamed(percent, "vllm", "a", 50), unheld(percent, "vllm", 99)), a(50), a(50)},
		{"unheld GPU, labels honoured", with(busy, honored(percent, "vllm", "a", 50), honored(percent, "monitoring", "dcgm-1", 99)), a(50), a(50)},
		{"unheld GPU, ready exporter in the serving namespace, labels honoured", with(busy,
			honored(percent, "vllm", "a", 50), honored(percent, "vllm", "dcgm-1", 99), ready("vllm", "dcgm-1", 1)), a(50), a(50)},
		{"exporter beside one server reports another server's GPU", with(with(busy, serving("vllm", "b", 2)...),
			`DCGM_FI_DEV_GPU_UTIL{namespace="vllm",pod="b",container="exporter",exported_namespace="vllm",exported_pod="a",gpu="0",UUID="GPU-0"} 60`), a(60), a(60)},

		{"pod not ready", []string{ready("vllm", "a", 0), running("vllm", "a", 3), waiting("vllm", "a", 2), renamed(percent, "vllm", "a", 98)}, none, none},
		{"readiness unknown", []string{running("vllm", "a", 3), waiting("vllm", "a", 2), renamed(percent, "vllm", "a", 98)}, none, none},
		{"the false condition is not readiness", []string{ready("vllm", "a", 0), ready("vllm", "a", 1, `condition="false"`),
			running("vllm", "a", 3), waiting("vllm", "a", 2), renamed(percent, "vllm", "a", 98)}, none, none},
		{"readiness reported twice", with(busy, ready("vllm", "a", 1, `condition="true",instance="second"`), renamed(percent, "vllm", "a", 98)), a(98), a(98)},
		{"ready pod that serves no vLLM series", []string{ready("vllm", "a", 1), renamed(percent, "vllm", "a", 98)}, none, none},
		{"no GPU series", busy, none, none},

		{"other namespace, same pod name", with(with(busy, serving("other", "a", 16)...),
			renamed(percent, "vllm", "a", 30), renamed(percent, "other", "a", 99, `gpu="1",UUID="GPU-1"`)), a(30), a(30)},
		{"other namespace, labels honoured", with(with(busy, serving("other", "a", 16)...),
			honored(percent, "vllm", "a", 30), honored(percent, "other", "a", 99, `gpu="1",UUID="GPU-1"`)), a(30), a(30)},
		{"readiness of another namespace does not count", with([]string{ready("other", "a", 1), running("vllm", "a", 3), waiting("vllm", "a", 2)},
			renamed(percent, "vllm", "a", 98)), none, none},
		{"requests of another namespace do not lift the guard", with(with(serving("vllm", "a", 0), serving("other", "a", 16)...),
			renamed(percent, "vllm", "a", 98)), a(98), a(0)},

		{"guard: idle", []string{ready("vllm", "a", 1), running("vllm", "a", 0), waiting("vllm", "a", 0), renamed(percent, "vllm", "a", 98)}, a(98), a(0)},
		{"guard: nothing waits for a busy GPU", with(serving("vllm", "a", 0), renamed(percent, "vllm", "a", 98)), a(98), a(0)},
		{"guard: one of two waits", with(serving("vllm", "a", 1), renamed(percent, "vllm", "a", 98)), a(98), a(49)},
		{"guard: two wait", with(serving("vllm", "a", 2), renamed(percent, "vllm", "a", 98)), a(98), a(98)},
		{"guard: never raises above the reading", with(serving("vllm", "a", 160), renamed(percent, "vllm", "a", 98)), a(98), a(98)},
		{"guard: requests wait for a GPU that is half busy", with(serving("vllm", "a", 2), renamed(percent, "vllm", "a", 50)), a(50), a(50)},
		{"guard: engines and models of one pod add up", []string{ready("vllm", "a", 1), running("vllm", "a", 1),
			running("vllm", "a", 1, `engine="1",model_name="gemma"`), waiting("vllm", "a", 0),
			waiting("vllm", "a", 1, `engine="1",model_name="gemma"`), waiting("vllm", "a", 1, `engine="0",model_name="lora"`),
			renamed(percent, "vllm", "a", 90)}, a(90), a(90)},
		{"guard: a server scraped twice counts once", []string{ready("vllm", "a", 1),
			running("vllm", "a", 1), running("vllm", "a", 1, `engine="0",model_name="gemma",instance="second"`),
			waiting("vllm", "a", 1), waiting("vllm", "a", 1, `engine="0",model_name="gemma",instance="second"`),
			renamed(percent, "vllm", "a", 90)}, a(90), a(45)},
		{"idle GPU of a serving pod reads 0", with(busy, renamed(percent, "vllm", "a", 0)), a(0), a(0)},

		{"NaN reading", with(busy, renamed(percent, "vllm", "a", "NaN")), none, none},
		{"NaN ratio, labels honoured", with(busy, honored(ratio, "vllm", "a", "NaN")), none, none},
		{"NaN of one GPU of two", with(busy, renamed(percent, "vllm", "a", "NaN"), renamed(percent, "vllm", "a", 40, `gpu="1",UUID="GPU-1"`)), a(40), a(40)},
		{"DCGM's blank value", with(busy, renamed(percent, "vllm", "a", "9223372036854775792")), none, none},
		{"blank value of one GPU of two", with(busy, renamed(percent, "vllm", "a", "9223372036854775792"),
			renamed(percent, "vllm", "a", 40, `gpu="1",UUID="GPU-1"`)), a(40), a(40)},
		{"ratio that holds percents", with(busy, renamed(ratio, "vllm", "a", 98)), none, none},
		{"requests running are no number", []string{ready("vllm", "a", 1), running("vllm", "a", "NaN"), waiting("vllm", "a", 2),
			renamed(percent, "vllm", "a", 98)}, none, none},
		{"requests waiting are no number", []string{ready("vllm", "a", 1), running("vllm", "a", 16), waiting("vllm", "a", "NaN"),
			renamed(percent, "vllm", "a", 98)}, none, none},
		{"requests waiting of one engine of two are no number", []string{ready("vllm", "a", 1), running("vllm", "a", 16), waiting("vllm", "a", "NaN"),
			running("vllm", "a", 16, `engine="1",model_name="gemma"`), waiting("vllm", "a", 2, `engine="1",model_name="gemma"`),
			renamed(percent, "vllm", "a", 98)}, none, none},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPipeline(t, settings(), at0(tc.samples...))
			const at = 2 * time.Second
			p.evaluate(at)
			requireValues(t, tc.max, p.recorded(signals.RecordGPUUtilization, at), signals.RecordGPUUtilization)
			requireValues(t, tc.guarded, p.recorded(signals.RecordGPUUtilizationGuarded, at), signals.RecordGPUUtilizationGuarded)

			wantServed := map[string]float64{}
			for key, value := range tc.guarded {
				wantServed[key[len("vllm/"):]] = value
			}
			requireValues(t, wantServed, p.served(signals.MetricGPUUtilization, "vllm", at, "a", "b", "dcgm-1"), "served by the adapter")
		})
	}
}

// No number of requests scales a deployment with any utilisation of its GPUs, as long as none waits; the guard prevents it.
func TestWithoutAQueueTheGPUSignalIsZero(t *testing.T) {
	for _, requests := range []int{1, 2, 15, 16} {
		p := newPipeline(t, settings(), at0(ready("vllm", "a", 1), running("vllm", "a", requests), waiting("vllm", "a", 0), renamed(percent, "vllm", "a", 100)))
		p.evaluate(0)
		requireValues(t, map[string]float64{"a": 0}, p.served(signals.MetricGPUUtilization, "vllm", 0, "a"), fmt.Sprint(requests, " running"))
	}
}

// With the signal off, the adapter must not serve it, although dashboards still use its series.
func TestGPUSignalOff(t *testing.T) {
	s := settings()
	delete(s.Targets, signals.KeyGPUUtilization)
	p := newPipeline(t, s, at0(with(serving("vllm", "a", 2), renamed(percent, "vllm", "a", 98))...))
	p.evaluate(0)
	requireValues(t, map[string]float64{"vllm/a": 98}, p.recorded(signals.RecordGPUUtilization, 0), "unguarded")
	requireValues(t, map[string]float64{}, p.recorded(signals.RecordGPUUtilizationGuarded, 0), "guarded")
	requireValues(t, map[string]float64{}, p.served(signals.MetricGPUUtilization, "vllm", 0, "a"), "served")
}
