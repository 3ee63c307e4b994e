package report

import (
	"bytes"
	"fmt"
	"html/template"

	"vllm-autoscaling/ops/figure"
	"vllm-autoscaling/ops/simulate/compare"
)

var page = template.Must(template.New("simulation").Funcs(template.FuncMap{
	"percent":  func(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) },
	"hours":    func(hours float64) string { return fmt.Sprintf("%.2f", hours) },
	"money":    compare.Money,
	"duration": compare.Duration,
}).Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Report.Title}}</title>
<style>{{.Style}}
img { max-width: 75rem }
tr.met td:nth-child(2) { font-weight: bold }
pre { background: #f4f4f4; padding: .75rem 1rem; overflow-x: auto }
</style>
</head>
<body>
<h1>{{.Report.Title}}</h1>
<p>{{.Report.Verdict}}</p>
<p>Objective: {{.Report.Objective.Text}}.</p>
{{- with .Report.Recommendation}}
<h2>Recommendation</h2>
<p>{{.Text}}</p>
{{- if .Commands}}
<pre>{{range .Commands}}{{.}}
{{end}}</pre>
{{- end}}
{{- if .Checks}}
<h2>What else the recommendation was judged on</h2>
<table>
<tr><th>judged on</th><th>met</th><th>GPU-hours</th><th>objective</th></tr>
{{- range .Checks}}
<tr><td>{{.On}}</td><td class="number">{{percent .Attainment}}</td><td class="number">{{with .GPUHours}}{{hours .}}{{else}}-{{end}}</td>
<td>{{if .Met}}kept{{else}}missed{{end}}</td></tr>
{{- end}}
</table>
{{- end}}
{{- end}}
<h2>Attainment against GPU-hours</h2>
<img alt="Share of the requests that keep the objective against GPU-hours, a point for each candidate of the table below" src="{{.Frontier}}">
<p>The vertical axis is logarithmic in the share of the requests that miss the objective: from 90 to 99 % is as far as from 99 to
99.9 %. Candidates that miss less than the axis shows are at its upper end. Constant numbers of replicas that cost much more than
the other candidates, or that miss most requests, are only in the table{{if .Report.Searched}}; of the candidates that the search
tried, only those within the axes are shown{{end}}.</p>
<h2>Candidates</h2>
<table>
<tr><th></th><th>met</th><th>GPU-hours</th><th>USD</th><th>TTFT p50</th><th>p95</th><th>p99</th><th>most replicas</th><th>turns per hour</th>
<th>refused</th><th>lost</th></tr>
{{- range .Report.Candidates}}
<tr{{if ge .Attainment $.Report.Objective.Ratio}} class="met"{{end}}><th>{{.Name}}</th><td class="number">{{percent .Attainment}}</td>
<td class="number">{{hours .GPUHours}}</td><td class="number">{{money .Cost}}</td><td class="number">{{duration .TTFT.P50}}</td>
<td class="number">{{duration .TTFT.P95}}</td><td class="number">{{duration .TTFT.P99}}</td><td class="number">{{.Most}}</td>
<td class="number">{{printf "%.1f" .TurnsPerHour}}</td><td class="number">{{.Refused}}</td><td class="number">{{.Lost}}</td></tr>
{{- end}}
</table>
<p>Shares that keep the objective are bold. Refused requests found no ready replica, lost ones were in a replica when it was
removed; both count as missed. Turns are changes of the direction in which the autoscaler scales.</p>
{{- with .Times}}
<h2>Over time</h2>
<img alt="Offered load, and for the chosen candidates the time to the first token and the replicas over time" src="{{.}}">
<p>Quantiles are those of the requests that arrived in an interval and were answered, on a logarithmic axis; where there is no
line, no request was answered. All candidates have the same scales.</p>
{{- end}}
<h2>How far to trust it</h2>
<ul>
{{- range .Report.Notes}}
<li>{{.}}</li>
{{- end}}
</ul>
<h2>Settings</h2>
<table>
{{- range .Report.Settings}}
<tr><th>{{.Name}}</th><td>{{.Value}}</td></tr>
{{- end}}
</table>
</body>
</html>
`))

// HTML returns a single page that needs no other file and no network.
func (r *Report) HTML() ([]byte, error) {
	frontier, err := r.FrontierPNG()
	if err != nil {
		return nil, err
	}
	content := map[string]any{"Report": r, "Style": figure.Style, "Frontier": figure.Inline(frontier)}
	times, err := r.timesPNG()
	if err != nil {
		return nil, err
	}
	if times != nil {
		content["Times"] = figure.Inline(times)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, content); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return out.Bytes(), nil
}
