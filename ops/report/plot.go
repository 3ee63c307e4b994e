package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vllm-autoscaling/ops/figure"
)

const (
	width       = 15 * vg.Inch
	panelHeight = 1.75 * vg.Inch
	resolution  = 96 // dots per inch
	legendWidth = 2.1 * vg.Inch
	headHeight  = 1.15 * vg.Inch
	eventRows   = 3
)

// PNG draws the report's panels above each other on one time axis: rates, latencies and errors of the
// load, one panel for each signal with its target, and the replicas.
func (r *Report) PNG() ([]byte, error) {
	panels, err := r.panels()
	if err != nil {
		return nil, fmt.Errorf("report: plot: %w", err)
	}
	height := headHeight + panelHeight*vg.Length(len(panels)) + 0.4*vg.Inch
	out, err := figure.PNG(width, height, resolution, func(whole draw.Canvas) { r.draw(whole, panels) })
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return out, nil
}

func (r *Report) draw(whole draw.Canvas, panels []panel) {
	rows := make([][]*plot.Plot, len(panels))
	for i := range panels {
		rows[i] = []*plot.Plot{panels[i].plot}
	}
	tiles := draw.Tiles{
		Rows: len(rows), Cols: 1, PadY: 0.12 * vg.Inch,
		PadTop: headHeight, PadBottom: 0.1 * vg.Inch, PadLeft: 0.15 * vg.Inch, PadRight: legendWidth,
	}
	areas := plot.Align(rows, tiles, whole)
	for i := range panels {
		area := areas[i][0]
		panels[i].plot.Draw(area)
		beside := area
		beside.Min.X, beside.Max.X = whole.Max.X-legendWidth+0.15*vg.Inch, whole.Max.X
		beside.Max.Y -= 0.1 * vg.Inch
		panels[i].legend.Draw(beside)
	}
	r.drawHead(whole, panels[0].plot, areas[0][0])
}

type panel struct {
	plot   *plot.Plot
	legend plot.Legend
}

type series struct {
	name   string
	points plotter.XYs
	style  draw.LineStyle
}

func (r *Report) panels() ([]panel, error) {
	all := func(value func(Sample) float64) plotter.XYs {
		points := make(plotter.XYs, len(r.Samples))
		for i, sample := range r.Samples {
			points[i] = plotter.XY{X: sample.Seconds, Y: value(sample)}
		}
		return points
	}
	var groups []group
	if r.Requests != nil {
		groups = append(groups, group{unit: "requests/s", least: 1, series: []series{
			{"offered", r.Requests.points(func(p Point) (float64, bool) { return p.OfferedPerSecond, true }), figure.Wide(figure.Sky)},
			{"answered", r.Requests.points(func(p Point) (float64, bool) { return p.ServedPerSecond, true }), figure.Line(figure.Ink)},
		}})
	}
	if len(r.Samples) > 0 {
		groups = append(groups, group{unit: "in flight", least: 1, series: []series{
			{"requests in flight", all(func(s Sample) float64 { return s.Load }), figure.Line(figure.Ink)},
		}})
	}
	if r.Requests != nil {
		groups = append(groups, r.Requests.latencies("to first token, s", func(p Point) Quantiles { return p.TTFT })...)
		groups = append(groups, r.Requests.latencies("to last token, s", func(p Point) Quantiles { return p.Latency })...)
		groups = append(groups, r.Requests.errors()...)
	}
	for i, signal := range r.Signals {
		hue := []color.RGBA{figure.Blue, figure.Vermillion, figure.Green, figure.Orange}[i%4]
		var values, targets plotter.XYs
		for _, sample := range r.Samples {
			reading, ok := sample.Signals[signal.Name]
			if !ok {
				continue
			}
			targets = append(targets, plotter.XY{X: sample.Seconds, Y: reading.Target})
			if value := reading.newest(); value != nil {
				values = append(values, plotter.XY{X: sample.Seconds, Y: *value})
			}
		}
		groups = append(groups, group{unit: signal.Unit, least: 1, series: []series{
			{signal.Label, values, figure.Line(hue)}, {"target", targets, figure.Dashed(hue)},
		}})
	}
	if len(r.Samples) > 0 {
		// An HPA that has not computed a number yet reports 0.
		desired := slices.DeleteFunc(all(func(s Sample) float64 { return float64(s.Desired) }), func(p plotter.XY) bool { return p.Y == 0 })
		replicas := group{unit: "replicas", least: 1, series: []series{
			// Wide under narrow: both stay visible where they are equal.
			{"desired by the HPA", desired, figure.Wide(figure.Blue)},
			{"ready", all(func(s Sample) float64 { return float64(s.Ready) }), figure.Line(figure.Orange)},
		}}
		if r.Samples[len(r.Samples)-1].Max > 0 {
			replicas.series = append(replicas.series,
				series{"min. and max.", all(func(s Sample) float64 { return float64(s.Max) }), figure.Dashed(figure.Grey)},
				series{"", all(func(s Sample) float64 { return float64(s.Min) }), figure.Dashed(figure.Grey)})
		}
		groups = append(groups, replicas)
	}

	var panels []panel
	for i, group := range groups {
		p, err := r.panel(group, i == len(groups)-1)
		if err != nil {
			return nil, err
		}
		panels = append(panels, p)
	}
	return panels, nil
}

