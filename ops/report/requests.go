package report

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"vllm-autoscaling/ops/load"
)

// Requests is what a client saw of the load: every request counted once, and the rest about those that
// were answered. Latencies count from a request's arrival, so that waiting anywhere is included.
type Requests struct {
	// From and Off are the seconds between which the load was on, since Report.Started; To is that of the
	// last end, at least Off.
	From float64 `json:"from"`
	Off  float64 `json:"off"`
	To   float64 `json:"to"`
	// Offered is all that the load asked for: OK + Failed + Dropped + Canceled.
	Offered  int `json:"offered"`
	OK       int `json:"ok"`
	Canceled int `json:"canceled"`
	// Failed and Dropped count by kind.
	Failed  map[string]int `json:"failed"`
	Dropped map[string]int `json:"dropped"`
	// TTFT is the time to the first token, Latency to the last, InterToken between two of one answer.
	TTFT       Quantiles `json:"ttft"`
	InterToken Quantiles `json:"interToken"`
	Latency    Quantiles `json:"latency"`
	// Tokens as the servers counted them, of requests that were answered.
	InputTokens  int64 `json:"inputTokens"`
	OutputTokens int64 `json:"outputTokens"`
	// Offered is the mean from From to Off, the others from From to To.
	OfferedPerSecond      float64 `json:"offeredPerSecond"`
	ServedPerSecond       float64 `json:"servedPerSecond"`
	InputTokensPerSecond  float64 `json:"inputTokensPerSecond"`
	OutputTokensPerSecond float64 `json:"outputTokensPerSecond"`
	Goodput               Goodput `json:"goodput"`
	// ClientLag is the longest that a request waited in the client itself before it was sent, in
	// seconds. Where it is not small beside the latencies, the client was the bottleneck.
	ClientLag float64 `json:"clientLagSeconds"`
	// Targets counts by pod.
	Targets map[string]Counts `json:"targets"`
	// Interval is the width of Series' points, in seconds.
	Interval float64 `json:"intervalSeconds"`
	Series   []Point `json:"series"`
}

// Counts are requests by outcome.
type Counts struct {
	OK       int `json:"ok"`
	Failed   int `json:"failed"`
	Canceled int `json:"canceled"`
}

// Goodput counts the requests that were answered within an objective.
type Goodput struct {
	// Objective is the longest time to the first token that is good, in seconds; 0 when there is none.
	Objective float64 `json:"objectiveSeconds"`
	// Want is the share of requests that has to be good.
	Want float64 `json:"want"`
	Good int     `json:"good"`
	// Ratio is the share of all requests but the canceled ones; what failed or was dropped is not good.
	Ratio     float64 `json:"ratio"`
	PerSecond float64 `json:"perSecond"`
	// Met says that Ratio is at least Want.
	Met bool `json:"met"`
}

