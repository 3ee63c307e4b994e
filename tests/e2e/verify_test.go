package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"vllm-autoscaling/components"
	"vllm-autoscaling/ops/verify"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/controlplane"
)

var (
	serviceMonitors = schema.GroupVersionResource{Group: "monitoring.coreos.com", Version: "v1", Resource: "servicemonitors"}
	prometheusRules = schema.GroupVersionResource{Group: "monitoring.coreos.com", Version: "v1", Resource: "prometheusrules"}
	prometheuses    = schema.GroupVersionResource{Group: "monitoring.coreos.com", Version: "v1", Resource: "prometheuses"}
	apiServices     = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
	hpas            = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	deployments     = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	daemonSets      = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}
)

// verifier checks the metrics path of a stack on the lab, and breaks it.
type verifier struct {
	lab     *lab.Lab
	stack   *deployment
	outputs []byte
	access  *verify.Access
	dynamic dynamic.Interface
}

func newVerifier(t *testing.T, l *lab.Lab, stack *deployment) *verifier {
	t.Helper()
	all, err := stack.Outputs(testContext(t), true)
	require.NoError(t, err)
	v := &verifier{lab: l, stack: stack}
	v.outputs, err = json.Marshal(all)
	require.NoError(t, err)
	v.access, err = verify.ParseOutputs(v.outputs, environment.root, "")
	require.NoError(t, err)
	v.dynamic, err = dynamic.NewForConfig(l.Config())
	require.NoError(t, err)
	return v
}

func (v *verifier) walk(ctx context.Context, config *rest.Config) (*verify.Report, error) {
	return verify.Run(ctx, verify.Options{
		Stack: v.stack.Name(), Pipeline: v.access.Pipeline, Config: config, Kubectl: v.access.Kubectl,
	})
}

// until repeats the checks until the stage fails with the words, or until all pass if stage is "".
func (v *verifier) until(t *testing.T, limit time.Duration, stage, words string) *verify.Report {
	t.Helper()
	var report *verify.Report
	started := time.Now()
	eventuallyNoError(t, limit, func(ctx context.Context) error {
		var err error
		if report, err = v.walk(ctx, v.access.Config); err != nil {
			return err
		}
		if report.Failed == stage && (stage == "" || strings.Contains(failedStage(report).Measured, words)) {
			return nil
		}
		var text bytes.Buffer
		_ = report.Text(&text, false)
		return fmt.Errorf("not failed at %q with %q, but:\n%s", stage, words, text.String())
	})
	var text bytes.Buffer
	require.NoError(t, report.Text(&text, false))
	t.Logf("after %.1f s:\n%s", time.Since(started).Seconds(), text.String())
	return report
}

func failedStage(report *verify.Report) verify.Result {
	for _, stage := range report.Stages {
		if stage.Stage == report.Failed {
			return stage
		}
	}
	return verify.Result{}
}

// breakage is one failure and the stage that must report it.
type breakage struct {
	name, stage, says string
	do                func(t *testing.T, v *verifier) (repair func())
}

