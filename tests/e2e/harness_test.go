package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/cloud"
	"vllm-autoscaling/tests/lab/process"
)

const (
	serving    = "vllm"
	monitoring = "monitoring"
	selector   = "app.kubernetes.io/name=vllm"
	modelID    = "google/gemma-3-1b-it"
	apiPort    = 8000

	inFlight = signals.MetricRequestsInFlight
	running  = signals.MetricRequestsRunning
	waiting  = signals.MetricRequestsWaiting
	gpu      = signals.MetricGPUUtilization
	kvCache  = signals.MetricKVCacheUsage

	metricsAPI = components.MetricsAPIName

	// tolerance is kube-controller-manager's default: a metric within 10 % of its target changes nothing.
	tolerance = 0.1
	// hpaPeriod is also its default. Every decision takes up to one period.
	hpaPeriod = 15 * time.Second
	// decision is enough time for scrape, rule and HPA period on a loaded machine.
	decision = 90 * time.Second

	// imagePullTime is longer than the period in which an update looks at the pod.
	imagePullTime = 3 * time.Second

	// killedDelay is how long to wait for a killed command, whose children may hold its output open.
	killedDelay = 10 * time.Second
)

// allSignals lists the metrics of the HPA of a stack with the default signals.
var allSignals = defaultSignals(func(d signals.Definition) string { return d.Name })

// defaultSignals lists something of each signal that is on by default.
func defaultSignals(of func(signals.Definition) string) []string {
	var all []string
	for _, d := range signals.Catalogue() {
		if d.Default {
			all = append(all, of(d))
		}
	}
	return all
}

// environment is prepared by TestMain for all tests.
var environment struct {
	ctx   context.Context
	tools lab.Tools
	root  string // the Pulumi project's folder
	// cleanUp are folders that are removed after all tests.
	cleanUp []string
}

func TestMain(m *testing.M) { os.Exit(prepareAndRun(m)) }

func prepareAndRun(m *testing.M) int {
	// Ctrl-C must end the labs, or their folders stay.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	tools, err := lab.BuildTools(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the lab's tools:", err)
		return 1
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := lab.BuildProgram(ctx, root, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	environment.ctx, environment.tools, environment.root = ctx, tools, root
	defer func() {
		for _, folder := range environment.cleanUp {
			_ = os.RemoveAll(folder)
		}
	}()
	return m.Run()
}

// testContext ends with the test or with Ctrl-C.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(environment.ctx)
	t.Cleanup(cancel)
	return ctx
}

// startLab starts a lab for the test with GPU nodes of one GPU each.
func startLab(t *testing.T, gpuNodes int) *lab.Lab {
	t.Helper()
	l := newLab(t, nil)
	if gpuNodes > 0 {
		require.NoError(t, l.AddGPUNodes(testContext(t), gpuNodes, 1))
	}
	return l
}

// newLab starts a lab that ends with the test; nil simulates no cloud.
func newLab(t *testing.T, clouds *cloud.Options) *lab.Lab {
	t.Helper()
	return newLabWith(t, clouds, func(*lab.Options) {})
}

// newLabWith is like newLab, with other options.
func newLabWith(t *testing.T, clouds *cloud.Options, change func(*lab.Options)) *lab.Lab {
	t.Helper()
	ctx := testContext(t)
	// Not t.TempDir: its long path would be too long for a unix socket.
	folder, err := os.MkdirTemp("", "vllm-e2e-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	logMachine(t)
	log := lines(t, "lab")
	log.live = true // a line for each program: the course of events in which a failure stands
	options := lab.Options{Dir: filepath.Join(folder, "lab"), Tools: environment.tools, Log: log, Clouds: clouds}
	if clouds != nil {
		// A new node has no image, and an update prints that it waits for one.
		options.ImagePullTime = imagePullTime
	}
	change(&options)
	l, err := lab.Start(ctx, options)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			logObjects(t, l)
		}
		exposed, err := process.Exposed()
		assert.NoError(t, err)
		assert.Empty(t, exposed, "reachable from other machines")
		require.NoError(t, l.Stop(), "end the lab")
		require.NoDirExists(t, filepath.Join(folder, "lab"))
	})
	return l
}

// deployment is a stack with the output of its CLI.
type deployment struct {
	*lab.Stack
	printed *lineLog
}

// newStack creates a stack with the given configuration and the one that every stack on the lab needs.
func newStack(t *testing.T, l *lab.Lab, name string, config map[string]any, secrets map[string]string) *deployment {
	t.Helper()
	return makeStack(t, l, name, merged(labConfig(l), config), secrets)
}

// makeStack creates a stack with this configuration, which overrides the project's own.
func makeStack(t *testing.T, l *lab.Lab, name string, config map[string]any, secrets map[string]string) *deployment {
	t.Helper()
	return makeStackWith(t, l, name, config, secrets)
}

