package report

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"vllm-autoscaling/ops/figure"
	"vllm-autoscaling/ops/load"
)

const second = time.Second

// records are 100 answered requests, one a second with the n-th's first token after n*10 ms, two that
// failed, one that was not sent and one that was canceled.
func records() []load.Record {
	var all []load.Record
	for n := range 100 {
		at := time.Duration(n) * second
		all = append(all, load.Record{
			Arrived: at, Sent: at + time.Millisecond, First: at + time.Duration(n+1)*10*time.Millisecond, Ended: at + 2*second,
			Outcome: load.OK, Target: fmt.Sprintf("pod-%d", n%2), Counted: true, InputTokens: 10, OutputTokens: 20,
		})
	}
	return append(all,
		load.Record{Arrived: 10 * second, Ended: 40 * second, Outcome: load.Failed, Kind: load.KindTimeout, Target: "pod-0"},
		load.Record{Arrived: 11 * second, Ended: 11 * second, Outcome: load.Failed, Kind: "HTTP 503", Target: "pod-1"},
		load.Record{Arrived: 12 * second, Ended: 12 * second, Outcome: load.Dropped, Kind: load.KindMaxInFlight},
		load.Record{Arrived: 99 * second, Ended: 100 * second, Outcome: load.Canceled, Target: "pod-1"},
	)
}

func TestMeasure(t *testing.T) {
	r := measure(records(), 5*second, 5, 105, Objective{TTFT: 500 * time.Millisecond, Ratio: 0.5})
	require.NotNil(t, r)
	assert.Equal(t, []int{104, 100, 1}, []int{r.Offered, r.OK, r.Canceled})
	assert.Equal(t, map[string]int{load.KindTimeout: 1, "HTTP 503": 1}, r.Failed)
	assert.Equal(t, map[string]int{load.KindMaxInFlight: 1}, r.Dropped)
	assert.Equal(t, map[string]Counts{"pod-0": {OK: 50, Failed: 1}, "pod-1": {OK: 50, Failed: 1, Canceled: 1}}, r.Targets)
	assert.InDelta(t, 5, r.From, 1e-9, "in the report's time")
	assert.InDelta(t, 106, r.To, 1e-9, "when the last answer ended")
	assert.InDelta(t, 1.04, r.OfferedPerSecond, 1e-9, "while the load was on")
	assert.InDelta(t, 100./101, r.ServedPerSecond, 1e-9)
	// Nearest rank of 0.01, 0.02 ... 1.00.
	assert.Equal(t, 100, r.TTFT.Count)
	for want, got := range map[float64]float64{0.5: r.TTFT.P50, 0.9: r.TTFT.P90, 0.95: r.TTFT.P95, 0.99: r.TTFT.P99, 1: r.TTFT.Max, 0.505: r.TTFT.Mean} {
		assert.InDelta(t, want, got, 1e-9)
	}
	assert.InDelta(t, 2, r.Latency.P50, 1e-9)
	assert.InDelta(t, 0.001, r.ClientLag, 1e-9)
	assert.Equal(t, 100, r.Counted)
	assert.EqualValues(t, 1000, r.InputTokens)
	assert.EqualValues(t, 2000, r.OutputTokens)
	assert.InDelta(t, 2000./101, r.OutputTokensPerSecond, 1e-9)
	// 50 within 500 ms of 103 that were not canceled.
	assert.Equal(t, 50, r.Goodput.Good)
	assert.InDelta(t, 50./103, r.Goodput.Ratio, 1e-9)
	assert.False(t, r.Goodput.Met)
	assert.True(t, measure(records(), 0, 0, 100, Objective{TTFT: second, Ratio: 0.97}).Goodput.Met)

	t.Run("series add up to the totals", func(t *testing.T) {
		assert.InDelta(t, 1, r.Interval, 0)
		offered, served, failed, dropped, timed := 0.0, 0.0, 0, 0, 0
		for _, p := range r.Series {
			offered += p.OfferedPerSecond * r.Interval
			served += p.ServedPerSecond * r.Interval
			timed += p.TTFT.Count
			for _, n := range p.Failed {
				failed += n
			}
			for _, n := range p.Dropped {
				dropped += n
			}
		}
		assert.InDelta(t, 104, offered, 1e-6)
		assert.InDelta(t, 100, served, 1e-6)
		assert.Equal(t, []int{2, 1, 100}, []int{failed, dropped, timed})
		assert.Equal(t, map[string]int{load.KindTimeout: 1}, r.Series[40].Failed, "in the second in which it ended")
		assert.InDelta(t, 0.31, r.Series[30].TTFT.P50, 1e-9, "in the second in which it arrived")
	})
	assert.Nil(t, measure(nil, 0, 0, 0, Objective{}))
	assert.Nil(t, measure(records(), 0, 0, 100, Objective{}).Goodput, "nothing was demanded")
	assert.Nil(t, measure(records()[103:], 0, 0, 100, Objective{TTFT: second, Ratio: 1}).Goodput, "only a canceled request")
}

