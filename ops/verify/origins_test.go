package verify

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// foreignGroup is a group of rules as Prometheus lists it.
func foreignGroup(name, file string, records ...string) map[string]any {
	var rules []map[string]any
	for _, record := range records {
		rules = append(rules, map[string]any{"name": record, "type": "recording", "health": "ok", "query": "vector(99)"})
	}
	return map[string]any{"name": name, "file": file, "rules": rules}
}

// inNamespace gives every rule of a group the label namespace, as the operator does where it enforces one.
func inNamespace(namespace string, group map[string]any) map[string]any {
	for _, rule := range group["rules"].([]map[string]any) {
		rule["labels"] = map[string]any{"namespace": namespace}
	}
	return group
}

func TestOriginsOfTheSignals(t *testing.T) {
	const of = "/etc/prometheus/rules/prometheus-kps-prometheus-rulefiles-0/"
	const uid = "-0f6d2c9a-54b0-4e43-9a0a-5c9b6f1b2d3e.yaml"
	for name, test := range map[string]struct {
		change func(*fake)
		want   string // "" passes
	}{
		"the stack's rules": {func(*fake) {}, ""},
		"rules of a Prometheus without the operator": {func(f *fake) {
			f.rules, f.foreign = nil, []map[string]any{foreignGroup("vllm-signals", "/etc/rules.yaml", "vllm:gpu_utilization:guarded")}
		}, ""},
		"other records": {func(f *fake) {
			f.foreign = []map[string]any{foreignGroup("team", of+"default-team"+uid, "team:requests:sum")}
		}, ""},
		"a scraped series is recorded": {func(f *fake) {
			f.foreign = []map[string]any{foreignGroup("bill", of+"default-bill"+uid, "vllm:num_requests_running")}
		}, "vllm:num_requests_running is recorded by group bill of PrometheusRule default-bill (its namespace and name)"},
		"a recorded series is recorded twice": {func(f *fake) {
			f.foreign = []map[string]any{foreignGroup("bill", of+"default-bill"+uid, "vllm:gpu_utilization:guarded")}
		}, "vllm:gpu_utilization:guarded is recorded by group bill of PrometheusRule default-bill"},
		"with the name of our group": {func(f *fake) {
			f.foreign = []map[string]any{foreignGroup("vllm-signals", of+"default-vllm-signals"+uid, "vllm:gpu_utilization:guarded")}
		}, "vllm:gpu_utilization:guarded is recorded by group vllm-signals of PrometheusRule default-vllm-signals"},
		"the GPUs' series": {func(f *fake) {
			f.foreign = []map[string]any{foreignGroup("bill", "/etc/x.yaml", gpuSeries)}
		}, "DCGM_FI_DEV_GPU_UTIL is recorded by group bill of file x.yaml"},
		"a rule of a watched namespace": {func(f *fake) {
			f.foreign = []map[string]any{inNamespace("apps", foreignGroup("theirs", of+"apps-theirs"+uid, "vllm:num_requests_running"))}
		}, ""},
		"a rule of a watched namespace on the GPUs": {func(f *fake) {
			f.foreign = []map[string]any{inNamespace("apps", foreignGroup("theirs", of+"apps-theirs"+uid, gpuSeries))}
		}, "DCGM_FI_DEV_GPU_UTIL is recorded by group theirs of PrometheusRule apps-theirs"},
		"readiness": {func(f *fake) {
			f.foreign = []map[string]any{foreignGroup("bill", "", "kube_pod_status_ready")}
		}, "kube_pod_status_ready is recorded by group bill"},
		"another job": {func(f *fake) {
			f.jobs = map[string]map[string]int{"vllm:num_requests_running": {"default/fake": 2}}
		}, `vllm:num_requests_running has 2 series from job "default/fake"`},
		"no job": {func(f *fake) {
			f.jobs = map[string]map[string]int{"vllm:num_requests_running": {"": 1}}
		}, "vllm:num_requests_running has 1 series from no job: a recording rule, or a remote write"},
		"a scrape of a recorded series": {func(f *fake) {
			f.jobs = map[string]map[string]int{"vllm:gpu_utilization:guarded": {"fake": 1}}
		}, `vllm:gpu_utilization:guarded has 1 series from job "fake"`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			test.change(f)
			report := f.run(t)
			if test.want == "" {
				require.True(t, report.Passed, text(t, report))
				return
			}
			failed := failsAt(t, report, "rules", test.want, " -A", Passed)
			assert.Contains(t, failed.Expected, "decides the number of replicas")
		})
	}
}
