package trace

import "time"

// mostIntervals bounds a histogram: seconds for a day and a half, and longer intervals for longer traces.
const mostIntervals = 1 << 17

// histogram counts requests by their time, in memory that does not grow with the length of a trace.
type histogram struct {
	width  time.Duration
	counts []int32
}

func (h *histogram) add(at time.Duration) {
	if h.width == 0 {
		h.width = time.Second
	}
	for at/h.width >= mostIntervals {
		h.widen()
	}
	for int(at/h.width) >= len(h.counts) {
		h.counts = append(h.counts, 0)
	}
	h.counts[at/h.width]++
}

// widen doubles the width of the intervals.
func (h *histogram) widen() {
	for i, n := range h.counts {
		if i%2 == 0 {
			h.counts[i/2] = n
		} else {
			h.counts[i/2] += n
		}
	}
	h.counts = h.counts[:(len(h.counts)+1)/2]
	h.width *= 2
}

// rate returns the requests per second within five seconds of a time, or within its interval if that is longer.
func (h *histogram) rate(at time.Duration) float64 {
	const half = 5 * time.Second
	if h.width == 0 {
		return 0
	}
	from := max(0, at-half) / h.width
	to := max(from+1, (at+half)/h.width)
	sum := 0
	for i := from; i < min(to, time.Duration(len(h.counts))); i++ {
		sum += int(h.counts[i])
	}
	return float64(sum) / (float64(to-from) * h.width.Seconds())
}
