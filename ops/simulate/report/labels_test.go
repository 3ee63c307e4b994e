package report

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"gonum.org/v1/plot/vg"

	"vllm-autoscaling/ops/figure"
)

func TestLabelsDoNotOverlap(t *testing.T) {
	within := vg.Rectangle{Max: vg.Point{X: 400, Y: 200}}
	var tags []tag
	for i := range 10 { // Ten markers that nearly touch, at the right edge.
		tags = append(tags, tag{
			text: fmt.Sprint("a long name ", i), style: figure.Text(10, figure.Ink), size: 4, at: vg.Point{X: 360 + vg.Length(i)*3, Y: 90 + vg.Length(i%3)*8},
		})
	}
	got := place(tags, nil, within)
	assert.Len(t, got, len(tags))
	for i, p := range got {
		assert.True(t, p.box.Min.X >= 0 && p.box.Max.X <= 400 && p.box.Min.Y >= 0 && p.box.Max.Y <= 200, p.text)
		for _, other := range got[:i] {
			assert.False(t, overlap(p.box, other.box), "%s and %s", p.text, other.text)
		}
		for _, marker := range tags {
			assert.False(t, overlap(p.box, around(marker.at, marker.size)), "%s and the marker of %s", p.text, marker.text)
		}
	}
}

func TestOptionalLabelsNeedRoom(t *testing.T) {
	within := vg.Rectangle{Max: vg.Point{X: 100, Y: 100}}
	middle := tag{text: "4", style: figure.Text(9, figure.Grey), size: 2, at: vg.Point{X: 50, Y: 50}, optional: true}
	assert.Len(t, place([]tag{middle}, nil, within), 1)
	assert.Empty(t, place([]tag{middle}, []vg.Rectangle{within}, within))
}
