package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/tests/lab"
)

// loading is a running command `load`.
type loading struct {
	command *exec.Cmd
	printed *lineLog
	folder  string
	ended   chan error
}

// startLoad builds the command like `make load` and starts it like a user of the stack.
func startLoad(t *testing.T, stack *deployment, flags ...string) *loading {
	t.Helper()
	folder := t.TempDir()
	binary := filepath.Join(folder, "load")
	build := exec.CommandContext(testContext(t), "go", "build", "-o", binary, "./cmd/load")
	build.Dir = filepath.Join(environment.root, "ops")
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
	r := &loading{printed: lines(t, "load"), folder: filepath.Join(folder, "report"), ended: make(chan error, 1)}
	r.command = exec.CommandContext(testContext(t), binary, append([]string{"-stack", stack.Name(), "-report", r.folder}, flags...)...)
	r.command.Dir, r.command.Env = environment.root, stack.Environment()
	r.command.Stdout, r.command.Stderr, r.command.WaitDelay = r.printed, r.printed, killedDelay
	require.NoError(t, r.command.Start())
	go func() { r.ended <- r.command.Wait() }()
	return r
}

// wait returns the exit code, the last line and the report.
func (r *loading) wait(t *testing.T, limit time.Duration) (int, string, report.Report) {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(limit):
		t.Fatalf("load still runs after %s", limit)
	}
	all := strings.Split(strings.TrimSpace(r.printed.text()), "\n")
	var result report.Report
	raw, err := os.ReadFile(filepath.Join(r.folder, "report.json"))
	require.NoError(t, err, r.printed.text())
	require.NoError(t, json.Unmarshal(raw, &result))
	require.FileExists(t, filepath.Join(r.folder, "index.html"))
	require.FileExists(t, filepath.Join(r.folder, "plot.png"))
	assert.Equal(t, report.Schema, result.Schema)
	return r.command.ProcessState.ExitCode(), all[len(all)-1], result
}

// loadCommand applies load to the stack through port-forwards and compares the report with the servers' own counters.
func loadCommand(t *testing.T, l *lab.Lab, stack *deployment, during func(t *testing.T)) {
	// 12 a second of 3 s each: more than two servers of 16 can do, and four are not full. At random one of them might be. At the
	// target of 4 in flight they ask for all four.
	running := startLoad(t, stack, "-steps", "1:10s,12:1m15s", "-output-tokens", "150", "-routing", "least", "-slo-ttft", "30s", "-slo-ratio", "0.9")
	during(t)
	code, last, r := running.wait(t, 3*time.Minute)
	assert.Contains(t, running.printed.text(), "load: target: stack "+stack.Name()+", cluster https://127.0.0.1")
	q := r.Requests
	require.NotNil(t, q)
	assert.Equal(t, "least", q.Routing)
	assert.Equal(t, 910, q.Offered, "10 + 900, whatever the servers did")
	assert.Equal(t, 910, q.OK, last)
	// The latency depends on the machine. The test checks that the command fails for it.
	assert.InDelta(t, float64(q.Goodput.Good)/910, q.Goodput.Ratio, 1e-9)
	assert.Equal(t, q.Goodput.Ratio >= 0.9, q.Goodput.Met)
	if q.Goodput.Met {
		assert.Zero(t, code, last)
		assert.Regexp(t, `^load: ok: 910 of 910 requests answered`, last)
	} else {
		assert.Equal(t, 1, code, last)
		assert.Regexp(t, `of the requests had their first token within 30 s, the objective is 90\.0 %$`, last)
	}
	assert.Equal(t, q.Offered, q.OK+q.Canceled+sum(q.Failed)+sum(q.Dropped))
	assert.Equal(t, int64(150*q.OK), q.OutputTokens, "ignore_eos and max_tokens fix the length")
	assert.InDelta(t, 100, float64(q.InputTokens)/float64(q.OK), 40, "about as many as asked for")
	require.NotNil(t, r.Scaling)
	require.NotNil(t, r.Scaling.FirstScaleUp)
	require.NotNil(t, r.Scaling.FirstNewReady)
	assert.Equal(t, 4, r.Scaling.PeakReady)
	live := 0
	for _, sample := range r.Samples {
		for _, reading := range sample.Signals {
			if reading.Live != nil {
				live++
			}
		}
	}
	assert.Greater(t, live, len(r.Samples), "the custom metrics API is read beside the HPA")

	assert.Len(t, q.Targets, 4, "every pod that was ready, those that the HPA added included")
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		samples, err := vector(ctx, l, `sum by (pod) (max_over_time(vllm:request_success_total[5m]))`)
		if err != nil {
			return err
		}
		counted := map[string]int{}
		for _, s := range samples {
			if s.Value > 0 {
				counted[string(s.Metric["pod"])] = int(s.Value)
			}
		}
		reported := map[string]int{}
		for pod, counts := range q.Targets {
			reported[pod] = counts.OK
		}
		if fmt.Sprint(counted) != fmt.Sprint(reported) {
			return fmt.Errorf("servers have counted %v, the report says %v", counted, reported)
		}
		return nil
	})
	for pod, counts := range q.Targets {
		assert.Greater(t, counts.OK, 50, "%s got its share", pod)
	}
}

// loadInterrupted checks that a light load completes its requests to replicas that are removed. Ctrl-C then ends the load at
// once, and the report contains the requests in flight.
func loadInterrupted(t *testing.T, w *watch, stack *deployment) {
	w.step(40)
	w.until(t, decision, "four ready replicas", func(s report.Sample) bool { return s.Desired == 4 && s.Ready == 4 })
	// Least: a few requests reach every server. Three are in flight, which is below the target of one.
	running := startLoad(t, stack, "-rate", "1", "-for", "10m", "-output-tokens", "150", "-routing", "least")
	deadline := time.After(time.Minute)
	for !strings.Contains(running.printed.text(), "served") { // the first line of progress
		select {
		case err := <-running.ended:
			t.Fatalf("ended by itself: %v", err)
		case <-deadline:
			t.Fatal("no progress")
		case <-time.After(50 * time.Millisecond):
		}
	}
	w.step(0)
	w.until(t, 2*time.Minute, "back to one replica", func(s report.Sample) bool { return s.Desired == 1 && s.Ready == 1 })
	w.during(t, 5*time.Second) // longer than a request of 3 s
	require.NoError(t, running.command.Process.Signal(syscall.SIGINT))
	code, last, r := running.wait(t, 20*time.Second)
	assert.Equal(t, 130, code)
	assert.Regexp(t, `^load: interrupted by interrupt: \d+ of \d+ requests answered`, last)
	q := r.Requests
	assert.InDelta(t, q.Off-q.From, q.Offered, 2, "one a second")
	assert.Positive(t, q.OK)
	assert.Positive(t, q.Canceled, "what was in flight")
	assert.Equal(t, q.Offered, q.OK+q.Canceled+sum(q.Failed)+sum(q.Dropped))
	assert.Empty(t, q.Failed)
	assert.Empty(t, q.Dropped)
	assert.Len(t, q.Targets, 4, "those that were taken away had answered some")
}

func sum(counts map[string]int) int {
	total := 0
	for _, n := range counts {
		total += n
	}
	return total
}
