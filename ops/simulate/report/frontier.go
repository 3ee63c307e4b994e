package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vllm-autoscaling/ops/figure"
	"vllm-autoscaling/ops/simulate/compare"
)

// misses is the vertical scale of the frontier: logarithmic in the share of the requests that are missed, down to a least share;
// what misses less is above the scale.
type misses struct{ least float64 }

// missesFor returns the scale that shows the surroundings of an objective.
func missesFor(ratio float64) misses {
	if ratio >= 1 {
		return misses{1e-4}
	}
	return misses{min(1e-3, math.Pow(10, math.Floor(math.Log10(1-ratio)))/10)}
}

// above is the height of the part above the scale.
const above = 0.25

func (m misses) at(attainment float64) float64 {
	if missed := 1 - attainment; missed >= m.least*(1-1e-9) {
		return -math.Log10(missed)
	}
	return m.top()
}

func (m misses) top() float64 { return -math.Log10(m.least) + above }

// levels are the attainments that are labelled.
var levels = []float64{0, 0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99995, 0.99999}

// Ticks implements plot.Ticker.
func (m misses) Ticks(low, _ float64) []plot.Tick {
	var ticks []plot.Tick
	for _, level := range levels {
		if y := m.at(level); y >= low && y < m.top() {
			ticks = append(ticks, plot.Tick{Value: y, Label: fmt.Sprintf("%.5g %%", 100*level)})
		}
	}
	return append(ticks, plot.Tick{Value: m.top(), Label: fmt.Sprintf("> %.5g %%", 100*(1-m.least))})
}

// frontier draws attainment against GPU-hours.
type frontier struct {
	axes
	report *Report
	misses misses
}

// paintFrontier draws the frontier into an area.
func (r *Report) paintFrontier(c draw.Canvas, area vg.Rectangle) {
	m := missesFor(r.Objective.Ratio)
	x, lowest := r.shown()
	low := min(m.at(lowest), m.at(r.Objective.Ratio)-0.2) - 0.08
	f := frontier{newAxes(c, area, x, [2]float64{low, m.top() + 0.12}), r, m}
	f.grid(figure.RoundTicks{N: 10}.Ticks(x[0], x[1]), m.Ticks(low, 0))
	axis := figure.Text(fontSmall, figure.Ink)
	axis.XAlign, axis.YAlign = text.XRight, text.YTop
	c.FillText(axis, vg.Point{X: area.Max.X, Y: area.Min.Y - 16}, "GPU-hours")
	f.objective(r.Objective.Ratio)
	for _, s := range r.Searched {
		if m.at(s.Attainment) >= low {
			f.marker(s, searched)
		}
	}
	goal := f.y.at(m.at(r.Objective.Ratio))
	line := vg.Rectangle{Min: vg.Point{X: area.Min.X, Y: goal - 1}, Max: vg.Point{X: area.Max.X, Y: goal + 1}}
	f.named(append(f.static(), line))
}

// shown returns the range of GPU-hours and the lowest attainment that the frontier shows: every candidate with a name, and
// constant numbers of replicas as far as they are near those.
func (r *Report) shown() (hours [2]float64, lowest float64) {
	least, most, lowest := math.Inf(1), 0.0, 1.0
	for _, c := range r.Candidates {
		if roleOf(c.Name) != roleStatic {
			least, most, lowest = min(least, c.GPUHours), max(most, c.GPUHours), min(lowest, c.Attainment)
		}
	}
	for _, c := range r.Candidates {
		if roleOf(c.Name) == roleStatic && c.GPUHours < 1.3*most && c.Attainment >= min(lowest, 0.5) {
			least, most, lowest = min(least, c.GPUHours), max(most, c.GPUHours), min(lowest, c.Attainment)
		}
	}
	if least > most || most == 0 {
		return [2]float64{0, 1}, lowest
	}
	if least < 0.4*most {
		return [2]float64{0, most * 1.08}, lowest
	}
	margin := (most - least) * 0.1
	return [2]float64{max(0, least-max(margin, 0.05*most)), most + max(margin, 0.05*most)}, lowest
}

