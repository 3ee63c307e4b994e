package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/tests/lab"
)

func TestVerdict(t *testing.T) {
	interrupted := errInterrupted{by: "interrupt"}
	for name, test := range map[string]struct {
		ok         string
		err, cause error
		line       string
		code       int
	}{
		"ok":     {ok: "replicas 1 -> 4", line: "demo: ok: replicas 1 -> 4", code: 0},
		"failed": {err: errors.New("pulumi up:\n  exit 255"), line: "demo: failed: pulumi up: exit 255", code: 1},
		"failed command": {
			err: fmt.Errorf("pulumi up: %w", &lab.CommandError{
				Command: "pulumi up --stack local", Code: 255,
				Output: "line\nDiagnostics:\n  kubernetes:core/v1:Pod (x):\n    error: no such image\n    error: second\nResources:\n",
			}),
			line: "demo: failed: pulumi up: exit status 255: no such image", code: 1,
		},
		"interrupted": {
			err: fmt.Errorf("wait: %w", interrupted), cause: interrupted, code: 130,
			line: "demo: interrupted by interrupt: every process ended, the lab's folder removed",
		},
		"interrupted and not clean": {
			err:   errors.Join(interrupted, cleaned(errors.New("etcd did not end"))),
			cause: interrupted, code: 1, line: "demo: failed: clean up: etcd did not end",
		},
		"ok but not clean": {
			ok: "replicas 1 -> 4", err: cleaned(errors.New("folder stays")), code: 1,
			line: "demo: failed: clean up: folder stays",
		},
	} {
		t.Run(name, func(t *testing.T) {
			line, code := verdict(test.ok, test.err, test.cause)
			assert.Equal(t, test.line, line)
			assert.Equal(t, test.code, code)
		})
	}
	assert.NoError(t, cleaned(nil))
}

func TestBadCommandLineFailsInTheLastLine(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"unknown stack":    {[]string{"-stack", "oke"}, `stack "oke" not supported by the demo (one of: local, gke, eks, aks)`},
		"unknown flag":     {[]string{"-slow"}, "flag provided but not defined"},
		"unknown argument": {[]string{"up"}, `argument "up" not understood`},
		"no load":          {[]string{"-load", "0"}, "-load 0 is no load"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("STACK", "")
			var out bytes.Buffer
			assert.Equal(t, exitFailed, realMain(test.args, &out))
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			last := lines[len(lines)-1]
			assert.True(t, strings.HasPrefix(last, "demo: failed: "), last)
			assert.Contains(t, last, test.says)
		})
	}
}

func TestParse(t *testing.T) {
	quiet := newScreen(&bytes.Buffer{}, nil)
	none := func(string) string { return "" }
	o, err := parse(nil, none, quiet)
	require.NoError(t, err)
	assert.Equal(t, "local", o.stack)
	assert.True(t, o.fast)
	assert.False(t, o.keep)
	assert.FileExists(t, filepath.Join(o.root, "Pulumi.yaml"))
	assert.Equal(t, filepath.Join(o.root, "demo-report"), o.report)

	o, err = parse(nil, func(name string) string { return map[string]string{"KEEP": "1", "FAST": "0", "STACK": "local"}[name] }, quiet)
	require.NoError(t, err)
	assert.True(t, o.keep)
	assert.False(t, o.fast)

	_, err = parse(nil, func(name string) string { return map[string]string{"STACK": "oke"}[name] }, quiet)
	require.ErrorContains(t, err, `stack "oke"`)

	t.Chdir(t.TempDir())
	_, err = parse(nil, none, quiet)
	require.ErrorContains(t, err, "no Pulumi.yaml")
}

func TestScreenPrintsWholeLines(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out, nil)
	_, _ = fmt.Fprint(s, "half a ")
	s.say("a line of its own")
	_, _ = fmt.Fprint(s, "line\r\n\nrest")
	value := 5.5
	s.heading()
	s.change(report.Sample{Load: 40, Desired: 4, Ready: 1, Signals: map[string]report.Reading{
		signals.MetricRequestsInFlight: {Value: &value, Target: 4},
	}})
	s.change(report.Sample{Signals: map[string]report.Reading{signals.MetricGPUUtilization: {Target: 50}}})
	s.last("demo: ok")
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	require.Len(t, lines, 7)
	assert.Regexp(t, `^ +0\.\d s  a line of its own$`, lines[0])
	assert.Regexp(t, `^ +0\.\d s     half a line$`, lines[1])
	assert.Equal(t, len(lines[2]), len(lines[3]), "values stand below their heading")
	assert.Regexp(t, `in flight/target +GPU %/target +desired +ready$`, lines[2])
	assert.Regexp(t, `40 +5\.5/4 +off +4 +1$`, lines[3])
	assert.Regexp(t, ` 0 +off +\?/50 +\? +0$`, lines[4])
	assert.Regexp(t, `rest$`, lines[5])
	assert.Equal(t, "demo: ok", lines[6])
}

func TestEverySignal(t *testing.T) {
	value := 0.0
	read, unread := report.Reading{Value: &value, Target: 4}, report.Reading{Target: 50}
	assert.True(t, everySignal(report.Sample{Signals: map[string]report.Reading{
		signals.MetricRequestsInFlight: read, signals.MetricGPUUtilization: read}}))
	assert.False(t, everySignal(report.Sample{Signals: map[string]report.Reading{
		signals.MetricRequestsInFlight: read, signals.MetricGPUUtilization: unread}}))
	assert.False(t, everySignal(report.Sample{}))
}

type brokenPipe struct{ writes int }

func (b *brokenPipe) Write([]byte) (int, error) { b.writes++; return 0, syscall.EPIPE }

func TestScreenReportsALostTerminalOnce(t *testing.T) {
	pipe, lost := &brokenPipe{}, 0
	s := newScreen(pipe, func(err error) { lost++; assert.ErrorIs(t, err, syscall.EPIPE) })
	s.say("one")
	s.say("two")
	assert.Equal(t, 1, lost)
	assert.Equal(t, 1, pipe.writes)
}

func TestCauseNamesTheSignalsAboveTarget(t *testing.T) {
	high, low := 24.0, 3.0
	assert.Equal(t, "vllm_requests_in_flight 24/4", cause(report.Sample{Signals: map[string]report.Reading{
		signals.MetricRequestsRunning:  {Value: &low, Target: 12},
		signals.MetricRequestsInFlight: {Value: &high, Target: 4},
		signals.MetricGPUUtilization:   {Target: 50},
	}}))
}
