package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/report"
)

func none(string) string { return "" }

func TestLoads(t *testing.T) {
	for args, want := range map[string]string{
		"-rate 5 -for 90s":             "5 requests/s for 1m30s",
		"-steps 2:1m,10:2m,2:1m":       "2 requests/s for 1m0s, then 10 requests/s for 2m0s, then 2 requests/s for 1m0s",
		"-ramp 0:20:5m":                "0 to 20 requests/s in 5m0s",
		"-ramp 0:20:5m -poisson":       "0 to 20 requests/s in 5m0s (Poisson arrivals, seed 1)",
		"-concurrency 40 -for 1m":      "40 requests in flight for 1m0s (closed loop)",
		"":                             "trace burst, 695 requests in 3m50s",
		"-speed 2 -trace-start 1m":     ", 2x its speed, from 1m0s on",
		"-trace burst -trace-length 5": "error: invalid value",
		"-scale 0.5 -seed 3":           " requests in 3m50s, 0.5x its 695 requests (seed 3)",
		"-trace poisson:rate=5,length=1m,input=9,output=7 -seed 3": "poisson:rate=5,length=1m,input=9,inputSigma=0.77,output=7,outputSigma=0.93,seed=3, ",
		"-trace closed:users=20,think=5s,length=1m":                "closed:users=20,think=5s,length=1m,input=1020,",
	} {
		t.Run(args, func(t *testing.T) {
			o, err := parse(append([]string{"-stack", "local"}, strings.Fields(args)...), none, &bytes.Buffer{})
			if message, bad := strings.CutPrefix(want, "error: "); bad {
				require.ErrorContains(t, err, message)
				return
			}
			require.NoError(t, err)
			assert.Contains(t, o.shape(), want)
			assert.Positive(t, o.duration())
			assert.Equal(t, o.shape(), o.settings["load"])
			assert.Equal(t, "512", o.settings["max-in-flight"], "defaults are settings, too")
			assert.Equal(t, "random", o.settings["routing"])
		})
	}
}

func TestNothingIsLoadedThatWasNotNamed(t *testing.T) {
	for args, message := range map[string]string{
		"":                                        "nothing to load: name a stack",
		"-rate 5":                                 "nothing to load: name a stack",
		"-url localhost:8000":                     "is not an address such as",
		"-url ftp://x":                            "is not an address such as",
		"-stack a -rate 1 -ramp 0:1:1m":           "more than one load",
		"-stack a -steps 5":                       `"5" is not a rate with its duration`,
		"-stack a -steps 5:1m,x:1m":               `"x:1m" is not a rate`,
		"-stack a -ramp 5:1m":                     "is not from:to:duration",
		"-stack a -rate -1":                       "rates are numbers from 0 on",
		"-stack a -ramp 0:0:1m":                   "is no load",
		"-stack a -concurrency -1":                "above 0",
		"-stack a -concurrency 600":               "-concurrency 600 is above -max-in-flight 512",
		"-stack a -max-in-flight 0":               "-max-in-flight 0: give at least 1",
		"-stack a -input-tokens 2000000000":       "-input-tokens 2000000000: give at most 1000000",
		"-stack a -output-tokens 2000000000":      "-output-tokens 2000000000: give at most 1000000",
		"-stack a -slo-ratio 95":                  "not between 0 and 1",
		"-stack a -slo-ratio NaN":                 "not between 0 and 1",
		"-stack a -slo-ratio 1 -slo-ttft 0s":      "set -slo-ttft above 0",
		"-url http://me:the-key@x -rate 1":        "-url contains a user or a password",
		"-stack a -timeout 0s":                    "-timeout must be above 0",
		"-stack a -trace nowhere.csv":             "nowhere.csv",
		"-stack a up":                             `argument "up" not understood`,
		"-stack a -trace burst -speed -0.5":       `invalid value "-0.5" for flag -speed: want a factor from 0.001 to 1e+06`,
		"-stack a -trace burst -speed 0":          `invalid value "0" for flag -speed: want a factor from 0.001`,
		"-stack a -trace-start -1s":               "-trace-start -1s: want a time from 0",
		"-stack a -scale 0":                       `invalid value "0" for flag -scale: want a factor from 0.001 to 100`,
		"-via gateway -url http://x -stack a":     "-via gateway is the way to the servers of a stack",
		"-via gateway -url http://x":              "-via gateway is the way to the servers of a stack",
		"-stack a -via ingress":                   `"ingress" is not pods or gateway`,
		"-stack a -routing best":                  `invalid value "best" for flag -routing: "best" is not random, round-robin or least`,
		"-stack a -trace poisson:rate=x":          `load "poisson:rate=x": rate="x": want a number from 0.0001 to 10000`,
		"-stack a -trace ramp:":                   "from is missing",
		"-stack a -trace closed:users=600":        "-trace closed:users=600: users are above -max-in-flight 512: raise that as well",
		"-stack a -trace closed:users=6 -scale 2": "change users, think and length instead",
	} {
		t.Run(args, func(t *testing.T) {
			t.Setenv("STACK", "")
			var out bytes.Buffer
			assert.Equal(t, exitFailed, realMain(strings.Fields(args), &out))
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			assert.True(t, strings.HasPrefix(lines[len(lines)-1], "load: failed: "), out.String())
			assert.Contains(t, lines[len(lines)-1], message)
			assert.NotContains(t, out.String(), "the-key")
		})
	}
}

