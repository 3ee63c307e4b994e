package report

import (
	"slices"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vllm-autoscaling/ops/figure"
	"vllm-autoscaling/ops/simulate/compare"
)

// A picture is 900 pixels wide at 96 dots per inch; it has twice as many in each direction for displays that show them.
const (
	width      = 900.0 / 96 * vg.Inch
	resolution = 192

	headHeight     = 0.85 * vg.Inch
	frontierHeight = 3.9 * vg.Inch
	margin         = 0.2 * vg.Inch
	axisWidth      = 0.6 * vg.Inch

	fontTitle  = 13
	fontNormal = 10
	fontSmall  = 9
)

// PNG returns the frontier, and below it the chosen candidates over time.
func (r *Report) PNG() ([]byte, error) {
	height := r.frontierPart()
	t := r.newTimes()
	if t != nil {
		height += t.height()
	}
	return figure.PNG(width, height, resolution, func(c draw.Canvas) {
		r.paintHead(c)
		r.paintFrontier(c, below(c, headHeight, frontierHeight))
		if t != nil {
			t.paint(c, below(c, r.frontierPart(), t.height()))
		}
	})
}

// FrontierPNG returns the frontier alone.
func (r *Report) FrontierPNG() ([]byte, error) {
	return figure.PNG(width, r.frontierPart(), resolution, func(c draw.Canvas) {
		r.paintHead(c)
		r.paintFrontier(c, below(c, headHeight, frontierHeight))
	})
}

// timesPNG returns what is below the frontier, nil without a series.
func (r *Report) timesPNG() ([]byte, error) {
	t := r.newTimes()
	if t == nil {
		return nil, nil
	}
	return figure.PNG(width, t.height(), resolution, func(c draw.Canvas) { t.paint(c, below(c, 0, t.height())) })
}

func (r *Report) frontierPart() vg.Length { return headHeight + frontierHeight + axisHeight }

// fitted returns a style with a smaller font where a text would be longer than the space for it.
func fitted(style text.Style, line string, space vg.Length) text.Style {
	if length := style.Width(line); length > space {
		style.Font.Size *= space / length
	}
	return style
}

// below returns the area of data of a height that begins at a distance from the upper edge.
func below(c draw.Canvas, distance, height vg.Length) vg.Rectangle {
	return vg.Rectangle{
		Min: vg.Point{X: c.Min.X + margin + axisWidth, Y: c.Max.Y - distance - height},
		Max: vg.Point{X: c.Max.X - margin, Y: c.Max.Y - distance},
	}
}

// paintHead writes the title, the objective and what the marks of the frontier are.
func (r *Report) paintHead(c draw.Canvas) {
	left := c.Min.X + margin
	c.FillText(fitted(figure.Text(fontTitle, figure.Ink), r.Title, width-2*margin), vg.Point{X: left, Y: c.Max.Y - 0.28*vg.Inch}, r.Title)
	c.FillText(figure.Text(fontNormal, figure.Ink), vg.Point{X: left, Y: c.Max.Y - 0.48*vg.Inch},
		"Requests that keep the objective: "+r.Objective.Text)
	a := axes{canvas: draw.Canvas{Canvas: c.Canvas, Rectangle: below(c, headHeight, frontierHeight)}}
	keys := []key{{name: "constant replicas, with their number", style: draw.LineStyle{Color: figure.Grey, Width: 1}}}
	if slices.ContainsFunc(r.Candidates, func(c compare.Candidate) bool { return roleOf(c.Name) == rolePreset }) {
		keys = append(keys, key{name: "policies that others ship", mark: rolePreset.mark()})
	}
	if len(r.Searched) > 0 {
		keys = append(keys, key{name: "tried by the search", mark: searched})
	}
	caption(a, "Share of the requests, logarithmic in the share that is missed", fontSmall, keys...)
}
