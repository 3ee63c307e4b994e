package simulate

// seriesMost is the highest number of intervals of a Series.
const seriesMost = 512

// seriesMerged is Histogram.merged of an interval: one bucket for four, with an error of 4 %, takes a quarter of the memory.
const seriesMerged = 3

// Series counts requests over time, in intervals of the same length. Intervals are merged in pairs when there are more than
// seriesMost, so that its size does not depend on the length of the load.
type Series struct {
	// Length is that of an interval, in seconds.
	Length float64
	// Intervals begin with the load.
	Intervals []Interval
}

// Interval counts the requests that arrived in it, whenever they ended.
type Interval struct {
	// Requests arrived, and Met of these kept the objective.
	Requests, Met int
	// FirstToken is the distribution of those that were answered, in buckets that grow by 4 %.
	FirstToken Histogram
}

// at returns the interval of a time.
func (s *Series) at(seconds float64) *Interval {
	for seconds >= s.Length*seriesMost {
		s.halve()
	}
	i := int(seconds / s.Length)
	for len(s.Intervals) <= i {
		s.Intervals = append(s.Intervals, Interval{FirstToken: Histogram{merged: seriesMerged}})
	}
	return &s.Intervals[i]
}

// halve merges neighbours, so that an interval is twice as long.
func (s *Series) halve() {
	for i := range s.Intervals {
		if i%2 == 0 {
			s.Intervals[i/2] = s.Intervals[i]
			continue
		}
		s.Intervals[i/2].add(&s.Intervals[i])
	}
	s.Intervals = s.Intervals[:(len(s.Intervals)+1)/2]
	s.Length *= 2
}

func (i *Interval) add(other *Interval) {
	i.Requests += other.Requests
	i.Met += other.Met
	i.FirstToken.merge(&other.FirstToken)
}
