package report

import (
	"math"
	"slices"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// tag is the label of a marker.
type tag struct {
	text  string
	style text.Style
	// at is the marker, size its half width.
	at   vg.Point
	size vg.Length
	// optional tags are left out where they have no room.
	optional bool
}

// placed is a tag and where its text is.
type placed struct {
	tag
	box vg.Rectangle
	// away reports whether it is so far from its marker that a line has to connect them.
	away bool
}

// place finds a place for each tag near its marker, within an area, that covers no other tag, no marker, and as little as
// possible of the obstacles. Earlier tags choose first.
func place(tags []tag, obstacles []vg.Rectangle, within vg.Rectangle) []placed {
	var markers []vg.Rectangle
	for _, t := range tags {
		markers = append(markers, around(t.at, t.size))
	}
	var all []placed
	for _, t := range tags {
		best, least := placed{}, math.Inf(1)
		for _, p := range t.places() {
			if cost := p.cost(all, markers, obstacles, within); cost < least {
				best, least = p, cost
			}
		}
		if t.optional && (least >= crossing || best.away) {
			continue
		}
		all = append(all, best)
	}
	return all
}

// Costs of a place, in units of the distance from the marker.
const (
	covering = 1e4 // Another tag or a marker is covered, or the edge is crossed.
	crossing = 30  // An obstacle is covered.
)

// places returns the places that are tried.
func (t tag) places() []placed {
	width, height := t.style.Width(t.text), t.style.Height(t.text)
	var all []placed
	for _, distance := range []vg.Length{3, 10, 20, 32, 46, 62, 80} {
		reach := t.size + distance
		for _, direction := range []vg.Point{{X: 1}, {Y: 1}, {X: -1}, {Y: -1}, {X: 0.8, Y: 0.8}, {X: 0.8, Y: -0.8}, {X: -0.8, Y: 0.8}, {X: -0.8, Y: -0.8}} {
			middle := vg.Point{X: t.at.X + direction.X*(reach+width/2), Y: t.at.Y + direction.Y*(reach+height/2)}
			if direction.X != 0 && direction.Y != 0 { // In a corner the text begins at the reach.
				middle.X = t.at.X + vg.Length(math.Copysign(float64(reach*0.7+width/2), float64(direction.X)))
			}
			half := vg.Point{X: width / 2, Y: height / 2}
			all = append(all, placed{tag: t, away: distance > 10, box: vg.Rectangle{Min: middle.Sub(half), Max: middle.Add(half)}})
		}
	}
	return all
}

func (p placed) cost(others []placed, markers, obstacles []vg.Rectangle, within vg.Rectangle) float64 {
	cost := math.Hypot(float64(p.box.Min.X+p.box.Max.X)/2-float64(p.at.X), float64(p.box.Min.Y+p.box.Max.Y)/2-float64(p.at.Y))
	if p.box.Min.X < within.Min.X || p.box.Max.X > within.Max.X || p.box.Min.Y < within.Min.Y || p.box.Max.Y > within.Max.Y {
		cost += covering
	}
	own := p.leader()
	for _, other := range others {
		if overlap(p.box, other.box) {
			cost += covering
		}
		if anyOverlaps(other.box, own) || anyOverlaps(p.box, other.leader()) {
			cost += crossing
		}
	}
	for _, marker := range markers {
		if overlap(p.box, marker) {
			cost += covering
		}
	}
	for _, obstacle := range obstacles {
		if overlap(p.box, obstacle) {
			cost += crossing
		}
	}
	return cost
}

// leader returns boxes along the line to the marker; none where there is no line.
func (p placed) leader() []vg.Rectangle {
	if !p.away {
		return nil
	}
	return along(p.at, p.nearest())
}

// nearest returns the point of the text that is nearest to the marker.
func (p placed) nearest() vg.Point {
	return vg.Point{X: min(max(p.at.X, p.box.Min.X), p.box.Max.X), Y: min(max(p.at.Y, p.box.Min.Y), p.box.Max.Y)}
}

// along returns small boxes along a line.
func along(from, to vg.Point) []vg.Rectangle {
	const parts = 24
	boxes := make([]vg.Rectangle, 0, parts+1)
	for k := range parts + 1 {
		boxes = append(boxes, around(from.Add(to.Sub(from).Scale(vg.Length(k)/parts)), 1.5))
	}
	return boxes
}

func anyOverlaps(box vg.Rectangle, others []vg.Rectangle) bool {
	return slices.ContainsFunc(others, func(other vg.Rectangle) bool { return overlap(box, other) })
}

func overlap(a, b vg.Rectangle) bool {
	return a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y
}

// around returns the square around a point.
func around(p vg.Point, half vg.Length) vg.Rectangle {
	return vg.Rectangle{Min: vg.Point{X: p.X - half, Y: p.Y - half}, Max: vg.Point{X: p.X + half, Y: p.Y + half}}
}