// breakages are in the order of the path.
var breakages = []breakage{
	{"the Deployment is scaled to 0", "pods", "scaled to 0", func(t *testing.T, v *verifier) func() {
		return v.patch(t, deployments, serving, components.VLLMName, `{"spec":{"replicas":0}}`, `{"spec":{"replicas":1}}`)
	}},
	{"a pod is not ready", "pods", "0/1 ready", func(t *testing.T, v *verifier) func() {
		pods, err := v.lab.Client().CoreV1().Pods(serving).List(testContext(t), metav1.ListOptions{LabelSelector: selector})
		require.NoError(t, err)
		// The pod that stays: an earlier repair may have left one that is ending.
		at := slices.IndexFunc(pods.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp == nil })
		require.GreaterOrEqual(t, at, 0, "no pod stays")
		set := func(ready string) {
			patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, controlplane.ReadyAnnotation, ready)
			_, err := v.lab.Client().CoreV1().Pods(serving).Patch(testContext(t), pods.Items[at].Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			require.NoError(t, err)
		}
		set("false")
		return func() { set("true") }
	}},
	{"the image exports other series", "metrics", "no series vllm:num_requests_running, vllm:num_requests_waiting", otherImage},
	{"Prometheus is gone", "prometheus", "no ready pod behind Service monitoring/kps-prometheus", func(t *testing.T, v *verifier) func() {
		return v.patch(t, prometheuses, monitoring, "kps-prometheus", `{"spec":{"replicas":0}}`, `{"spec":{"replicas":1}}`)
	}},
	{"the ServiceMonitor is deleted", "targets", "Prometheus has no target for 1 of 1 pod", func(t *testing.T, v *verifier) func() {
		return v.remove(t, serviceMonitors, serving, components.VLLMName)
	}},
	{"the ServiceMonitor selects another Service", "targets", "Prometheus has no target for 1 of 1 pod", func(t *testing.T, v *verifier) func() {
		return v.patch(t, serviceMonitors, serving, components.VLLMName,
			`{"spec":{"selector":{"matchLabels":{"app.kubernetes.io/name":"another"}}}}`,
			`{"spec":{"selector":{"matchLabels":{"app.kubernetes.io/name":"vllm"}}}}`)
	}},
	{"the scrape asks for a page that is not there", "targets", "404", func(t *testing.T, v *verifier) func() {
		return v.endpoint(t, func(endpoint map[string]any) { endpoint["path"] = "/nothing-here" })
	}},
	{"a relabeling drops a series", "targets", "vllm:num_requests_waiting is not stored", func(t *testing.T, v *verifier) func() {
		return v.endpoint(t, func(endpoint map[string]any) {
			endpoint["metricRelabelings"] = []any{map[string]any{
				"sourceLabels": []any{"__name__"}, "regex": "vllm:num_requests_waiting", "action": "drop",
			}}
		})
	}},
	{"the PrometheusRule is deleted", "rules", "not DCGM_FI_DEV_GPU_UTIL, vllm:requests_in_flight:sum, " +
		"vllm:gpu_utilization:max, vllm:gpu_utilization:guarded", func(t *testing.T, v *verifier) func() {
		return v.remove(t, prometheusRules, monitoring, components.GPURulesName)
	}},
	{"another rule writes a signal", "rules", "vllm:num_requests_running is recorded by group bill of PrometheusRule monitoring-bill", foreignRule},
	{"the server is scraped every 20 s", "rules", "rule vllm:gpu_utilization:guarded has no sample", func(t *testing.T, v *verifier) func() {
		return v.endpoint(t, func(endpoint map[string]any) { endpoint["interval"] = "20s" })
	}},
	{"the adapter is scaled to 0", "adapter", "MissingEndpoints", func(t *testing.T, v *verifier) func() {
		return v.patch(t, deployments, monitoring, components.PrometheusAdapterRelease, `{"spec":{"replicas":0}}`, `{"spec":{"replicas":1}}`)
	}},
	{"the APIService leads to a Service that is not there", "adapter", "ServiceNotFound", func(t *testing.T, v *verifier) func() {
		return v.patch(t, apiServices, "", metricsAPI,
			`{"spec":{"service":{"name":"nobody"}}}`, `{"spec":{"service":{"name":"prometheus-adapter"}}}`)
	}},
	{"the adapter has no rule for a signal", "custom-metrics", "vllm_requests_in_flight is not served", adapterWithoutInFlight},
	{"the HPA is deleted", "hpa", "no HPA vllm/vllm", func(t *testing.T, v *verifier) func() {
		return v.remove(t, hpas, serving, components.VLLMName)
	}},
	{"a second HPA scales the Deployment", "hpa", "2 HPAs scale Deployment vllm: second, vllm", func(t *testing.T, v *verifier) func() {
		client := v.lab.Client().AutoscalingV2().HorizontalPodAutoscalers(serving)
		_, err := client.Create(testContext(t), &autoscalingv2.HorizontalPodAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Name: "second"},
			Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
				ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: components.VLLMName},
				MaxReplicas:    2,
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		return func() { require.NoError(t, client.Delete(testContext(t), "second", metav1.DeleteOptions{})) }
	}},
	{"the rules run every 40 s", "freshness", "s old", slowRules},
}