// silent are two answers of a server that sends no text and counts no tokens, such as one that hides its reasoning, of 1 and
// 3 s, and one answer with a known first token after 100 ms.
func silent(known bool) []load.Record {
	all := []load.Record{
		{Arrived: 0, Sent: time.Millisecond, Ended: second, Outcome: load.OK, Target: "pod-0"},
		{Arrived: second, Sent: second + time.Millisecond, Ended: 4 * second, Outcome: load.OK, Target: "pod-0"},
	}
	if known {
		all = append(all, load.Record{Arrived: second, Sent: second + time.Millisecond, First: second + 100*time.Millisecond, Ended: 4 * second,
			Outcome: load.OK, Target: "pod-0", Counted: true, InputTokens: 8, OutputTokens: 4})
	}
	return all
}

// What is not known is not 0 anywhere.
func TestUnknownIsNeverZero(t *testing.T) {
	written := func(t *testing.T, r *Report) (page, raw string) {
		t.Helper()
		r.Summary = append(r.LoadRows(), r.ScalingRows()...)
		folder := t.TempDir()
		require.NoError(t, r.Write(folder))
		html, err := os.ReadFile(filepath.Join(folder, "index.html"))
		require.NoError(t, err)
		data, err := os.ReadFile(filepath.Join(folder, "report.json"))
		require.NoError(t, err)
		return string(html), string(data)
	}
	summary := func(r *Report) map[string]string {
		rows := map[string]string{}
		for _, row := range r.Summary {
			rows[row.Name] = row.Value
		}
		return rows
	}
	t.Run("no first token", func(t *testing.T) {
		r := &Report{Title: "x", Requests: measure(silent(false), 0, 0, 4, Objective{TTFT: 2 * second, Ratio: 0.9})}
		page, raw := written(t, r)
		rows := summary(r)
		assert.Equal(t, "not known; 2 answers had no event with text", rows["time to first token"])
		assert.Equal(t, "not known", rows["time between tokens"])
		assert.Equal(t, "p50 1.00 s, p95 3.00 s, p99 3.00 s", rows["time to last token"])
		assert.Equal(t, "not known: the servers sent no usage", rows["tokens"])
		// The first answer took 1 s: its first token came within 2 s.
		assert.Equal(t, "50.0 % with the first token within 2.00 s: 0.25 requests/s; 50.0 % not known, without an event with text; objective 90.0 %", rows["goodput"])
		assert.Contains(t, page, "not known")
		assert.Contains(t, page, "of these without an event with text")
		assert.NotContains(t, page, "0.000")
		for _, field := range []string{`"ttft"`, `"interToken"`, "inputTokens", "outputTokens"} {
			assert.NotContains(t, raw, field)
		}
		assert.Contains(t, raw, `"latency"`)
		with := measure(silent(true), 0, 0, 4, Objective{})
		assert.Greater(t, decoded(t, &Report{Title: "x", Requests: with}).Bounds().Dy(), decoded(t, r).Bounds().Dy(), "no panel of times to the first token")
	})
	t.Run("nothing in time", func(t *testing.T) {
		r := &Report{Title: "x", Requests: measure(silent(false), 0, 0, 4, Objective{TTFT: 500 * time.Millisecond})}
		written(t, r)
		assert.Equal(t, "not known: no answer had an event with text within 500 ms", summary(r)["goodput"])
	})
	t.Run("some first tokens", func(t *testing.T) {
		r := &Report{Title: "x", Requests: measure(silent(true), 0, 0, 4, Objective{TTFT: 2 * second})}
		written(t, r)
		rows := summary(r)
		assert.Equal(t, "p50 100 ms, p95 100 ms, p99 100 ms; 2 answers had no event with text", rows["time to first token"])
		assert.Equal(t, "2/s in, 1/s out, as the servers counted; 2 answers had no usage", rows["tokens"])
		assert.Equal(t, []int{2, 1}, []int{r.Requests.Goodput.Good, r.Requests.Goodput.Unknown})
	})
	t.Run("no answer", func(t *testing.T) {
		r := &Report{Title: "x", Requests: measure(records()[102:103], 0, 12, 12, Objective{TTFT: second})}
		page, raw := written(t, r)
		assert.NotContains(t, page, "0.000")
		assert.NotContains(t, raw, "clientLagSeconds")
		assert.NotContains(t, summary(r), "time to first token")
	})
	t.Run("only canceled requests", func(t *testing.T) {
		r := &Report{Title: "x", Requests: measure(records()[103:], 0, 99, 100, Objective{TTFT: second})}
		written(t, r)
		assert.Equal(t, "1 offered, 0 answered (not known)", summary(r)["requests"])
	})
	t.Run("an HPA that has computed nothing", func(t *testing.T) {
		r := &Report{Title: "x", Samples: []Sample{{Seconds: 0, Current: 1, Ready: 1}, {Seconds: 1, Current: 1, Ready: 1}}}
		r.Scaling = Judge(r.Samples, 0, 1)
		written(t, r)
		assert.Equal(t, "? desired, 1 ready", summary(r)["most replicas"])
		assert.Contains(t, r.Samples[0].String(), "desired ?")
	})
}

