package trace

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// layer is one copy of a trace in a scaled trace.
type layer struct {
	// keep is the share of the requests that are played.
	keep float64
	// shift is how much later the requests are played. Those that would be after the end are played from the start on.
	shift time.Duration
	// seed and stream are those of the random numbers that choose the requests.
	seed, stream uint64
}

// layers returns the copies of a trace: as many whole ones as the scale has, and a thinned one for its fraction. The first is
// not shifted.
func layers(o Options, length time.Duration) []layer {
	var all []layer
	for i := range int(math.Ceil(o.Scale)) {
		l := layer{keep: min(1, o.Scale-float64(i)), seed: o.Seed, stream: 2 * uint64(i)}
		if i > 0 {
			l.shift = time.Duration(rand.New(rand.NewPCG(o.Seed, l.stream+1)).Float64() * float64(length))
		}
		all = append(all, l)
	}
	return all
}

// thinning returns a function that reports whether the next request is played. It draws one number for each, so that how many
// are played is known without the requests.
func (l layer) thinning() func() bool {
	if l.keep == 1 {
		return func() bool { return true }
	}
	chance := rand.New(rand.NewPCG(l.seed, l.stream))
	return func() bool { return chance.Float64() < l.keep }
}

// requests returns how many of that many requests are played.
func (l layer) requests(of int) int {
	if l.keep == 1 {
		return of
	}
	plays, n := l.thinning(), 0
	for range of {
		if plays() {
			n++
		}
	}
	return n
}

// arrivals returns the requests of the layer.
func (l layer) arrivals(part iter.Seq[Request], length time.Duration) iter.Seq[Request] {
	shifted := l.shifted(part, length)
	if l.keep == 1 {
		return shifted
	}
	return func(yield func(Request) bool) {
		plays := l.thinning()
		for r := range shifted {
			if plays() && !yield(r) {
				return
			}
		}
	}
}

// shifted returns all requests at their times in the layer.
func (l layer) shifted(part iter.Seq[Request], length time.Duration) iter.Seq[Request] {
	if l.shift == 0 {
		return part
	}
	wrapped := length - l.shift // requests from here on are played first
	return func(yield func(Request) bool) {
		for r := range part {
			if r.At < wrapped {
				continue
			}
			r.At -= wrapped
			if !yield(r) {
				return
			}
		}
		for r := range part {
			if r.At >= wrapped {
				return
			}
			r.At += l.shift
			if !yield(r) {
				return
			}
		}
	}
}

// before returns the time in the trace that is played at a time.
func (l layer) before(at, length time.Duration) time.Duration {
	if at -= l.shift; at < 0 {
		at += length
	}
	return at
}

// scaled returns the requests of all layers in order of time.
func scaled(part iter.Seq[Request], layers []layer, length time.Duration) iter.Seq[Request] {
	var all []iter.Seq[Request]
	for _, l := range layers {
		all = append(all, l.arrivals(part, length))
	}
	if len(all) == 1 {
		return all[0]
	}
	return merged(all)
}

// merged returns the requests of several sequences that are in order of time. Of requests at the same time, those of the
// sequence that comes first are first.
func merged(all []iter.Seq[Request]) iter.Seq[Request] {
	return func(yield func(Request) bool) {
		type head struct {
			request Request
			next    func() (Request, bool)
		}
		var heads []head
		for _, requests := range all {
			next, stop := iter.Pull(requests)
			defer stop()
			if r, ok := next(); ok {
				heads = append(heads, head{r, next})
			}
		}
		for len(heads) > 0 {
			first := 0
			for i := range heads {
				if heads[i].request.At < heads[first].request.At {
					first = i
				}
			}
			if !yield(heads[first].request) {
				return
			}
			var ok bool
			if heads[first].request, ok = heads[first].next(); !ok {
				heads = append(heads[:first], heads[first+1:]...)
			}
		}
	}
}