// verifyNamesTheBrokenStage checks that every stage passes on a healthy stack, and that each breakage fails exactly its stage.
func verifyNamesTheBrokenStage(t *testing.T, l *lab.Lab, stack *deployment) {
	v := newVerifier(t, l, stack)
	command := buildVerify(t)

	t.Run("every stage passes", func(t *testing.T) {
		report := v.until(t, 2*time.Minute, "", "")
		require.Len(t, report.Stages, len(verify.Stages()))
		pods := map[string]bool{}
		for _, value := range report.Values {
			pods[value.Pod] = true
			assert.Contains(t, allSignals, value.Signal)
			require.NotNil(t, value.AgeSeconds)
			assert.Less(t, *value.AgeSeconds, 16.0)
		}
		// There is more than one while the HPA has not removed the replicas of an earlier load.
		require.NotEmpty(t, pods)
		require.Len(t, report.Values, len(allSignals)*len(pods), "every signal of every pod")
	})
	t.Run("the command passes", func(t *testing.T) {
		code, stdout, stderr := command(t, v, nil, "--stack", stack.Name(), "--wait", "1m")
		require.Equal(t, 0, code, stdout+stderr)
		assert.Contains(t, stdout, "verify local: ok, 11 stages")
		assert.NotContains(t, stdout, "\x1b[", "no colour in a file")
		code, stdout, stderr = command(t, v, v.outputs, "--outputs", "-", "--json", "--wait", "1m")
		require.Equal(t, 0, code, stdout+stderr)
		var report verify.Report
		require.NoError(t, json.Unmarshal([]byte(stdout), &report))
		assert.True(t, report.Passed)
	})
	t.Run("the command cannot run", func(t *testing.T) {
		code, stdout, stderr := command(t, v, nil, "--stack", "no-such-stack")
		assert.Equal(t, 2, code)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, "no-such-stack")
	})
	t.Run("the API server does not answer", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		config := rest.CopyConfig(v.access.Config)
		config.Host = "https://" + listener.Addr().String()
		require.NoError(t, listener.Close())
		report, err := v.walk(testContext(t), config)
		require.NoError(t, err)
		assert.Equal(t, "api", report.Failed)
		assert.Contains(t, failedStage(report).Measured, "connection refused")
	})
	for _, b := range breakages {
		t.Run(b.name, func(t *testing.T) {
			repair := b.do(t, v)
			report := v.until(t, 3*time.Minute, b.stage, b.says)
			assert.NotEmpty(t, failedStage(report).Look, "what to look at")
			assert.NotEmpty(t, failedStage(report).Expected)
			at := slices.IndexFunc(report.Stages, func(r verify.Result) bool { return r.Stage == b.stage })
			for i, stage := range report.Stages {
				switch {
				case i < at:
					assert.Equal(t, verify.Passed, stage.Status, stage.Stage)
				case i > at:
					assert.Equal(t, verify.Skipped, stage.Status, stage.Stage)
					assert.Equal(t, b.stage, stage.Needs)
				}
			}
			if !strings.Contains(b.name, " every ") { // where the ages of the samples go to and fro
				again, err := v.walk(testContext(t), v.access.Config)
				require.NoError(t, err)
				assert.Equal(t, b.stage, again.Failed, "not only for a moment")
			}
			if b.stage == "hpa" {
				code, stdout, stderr := command(t, v, nil, "--stack", stack.Name(), "--json")
				assert.Equal(t, 1, code, stderr)
				var shown verify.Report
				require.NoError(t, json.Unmarshal([]byte(stdout), &shown), stdout)
				assert.Equal(t, "hpa", shown.Failed)
			}
			repair()
			v.until(t, 2*time.Minute, "", "")
		})
	}
}

// verifySeesGPUs checks that the stage of the GPUs measures them on a stack with DCGM's exporter, and fails when the exporter
// is gone.
func verifySeesGPUs(t *testing.T, l *lab.Lab, stack *deployment) {
	v := newVerifier(t, l, stack)
	report := v.until(t, 2*time.Minute, "", "")
	assert.Contains(t, report.Stages[5].Measured, "DCGM_FI_DEV_GPU_UTIL: 1 GPU of 1 pod")
	repair := v.patch(t, daemonSets, monitoring, "dcgm-exporter",
		`{"spec":{"template":{"spec":{"nodeSelector":{"nowhere":"true"}}}}}`, `{"spec":{"template":{"spec":{"nodeSelector":{"nowhere":null}}}}}`)
	v.until(t, 90*time.Second, "gpu", "no series DCGM_FI_DEV_GPU_UTIL")
	repair()
	v.until(t, 2*time.Minute, "", "")
}