// Quantiles of a time, in seconds; all zero without a value.
type Quantiles struct {
	Count int     `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Point is an interval of time. Offered, TTFT and Latency are of the requests that arrived in it,
// everything else of those that ended in it.
type Point struct {
	Seconds               float64        `json:"seconds"` // its begin, since Report.Started
	OfferedPerSecond      float64        `json:"offeredPerSecond"`
	ServedPerSecond       float64        `json:"servedPerSecond"`
	OutputTokensPerSecond float64        `json:"outputTokensPerSecond"`
	TTFT                  Quantiles      `json:"ttft"`
	Latency               Quantiles      `json:"latency"`
	Failed                map[string]int `json:"failed,omitempty"`
	Dropped               map[string]int `json:"dropped,omitempty"`
}

// Objective is what users are promised; the zero value promises nothing.
type Objective struct {
	// TTFT is the longest time to the first token that is good.
	TTFT time.Duration
	// Ratio is the share of requests that has to be good, from 0 to 1.
	Ratio float64
}

// most points of a series: more could not be told apart in a picture.
const mostPoints = 240

// Measure makes the numbers of what a generator has done so far, in the time of a report that started
// at started; the load was on between the seconds from and off of it. It is nil when there was no load.
func Measure(generator *load.Generator, started time.Time, from, off float64, objective Objective) *Requests {
	r := measure(generator.Records(), generator.Started().Sub(started), from, off, objective)
	if r == nil {
		return nil
	}
	gaps := generator.Gaps()
	if n := gaps.TotalCount(); n > 0 {
		at := func(percent float64) float64 { return float64(gaps.ValueAtQuantile(percent)) / 1e6 }
		r.InterToken = Quantiles{Count: int(n), Mean: gaps.Mean() / 1e6, P50: at(50), P90: at(90), P95: at(95), P99: at(99), Max: float64(gaps.Max()) / 1e6}
	}
	return r
}

func measure(records []load.Record, offset time.Duration, from, off float64, objective Objective) *Requests {
	if len(records) == 0 {
		return nil
	}
	seconds := func(d time.Duration) float64 { return (d + offset).Seconds() }
	r := &Requests{
		Offered: len(records), Failed: map[string]int{}, Dropped: map[string]int{}, Targets: map[string]Counts{},
		From: from, Off: off, To: off,
	}
	for _, one := range records {
		r.From, r.To = min(r.From, seconds(one.Arrived)), max(r.To, seconds(one.Ended))
	}
	r.Interval = interval(r.To - r.From)
	points := make([]pointsOf, int((r.To-r.From)/r.Interval)+1)
	at := func(d time.Duration) *pointsOf {
		return &points[min(len(points)-1, max(0, int((seconds(d)-r.From)/r.Interval)))]
	}
	var ttft, latency []float64
	for _, one := range records {
		arrived, ended := at(one.Arrived), at(one.Ended)
		arrived.offered++
		counts := r.Targets[one.Target]
		switch one.Outcome {
		case load.OK:
			r.OK++
			counts.OK++
			ended.served++
			ended.tokens += one.OutputTokens
			r.InputTokens += one.InputTokens
			r.OutputTokens += one.OutputTokens
			latency = append(latency, one.Latency().Seconds())
			arrived.latency = append(arrived.latency, one.Latency().Seconds())
			if first := one.TTFT(); first > 0 {
				ttft = append(ttft, first.Seconds())
				arrived.ttft = append(arrived.ttft, first.Seconds())
				if first <= objective.TTFT {
					r.Goodput.Good++
				}
			}
		case load.Failed:
			r.Failed[one.Kind]++
			counts.Failed++
			ended.failed = counted(ended.failed, one.Kind)
		case load.Dropped:
			r.Dropped[one.Kind]++
			ended.dropped = counted(ended.dropped, one.Kind)
		case load.Canceled:
			r.Canceled++
			counts.Canceled++
		}
		if one.Target != "" {
			r.Targets[one.Target] = counts
			r.ClientLag = max(r.ClientLag, (one.Sent - one.Arrived).Seconds())
		}
	}
	r.TTFT, r.Latency = quantiles(ttft), quantiles(latency)
	if length := r.Off - r.From; length > 0 {
		r.OfferedPerSecond = float64(r.Offered) / length
	}
	if length := r.To - r.From; length > 0 {
		r.ServedPerSecond = float64(r.OK) / length
		r.InputTokensPerSecond, r.OutputTokensPerSecond = float64(r.InputTokens)/length, float64(r.OutputTokens)/length
		r.Goodput.PerSecond = float64(r.Goodput.Good) / length
	}
	if judged := r.Offered - r.Canceled; judged > 0 {
		r.Goodput.Ratio = float64(r.Goodput.Good) / float64(judged)
	}
	r.Goodput.Objective, r.Goodput.Want = objective.TTFT.Seconds(), objective.Ratio
	r.Goodput.Met = r.Goodput.Ratio >= objective.Ratio
	for i, p := range points {
		r.Series = append(r.Series, Point{
			Seconds:          r.From + float64(i)*r.Interval,
			OfferedPerSecond: float64(p.offered) / r.Interval, ServedPerSecond: float64(p.served) / r.Interval,
			OutputTokensPerSecond: float64(p.tokens) / r.Interval,
			TTFT:                  quantiles(p.ttft), Latency: quantiles(p.latency),
			Failed: p.failed, Dropped: p.dropped,
		})
	}
	return r
}

// pointsOf collects what becomes a Point.
type pointsOf struct {
	offered, served int
	tokens          int64
	ttft, latency   []float64
	failed, dropped map[string]int
}

func counted(counts map[string]int, kind string) map[string]int {
	if counts == nil {
		counts = map[string]int{}
	}
	counts[kind]++
	return counts
}

// interval is a round width, in seconds, that makes at most mostPoints of a length.
func interval(length float64) float64 {
	for _, width := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600} {
		if length/width < mostPoints {
			return width
		}
	}
	return math.Ceil(length / mostPoints)
}

// quantiles are exact: each is one of the values (nearest rank). The values are sorted in place.
func quantiles(values []float64) Quantiles {
	n := len(values)
	if n == 0 {
		return Quantiles{}
	}
	slices.Sort(values)
	sum := 0.0
	for _, value := range values {
		sum += value
	}
	at := func(q float64) float64 { return values[max(0, int(math.Ceil(q*float64(n)))-1)] }
	return Quantiles{Count: n, Mean: sum / float64(n), P50: at(.5), P90: at(.9), P95: at(.95), P99: at(.99), Max: values[n-1]}
}

// kinds are the keys of counts, the most frequent first.
func kinds(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}
