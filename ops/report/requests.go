package report

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"vllm-autoscaling/ops/load"
)

// Requests summarizes the load as a client saw it: every request is counted once; latencies and tokens are of
// answered requests. Latencies count from a request's arrival, so that any waiting is included.
type Requests struct {
	// From and Off are when the load began and ended, in seconds since Report.Started; To is when the last
	// request ended, at least Off.
	From float64 `json:"from"`
	Off  float64 `json:"off"`
	To   float64 `json:"to"`
	// Offered counts all requests of the load: OK + Failed + Dropped + Canceled.
	Offered  int `json:"offered"`
	OK       int `json:"ok"`
	Canceled int `json:"canceled"`
	// Failed and Dropped count by kind.
	Failed  map[string]int `json:"failed"`
	Dropped map[string]int `json:"dropped"`
	// Messages are those of the first failure of a kind, in the words of the server or of the connection.
	Messages map[string]string `json:"messages,omitempty"`
	// TTFT is the time to the first token, Latency to the last, InterToken between two of one answer. TTFT.Count is below
	// OK if there were answers without an event with text.
	TTFT       Quantiles `json:"ttft,omitzero"`
	InterToken Quantiles `json:"interToken,omitzero"`
	Latency    Quantiles `json:"latency,omitzero"`
	// InputTokens and OutputTokens are the servers' counts, of the Counted answers that had them.
	Counted      int   `json:"counted"`
	InputTokens  int64 `json:"inputTokens,omitempty"`
	OutputTokens int64 `json:"outputTokens,omitempty"`
	// OfferedPerSecond is the mean from From to Off, the others from From to To.
	OfferedPerSecond      float64 `json:"offeredPerSecond"`
	ServedPerSecond       float64 `json:"servedPerSecond"`
	InputTokensPerSecond  float64 `json:"inputTokensPerSecond,omitempty"`
	OutputTokensPerSecond float64 `json:"outputTokensPerSecond,omitempty"`
	// Goodput is nil without an objective, and if every request was canceled.
	Goodput *Goodput `json:"goodput,omitempty"`
	// ClientLag is the longest time that a request waited in the client before it was sent, in
	// seconds; 0 if none was sent. If it is not small compared with the latencies, the client was the bottleneck.
	ClientLag float64 `json:"clientLagSeconds,omitempty"`
	// Routing is how a pod was chosen for a request, as in load.Routing.
	Routing string `json:"routing,omitempty"`
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

// Goodput counts the requests that met an objective.
type Goodput struct {
	// Objective is the longest time to the first token that meets the objective, in seconds.
	Objective float64 `json:"objectiveSeconds"`
	// Want is the share of requests that must meet the objective.
	Want float64 `json:"want"`
	Good int     `json:"good"`
	// Unknown counts answers that took longer than the objective and had no event with text: their first token may have met
	// it. They are not part of Good.
	Unknown int `json:"unknown,omitempty"`
	// Ratio is the share of all requests except canceled ones; failed and dropped requests do not meet the objective.
	Ratio     float64 `json:"ratio"`
	PerSecond float64 `json:"perSecond"`
	// Met reports whether Ratio is at least Want.
	Met bool `json:"met"`
}

// Quantiles are quantiles of durations, in seconds. Without a value they are the zero value, which is absent from JSON.
type Quantiles struct {
	Count int     `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Point summarizes an interval of time. OfferedPerSecond, TTFT and Latency are of the requests that arrived in it,
// everything else is of those that ended in it. Tokens are absent if no answer whose tokens were counted ended in it.
type Point struct {
	Seconds               float64        `json:"seconds"` // start of the interval, since Report.Started
	OfferedPerSecond      float64        `json:"offeredPerSecond"`
	ServedPerSecond       float64        `json:"servedPerSecond"`
	OutputTokensPerSecond float64        `json:"outputTokensPerSecond,omitempty"`
	TTFT                  Quantiles      `json:"ttft,omitzero"`
	Latency               Quantiles      `json:"latency,omitzero"`
	Failed                map[string]int `json:"failed,omitempty"`
	Dropped               map[string]int `json:"dropped,omitempty"`
}

// Objective is a service level objective; the zero value is none.
type Objective struct {
	// TTFT is the longest time to the first token that meets the objective.
	TTFT time.Duration
	// Ratio is the share of requests that must meet the objective, from 0 to 1.
	Ratio float64
}

// mostPoints limits a series: more points could not be distinguished in a picture.
const mostPoints = 240

// Measure summarizes the requests of a generator so far, with times relative to started; the load was on between
// from and off, in seconds. It returns nil if there was no load.
func Measure(generator *load.Generator, started time.Time, from, off float64, objective Objective) *Requests {
	r := measure(generator.Records(), generator.Started().Sub(started), from, off, objective)
	if r == nil {
		return nil
	}
	r.Messages, r.Routing = generator.Messages(), string(generator.Routing())
	gaps := generator.Gaps()
	if n := gaps.TotalCount(); n > 0 {
		at := func(percent float64) float64 { return float64(gaps.ValueAtQuantile(percent)) / 1e6 }
		r.InterToken = Quantiles{
			Count: int(n), Mean: gaps.Mean() / 1e6, P50: at(50), P90: at(90), P95: at(95), P99: at(99), Max: float64(gaps.Max()) / 1e6,
		}
	}
	return r
}

// measure computes everything but the times between tokens; offset is from the report's start to the records' zero.
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
	points := make([]pointData, int((r.To-r.From)/r.Interval)+1)
	at := func(d time.Duration) *pointData {
		return &points[min(len(points)-1, max(0, int((seconds(d)-r.From)/r.Interval)))]
	}
	var ttft, latency []float64
	for _, one := range records {
		r.count(one)
		at(one.Arrived).arrived(one)
		at(one.Ended).ended(one)
	}
	for _, p := range points {
		ttft, latency = append(ttft, p.ttft...), append(latency, p.latency...)
	}
	r.TTFT, r.Latency = quantiles(ttft), quantiles(latency)
	r.rates()
	r.judge(records, objective)
	for i, p := range points {
		r.Series = append(r.Series, p.point(r.From+float64(i)*r.Interval, r.Interval))
	}
	return r
}

// count adds a request to the totals by outcome, kind and target.
func (r *Requests) count(one load.Record) {
	counts := r.Targets[one.Target]
	switch one.Outcome {
	case load.OK:
		r.OK++
		counts.OK++
		if one.Counted {
			r.Counted++
			r.InputTokens += one.InputTokens
			r.OutputTokens += one.OutputTokens
		}
	case load.Failed:
		r.Failed[one.Kind]++
		counts.Failed++
	case load.Dropped:
		r.Dropped[one.Kind]++
	case load.Canceled:
		r.Canceled++
		counts.Canceled++
	}
	if one.Target != "" {
		r.Targets[one.Target] = counts
		r.ClientLag = max(r.ClientLag, (one.Sent - one.Arrived).Seconds())
	}
}

// rates computes the means per second from the totals.
func (r *Requests) rates() {
	if length := r.Off - r.From; length > 0 {
		r.OfferedPerSecond = float64(r.Offered) / length
	}
	if length := r.To - r.From; length > 0 {
		r.ServedPerSecond = float64(r.OK) / length
		r.InputTokensPerSecond, r.OutputTokensPerSecond = float64(r.InputTokens)/length, float64(r.OutputTokens)/length
	}
}

// judge computes the goodput. An answer without a known first token meets the objective if all of it came in time.
func (r *Requests) judge(records []load.Record, objective Objective) {
	judged := r.Offered - r.Canceled
	if objective.TTFT <= 0 || judged <= 0 {
		return
	}
	g := &Goodput{Objective: objective.TTFT.Seconds(), Want: objective.Ratio}
	for _, one := range records {
		if one.Outcome != load.OK {
			continue
		}
		first, known := one.TTFT()
		switch {
		case known && first <= objective.TTFT, one.Latency() <= objective.TTFT:
			g.Good++
		case !known:
			g.Unknown++
		}
	}
	g.Ratio = float64(g.Good) / float64(judged)
	g.Met = g.Ratio >= objective.Ratio
	if length := r.To - r.From; length > 0 {
		g.PerSecond = float64(g.Good) / length
	}
	r.Goodput = g
}

// pointData collects the requests of one Point.
type pointData struct {
	offered, served int
	tokens          int64
	ttft, latency   []float64
	failed, dropped map[string]int
}

// arrived adds a request that arrived in the interval.
func (p *pointData) arrived(one load.Record) {
	p.offered++
	if one.Outcome != load.OK {
		return
	}
	p.latency = append(p.latency, one.Latency().Seconds())
	if first, known := one.TTFT(); known {
		p.ttft = append(p.ttft, first.Seconds())
	}
}

// ended adds a request that ended in the interval.
func (p *pointData) ended(one load.Record) {
	switch one.Outcome {
	case load.OK:
		p.served++
		p.tokens += one.OutputTokens
	case load.Failed:
		p.failed = counted(p.failed, one.Kind)
	case load.Dropped:
		p.dropped = counted(p.dropped, one.Kind)
	}
}

// point returns the Point that begins at a time; width is the interval, both in seconds.
func (p *pointData) point(begin, width float64) Point {
	return Point{
		Seconds: begin, OfferedPerSecond: float64(p.offered) / width, ServedPerSecond: float64(p.served) / width,
		OutputTokensPerSecond: float64(p.tokens) / width, TTFT: quantiles(p.ttft), Latency: quantiles(p.latency),
		Failed: p.failed, Dropped: p.dropped,
	}
}

// counted increments the count of a kind in a map that may be nil.
func counted(counts map[string]int, kind string) map[string]int {
	if counts == nil {
		counts = map[string]int{}
	}
	counts[kind]++
	return counts
}

// interval returns a round width, in seconds, that divides a length into at most mostPoints.
func interval(length float64) float64 {
	for _, width := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600} {
		if length/width < mostPoints {
			return width
		}
	}
	return math.Ceil(length / mostPoints)
}

// quantiles returns exact quantiles: each is one of the values (nearest rank). It sorts the values in place.
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

// kinds returns the keys of counts, the most frequent first.
func kinds(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}
