package verify

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// loading is a pod whose container runs for a time and has never been ready. Its start-up probe allows 30 minutes.
func loading(name string, runs time.Duration) corev1.Pod {
	p := waiting(name, "", "")
	p.Spec.Containers = []corev1.Container{{Name: "vllm", StartupProbe: &corev1.Probe{PeriodSeconds: 5, FailureThreshold: 360}}}
	p.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now().Add(-runs))}}
	return p
}

// crashed is a pod whose container has ended four times, last a minute ago.
func crashed(name string, change func(*corev1.ContainerStatus)) corev1.Pod {
	p := waiting(name, "CrashLoopBackOff", "back-off 2m40s")
	s := &p.Status.ContainerStatuses[0]
	s.RestartCount = 4
	s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
		ExitCode: 1, Reason: "Error", FinishedAt: metav1.NewTime(time.Now().Add(-time.Minute)), Message: "\nValueError: from the status\n",
	}
	if change != nil {
		change(s)
	}
	return p
}

// minutes cuts the seconds off durations, which depend on how long the test takes.
func minutes(text string) string {
	return regexp.MustCompile(`([0-9]+m)[0-9]+s`).ReplaceAllString(text, "$1")
}

func TestWhyAPodIsNotReady(t *testing.T) {
	yes := true
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now().Add(-90 * time.Second))}}
	for name, test := range map[string]struct {
		pod  corev1.Pod
		want string
		// log is the query of the log; "" for none.
		log string
	}{
		"waits after a crash": {crashed("vllm-b", nil),
			"container vllm: 4 restarts, last exit code 1 (Error) 1m ago, waits: CrashLoopBackOff", "previous=true"},
		"runs again after a crash": {crashed("vllm-b", func(s *corev1.ContainerStatus) { s.State = running }),
			"container vllm: 4 restarts, last exit code 1 (Error) 1m ago, runs for 1m and is not ready", "previous=true"},
		"has just crashed": {crashed("vllm-b", func(s *corev1.ContainerStatus) {
			s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}}
		}), "container vllm: 4 restarts, last exit code 137 (OOMKilled)", "container=vllm&limitBytes"},
		"ends without an error again and again": {crashed("vllm-b", func(s *corev1.ContainerStatus) {
			s.LastTerminationState.Terminated.ExitCode, s.LastTerminationState.Terminated.Reason = 0, "Completed"
		}), "last exit code 0 (Completed)", "previous=true"},
		"loads": {loading("vllm-b", 2*time.Minute), "runs for 2m and is not ready (loading its model?)", "container=vllm&limitBytes"},
		"is late": {loading("vllm-b", 31*time.Minute),
			"runs for 31m and is not ready, longer than the 30m of its start-up probe", "container=vllm&limitBytes"},
		"answers no longer": {func() corev1.Pod {
			p := loading("vllm-b", 2*time.Minute)
			p.Status.ContainerStatuses[0].Started = &yes
			return p
		}(), "it had started, and its readiness probe fails", "container=vllm&limitBytes"},
		"has no start-up probe": {func() corev1.Pod {
			p := loading("vllm-b", 2*time.Minute)
			p.Spec.Containers = nil
			return p
		}(), "container vllm runs for 2m and is not ready", "container=vllm&limitBytes"},
		"has no image": {waiting("vllm-b", "ErrImagePull", "not found"), "cannot be pulled: ErrImagePull not found", ""},
		"has no configuration": {waiting("vllm-b", "CreateContainerConfigError", `secret "hub" not found`),
			`container vllm waits: CreateContainerConfigError secret "hub" not found`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.pods[1], f.logs = test.pod, map[string]string{"vllm-b/vllm": "the reason\n"}
			failed := failsAt(t, f.run(t), "pods", "vllm-b: ", "", Passed)
			assert.Contains(t, minutes(failed.Measured), test.want)
			assert.Equal(t, strings.Contains(test.want, "loading"), strings.Contains(failed.Measured, "loading"))
			if test.log == "" {
				assert.Empty(t, f.logQueries)
				assert.Empty(t, failed.Log)
				return
			}
			require.Len(t, f.logQueries, 1)
			assert.Contains(t, f.logQueries[0], test.log)
			assert.Contains(t, f.logQueries[0], "limitBytes=16384")
			assert.Contains(t, f.logQueries[0], "tailLines=20")
			assert.Equal(t, strings.Contains(test.log, "previous"), strings.Contains(f.logQueries[0], "previous"))
			assert.Equal(t, []string{"vllm-b: the reason"}, failed.Log)
		})
	}
}