// group is the data of one panel.
type group struct {
	unit string
	// least is the smallest maximum of the axis.
	least  float64
	series []series
}

// points returns a series of the requests as steps, without the intervals that have no value.
func (r *Requests) points(value func(Point) (float64, bool)) plotter.XYs {
	var points plotter.XYs
	for _, point := range r.Series {
		if y, ok := value(point); ok {
			points = append(points, plotter.XY{X: point.Seconds, Y: y})
		}
	}
	if n := len(points); n > 0 { // the last interval has an end as well
		points = append(points, plotter.XY{X: points[n-1].X + r.Interval, Y: points[n-1].Y})
	}
	return points
}

// latencies returns a panel of quantiles, or none.
func (r *Requests) latencies(unit string, of func(Point) Quantiles) []group {
	quantile := func(choose func(Quantiles) float64) plotter.XYs {
		return r.points(func(p Point) (float64, bool) { q := of(p); return choose(q), q.Count > 0 })
	}
	all := []series{
		{"p99", quantile(func(q Quantiles) float64 { return q.P99 }), figure.Line(figure.Vermillion)},
		{"p95", quantile(func(q Quantiles) float64 { return q.P95 }), figure.Line(figure.Orange)},
		{"p50", quantile(func(q Quantiles) float64 { return q.P50 }), figure.Line(figure.Blue)},
	}
	if len(all[0].points) == 0 {
		return nil
	}
	return []group{{unit: unit, least: 0.01, series: all}}
}

// errors returns a panel of failed and dropped requests by kind, or none.
func (r *Requests) errors() []group {
	var all []series
	hues := []color.RGBA{figure.Vermillion, figure.Orange, figure.Blue, figure.Green, figure.Ink}
	add := func(total map[string]int, of func(Point) map[string]int) {
		for _, kind := range kinds(total) {
			all = append(all, series{kind, r.points(func(p Point) (float64, bool) {
				return float64(of(p)[kind]) / r.Interval, true
			}), figure.Line(hues[len(all)%len(hues)])})
		}
	}
	add(r.Failed, func(p Point) map[string]int { return p.Failed })
	add(r.Dropped, func(p Point) map[string]int { return p.Dropped })
	if len(all) == 0 {
		return nil
	}
	return []group{{unit: "errors/s", least: 0.1, series: all}}
}

// newest returns the value of the custom metrics API if it was read, and otherwise the HPA's.
func (r Reading) newest() *float64 {
	if r.Live != nil {
		return r.Live
	}
	return r.Value
}

