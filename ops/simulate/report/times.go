package report

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vllm-autoscaling/ops/figure"
	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
)

// times draws candidates over time, on one time axis and with the same scales.
type times struct {
	report     *Report
	candidates []compare.Candidate
	// unit is the unit of the time axis in seconds, and end its length in seconds.
	unit, end float64
	// first is the range of the times to the first token, as powers of ten.
	first    [2]float64
	replicas float64
	offered  float64
}

// newTimes returns nil where no candidate has a series.
func (r *Report) newTimes() *times {
	t := &times{report: r, candidates: r.overTime(), unit: 60, replicas: 1}
	if len(t.candidates) == 0 {
		return nil
	}
	least, most := math.Inf(1), r.Objective.TTFT
	for _, c := range t.candidates {
		t.end = max(t.end, c.Series.Seconds*float64(len(c.Series.Points)))
		for _, p := range c.Series.Points {
			t.offered = max(t.offered, p.Offered)
			if p.Answered > 0 {
				least, most = min(least, p.P50), max(most, p.P95)
			}
		}
		for _, at := range c.Series.Replicas {
			t.replicas = max(t.replicas, float64(at.Wanted), float64(at.Ready))
		}
	}
	if least > most { // No request was answered.
		least, most = 0.1, 10
	}
	t.first = [2]float64{math.Log10(least) - 0.1, math.Log10(most) + 0.1}
	if t.end > 3*3600 {
		t.unit = 3600
	}
	return t
}

// Heights of the parts.
const (
	loadHeight     = 0.75 * vg.Inch
	firstHeight    = 0.95 * vg.Inch
	replicasHeight = 0.55 * vg.Inch
	captionHeight  = 0.28 * vg.Inch // Above each panel.
	axisHeight     = 0.42 * vg.Inch // Below the last one.
)

// scaled reports whether the replicas of a candidate changed.
func scaled(c compare.Candidate) bool { return len(c.Series.Replicas) > 1 }

func (t *times) height() vg.Length {
	height := captionHeight + loadHeight + axisHeight
	for _, c := range t.candidates {
		height += 1.4*captionHeight + firstHeight
		if scaled(c) {
			height += captionHeight + replicasHeight
		}
	}
	return height
}

// paint draws the panels below each other into an area.
func (t *times) paint(c draw.Canvas, area vg.Rectangle) {
	top := area.Max.Y
	next := func(caption, height vg.Length) vg.Rectangle {
		top -= caption + height
		return vg.Rectangle{Min: vg.Point{X: area.Min.X, Y: top}, Max: vg.Point{X: area.Max.X, Y: top + height}}
	}
	var last axes
	last = t.load(c, next(captionHeight, loadHeight))
	for _, candidate := range t.candidates {
		last = t.firstToken(c, next(1.4*captionHeight, firstHeight), candidate)
		if scaled(candidate) {
			last = t.scaling(c, next(captionHeight, replicasHeight), candidate)
		}
	}
	t.timeAxis(last)
}

func (t *times) axes(c draw.Canvas, area vg.Rectangle, y [2]float64) axes {
	return newAxes(c, area, [2]float64{0, t.end / t.unit}, y)
}

func (t *times) ticks() []plot.Tick { return figure.RoundTicks{N: 12}.Ticks(0, t.end/t.unit) }

// timeAxis labels the time axis below the last panel.
func (t *times) timeAxis(a axes) {
	a.grid(t.ticks(), nil)
	name := "minutes"
	if t.unit == 3600 {
		name = "hours"
	}
	style := figure.Text(fontSmall, figure.Ink)
	style.XAlign, style.YAlign = text.XRight, text.YTop
	a.canvas.FillText(style, vg.Point{X: a.canvas.Max.X, Y: a.canvas.Min.Y - 16}, name+" since the beginning")
}

// key is an entry of a legend, with a line or a mark.
type key struct {
	name  string
	style draw.LineStyle
	mark  mark
}

// caption writes what a panel shows above it, and a legend at its right end.
func caption(a axes, title string, size vg.Length, keys ...key) {
	y := a.canvas.Max.Y + 5
	a.canvas.FillText(figure.Text(size, figure.Ink), vg.Point{X: a.canvas.Min.X, Y: y}, title)
	small := figure.Text(fontSmall, figure.Ink)
	x := a.canvas.Max.X
	for i := len(keys) - 1; i >= 0; i-- {
		x -= small.Width(keys[i].name)
		a.canvas.FillText(small, vg.Point{X: x, Y: y}, keys[i].name)
		if mark := keys[i].mark; mark.shape != nil {
			mark.draw(a.canvas, vg.Point{X: x - 8, Y: y + 3})
			x -= 26
			continue
		}
		a.canvas.StrokeLine2(keys[i].style, x-22, y+3.5, x-4, y+3.5)
		x -= 34
	}
}

