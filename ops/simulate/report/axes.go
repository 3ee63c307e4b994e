package report

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vllm-autoscaling/ops/figure"
)

// scale maps values to places on a canvas.
type scale struct {
	low, high float64
	from, to  vg.Length
}

func (s scale) at(value float64) vg.Length {
	return s.from + vg.Length((value-s.low)/(s.high-s.low))*(s.to-s.from)
}

// axes is a part of a canvas with a scale in each direction.
type axes struct {
	canvas draw.Canvas // Of the data.
	x, y   scale
}

// newAxes returns axes for the data within an area, whose scales cover the given ranges.
func newAxes(c draw.Canvas, area vg.Rectangle, x, y [2]float64) axes {
	return axes{
		canvas: draw.Canvas{Canvas: c.Canvas, Rectangle: area},
		x:      scale{low: x[0], high: x[1], from: area.Min.X, to: area.Max.X},
		y:      scale{low: y[0], high: y[1], from: area.Min.Y, to: area.Max.Y},
	}
}

// point is a pair of values.
type point struct{ x, y float64 }

func (a axes) at(p point) vg.Point { return vg.Point{X: a.x.at(p.x), Y: a.y.at(p.y)} }

// grid draws a line for each tick, and its label beside the axis.
func (a axes) grid(xs, ys []plot.Tick) {
	thin := draw.LineStyle{Color: figure.Pale, Width: 0.5}
	small := figure.Text(fontSmall, figure.Ink)
	area := a.canvas.Rectangle
	small.XAlign, small.YAlign = text.XCenter, text.YTop
	for _, tick := range xs {
		x := a.x.at(tick.Value)
		a.canvas.StrokeLine2(thin, x, area.Min.Y, x, area.Max.Y)
		a.canvas.FillText(small, vg.Point{X: x, Y: area.Min.Y - 3}, tick.Label)
	}
	small.XAlign, small.YAlign = text.XRight, text.YCenter
	for _, tick := range ys {
		y := a.y.at(tick.Value)
		a.canvas.StrokeLine2(thin, area.Min.X, y, area.Max.X, y)
		a.canvas.FillText(small, vg.Point{X: area.Min.X - 4, Y: y}, tick.Label)
	}
}

// line draws a line through points, as far as it is within the axes.
func (a axes) line(style draw.LineStyle, points []point) {
	a.canvas.StrokeLines(style, a.canvas.ClipLinesXY(a.places(points))...)
}

// fill fills the area below a line down to 0.
func (a axes) fill(style draw.LineStyle, points []point) {
	if len(points) == 0 {
		return
	}
	outline := append([]point{{points[0].x, 0}}, points...)
	outline = append(outline, point{points[len(points)-1].x, 0})
	a.canvas.FillPolygon(style.Color, a.canvas.ClipPolygonXY(a.places(outline)))
}

func (a axes) places(points []point) []vg.Point {
	places := make([]vg.Point, len(points))
	for i, p := range points {
		places[i] = a.at(p)
	}
	return places
}

// steps returns the corners of a line whose values hold until the next point, and the last until the end.
func steps(points []point, end float64) []point {
	var corners []point
	for i, p := range points {
		if i > 0 {
			corners = append(corners, point{p.x, points[i-1].y})
		}
		corners = append(corners, p)
	}
	if n := len(points); n > 0 {
		corners = append(corners, point{end, points[n-1].y})
	}
	return corners
}