func (r *Report) panel(group group, last bool) (panel, error) {
	unit, all := group.unit, group.series
	p := plot.New()
	p.Y.Label.Text = unit
	p.Y.Label.TextStyle.Font.Size = 12
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = 12, 12
	p.X.Tick.Marker, p.Y.Tick.Marker = figure.RoundTicks{N: 12, Least: 1}, figure.RoundTicks{N: 5}
	p.X.Min, p.X.Max = r.span()
	if last {
		p.X.Label.Text = "seconds since the start"
		p.X.Label.TextStyle.Font.Size = 13
	} else {
		p.X.Tick.Marker = figure.Unlabelled{Ticker: figure.RoundTicks{N: 12, Least: 1}}
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = figure.Pale, figure.Pale
	p.Add(grid, eventLines(r.Events))

	legend := plot.NewLegend()
	legend.Left, legend.Top = true, true
	legend.TextStyle.Font.Size = 13
	legend.Padding = 6
	legend.ThumbnailWidth = 0.3 * vg.Inch
	top := group.least
	for _, one := range all {
		if len(one.points) == 0 {
			continue // a signal that the HPA never read has no legend entry
		}
		drawn, err := plotter.NewLine(one.points)
		if err != nil {
			return panel{}, fmt.Errorf("%s: %w", one.name, err)
		}
		drawn.LineStyle = one.style
		drawn.StepStyle = plotter.PostStep
		p.Add(drawn)
		if one.name != "" {
			legend.Add(one.name, drawn)
		}
		for _, point := range one.points {
			top = math.Max(top, point.Y)
		}
	}
	p.X.Min, p.X.Max = r.span()
	p.Y.Min, p.Y.Max = 0, top*1.12
	return panel{plot: p, legend: legend}, nil
}

// span returns the time axis of every panel.
func (r *Report) span() (from, to float64) {
	from, to = math.Inf(1), math.Inf(-1)
	widen := func(seconds float64) { from, to = math.Min(from, seconds), math.Max(to, seconds) }
	if len(r.Samples) > 0 {
		widen(r.Samples[0].Seconds)
		widen(r.Samples[len(r.Samples)-1].Seconds)
	}
	if r.Requests != nil {
		widen(r.Requests.From)
		widen(r.Requests.To)
	}
	for _, event := range r.Events {
		widen(event.Seconds)
	}
	return math.Floor(from), math.Ceil(to) + 1
}

// drawHead writes the title and, above the first panel, what each vertical
// line of the panels marks.
func (r *Report) drawHead(whole draw.Canvas, first *plot.Plot, area draw.Canvas) {
	title := figure.Text(18, figure.Ink)
	whole.FillText(title, vg.Point{X: area.Min.X, Y: whole.Max.Y - 0.33*vg.Inch}, r.Title)
	data := first.DataCanvas(area)
	toX, _ := first.Transforms(&data)
	small := figure.Text(12, figure.Ink)
	// A label is put into the lowest row in which it does not overlap another.
	var ends [eventRows]vg.Length
	var labels []func()
	events := slices.Clone(r.Events)
	slices.SortFunc(events, func(a, b Event) int { return int(math.Copysign(1, a.Seconds-b.Seconds)) })
	for _, event := range events {
		x := toX(event.Seconds)
		textWidth := small.Width(event.Text)
		at := min(x, whole.Max.X-textWidth-2)
		row := 0
		for i := range ends {
			if ends[i] <= at {
				row = i
				break
			}
			if ends[i] < ends[row] {
				row = i
			}
		}
		ends[row] = at + textWidth + 10
		y := data.Max.Y + 5 + vg.Length(row)*15
		whole.StrokeLine2(draw.LineStyle{Color: figure.Ink, Width: 0.8}, x, data.Max.Y, x, y+9)
		labels = append(labels, func() {
			whole.SetColor(color.White)
			whole.Fill(vg.Rectangle{Min: vg.Point{X: at + 2, Y: y - 3}, Max: vg.Point{X: at + textWidth + 5, Y: y + 10}}.Path())
			whole.FillText(small, vg.Point{X: at + 4, Y: y}, event.Text)
		})
	}
	for _, write := range labels { // after every line, or a later line would cross a text
		write()
	}
}

// eventLines are vertical lines through a panel.
type eventLines []Event

func (e eventLines) Plot(c draw.Canvas, p *plot.Plot) {
	toX, _ := p.Transforms(&c)
	for _, event := range e {
		x := toX(event.Seconds)
		c.StrokeLine2(draw.LineStyle{Color: color.Gray{Y: 130}, Width: 0.8, Dashes: []vg.Length{3, 3}}, x, c.Min.Y, x, c.Max.Y)
	}
}
