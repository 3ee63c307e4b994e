package figure

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The Okabe-Ito colours can be distinguished with any colour vision.
var (
	Blue       = color.RGBA{R: 0, G: 114, B: 178, A: 255}
	Orange     = color.RGBA{R: 230, G: 159, B: 0, A: 255}
	Green      = color.RGBA{R: 0, G: 158, B: 115, A: 255}
	Vermillion = color.RGBA{R: 213, G: 94, B: 0, A: 255}
	Sky        = color.RGBA{R: 86, G: 180, B: 233, A: 255}
	Purple     = color.RGBA{R: 204, G: 121, B: 167, A: 255}
	Grey       = color.RGBA{R: 140, G: 140, B: 140, A: 255}
	Ink        = color.RGBA{R: 51, G: 51, B: 51, A: 255}
	Pale       = color.RGBA{R: 225, G: 225, B: 225, A: 255}
)

// Line is the style of a series.
func Line(c color.Color) draw.LineStyle { return draw.LineStyle{Color: c, Width: 2.2} }

// Wide is the style of a series that stays visible below another one.
func Wide(c color.Color) draw.LineStyle { return draw.LineStyle{Color: c, Width: 5} }

// Dashed is the style of a limit or target.
func Dashed(c color.Color) draw.LineStyle {
	return draw.LineStyle{Color: c, Width: 1.6, Dashes: []vg.Length{7, 4}}
}

// Text is the style of a text.
func Text(size vg.Length, c color.Color) text.Style {
	return text.Style{Color: c, Font: font.From(plot.DefaultFont, size), Handler: plot.DefaultTextHandler}
}
