package alerts

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/util/intstr"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
)

// Series that the recording rules write; if not stated otherwise with the label namespace, and the label server where several serve
// in it.
const (
	// RecordRequestsWaiting is the queue of the whole deployment.
	RecordRequestsWaiting = "vllm:requests_waiting:sum"
	// RecordFirstTokens is the rate of first tokens over 5 minutes.
	RecordFirstTokens = "vllm:first_tokens:rate5m"
	// RecordFirstTokensInTime is the rate of those within the objective.
	RecordFirstTokensInTime = "vllm:first_tokens_in_time:rate5m"
	// RecordFirstTokensLate and a window, such as ":ratio1h", is the share of those beyond the objective.
	RecordFirstTokensLate = "vllm:first_tokens_late"
	// RecordFinished is the rate of finished requests over 5 minutes.
	RecordFinished = "vllm:finished_requests:rate5m"
	// RecordFinishedInTime is the rate of those with a mean time between tokens within the objective.
	RecordFinishedInTime = "vllm:finished_requests_in_time:rate5m"
	// RecordFinishedSlow and a window is the share of those beyond the objective.
	RecordFinishedSlow = "vllm:finished_requests_slow"
	// RecordLastXID is the last XID error of every GPU, labels node, gpu and UUID.
	RecordLastXID = "gpu:last_xid:max"
)

// recordInterval is how often they are recorded. The longer windows count these samples.
const recordInterval = 30 * time.Second

// burn is one pair of windows: the budget burns factor times too fast over long, and still does over
// short, so that the alert ends soon after its cause.
type burn struct {
	long, short time.Duration
	factor      float64
}

// Factors and windows of the Site Reliability Workbook, chapter "Alerting on SLOs", for a budget of 30
// days: 14.4 is 2 % of the budget in an hour, 6 is 5 % in six hours, 3 is 10 % in a day, 1 is 10 % in
// three days.
var (
	fastBurns = []burn{{time.Hour, 5 * time.Minute, 14.4}, {6 * time.Hour, 30 * time.Minute, 6}}
	slowBurns = []burn{{24 * time.Hour, 2 * time.Hour, 3}, {72 * time.Hour, 6 * time.Hour, 1}}
)

// minRequests is the fewest requests in the long window of which a share is meaningful: with fewer, one
// slow request is an outage.
const minRequests = 20

// indicator is one limit of the objective with the series that measure it.
type indicator struct {
	// histogram is vLLM's, which has a bucket with the bound limit.
	histogram string
	limit     time.Duration
	// total and inTime are the recorded rates of all requests and of those within the limit; slow is the recorded share beyond it,
	// without the window.
	total, inTime, slow string
}

// firstToken returns the indicator of the time to the first token.
func (o Objective) firstToken() indicator {
	return indicator{telemetry.SeriesTimeToFirstToken, o.TTFT, RecordFirstTokens, RecordFirstTokensInTime, RecordFirstTokensLate}
}

// interToken returns the indicator of the mean time between the tokens of a request.
func (o Objective) interToken() indicator {
	return indicator{telemetry.SeriesRequestTimePerOutputToken, o.InterToken, RecordFinished, RecordFinishedInTime, RecordFinishedSlow}
}

// gpuRules returns the rules whose series the alerts on GPUs read.
func gpuRules(s Settings) []monitoringv1.Rule {
	if s.SimulatedGPU {
		return nil
	}
	return []monitoringv1.Rule{{Record: RecordLastXID, Expr: intstr.FromString(telemetry.OnEveryGPU(telemetry.SeriesXID))}}
}

// serverRules returns the rules whose series the alerts on the queue, the objective and the starts of a server read.
func serverRules(s Settings) []monitoringv1.Rule {
	waiting := monitoringv1.Rule{Record: RecordRequestsWaiting, Expr: intstr.FromString(fmt.Sprintf(
		"sum by (namespace) (max by (namespace, pod, engine, model_name) (%s))", s.Server(signals.SeriesRequestsWaiting)))}
	rules := slices.Concat([]monitoringv1.Rule{waiting}, s.firstToken().rules(s), s.interToken().rules(s))
	for i := range rules {
		rules[i].Labels = s.ServerLabels()
	}
	return append(rules, startRules(s)...)
}

