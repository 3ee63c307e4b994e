package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/stacks/outputs"
)

// codePod is a pod of the server code, a neighbour of the fake's.
const codePod = "code-7bff7cc6ff-vl6r5"

// guardOf returns the guard's rule of a server.
func guardOf(server string) prometheusv1.RecordingRule {
	return prometheusv1.RecordingRule{
		Name: "vllm:gpu_utilization:guarded", Health: prometheusv1.RuleHealthGood,
		Query: fmt.Sprintf(`clamp_max(avg_over_time(vllm:num_requests_waiting{namespace="vllm",pod=~%q}[10s]), 1)`, signals.PodsOf(server)),
	}
}

func broken(rule prometheusv1.RecordingRule) prometheusv1.RecordingRule {
	rule.Health, rule.LastError = prometheusv1.RuleHealthBad, "many-to-many matching"
	return rule
}

// reading returns a group of rules of somebody else that records the guard's series from the pods of servers.
func reading(servers ...string) []map[string]any {
	var query []string
	for _, server := range servers {
		query = append(query, guardOf(server).Query)
	}
	group := foreignGroup("bill", "/etc/bill.yaml", "vllm:gpu_utilization:guarded")
	group["rules"].([]map[string]any)[0]["query"] = strings.Join(query, " or ")
	return []map[string]any{group}
}

// Each case has something of the server code that fails, or does not count, for a server without neighbours.
func TestWhatIsOfAnotherServerDoesNotCount(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*fake)
		// alone is the stage that fails without the neighbour in the outputs; "" for none.
		alone string
		// failed is the stage that fails with it; "" for none.
		failed, measured string
	}{
		"a target that is down": {change: func(f *fake) {
			f.targets = append(f.targets, target(codePod))
			f.targets[2].Health = prometheusv1.HealthBad
		}},
		"a gauge that is not a number of requests": {change: func(f *fake) { f.samples["vllm:num_requests_running{"][codePod] = []float64{-1} }, alone: "targets"},
		"the own gauge, too": {change: func(f *fake) {
			f.samples["vllm:num_requests_running{"][codePod], f.samples["vllm:num_requests_running{"]["vllm-a"] = []float64{-1}, []float64{-2}
		}, alone: "targets", failed: "targets", measured: "vllm:num_requests_running of vllm-a is -2"},
		"its guard fails": {change: func(f *fake) { f.rules = []prometheusv1.RecordingRule{broken(guardOf("code")), guardOf("vllm")} }, alone: "rules"},
		"the own guard fails": {change: func(f *fake) { f.rules = []prometheusv1.RecordingRule{guardOf("code"), broken(guardOf("vllm"))} },
			alone: "rules", failed: "rules", measured: "rule vllm:gpu_utilization:guarded is err: many-to-many matching"},
		"the own guard is not loaded": {change: func(f *fake) { f.rules = []prometheusv1.RecordingRule{guardOf("code")} },
			failed: "rules", measured: "Prometheus has 0 of 1 rule loaded, not vllm:gpu_utilization:guarded"},
		"a rule of somebody else on its pods": {change: func(f *fake) { f.foreign = reading("code") }, alone: "rules"},
		"a rule of somebody else on both": {change: func(f *fake) { f.foreign = reading("code", "vllm") },
			alone: "rules", failed: "rules", measured: "vllm:gpu_utilization:guarded is recorded by group bill"},
		"a value of the custom metrics API": {change: func(f *fake) { f.metrics["vllm_requests_running"][codePod] = "99" }},
		"an old sample":                     {change: func(f *fake) { f.samples["timestamp("][codePod] = []float64{300} }},
		"its HPA": {change: func(f *fake) {
			f.hpas = append(f.hpas, hpa("code"))
			f.hpas[1].Spec.ScaleTargetRef.Name = "code"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, others := range [][]string{nil, {"chat", "code"}} {
				f := newFake()
				f.pipeline.Serving.Others = others
				test.change(f)
				report := f.run(t)
				if others == nil {
					assert.Equal(t, test.alone, report.Failed, text(t, report))
					continue
				}
				require.Equal(t, test.failed, report.Failed, text(t, report))
				assert.Contains(t, text(t, report), test.measured)
				for _, value := range report.Values {
					assert.NotEqual(t, codePod, value.Pod)
				}
			}
		})
	}
}

func TestGPUsOfAnotherServerDoNotCount(t *testing.T) {
	const engine = signals.SeriesGPUEngineActive + "{"
	f := newFake()
	f.pipeline.GPUSeries, f.pipeline.Serving.Others = signals.GPUSeries(), []string{"code"}
	f.samples[engine] = map[string][]float64{codePod: {0.99}}
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))
	assert.Contains(t, report.Stages[5].Measured, "DCGM_FI_DEV_GPU_UTIL: 3 GPUs of 2 pods", "not the field of the other's")
}

