package report

import (
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vllm-autoscaling/ops/figure"
)

// Policies is a picture of policies in several cases: attainment against the GPU-hours, as a ratio to those of a baseline.
type Policies struct {
	Title, Text string
	// Ratio is the share of the requests that has to keep the objective.
	Ratio float64
	// Baseline is what the ratios are to.
	Baseline string
	// Policies are drawn in their order: the last ones are never hidden.
	Policies []Policy
}

// Policy is what became of a policy.
type Policy struct {
	// Name is one of package compare's, which chooses the mark, and Label what is written beside it.
	Name, Label string
	// Baseline marks the policy that the ratios are to.
	Baseline bool
	Points   []PolicyPoint
}

// PolicyPoint is what became of a policy in a case.
type PolicyPoint struct{ Ratio, Attainment float64 }

// policiesHeight is that of the area of data.
const policiesHeight = 5 * vg.Inch

// ratios are the ticks of the horizontal axis, which is logarithmic.
var ratios = []float64{0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 50}

// PNG returns the picture: a faint mark for each case, and a mark with a label at the mean of each policy.
func (p *Policies) PNG() ([]byte, error) {
	return figure.PNG(width, headHeight+policiesHeight+axisHeight, resolution, func(c draw.Canvas) {
		area := below(c, headHeight, policiesHeight)
		left := c.Min.X + margin
		c.FillText(figure.Text(fontTitle, figure.Ink), vg.Point{X: left, Y: c.Max.Y - 0.28*vg.Inch}, p.Title)
		c.FillText(figure.Text(fontNormal, figure.Ink), vg.Point{X: left, Y: c.Max.Y - 0.48*vg.Inch}, p.Text)
		p.paint(c, area)
	})
}

// paint draws the marks into an area.
func (p *Policies) paint(c draw.Canvas, area vg.Rectangle) {
	m := missesFor(p.Ratio)
	low, high, lowest := p.shown()
	bottom := m.at(lowest) - 0.08
	f := frontier{newAxes(c, area, [2]float64{math.Log10(low), math.Log10(high)}, [2]float64{bottom, m.top() + 0.12}), nil, m}
	var ticks []plot.Tick
	for _, ratio := range ratios {
		if ratio >= low && ratio <= high {
			ticks = append(ticks, plot.Tick{Value: math.Log10(ratio), Label: strconv.FormatFloat(ratio, 'g', -1, 64)})
		}
	}
	f.grid(ticks, m.Ticks(bottom, 0))
	axis := figure.Text(fontSmall, figure.Ink)
	axis.XAlign, axis.YAlign = text.XRight, text.YTop
	c.FillText(axis, vg.Point{X: area.Max.X, Y: area.Min.Y - 16}, "GPU-hours, as a ratio to those of "+p.Baseline)
	caption(f.axes, "Share of the requests, logarithmic in the share that is missed. Faint: each combination. With a name: the mean", fontSmall)
	f.objective(p.Ratio)
	p.marks(f)
}

// marks draws every policy.
func (p *Policies) marks(f frontier) {
	var tags []tag
	for _, policy := range p.Policies {
		faint := policy.mark()
		faint.hue, faint.size = pale(faint.hue), 2
		for _, at := range policy.Points {
			faint.draw(f.canvas, f.at(point{math.Log10(at.Ratio), f.misses.at(at.Attainment)}))
		}
	}
	for _, policy := range p.Policies {
		if len(policy.Points) == 0 {
			continue
		}
		as, center := policy.mark(), policy.mean()
		at := f.at(point{math.Log10(center.Ratio), f.misses.at(center.Attainment)})
		as.draw(f.canvas, at)
		tags = append(tags, tag{text: policy.Label, style: figure.Text(fontNormal, figure.Ink), at: at, size: as.size})
	}
	goal, area := f.y.at(f.misses.at(p.Ratio)), f.canvas.Rectangle
	line := vg.Rectangle{Min: vg.Point{X: area.Min.X, Y: goal - 1}, Max: vg.Point{X: area.Max.X, Y: goal + 1}}
	name := vg.Rectangle{Min: vg.Point{X: area.Max.X - 1.2*vg.Inch, Y: goal}, Max: vg.Point{X: area.Max.X, Y: goal + 1.5*fontNormal}}
	f.labels(place(tags, []vg.Rectangle{line, name}, area))
}

// mark returns how the policy is drawn: as in a frontier, but for the baseline.
func (p Policy) mark() mark {
	if p.Baseline {
		return mark{hue: figure.Purple, shape: draw.BoxGlyph{}, size: 5}
	}
	return roleOf(p.Name).mark()
}

// mean returns the geometric mean of the ratios, and the mean of the attainments.
func (p Policy) mean() PolicyPoint {
	var logs, attainment float64
	for _, at := range p.Points {
		logs += math.Log(at.Ratio)
		attainment += at.Attainment
	}
	n := float64(len(p.Points))
	return PolicyPoint{Ratio: math.Exp(logs / n), Attainment: attainment / n}
}

// shown returns the range of the ratios, and the lowest attainment.
func (p *Policies) shown() (low, high, lowest float64) {
	low, high, lowest = 1, 1, p.Ratio
	for _, policy := range p.Policies {
		for _, at := range policy.Points {
			low, high, lowest = min(low, at.Ratio), max(high, at.Ratio), min(lowest, at.Attainment)
		}
	}
	return 0.9 * low, 1.1 * high, lowest
}

// pale returns a colour of which most shines through.
func pale(c color.Color) color.Color {
	r, g, b, _ := c.RGBA()
	return color.NRGBA{R: uint8(r >> 8), G: uint8(g >> 8), B: uint8(b >> 8), A: 90}
}