func TestDuration(t *testing.T) {
	for seconds, want := range map[float64]string{0.00002: "0.020 ms", 0.0123: "12 ms", 0.5: "500 ms", 1: "1.00 s", 75.256: "75.26 s"} {
		assert.Equal(t, want, Duration(seconds))
	}
}

// A failure has the words of the server beside its kind, without markup of its own.
func TestMessagesOfFailures(t *testing.T) {
	r := &Report{Title: "x", Requests: measure(records(), 0, 0, 100, Objective{})}
	r.Requests.Messages = map[string]string{"HTTP 503": "no <healthy> upstream"}
	page, err := r.HTML(nil)
	require.NoError(t, err)
	assert.Contains(t, string(page), `<td>failed: HTTP 503</td><td class="number">1</td><td>no &lt;healthy&gt; upstream</td>`)
	assert.Contains(t, r.LoadRows(), Row{"first HTTP 503", "no <healthy> upstream"})
}

func TestRoutingIsNamed(t *testing.T) {
	r := &Report{Title: "x", Requests: measure(records(), 0, 0, 100, Objective{})}
	assert.NotContains(t, fmt.Sprint(r.LoadRows()), "routing", "not known")
	r.Requests.Routing = "random"
	assert.Contains(t, r.LoadRows(), Row{"routing", "random"})
}

func TestLongRunsHaveFewPoints(t *testing.T) {
	for length, want := range map[float64]float64{100: 1, 239: 1, 240: 2, 3600: 30, 1e6: 4167} {
		assert.InDelta(t, want, interval(length), 0.5, length)
		assert.LessOrEqual(t, length/interval(length), float64(mostPoints))
	}
}