// makeStackWith is like makeStack, with variables in the environment of the CLI.
func makeStackWith(t *testing.T, l *lab.Lab, name string, config map[string]any, secrets map[string]string, variables ...string) *deployment {
	t.Helper()
	printed := lines(t, "pulumi")
	stack, err := l.Stack(testContext(t), lab.StackOptions{
		Name: name, ProjectDir: environment.root, Output: printed, Secrets: secrets, Config: config, Env: variables,
	})
	require.NoError(t, err)
	return &deployment{Stack: stack, printed: printed}
}

// resources returns the URNs in the state, without the stack itself.
func (d *deployment) resources(t *testing.T) []string {
	t.Helper()
	exported, err := d.Export(testContext(t))
	require.NoError(t, err)
	var state struct {
		Deployment struct {
			Resources []struct{ URN, Type string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(exported), &state))
	var urns []string
	for _, resource := range state.Deployment.Resources {
		if resource.Type != "pulumi:pulumi:Stack" {
			urns = append(urns, resource.URN)
		}
	}
	return urns
}

func labConfig(l *lab.Lab) map[string]any {
	chart := map[string]any{"repository": l.ChartRepository()}
	return map[string]any{
		"cluster": map[string]any{"kubeconfig": l.Kubeconfig(), "context": l.ContextName()},
		"charts":  map[string]any{"kubePrometheusStack": chart, "prometheusAdapter": chart, "dcgmExporter": chart},
	}
}

// quick makes the HPA act at once on more load, and soon on less. The targets stay.
var quick = map[string]any{"autoscaling": map[string]any{
	"scaleUp":   map[string]any{"stabilization": "0s"},
	"scaleDown": map[string]any{"stabilization": "10s", "pods": 4, "period": "15s"},
}}

// merged merges objects; later ones override earlier ones, key by key.
func merged(objects ...map[string]any) map[string]any {
	result := map[string]any{}
	for _, object := range objects {
		for key, value := range object {
			below, isObject := result[key].(map[string]any)
			if above, ok := value.(map[string]any); ok && isObject {
				result[key] = merged(below, above)
			} else {
				result[key] = value
			}
		}
	}
	return result
}

// watch applies load to a deployed stack and records the HPA's decisions.
type watch struct {
	t        *testing.T
	lab      *lab.Lab
	load     *load.Generator
	recorder *report.Recorder
}

func newWatch(t *testing.T, l *lab.Lab) *watch {
	t.Helper()
	return newWatchOf(t, l, func(ctx context.Context) ([]string, error) { return l.ReadyPodURLs(ctx, serving, selector, apiPort) })
}

// newWatchOf is newWatch with the load on other addresses.
func newWatchOf(t *testing.T, l *lab.Lab, urls func(context.Context) ([]string, error)) *watch {
	t.Helper()
	return newServerWatch(t, l, components.VLLMName, modelID, urls)
}

// newServerWatch is newWatchOf for a server of the stack.
func newServerWatch(t *testing.T, l *lab.Lab, server, model string, urls func(context.Context) ([]string, error)) *watch {
	t.Helper()
	ctx := testContext(t)
	// Least: the tests expect an even load, so that a signal's average is that of each server.
	generator, err := load.Start(ctx, load.Options{Model: model, MaxTokens: 100, Targets: load.ByURL(urls), Routing: load.Least})
	require.NoError(t, err)
	started := time.Now()
	w := &watch{t: t, lab: l, load: generator}
	w.recorder = report.NewRecorder(started, report.HPASource(l.Client(), serving, server,
		func() float64 { return float64(generator.Shape().Concurrency) }))
	recording, stop := context.WithCancel(ctx)
	recorded := make(chan struct{})
	log := lines(t, "hpa "+server)
	go func() {
		defer close(recorded)
		w.recorder.Record(recording, 500*time.Millisecond, func(s report.Sample) {
			fmt.Fprintln(log, s)
		})
	}()
	t.Cleanup(func() {
		stats := generator.Stop()
		stop()
		<-recorded
		t.Logf("load: %+v", stats)
	})
	return w
}

// until waits for a sample that satisfies condition.
func (w *watch) until(t *testing.T, limit time.Duration, what string, condition func(report.Sample) bool) report.Sample {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(testContext(t), limit, fmt.Errorf("waited %s", limit))
	defer cancel()
	sample, err := w.recorder.WaitFor(ctx, what, condition)
	if err != nil {
		t.Fatalf("%v; load: %+v", err, w.load.Stats())
	}
	return sample
}

// during waits and returns the samples of that time.
func (w *watch) during(t *testing.T, length time.Duration) []report.Sample {
	t.Helper()
	from := len(w.recorder.Samples())
	select {
	case <-testContext(t).Done():
		t.Fatal("interrupted")
	case <-time.After(length):
	}
	return w.recorder.Samples()[from:]
}

// since returns the samples since a time.
func (w *watch) since(seconds float64) []report.Sample {
	samples := w.recorder.Samples()
	first := slices.IndexFunc(samples, func(s report.Sample) bool { return s.Seconds >= seconds })
	if first < 0 {
		return nil
	}
	return samples[first:]
}

// rest removes the load and waits for one quiet replica, so that every test is independent of the ones before.
func (w *watch) rest(t *testing.T) {
	t.Helper()
	w.load.Set(load.Shape{})
	w.lab.SetGPUUtilization(nil)
	w.until(t, 2*time.Minute, "one quiet replica", func(s report.Sample) bool {
		return s.Desired == 1 && s.Current == 1 && s.Ready == 1 && s.Pods == 1 && quiet(s, allSignals...) && seen(s, 0)
	})
}

// step sets the load and returns the time, in seconds of the recorder.
func (w *watch) step(concurrency int) float64 {
	shape := load.Shape{Concurrency: concurrency}
	w.load.Set(shape)
	return w.recorder.Mark("%s", shape)
}

// quiet reports whether no signal requires more replicas.
func quiet(s report.Sample, names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return s.Signals[name].Ratio() > 1+tolerance })
}

