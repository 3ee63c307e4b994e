package report

import (
	"image/color"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vllm-autoscaling/ops/figure"
)

// mark is how candidates are drawn.
type mark struct {
	hue   color.Color
	shape draw.GlyphDrawer
	// size is half of the width.
	size vg.Length
	// optional reports whether it may be without a label.
	optional bool
}

var marks = [...]mark{
	roleConfigured:  {hue: figure.Blue, shape: draw.CircleGlyph{}, size: 5},
	roleRecommended: {hue: figure.Green, shape: diamond{}, size: 6},
	roleOracle:      {hue: figure.Ink, shape: draw.CrossGlyph{}, size: 5},
	roleStaticBest:  {hue: figure.Orange, shape: draw.BoxGlyph{}, size: 4.5},
	roleStatic:      {hue: figure.Grey, shape: draw.BoxGlyph{}, size: 2, optional: true},
	rolePreset:      {hue: figure.Vermillion, shape: draw.PyramidGlyph{}, size: 4},
}

// searched is the mark of the candidates that a search tried.
var searched = mark{hue: figure.Grey, shape: draw.CircleGlyph{}, size: 1.5}

func (m mark) draw(c draw.Canvas, at vg.Point) {
	c.DrawGlyphNoClip(draw.GlyphStyle{Color: m.hue, Radius: m.size, Shape: m.shape}, at)
}

// diamond is a glyph.
type diamond struct{}

// DrawGlyph implements draw.GlyphDrawer.
func (diamond) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	r := style.Radius
	c.FillPolygon(style.Color, []vg.Point{{X: at.X - r, Y: at.Y}, {X: at.X, Y: at.Y + r}, {X: at.X + r, Y: at.Y}, {X: at.X, Y: at.Y - r}})
}
