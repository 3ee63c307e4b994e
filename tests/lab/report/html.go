package report

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"slices"
)

var page = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Report.Title}}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto; max-width: 90rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
img { width: 100%; height: auto; border: 1px solid #ddd }
table { border-collapse: collapse } th, td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums }
ul { padding-left: 1.2rem } details { margin-top: 2rem }
</style>
</head>
<body>
<h1>{{.Report.Title}}</h1>
<table>
{{- range .Report.Summary}}
<tr><th>{{.Name}}</th><td>{{.Value}}</td></tr>
{{- end}}
</table>
<h2>Load, what the HPA saw, and replicas</h2>
<img alt="Load, metrics with targets, desired and ready replicas over time" src="{{.Image}}">
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

// HTML is one page that needs no other file and no network.
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
		for _, count := range []int{sample.Desired, sample.Current, sample.Ready, sample.Pods} {
			cells = append(cells, fmt.Sprint(count))
		}
		changes = append(changes, cells)
	}
	var out bytes.Buffer
	err := page.Execute(&out, map[string]any{
		"Report":  r,
		"Changes": changes,
		// The only URL of the page; template.URL says that its scheme is meant.
		"Image": template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png)),
	})
	if err != nil {
		return nil, fmt.Errorf("report: page: %w", err)
	}
	return out.Bytes(), nil
}

func sortedNames(signals map[string]Reading) []string {
	return slices.Sorted(maps.Keys(signals))
}