func (t *times) load(c draw.Canvas, area vg.Rectangle) axes {
	a := t.axes(c, area, [2]float64{0, max(1e-9, t.offered*1.1)})
	a.grid(figure.Unlabelled{Ticker: figure.RoundTicks{N: 12}}.Ticks(0, t.end/t.unit), figure.RoundTicks{N: 3}.Ticks(0, a.y.high))
	of := t.candidates[0].Series
	points := make([]point, len(of.Points))
	for i, p := range of.Points {
		points[i] = point{float64(i) * of.Seconds / t.unit, p.Offered}
	}
	a.fill(draw.LineStyle{Color: figure.Sky}, steps(points, t.end/t.unit))
	caption(a, fmt.Sprintf("Offered load, requests per second (mean of %s)", spell(of.Seconds)), fontNormal)
	return a
}

// spell writes a length of time.
func spell(seconds float64) string {
	if seconds < 120 {
		return fmt.Sprintf("%.4g s", seconds)
	}
	return fmt.Sprintf("%.3g min", seconds/60)
}

func (t *times) firstToken(c draw.Canvas, area vg.Rectangle, candidate compare.Candidate) axes {
	hue := roleOf(candidate.Name).mark().hue
	a := t.axes(c, area, t.first)
	a.grid(figure.Unlabelled{Ticker: figure.RoundTicks{N: 12}}.Ticks(0, t.end/t.unit), decades(t.first))
	p50 := draw.LineStyle{Color: figure.Grey, Width: 1.1}
	p95 := draw.LineStyle{Color: hue, Width: 1.3}
	for _, one := range []struct {
		style draw.LineStyle
		of    func(compare.Point) float64
	}{{p50, func(p compare.Point) float64 { return p.P50 }}, {p95, func(p compare.Point) float64 { return p.P95 }}} {
		for _, part := range quantiles(candidate.Series, t.unit, one.of) {
			a.line(one.style, part)
		}
	}
	keys := []key{{name: "p95", style: p95}, {name: "p50", style: p50}}
	if limit := t.report.Objective.TTFT; limit > 0 {
		style := figure.Dashed(figure.Ink)
		style.Width = 1.1
		y := math.Log10(limit)
		a.line(style, []point{{0, y}, {t.end / t.unit, y}})
		keys = append(keys, key{name: "objective", style: style})
	}
	caption(a, title(candidate), fontNormal, keys...)
	roleOf(candidate.Name).mark().draw(c, vg.Point{X: area.Min.X - 10, Y: area.Max.Y + 8.5})
	return a
}

// title describes a candidate in a line.
func title(c compare.Candidate) string {
	text := fmt.Sprintf("%s: %.2f %% met, %.2f GPU-hours", label(&c), 100*c.Attainment, c.GPUHours)
	if !scaled(c) {
		replicas := "replicas"
		if c.Series.Replicas[0].Ready == 1 {
			replicas = "replica"
		}
		text += fmt.Sprintf(", %d %s throughout", c.Series.Replicas[0].Ready, replicas)
	}
	return text + "; time to the first token"
}

// quantiles returns the lines of a quantile of the time to the first token as a power of ten. A line ends where no request was
// answered.
func quantiles(s *compare.Series, unit float64, of func(compare.Point) float64) [][]point {
	var lines [][]point
	var part []point
	end := func(at float64) {
		if len(part) > 0 {
			lines = append(lines, steps(part, at))
		}
		part = nil
	}
	for i, p := range s.Points {
		at := float64(i) * s.Seconds / unit
		if p.Answered == 0 {
			end(at)
			continue
		}
		part = append(part, point{at, math.Log10(of(p))})
	}
	end(float64(len(s.Points)) * s.Seconds / unit)
	return lines
}

// decades returns a tick for each power of ten.
func decades(span [2]float64) []plot.Tick {
	var ticks []plot.Tick
	for power := math.Ceil(span[0]); power <= span[1]; power++ {
		text := fmt.Sprintf("%g s", math.Pow(10, power))
		if power < 0 {
			text = fmt.Sprintf("%g ms", 1000*math.Pow(10, power))
		}
		ticks = append(ticks, plot.Tick{Value: power, Label: text})
	}
	return ticks
}

func (t *times) scaling(c draw.Canvas, area vg.Rectangle, candidate compare.Candidate) axes {
	a := t.axes(c, area, [2]float64{0, t.replicas * 1.1})
	a.grid(figure.Unlabelled{Ticker: figure.RoundTicks{N: 12}}.Ticks(0, t.end/t.unit), figure.RoundTicks{N: 4, Least: 1}.Ticks(0, a.y.high))
	line := func(of func(simulate.Replicas) int) []point {
		var points []point
		for _, at := range candidate.Series.Replicas {
			points = append(points, point{at.At / t.unit, float64(of(at))})
		}
		return steps(points, t.end/t.unit)
	}
	wanted := draw.LineStyle{Color: figure.Pale, Width: 4}
	ready := draw.LineStyle{Color: roleOf(candidate.Name).mark().hue, Width: 1.3}
	a.fill(wanted, line(func(at simulate.Replicas) int { return at.Wanted }))
	a.line(ready, line(func(at simulate.Replicas) int { return at.Ready }))
	caption(a, "Replicas", fontSmall, key{name: "wanted", style: wanted}, key{name: "ready", style: ready})
	return a
}