// rules returns the recording rules of the indicator.
func (i indicator) rules(s Settings) []monitoringv1.Rule {
	rate := func(series string, more ...string) string {
		return fmt.Sprintf("sum by (namespace) (rate(%s[5m]))", s.Server(series, more...))
	}
	rules := []monitoringv1.Rule{
		{Record: i.total, Expr: intstr.FromString(rate(i.histogram + "_count"))},
		{Record: i.inTime, Expr: intstr.FromString(rate(i.histogram+"_bucket", bucket(i.limit)))},
	}
	for _, window := range windows() {
		// The ratio of two averages over the same samples is that of the requests. Nothing is recorded without
		// requests: 0/0 would be NaN.
		rules = append(rules, monitoringv1.Rule{
			Record: i.slowRatio(window),
			Expr: intstr.FromString(fmt.Sprintf("clamp_min(1 - avg_over_time(%s[%s]) / (avg_over_time(%s[%s]) > 0), 0)",
				s.Recorded(i.inTime), promDuration(window), s.Recorded(i.total), promDuration(window))),
		})
	}
	return rules
}

// windows returns all windows of all pairs, each once.
func windows() []time.Duration {
	var all []time.Duration
	seen := map[time.Duration]bool{}
	for _, b := range append(append([]burn{}, fastBurns...), slowBurns...) {
		for _, w := range []time.Duration{b.short, b.long} {
			if !seen[w] {
				seen[w] = true
				all = append(all, w)
			}
		}
	}
	return all
}

// slowRatio returns the name of the recorded share over a window.
func (i indicator) slowRatio(window time.Duration) string {
	return i.slow + ":ratio" + promDuration(window)
}

// burning returns the condition of one alert: any of its pairs.
func (i indicator) burning(s Settings, burns []burn) string {
	var pairs []string
	for _, b := range burns {
		limit := number(b.limit(s.Ratio))
		total := fmt.Sprintf("%s[%s]", s.Recorded(i.total), promDuration(b.long))
		conditions := []string{
			s.Recorded(i.slowRatio(b.long)) + " > " + limit,
			s.Recorded(i.slowRatio(b.short)) + " > " + limit,
			fmt.Sprintf("sum_over_time(%s) * %s >= %d", total, number(recordInterval.Seconds()), minRequests),
		}
		if b.long >= 24*time.Hour {
			// The first hours of a stack, with its cold starts, are not three days.
			conditions = append(conditions, fmt.Sprintf("count_over_time(%s) >= %d", total, b.long/recordInterval/2))
		}
		pairs = append(pairs, "("+strings.Join(conditions, "\n  and ")+")")
	}
	return strings.Join(pairs, "\nor\n")
}

// maxLimit keeps a limit within reach: with a budget above 7 %, 14.4 times as much would be more than
// all requests.
const maxLimit = 0.9

// limit returns the share of late requests above which the pair alerts: factor times the budget.
func (b burn) limit(ratio float64) float64 {
	return math.Round(math.Min(b.factor*(1-ratio), maxLimit)*1e6) / 1e6
}

// bucket matches the histogram's bucket of an upper bound. Prometheus 3 writes whole bounds as "1.0";
// before, they stood as the server wrote them.
func bucket(bound time.Duration) string {
	text := strconv.FormatFloat(bound.Seconds(), 'f', -1, 64)
	if !strings.Contains(text, ".") {
		return telemetry.Matches("le", text+`(\.0)?`)
	}
	return telemetry.Equal("le", text)
}

func promDuration(d time.Duration) string { return model.Duration(d).String() }

// number formats a float for PromQL, without an exponent.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