// api is a server of the chat API that checks the key.
func api(t *testing.T, status int) (*httptest.Server, *atomic.Int64) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-key" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/v1/models" {
			_, _ = fmt.Fprint(w, `{"data":[{"id":"served-model"}]}`)
			return
		}
		asked.Add(1)
		var body struct{ Model string }
		if json.NewDecoder(r.Body).Decode(&body) != nil || body.Model != "served-model" || status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"length"}]}`+"\n\n"+
			`data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}`+"\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(server.Close)
	return server, &asked
}

func TestLoadOfAnAddress(t *testing.T) {
	t.Setenv("STACK", "")
	t.Setenv("VLLM_API_KEY", "the-key")
	server, asked := api(t, http.StatusOK)
	folder := t.TempDir()
	var out bytes.Buffer
	code := realMain([]string{"-url", server.URL + "/v1/", "-rate", "40", "-for", "500ms", "-slo-ttft", "10s", "-slo-ratio", "1", "-report", folder}, &out)
	require.Zero(t, code, out.String())
	assert.Contains(t, out.String(), "load: target: "+server.URL+", as given; no stack is watched\n")
	assert.Regexp(t, `load: ok: 20 of 20 requests answered, first token p95 \d`, out.String())
	assert.Contains(t, out.String(), "load: 40 requests/s for 500ms, model served-model, routing by the address, at most 512 in flight, ")
	assert.Regexp(t, `  routing +by the address`, out.String())
	assert.EqualValues(t, 20, asked.Load())
	assert.NotContains(t, out.String(), "the-key")
	for _, name := range []string{"report.json", "index.html"} {
		content, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		assert.NotContains(t, string(content), "the-key")
	}

	t.Run("no answer is a failure with a report", func(t *testing.T) {
		server, _ := api(t, http.StatusTeapot)
		folder := t.TempDir()
		var out bytes.Buffer
		assert.Equal(t, exitFailed, realMain([]string{"-url", server.URL, "-rate", "20", "-for", "200ms", "-report", folder}, &out))
		assert.Contains(t, out.String(), "load: failed: no request was answered")
		assert.Contains(t, out.String(), "4 HTTP 418")
		assert.FileExists(t, filepath.Join(folder, "index.html"))
	})
	t.Run("a wrong key", func(t *testing.T) {
		t.Setenv("VLLM_API_KEY", "another")
		var out bytes.Buffer
		assert.Equal(t, exitFailed, realMain([]string{"-url", server.URL, "-rate", "20", "-for", "200ms", "-report", folder}, &out))
		assert.Contains(t, out.String(), "401")
	})
}

// A reasoning model that is given too few tokens for its answer sends no text of one, and a server may fail within a stream.
func TestLoadOfATrace(t *testing.T) {
	t.Setenv("STACK", "")
	t.Setenv("VLLM_API_KEY", "")
	var events atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			_, _ = fmt.Fprint(w, `{"data":[{"id":"base","max_model_len":2000},{"id":"adapter","max_model_len":2000}]}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, *events.Load())
	}))
	t.Cleanup(server.Close)
	run := func(t *testing.T, stream string, flags ...string) (string, int, report.Report) {
		t.Helper()
		events.Store(&stream)
		folder := t.TempDir()
		file := filepath.Join(folder, "trace.txt")
		require.NoError(t, os.WriteFile(file, []byte(`{"timestamp": 0, "input_length": 2500, "output_length": 20, "hash_ids": [1]}
{"timestamp": 100, "input_length": 30, "output_length": 3000, "hash_ids": []}
`), 0o600))
		var out bytes.Buffer
		code := realMain(append([]string{"-url", server.URL, "-trace", file, "-report", folder}, flags...), &out)
		raw, err := os.ReadFile(filepath.Join(folder, "report.json"))
		require.NoError(t, err, out.String())
		var r report.Report
		require.NoError(t, json.Unmarshal(raw, &r))
		return out.String(), code, r
	}
	const end = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}` + "\n\ndata: [DONE]\n\n"

	t.Run("reasoning", func(t *testing.T) {
		out, code, r := run(t, `data: {"choices":[{"index":0,"delta":{"reasoning":"x"}}]}`+"\n\n"+end, "-slo-ratio", "1")
		assert.Zero(t, code, out)
		assert.Contains(t, out, "load: trace trace.txt (Mooncake), 2 requests in 100ms, 1 with fewer tokens than recorded, model base, ")
		assert.Contains(t, out, "load: 1 of 2 requests are longer than the model's context of 2000 tokens and will be refused: "+
			"lower -max-input-tokens or -max-tokens\n")
		assert.Equal(t, 2, r.Requests.TTFT.Count)
	})
	t.Run("no text", func(t *testing.T) {
		out, code, r := run(t, end, "-model", "adapter")
		assert.Zero(t, code, out)
		assert.Contains(t, out, "load: ok: 2 of 2 requests answered, first token p95 not known")
		assert.NotContains(t, out, "0.00 s")
		assert.Zero(t, r.Requests.TTFT.Count)
	})
	t.Run("an error event", func(t *testing.T) {
		out, code, r := run(t, `data: {"error":{"message":"EngineCore encountered an issue.","code":500}}`+"\n\ndata: [DONE]\n\n", "-model", "other")
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, out, `load: the server does not list model "other", its first is "base": requests may fail`)
		assert.Contains(t, out, "error event 500: EngineCore encountered an issue.\n")
		assert.Equal(t, map[string]int{"error event 500": 2}, r.Requests.Failed)
		assert.Equal(t, map[string]string{"error event 500": "EngineCore encountered an issue."}, r.Requests.Messages)
	})
}

// Users of a closed loop send requests of their own sizes until its end.
func TestClosedLoopOfASpec(t *testing.T) {
	t.Setenv("STACK", "")
	t.Setenv("VLLM_API_KEY", "the-key")
	server, asked := api(t, http.StatusOK)
	folder := t.TempDir()
	var out bytes.Buffer
	code := realMain([]string{"-url", server.URL, "-trace", "closed:users=3,think=100ms,length=1s,input=40,output=1", "-report", folder}, &out)
	require.Zero(t, code, out.String())
	assert.Contains(t, out.String(), "load: closed:users=3,think=100ms,length=1s,input=40,")
	assert.Greater(t, asked.Load(), int64(6))
	assert.Less(t, asked.Load(), int64(100), "users think")
	raw, err := os.ReadFile(filepath.Join(folder, "report.json"))
	require.NoError(t, err)
	assert.Contains(t, string(raw), `"routing": "by the address"`)
}

func TestLengthOfAllRequests(t *testing.T) {
	for want, target := range map[string]target{
		"": {options: options{concurrency: 1, input: 1900, output: 500, tokenBound: 100}},
		"load: every request is longer than the model's context of 2000 tokens and will be refused: lower -input-tokens or -output-tokens\n": {
			options: options{schedule: load.Constant(1, 10*time.Second), input: 1900, output: 101, tokenBound: 1024}},
	} {
		var out bytes.Buffer
		target.out = &screen{out: &out}
		target.warnOfLength(load.Model{Context: 2000})
		target.warnOfLength(load.Model{})
		assert.Equal(t, want, out.String())
	}
}

func TestJudgeFailsBelowTheObjective(t *testing.T) {
	r := &report.Report{Requests: &report.Requests{OK: 90, Offered: 100, Goodput: &report.Goodput{Objective: 2, Want: 0.95, Ratio: 0.9}}}
	_, err := judge(r, load.Stats{}, nil)
	require.ErrorContains(t, err, "90.0 % of the requests had their first token within 2 s, the objective is 95.0 %")
	_, err = judge(&report.Report{Requests: &report.Requests{Offered: 3}}, load.Stats{}, nil)
	require.ErrorContains(t, err, "none was sent")
	r.Requests.Goodput.Unknown = 7
	_, err = judge(r, load.Stats{}, nil)
	require.ErrorContains(t, err, "the objective is 95.0 %; of 7 more it is not known")
	r.Requests.Goodput.Met = true
	text, err := judge(r, load.Stats{}, nil)
	require.NoError(t, err)
	assert.Equal(t, "90 of 100 requests answered, first token p95 not known", text)
	r.Requests.TTFT = report.Quantiles{Count: 1, P95: 0.25}
	text, _ = judge(r, load.Stats{}, nil)
	assert.Contains(t, text, "first token p95 250 ms")
}

func TestVerdict(t *testing.T) {
	interrupted := errInterrupted{by: "interrupt"}
	line, code := verdict("5 of 9", fmt.Errorf("wait: %w", interrupted), interrupted)
	assert.Equal(t, "load: interrupted by interrupt: 5 of 9", line)
	assert.Equal(t, exitInterrupted, code)
	line, _ = verdict("", fmt.Errorf("killed"), interrupted)
	assert.Equal(t, "load: interrupted by interrupt (killed)", line)
}

// A terminal has one line that is replaced; a log has lines.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, terminal: true}
	s.status("one")
	s.status("two")
	s.print("stays")
	assert.Equal(t, "one\r\x1b[Ktwo\r\x1b[Kstays\n", out.String())
	out.Reset()
	s.terminal = false
	s.status("one")
	s.status("two")
	assert.Equal(t, "one\ntwo\n", out.String())

	server, _ := api(t, http.StatusOK)
	generator, err := load.Start(t.Context(), load.Options{Model: "served-model", APIKey: "the-key", Stream: true,
		Targets: (&target{options: options{url: server.URL}}).targets})
	require.NoError(t, err)
	defer generator.Stop()
	require.Eventually(t, func() bool { return len(generator.Targets()) == 1 }, 10*time.Second, time.Millisecond)
	value := 13.0
	recorder := report.NewRecorder(time.Now(), nil)
	p := newProgress(s, generator, recorder, options{schedule: load.Constant(20, 250*time.Millisecond)})
	require.NoError(t, generator.Play(t.Context(), p.options.schedule))
	require.NoError(t, generator.Drain(t.Context()))
	line := p.line()
	for _, part := range []string{"served", "0 in flight", "TTFT p95 ", "0 errors"} {
		assert.Contains(t, line, part)
	}
	assert.Equal(t, []string{"a", "b"}, p.options.signalNames(report.Sample{Signals: map[string]report.Reading{"b": {Value: &value}, "a": {}}}))
}