// seen reports whether the HPA has a value of every signal, each at most limit.
func seen(s report.Sample, most float64) bool {
	for _, reading := range s.Signals {
		if reading.Value == nil || *reading.Value > most {
			return false
		}
	}
	return len(s.Signals) > 0
}

func others(name string) []string {
	return slices.DeleteFunc(slices.Clone(allSignals), func(other string) bool { return other == name })
}

// constant returns a GPU utilization that does not depend on load.
func constant(percent float64) func(string, int) float64 {
	return func(string, int) float64 { return percent }
}

// logObjects logs the cluster's objects of a failed test before its lab ends.
func logObjects(t *testing.T, l *lab.Lab) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, failure := range l.Failures() {
		t.Logf("%s", failure)
	}
	pods, err := l.Client().CoreV1().Pods("").List(ctx, listAll)
	if err != nil {
		t.Logf("list pods: %v", err)
		return
	}
	for _, pod := range pods.Items {
		var conditions []string
		for _, c := range pod.Status.Conditions {
			if c.Status != "True" {
				conditions = append(conditions, fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Message))
			}
		}
		t.Logf("pod %s/%s %s %s", pod.Namespace, pod.Name, pod.Status.Phase, strings.Join(conditions, "; "))
	}
	events, err := l.Client().CoreV1().Events("").List(ctx, listAll)
	if err != nil {
		return
	}
	for _, event := range events.Items {
		if event.Type == "Warning" {
			t.Logf("event %s/%s %s: %s", event.Namespace, event.InvolvedObject.Name, event.Reason, event.Message)
		}
	}
}

// logMachine logs the machine on which a failed test ran.
func logMachine(t *testing.T) {
	t.Helper()
	t.Logf("%s, %d CPUs, GOMAXPROCS %d", runtime.Version(), runtime.NumCPU(), runtime.GOMAXPROCS(0))
	for _, file := range []string{"/proc/version", "/proc/loadavg", "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/memory.max", "/proc/meminfo", "/proc/self/limits"} {
		content, err := os.ReadFile(file)
		if err != nil { // not Linux, or no such limit
			continue
		}
		all := strings.Split(strings.TrimSpace(string(content)), "\n")
		t.Logf("%s: %s", file, strings.Join(all[:min(len(all), 20)], "\n"))
	}
}

// lineLog stores the lines of a process' output and logs them with the test: at once if it is live and with -v, otherwise at
// the end of a failed test, after the failure.
type lineLog struct {
	prefix string
	live   bool

	mu    sync.Mutex
	t     *testing.T
	part  []byte
	later []string
	all   bytes.Buffer
}

func lines(t *testing.T, prefix string) *lineLog {
	l := &lineLog{t: t, prefix: prefix, live: testing.Verbose()}
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.Failed() {
			for _, line := range l.later {
				t.Log(line)
			}
		}
		// A process may print after its test has ended; then t.Log panics.
		l.t = nil
	})
	return l
}

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.Write(p)
	l.part = append(l.part, p...)
	for {
		line, rest, found := bytes.Cut(l.part, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.part = rest
		if l.t == nil || len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		text := fmt.Sprintf("%s %s| %s", time.Now().Format("15:04:05.0"), l.prefix, line)
		if l.live {
			l.t.Log(text)
		} else {
			l.later = append(l.later, text)
		}
	}
}

// text returns what was written since the last take.
func (l *lineLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// take returns what was written since the last take.
func (l *lineLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.all.String()
	l.all.Reset()
	return text
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