// verifyPasses runs the command on a stack with the stack's own kubeconfig.
func verifyPasses(t *testing.T, l *lab.Lab, stack *deployment) {
	v := newVerifier(t, l, stack)
	code, stdout, stderr := buildVerify(t)(t, v, nil, "--stack", stack.Name(), "--wait", "3m")
	require.Equal(t, 0, code, stdout+stderr)
	assert.Contains(t, stdout, "DCGM_FI_DEV_GPU_UTIL: 1 GPU of 1 pod")
}

// verifyPassesWithoutPrometheus runs the command on a stack whose metrics Google collects.
func verifyPassesWithoutPrometheus(t *testing.T, l *lab.Lab, stack *deployment) {
	v := newVerifier(t, l, stack)
	code, stdout, stderr := buildVerify(t)(t, v, nil, "--stack", stack.Name(), "--json", "--wait", "90s")
	require.Equal(t, 0, code, stdout+stderr)
	var report verify.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &report), stdout)
	require.True(t, report.Passed, stdout)
	visible := map[string]bool{"api": true, "pods": true, "metrics": true, "adapter": true, "custom-metrics": true, "hpa": true}
	unseen := map[string]bool{"prometheus": true, "targets": true, "gpu": true, "rules": true}
	for _, stage := range report.Stages {
		switch {
		case visible[stage.Stage]:
			assert.Equal(t, verify.Passed, stage.Status, stage.Stage)
		case unseen[stage.Stage]:
			assert.Equal(t, verify.NotVisible, stage.Status, stage.Stage)
			assert.Contains(t, stage.Measured, "Google stores the samples")
		}
	}
	require.Len(t, report.Stages, len(verify.Stages()))
	assert.Contains(t, stdout, "PodMonitoring vllm/vllm-server")
	pods := map[string]bool{}
	for _, value := range report.Values {
		pods[value.Pod] = true
		assert.Contains(t, managedSignals, value.Signal)
	}
	assert.Len(t, report.Values, len(managedSignals)*len(pods), "every signal of every pod")
	assert.NotEmpty(t, pods)
}

// buildVerify builds the command and returns a function that runs it in the project's folder with the stack's environment and
// checks that it prints no secret.
func buildVerify(t *testing.T) func(t *testing.T, v *verifier, stdin []byte, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "verify")
	build := exec.CommandContext(testContext(t), "go", "build", "-o", program, "./cmd/verify")
	build.Dir = filepath.Join(environment.root, "ops")
	text, err := build.CombinedOutput()
	require.NoError(t, err, string(text))
	return func(t *testing.T, v *verifier, stdin []byte, args ...string) (int, string, string) {
		t.Helper()
		// Longer than the longest --wait, so that the command itself reports the failure.
		ctx, cancel := context.WithTimeout(testContext(t), 4*time.Minute)
		defer cancel()
		run := exec.CommandContext(ctx, program, args...)
		run.WaitDelay = killedDelay
		run.Dir, run.Env = environment.root, v.stack.Environment()
		var stdout, stderr bytes.Buffer
		run.Stdin, run.Stdout, run.Stderr = bytes.NewReader(stdin), &stdout, &stderr
		err := run.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			require.NoError(t, err)
		}
		t.Logf("verify %s: exit status %d\n%s%s", strings.Join(args, " "), run.ProcessState.ExitCode(), stdout.String(), stderr.String())
		for _, secret := range v.secrets(t) {
			assert.NotContains(t, stdout.String(), secret)
			assert.NotContains(t, stderr.String(), secret)
		}
		return run.ProcessState.ExitCode(), stdout.String(), stderr.String()
	}
}

// secrets returns the texts that must never be printed: Grafana's password in the outputs, if there is one, and the token in
// the kubeconfig.
func (v *verifier) secrets(t *testing.T) []string {
	t.Helper()
	var all map[string]any
	require.NoError(t, json.Unmarshal(v.outputs, &all))
	var found []string
	if v.access.Pipeline.Prometheus.Name != "" {
		password, _ := all["grafanaPassword"].(string)
		require.NotEmpty(t, password)
		found = append(found, password)
	}
	content, err := os.ReadFile(v.lab.Kubeconfig())
	require.NoError(t, err)
	for _, line := range strings.Split(string(content), "\n") {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && key == "token" {
			found = append(found, strings.Trim(value, `"`))
		}
	}
	return found
}
