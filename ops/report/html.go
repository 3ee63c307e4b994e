package report

import (
	"bytes"
	"fmt"
	"html/template"
	"maps"
	"slices"

	"vllm-autoscaling/ops/figure"
)

var page = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Report.Title}}</title>
<style>{{.Style}}</style>
</head>
<body>
<h1>{{.Report.Title}}</h1>
<table>
{{- range .Report.Summary}}
<tr><th>{{.Name}}</th><td>{{.Value}}</td></tr>
{{- end}}
</table>
<h2>Load, what the HPA saw, and replicas</h2>
<img alt="Load, latencies, metrics with targets, desired and ready replicas over time" src="{{.Image}}">
{{- with .Report.Requests}}
<h2>Requests</h2>
<table>
<tr><th></th><th>p50</th><th>p90</th><th>p95</th><th>p99</th><th>longest</th><th>mean</th></tr>
{{- range $.Times}}
<tr><th>{{.Name}}</th>{{range .Values}}<td class="number">{{.}}</td>{{end}}</tr>
{{- end}}
</table>
<p>Of {{.OK}} requests that were answered, in seconds; the first token and the last count from the moment at which a
request was due, so that waiting is included, in the client too{{if .ClientLag}} (at most {{printf "%.3f" .ClientLag}} s here){{end}}.</p>
<table>
<tr><th>outcome</th><th>requests</th><th>first message</th></tr>
{{- range $.Outcomes}}
<tr><td>{{.Name}}</td><td class="number">{{.Count}}</td><td>{{.Message}}</td></tr>
{{- end}}
</table>
<h2>Pods</h2>
<table>
<tr><th>pod</th><th>answered</th><th>failed</th><th>canceled</th></tr>
{{- range $name, $counts := .Targets}}
<tr><td>{{$name}}</td><td class="number">{{$counts.OK}}</td><td class="number">{{$counts.Failed}}</td><td class="number">{{$counts.Canceled}}</td></tr>
{{- end}}
</table>
{{- end}}
{{- with .Starts}}
<h2>Starts of replicas</h2>
<table>
<tr><th>pod</th><th>ready at second</th>{{range .Phases}}<th>{{.}}</th>{{end}}<th>in the server's log</th></tr>
{{- range .Rows}}
<tr><td>{{.Pod}}</td><td class="number">{{.Ready}}</td>{{range .Phases}}<td class="number">{{.}}</td>{{end}}<td>{{.Log}}</td></tr>
{{- end}}
</table>
<p>In seconds: until the pod had a node, its init containers had ended, the server's container ran, and the server was ready.
{{- if .Estimate}} The configuration's estimate for a new node is {{.Estimate}}.{{end}}</p>
{{- end}}
<h2>What happened when</h2>
<table>
<tr><th>second</th><th>event</th></tr>
{{- range .Report.Events}}
<tr><td class="number">{{printf "%.1f" .Seconds}}</td><td>{{.Text}}</td></tr>
{{- end}}
</table>
<h2>Settings</h2>
<ul>
{{- range .Report.Notes}}
<li>{{.}}</li>
{{- end}}
{{- range $name, $value := .Report.Settings}}
<li>{{$name}}: {{$value}}</li>
{{- end}}
</ul>
<details>
<summary>Every change that was sampled</summary>
<table>
<tr><th>second</th><th>load</th>{{range .Report.Signals}}<th>{{.Label}} ({{.Unit}})</th>{{end}}<th>desired</th><th>replicas</th><th>ready</th><th>pods</th></tr>
{{- range .Changes}}
<tr>{{range .}}<td class="number">{{.}}</td>{{end}}</tr>
{{- end}}
</table>
</details>
<p>Started {{.Report.Started.UTC.Format "2006-01-02 15:04:05"}} UTC.</p>
</body>
</html>
`))

// HTML returns a single page that needs no other file and no network.
func (r *Report) HTML(png []byte) ([]byte, error) {
	var changes [][]string
	for i, sample := range r.Samples {
		if i > 0 && same(r.Samples[i-1], sample) {
			continue
		}
		cells := []string{fmt.Sprintf("%.1f", sample.Seconds), short(sample.Load)}
		for _, signal := range r.Signals {
			cells = append(cells, sample.Signals[signal.Name].String())
		}
		cells = append(cells, desired(sample.Desired))
		for _, count := range []int{sample.Current, sample.Ready, sample.Pods} {
			cells = append(cells, fmt.Sprint(count))
		}
		changes = append(changes, cells)
	}
	times, outcomes := r.tables()
	var out bytes.Buffer
	err := page.Execute(&out, map[string]any{
		"Report":  r,
		"Changes": changes, "Times": times, "Outcomes": outcomes, "Starts": r.startTable(),
		"Style": figure.Style,
		// The only URL of the page.
		"Image": figure.Inline(png),
	})
	if err != nil {
		return nil, fmt.Errorf("report: page: %w", err)
	}
	return out.Bytes(), nil
}

// timesRow is a row of the table of quantiles.
type timesRow struct {
	Name   string
	Values []string
}

// outcomeRow is a row of the table of outcomes.
type outcomeRow struct {
	Name    string
	Count   int
	Message string
}

func (r *Report) tables() (times []timesRow, outcomes []outcomeRow) {
	if r.Requests == nil {
		return nil, nil
	}
	for _, one := range []struct {
		name string
		q    Quantiles
	}{{"to the first token", r.Requests.TTFT}, {"between tokens", r.Requests.InterToken}, {"to the last token", r.Requests.Latency}} {
		row := timesRow{Name: one.name}
		for _, value := range []float64{one.q.P50, one.q.P90, one.q.P95, one.q.P99, one.q.Max, one.q.Mean} {
			text := unknown
			switch {
			case one.q.Count > 0 && value < 0.001:
				text = fmt.Sprintf("%.6f", value)
			case one.q.Count > 0:
				text = fmt.Sprintf("%.3f", value)
			}
			row.Values = append(row.Values, text)
		}
		times = append(times, row)
	}
	count := func(name string, n int) { outcomes = append(outcomes, outcomeRow{Name: name, Count: n}) }
	count("answered", r.Requests.OK)
	if without := r.Requests.OK - r.Requests.TTFT.Count; without > 0 {
		count("of these without an event with text", without)
	}
	for _, kind := range kinds(r.Requests.Failed) {
		outcomes = append(outcomes, outcomeRow{"failed: " + kind, r.Requests.Failed[kind], r.Requests.Messages[kind]})
	}
	for _, kind := range kinds(r.Requests.Dropped) {
		count("not sent: "+kind, r.Requests.Dropped[kind])
	}
	if r.Requests.Canceled > 0 {
		count("canceled with the run", r.Requests.Canceled)
	}
	count("offered in all", r.Requests.Offered)
	return times, outcomes
}

func sortedNames(signals map[string]Reading) []string {
	return slices.Sorted(maps.Keys(signals))
}