func TestJudge(t *testing.T) {
	var samples []Sample
	for i, replicas := range []struct{ desired, current, ready int }{
		{0, 1, 1}, {1, 1, 1}, {1, 1, 1}, {3, 3, 1}, {3, 3, 2}, {2, 2, 2}, {4, 4, 2}, {4, 4, 4}, {4, 4, 4}, {1, 1, 1},
	} {
		samples = append(samples, Sample{Seconds: 10 * float64(i), Desired: replicas.desired, Current: replicas.current, Ready: replicas.ready})
	}
	s := Judge(samples, 15, 2)
	require.NotNil(t, s.FirstScaleUp)
	require.NotNil(t, s.FirstNewReady)
	assert.InDelta(t, 15, *s.FirstScaleUp, 1e-9)
	assert.InDelta(t, 25, *s.FirstNewReady, 1e-9)
	assert.Equal(t, []int{4, 4, 3}, []int{s.PeakDesired, s.PeakReady, s.Reversals})
	assert.InDelta(t, 10*(1+1+1+3+3+2+4+4+4), s.ReplicaSeconds, 1e-9)
	assert.InDelta(t, 230./3600*2, s.GPUHours, 1e-9)

	still := Judge(samples[:3], 0, 0)
	assert.Nil(t, still.FirstScaleUp, "the first value that the HPA computes is no scale-up")
	assert.Nil(t, still.FirstNewReady)
	assert.Nil(t, Judge(nil, 0, 1))
}

func TestReportOfALoad(t *testing.T) {
	r := sampled()
	r.Requests = measure(records(), 20*second, 20, 120, Objective{TTFT: second})
	r.Scaling = Judge(r.Samples, 20, 1)
	r.Settings = map[string]any{"rate": "1", "load": "<1> request/s"}
	r.Summary = append(r.LoadRows(), r.ScalingRows()...)
	folder := t.TempDir()
	require.NoError(t, r.Write(folder))
	raw, err := os.ReadFile(filepath.Join(folder, "report.json"))
	require.NoError(t, err)
	var back Report
	require.NoError(t, json.Unmarshal(raw, &back))
	assert.Equal(t, *r, back, "everything is in the JSON")
	assert.Equal(t, Schema, back.Schema)
	html, err := os.ReadFile(filepath.Join(folder, "index.html"))
	require.NoError(t, err)
	page := string(html)
	assert.NotRegexp(t, `(?i)<(script|link|iframe)|@import|url\(|https?://`, page)
	for _, text := range []string{"failed: timeout", "not sent: max in flight reached", "canceled with the run", "pod-1",
		"0.950", "&lt;1&gt; request/s", "load to first scale-up", "100 answered (97.1 %)"} {
		assert.Contains(t, page, text)
	}
	t.Run("the plot shows it", func(t *testing.T) {
		with, without := decoded(t, r), decoded(t, sampled())
		assert.Greater(t, with.Bounds().Dy(), without.Bounds().Dy(), "panels of rates, latencies and errors")
		assert.Greater(t, pixels(with, figure.Sky), 300, "the offered rate")
		assert.Greater(t, pixels(with, figure.Vermillion), pixels(without, figure.Vermillion)+300, "p99 and failures")
	})
	t.Run("without a stack", func(t *testing.T) {
		alone := &Report{Title: "x", Requests: r.Requests}
		require.NoError(t, alone.Write(t.TempDir()))
		assert.Greater(t, pixels(decoded(t, alone), figure.Sky), 300)
		assert.Empty(t, alone.ScalingRows())
	})
}

func TestLiveSignals(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/apis/custom.metrics.k8s.io/v1beta1/namespaces/vllm/pods/*/running":
			assert.Equal(t, "app=vllm", r.URL.Query().Get("labelSelector"))
			_, _ = fmt.Fprint(w, `{"items":[{"value":"3"},{"value":"4500m"}]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	old := 9.0
	source := WithLive(func(context.Context) (Sample, error) {
		return Sample{Signals: map[string]Reading{"running": {Value: &old, Target: 12}, "gpu": {Value: &old, Target: 80}}}, nil
	}, client, "vllm", "app=vllm")
	sample, err := source(t.Context())
	require.NoError(t, err)
	require.NotNil(t, sample.Signals["running"].Live)
	assert.InDelta(t, 3.75, *sample.Signals["running"].Live, 1e-9)
	assert.Nil(t, sample.Signals["gpu"].Live, "no answer is no value")
	assert.Equal(t, old, *sample.Signals["gpu"].newest())
}
