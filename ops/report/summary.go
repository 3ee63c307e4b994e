package report

import (
	"fmt"
	"strings"
)

// LoadRows returns the summary rows about the requests; none without requests.
func (r *Report) LoadRows() []Row {
	q := r.Requests
	if q == nil {
		return nil
	}
	failed := func(counts map[string]int) string {
		var parts []string
		for _, kind := range kinds(counts) {
			parts = append(parts, fmt.Sprintf("%d %s", counts[kind], kind))
		}
		if parts == nil {
			return "none"
		}
		return strings.Join(parts, ", ")
	}
	rows := []Row{
		{"requests", fmt.Sprintf("%d offered, %d answered (%s)", q.Offered, q.OK, percent(q.OK, q.Offered-q.Canceled))},
		{"failed", failed(q.Failed)},
		{"not sent", failed(q.Dropped)},
	}
	if q.Routing != "" {
		rows = append(rows, Row{"routing", q.Routing})
	}
	for _, kind := range kinds(q.Failed) {
		if message := q.Messages[kind]; message != "" {
			rows = append(rows, Row{"first " + kind, message})
		}
	}
	if q.Canceled > 0 {
		rows = append(rows, Row{"canceled at the end", fmt.Sprint(q.Canceled)})
	}
	if q.OK > 0 {
		rows = append(rows, Row{"time to first token", q.firstToken()}, Row{"time between tokens", q.InterToken.String()},
			Row{"time to last token", q.Latency.String()})
	}
	rows = append(rows, Row{"rate", fmt.Sprintf("%.2f requests/s offered, %.2f answered", q.OfferedPerSecond, q.ServedPerSecond)})
	if q.OK > 0 {
		rows = append(rows, Row{"tokens", q.tokens()})
	}
	if g := q.Goodput; g != nil {
		rows = append(rows, Row{"goodput", g.text(q.Offered - q.Canceled)})
	}
	return rows
}

// unknown stands for a number that is not known.
const unknown = "not known"

// String returns the usual quantiles.
func (q Quantiles) String() string {
	if q.Count == 0 {
		return unknown
	}
	return fmt.Sprintf("p50 %s, p95 %s, p99 %s", Duration(q.P50), Duration(q.P95), Duration(q.P99))
}

// firstToken describes the times to the first token and the answers without one.
func (r *Requests) firstToken() string {
	without := r.OK - r.TTFT.Count
	if without == 0 {
		return r.TTFT.String()
	}
	return fmt.Sprintf("%s; %d answers had no event with text", r.TTFT, without)
}

// tokens describes the rates of tokens and the answers without a count.
func (r *Requests) tokens() string {
	if r.Counted == 0 {
		return unknown + ": the servers sent no usage"
	}
	text := fmt.Sprintf("%.0f/s in, %.0f/s out, as the servers counted", r.InputTokensPerSecond, r.OutputTokensPerSecond)
	if r.Counted < r.OK {
		text += fmt.Sprintf("; %d answers had no usage", r.OK-r.Counted)
	}
	return text
}

// text describes the goodput of a number of requests.
func (g *Goodput) text(of int) string {
	text := fmt.Sprintf("%s with the first token within %s: %.2f requests/s", percent(g.Good, of), Duration(g.Objective), g.PerSecond)
	if g.Good == 0 && g.Unknown > 0 {
		text = fmt.Sprintf("%s: no answer had an event with text within %s", unknown, Duration(g.Objective))
	} else if g.Unknown > 0 {
		text += fmt.Sprintf("; %s not known, without an event with text", percent(g.Unknown, of))
	}
	if g.Want > 0 {
		text += fmt.Sprintf("; objective %.1f %%", 100*g.Want)
	}
	return text
}

// ScalingRows returns the summary rows about the HPA; none if it was not observed.
func (r *Report) ScalingRows() []Row {
	s := r.Scaling
	if s == nil {
		return nil
	}
	after := func(seconds *float64) string {
		if seconds == nil {
			return "did not happen"
		}
		return fmt.Sprintf("%.1f s", *seconds)
	}
	rows := []Row{
		{"load to first scale-up", after(s.FirstScaleUp)},
		{"load to first new ready pod", after(s.FirstNewReady)},
		{"most replicas", fmt.Sprintf("%s desired, %d ready", desired(s.PeakDesired), s.PeakReady)},
		{"turns of the HPA", fmt.Sprint(s.Reversals)},
		{"replica-seconds", fmt.Sprintf("%.0f", s.ReplicaSeconds)},
	}
	if s.GPUHours > 0 {
		rows = append(rows, Row{"GPU-hours", fmt.Sprintf("%.3f", s.GPUHours)})
	}
	return rows
}

// desired returns the HPA's desired replicas, or a mark if it has computed none.
func desired(replicas int) string {
	if replicas == 0 {
		return "?"
	}
	return fmt.Sprint(replicas)
}

func percent(part, whole int) string {
	if whole <= 0 {
		return unknown
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// Duration returns a time in seconds for people; no short time is shown as 0.
func Duration(seconds float64) string {
	switch {
	case seconds < 0.001:
		return fmt.Sprintf("%.3f ms", 1000*seconds)
	case seconds < 1:
		return fmt.Sprintf("%.0f ms", 1000*seconds)
	}
	return fmt.Sprintf("%.2f s", seconds)
}