// Who writes a series is asked about every pod of the namespace but those of other servers, which have jobs of their own.
func TestForeignJobsAreThoseOfNoServer(t *testing.T) {
	f := newFake()
	f.pipeline.Serving.Others = []string{"chat", "code"}
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))
	const pods = `namespace="vllm",pod!~"chat-[a-z0-9]+-[a-z0-9]+|code-[a-z0-9]+-[a-z0-9]+"`
	assert.Contains(t, f.queries, `count by (job) (vllm:num_requests_running{`+pods+`,job!="vllm"})`)
	assert.Contains(t, f.queries, `count by (job) (vllm:gpu_utilization:guarded{`+pods+`,job!=""})`)

	f = newFake()
	f.pipeline.Serving.Others = []string{"chat"}
	f.jobs = map[string]map[string]int{"vllm:num_requests_running": {"probe": 2}}
	assert.Contains(t, text(t, f.run(t)), `vllm:num_requests_running has 2 series from job "probe"`)
}

// severalOutputs returns the outputs of a stack with two servers.
func severalOutputs(t *testing.T) []byte {
	t.Helper()
	pipelines, servers := map[string]outputs.Pipeline{}, map[string]any{}
	for _, name := range []string{"chat", "code"} {
		pipeline := newFake().pipeline
		pipeline.Serving.Deployment, pipeline.Serving.Service, pipeline.Serving.HPA = name, name, name
		pipelines[name] = pipeline
		servers[name] = map[string]any{"apiPortForward": "kubectl --context gke_c --namespace vllm port-forward service/" + name + " 8000:8000"}
	}
	text, err := json.Marshal(map[string]any{outputs.PipelinesKey: pipelines, "servers": servers, outputs.KubeconfigKey: kubeconfig})
	require.NoError(t, err)
	return text
}

func TestOutputsOfSeveralServers(t *testing.T) {
	all, err := ParseServers(severalOutputs(t), ".")
	require.NoError(t, err)
	require.Len(t, all, 2)
	for i, name := range []string{"chat", "code"} {
		assert.Equal(t, name, all[i].Server)
		assert.Equal(t, name, all[i].Pipeline.Serving.Deployment)
		assert.Equal(t, "kubectl --context gke_c", all[i].Kubectl)
		assert.Equal(t, "https://10.0.0.1", all[i].Config.Host)
	}
	assert.NotSame(t, all[0].Config, all[1].Config, "each may be changed")

	for name, test := range map[string]struct {
		text         []byte
		server, want string
		err          string
	}{
		"one of them":             {severalOutputs(t), "code", "code", ""},
		"none chosen":             {severalOutputs(t), "", "", "the stack has several servers, chat, code: choose one, such as -server chat"},
		"an unknown one":          {severalOutputs(t), "vllm", "", `the stack has no server "vllm": it has chat, code`},
		"a stack of one":          {outputsWith(t, map[string]any{"kubeconfig": kubeconfig}), "", "vllm", ""},
		"a stack of one, by name": {outputsWith(t, map[string]any{"kubeconfig": kubeconfig}), "vllm", "vllm", ""},
		"another in it":           {outputsWith(t, map[string]any{"kubeconfig": kubeconfig}), "chat", "", `no server "chat": it has vllm`},
		"no server left":          {[]byte(`{"pipelines": {}}`), "", "", `output "pipelines" has no server`},
		"not pipelines":           {[]byte(`{"pipelines": [1]}`), "", "", `output "pipelines": json`},
	} {
		t.Run(name, func(t *testing.T) {
			access, err := ParseOutputs(test.text, ".", test.server)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, access.Pipeline.Serving.Deployment)
		})
	}
}

func TestReports(t *testing.T) {
	chat := &Report{Stack: "gke", Server: "chat", Passed: true, Stages: []Result{{Stage: "api", Status: Passed, Measured: "m"}}}
	code := &Report{Stack: "gke", Server: "code", Failed: "api", Stages: []Result{{Stage: "api", Status: Failed, Measured: "gone"}}}
	for name, test := range map[string]struct {
		servers []*Report
		passed  bool
		last    string
	}{
		"all pass":  {[]*Report{chat, chat}, true, "verify gke: ok, 2 servers\n"},
		"one fails": {[]*Report{chat, code}, false, "verify gke: FAILED for code, 2 servers\n"},
	} {
		t.Run(name, func(t *testing.T) {
			reports := NewReports("gke", test.servers)
			assert.Equal(t, test.passed, reports.Passed)
			var out bytes.Buffer
			require.NoError(t, reports.Text(&out, false))
			assert.True(t, strings.HasPrefix(out.String(), "server chat\n 1 pass    api            m\nverify gke, server chat: ok, 1 stage in 0.0 s\n\n"), out.String())
			assert.True(t, strings.HasSuffix(out.String(), "\n\n"+test.last), out.String())
		})
	}
}