func TestTheReportShowsTheLog(t *testing.T) {
	f := newFake()
	f.pods[1] = crashed("vllm-b", nil)
	f.logs = map[string]string{"vllm-b/vllm": "INFO start\nTraceback\n  File x\nValueError: no room for the KV cache\n"}
	assert.Contains(t, text(t, f.run(t)), "\n           log:      vllm-b: Traceback\n                     vllm-b: File x\n"+
		"                     vllm-b: ValueError: no room for the KV cache\n           look at:  $ kubectl")
}

// Without the right to read logs, the end that the kubelet has put into the status is shown.
func TestALogThatCannotBeRead(t *testing.T) {
	f := newFake()
	f.pods[1] = crashed("vllm-b", nil)
	failed := failsAt(t, f.run(t), "pods", "4 restarts", "", Passed)
	require.Len(t, failed.Log, 2)
	assert.Contains(t, failed.Log[0], `the log cannot be read: user "u" cannot get resource "pods/log"`)
	assert.Equal(t, "vllm-b: ValueError: from the status", failed.Log[1])
}

// A hint on a model is only for what loads one.
func TestPrometheusLoadsNoModel(t *testing.T) {
	f := newFake()
	f.monitoring = []corev1.Pod{loading("prometheus-0", time.Minute)}
	f.monitoring[0].Namespace = "vllm" // the fake's logs
	f.logs = map[string]string{"prometheus-0/vllm": "replaying the WAL\n"}
	failed := failsAt(t, f.run(t), "prometheus", "container vllm runs for 1m", "get pods,prometheuses", Passed)
	assert.NotContains(t, failed.Measured, "model")
	assert.Equal(t, []string{"prometheus-0: replaying the WAL"}, failed.Log)
}

func TestNotMoreThanThreeLogs(t *testing.T) {
	f := newFake()
	f.pods = nil
	for _, name := range []string{"vllm-a", "vllm-b", "vllm-c", "vllm-d", "vllm-e"} {
		f.pods = append(f.pods, crashed(name, nil))
	}
	failed := failsAt(t, f.run(t), "pods", "0/5 ready", "", Passed)
	assert.Len(t, f.logQueries, logPods)
	assert.Contains(t, failed.Measured, "vllm-e: container vllm: 4 restarts")
}

func TestAPodThatIsReadyBetweenTwoCrashes(t *testing.T) {
	f := newFake()
	f.pods[1].Status.ContainerStatuses = crashed("", func(s *corev1.ContainerStatus) {
		s.Ready, s.State = true, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	}).Status.ContainerStatuses
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))
	require.Len(t, report.Stages[1].Warnings, 1)
	assert.Equal(t, []string{"vllm-b: container vllm: 4 restarts, last exit code 1 (Error) 1m ago, serves again"},
		[]string{minutes(report.Stages[1].Warnings[0])})
	assert.Contains(t, text(t, report), "\n           warning:  vllm-b: container vllm: 4 restarts")

	f.pods[1].Status.ContainerStatuses[0].LastTerminationState.Terminated.FinishedAt = metav1.NewTime(time.Now().Add(-time.Hour))
	assert.Empty(t, f.run(t).Stages[1].Warnings, "long ago")
}

func TestTail(t *testing.T) {
	for name, test := range map[string]struct {
		log  string
		want []string
	}{
		"nothing":                     {"", nil},
		"empty lines":                 {"\n\na\n\n \n", []string{"a"}},
		"the last three":              {"a\nb\nc\nd\n", []string{"b", "c", "d"}},
		"without an end of line":      {"a\nb", []string{"a", "b"}},
		"a progress bar":              {"load:   0%\rload:  50%\rload: 100%\n", []string{"load: 100%"}},
		"colours and a terminal's":    {"\x1b[31mred\x1b[0m\x07\x1b]0;title\x07", []string{"red ]0;title"}},
		"Windows' ends of lines":      {"a\r\nb\r\n", []string{"a", "b"}},
		"a secret":                    {"api_key='abcdefgh' hf_abcdefghijklmnop", []string{"api_key='[secret]' [secret]"}},
		"a long line":                 {strings.Repeat("x", 1000), []string{strings.Repeat("x", logLineBytes) + "..."}},
		"a long line cut in a letter": {strings.Repeat("x", logLineBytes-1) + "ü", []string{strings.Repeat("x", logLineBytes-1) + "..."}},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, append([]string(nil), tail(test.log)...)) })
	}
}