// objective draws the share of the requests that has to keep the objective.
func (f frontier) objective(ratio float64) {
	y := f.misses.at(ratio)
	f.line(figure.Dashed(figure.Ink), []point{{f.x.low, y}, {f.x.high, y}})
	style := figure.Text(fontSmall, figure.Ink)
	style.XAlign, style.YAlign = text.XRight, text.YBottom
	f.canvas.FillText(style, vg.Point{X: f.x.to - 3, Y: f.y.at(y) + 3}, fmt.Sprintf("objective: %.5g %%", 100*ratio))
}

// marker draws a candidate unless it is outside, and reports where.
func (f frontier) marker(c compare.Candidate, as mark) (vg.Point, bool) {
	at := f.at(point{c.GPUHours, f.misses.at(c.Attainment)})
	if at.X < f.canvas.Min.X || at.X > f.canvas.Max.X || at.Y < f.canvas.Min.Y {
		return at, false
	}
	as.draw(f.canvas, at)
	return at, true
}

// static draws the constant numbers of replicas as a line, and returns boxes along it.
func (f frontier) static() []vg.Rectangle {
	var points []point
	for _, c := range f.report.Candidates {
		if roleOf(c.Name) == roleStatic {
			points = append(points, point{c.GPUHours, f.misses.at(c.Attainment)})
		}
	}
	f.line(draw.LineStyle{Color: figure.Grey, Width: 1}, points)
	var boxes []vg.Rectangle
	for i := 1; i < len(points); i++ {
		boxes = append(boxes, along(f.at(points[i-1]), f.at(points[i]))...)
	}
	return boxes
}

// named draws the candidates with a name, the most important last, and their labels.
func (f frontier) named(obstacles []vg.Rectangle) {
	candidates := slices.Clone(f.report.Candidates)
	slices.SortStableFunc(candidates, func(a, b compare.Candidate) int { return int(roleOf(a.Name)) - int(roleOf(b.Name)) })
	var tags []tag
	best := ""
	for _, c := range candidates {
		if roleOf(c.Name) == roleStaticBest {
			best = fmt.Sprint(compare.NameStatic, c.Most)
		}
	}
	for _, c := range slices.Backward(candidates) {
		mark := roleOf(c.Name).mark()
		at, inside := f.marker(c, mark)
		if !inside || c.Name == best {
			continue
		}
		style := figure.Text(fontNormal, figure.Ink)
		if mark.optional {
			style = figure.Text(fontSmall, figure.Grey)
		}
		tags = append(tags, tag{text: label(&c), style: style, at: at, size: mark.size, optional: mark.optional})
	}
	slices.Reverse(tags)
	f.labels(place(tags, obstacles, f.canvas.Rectangle))
}

// labels draws labels, and lines to those that are away from their markers.
func (f frontier) labels(labels []placed) {
	for _, p := range labels {
		if p.away {
			nearest := p.nearest()
			f.canvas.StrokeLine2(draw.LineStyle{Color: p.style.Color, Width: 0.5}, p.at.X, p.at.Y, nearest.X, nearest.Y)
		}
	}
	for _, p := range labels { // After every line, or a later one would cross a text.
		f.write(p)
	}
}

// write draws a label on a white ground.
func (f frontier) write(p placed) {
	f.canvas.FillPolygon(color.White, []vg.Point{p.box.Min, {X: p.box.Max.X, Y: p.box.Min.Y}, p.box.Max, {X: p.box.Min.X, Y: p.box.Max.Y}})
	p.style.XAlign, p.style.YAlign = text.XCenter, text.YCenter
	f.canvas.FillText(p.style, vg.Point{X: (p.box.Min.X + p.box.Max.X) / 2, Y: (p.box.Min.Y + p.box.Max.Y) / 2}, p.text)
}
