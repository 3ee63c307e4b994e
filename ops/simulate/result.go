package simulate

import (
	"math"

	"vllm-autoscaling/ops/simulate/replica"
)

// Result is what a load met and what it cost.
type Result struct {
	// Requests is the number of requests. Refused are those that found no ready replica, Lost those whose replica was removed
	// before they were finished; both count as missed.
	Requests, Refused, Lost int
	// Met is the number of requests that kept the objective.
	Met int
	// FirstToken and InterToken are the distributions of the requests that were answered.
	FirstToken, InterToken Histogram
	// Hours is the length of the load, GPUHours what the nodes cost in that time, from the moment at which a node is asked for.
	Hours, GPUHours float64
	// Most is the highest number of replicas that was asked for.
	Most int
	// Changes is how often the autoscaler changed the replicas, Turns how often it changed the direction.
	Changes, Turns int
	// Timeline is the replicas that were asked for and that were ready, at each moment at which either changed. Of more than
	// timelineMost changes, only the last in each interval of time is kept.
	Timeline []Replicas
	// Series is nil unless Settings.Series asks for it.
	Series *Series

	objective Objective
	missed    func(arrival float64)
	direction int32
}

// Replicas are the replicas from a moment on, in seconds since the beginning.
type Replicas struct {
	At            float64
	Wanted, Ready int
}

// Attainment returns the share of the requests that kept the objective; 1 for no requests.
func (r *Result) Attainment() float64 {
	if r.Requests == 0 {
		return 1
	}
	return float64(r.Met) / float64(r.Requests)
}

// TurnsPerHour returns how often in an hour the autoscaler changed the direction.
func (r *Result) TurnsPerHour() float64 {
	if r.Hours == 0 {
		return 0
	}
	return float64(r.Turns) / r.Hours
}

func (r *Result) arrived(at float64) {
	r.Requests++
	if r.Series != nil {
		r.Series.at(at).Requests++
	}
}

func (r *Result) finished(q *replica.Request) {
	first := q.FirstToken - q.Arrival
	bucket := bucketOf(first)
	r.FirstToken.add(bucket)
	inter := 0.0
	if q.Output > 1 {
		inter = (q.Finish - q.FirstToken) / float64(q.Output-1)
		r.InterToken.Add(inter)
	}
	met := keeps(first, r.objective.FirstToken) && keeps(inter, r.objective.InterToken)
	if met {
		r.Met++
	} else {
		r.miss(q.Arrival)
	}
	if r.Series != nil {
		interval := r.Series.at(q.Arrival)
		interval.FirstToken.add(bucket)
		if met {
			interval.Met++
		}
	}
}

// miss reports a request that does not keep the objective.
func (r *Result) miss(arrival float64) {
	if r.missed != nil {
		r.missed(arrival)
	}
}

func keeps(value, limit float64) bool { return limit == 0 || value <= limit }

func (r *Result) lost(q *replica.Request) {
	r.Lost++
	r.miss(q.Arrival)
}

func (r *Result) refused(arrival float64) {
	r.Refused++
	r.miss(arrival)
}

// decided counts a change of the replicas.
func (r *Result) decided(change int32) {
	r.Changes++
	if change*r.direction < 0 {
		r.Turns++
	}
	r.direction = change
}

func (r *Result) replicas(at float64, wanted, ready int) {
	r.Most = max(r.Most, wanted)
	if n := len(r.Timeline); n > 0 && r.Timeline[n-1].Wanted == wanted && r.Timeline[n-1].Ready == ready {
		return
	}
	r.Timeline = append(r.Timeline, Replicas{At: at, Wanted: wanted, Ready: ready})
	if len(r.Timeline) > timelineMost {
		r.Timeline = thin(r.Timeline, at/(timelineMost/2))
	}
}

// timelineMost is the highest number of changes in a Timeline, more than two a minute
// in a day.
const timelineMost = 4096

// thin keeps the first change of a timeline and the last one in each interval of that length.
func thin(timeline []Replicas, length float64) []Replicas {
	kept := timeline[:1]
	for _, change := range timeline[1:] {
		last := len(kept) - 1
		if last > 0 && math.Floor(kept[last].At/length) == math.Floor(change.At/length) {
			kept[last] = change
			continue
		}
		kept = append(kept, change)
	}
	return kept
}

func (r *Result) close(at, nodeSeconds float64, gpus int) {
	r.Hours = at / 3600
	r.GPUHours = nodeSeconds * float64(gpus) / 3600
}

const (
	// histogramGrowth is the ratio of the bounds of neighbouring buckets, and so the error of a quantile.
	histogramGrowth = 1.01
	// histogramLeast is the bound of the first bucket, in seconds.
	histogramLeast = 0.0001
)

// Histogram counts durations in buckets that grow by 1 %. The zero value is empty.
type Histogram struct {
	counts []uint32
	total  int
	// merged is how many further buckets each bucket includes: 0 for a growth of 1 %.
	merged int
}

// Add counts a duration in seconds.
func (h *Histogram) Add(seconds float64) { h.add(bucketOf(seconds)) }

func bucketOf(seconds float64) int {
	if seconds <= histogramLeast {
		return 0
	}
	return int(math.Ceil(math.Log(seconds/histogramLeast) / math.Log(histogramGrowth)))
}

func (h *Histogram) add(bucket int) {
	bucket /= h.merged + 1
	h.grow(bucket + 1)
	h.counts[bucket]++
	h.total++
}

func (h *Histogram) grow(buckets int) {
	if missing := buckets - len(h.counts); missing > 0 {
		h.counts = append(h.counts, make([]uint32, missing)...)
	}
}

// merge adds the durations of another histogram with the same buckets.
func (h *Histogram) merge(other *Histogram) {
	h.grow(len(other.counts))
	for bucket, count := range other.counts {
		h.counts[bucket] += count
	}
	h.total += other.total
}

// Count returns the number of durations.
func (h *Histogram) Count() int { return h.total }

// Quantile returns the upper bound of the bucket of a quantile, 0 to 1, in seconds; NaN for an empty histogram.
func (h *Histogram) Quantile(q float64) float64 {
	if h.total == 0 {
		return math.NaN()
	}
	rank, seen := max(1, int(math.Ceil(q*float64(h.total)))), 0
	for bucket, count := range h.counts {
		if seen += int(count); seen >= rank {
			return histogramLeast * math.Pow(histogramGrowth, float64(bucket*(h.merged+1)+h.merged))
		}
	}
	return math.NaN()
}
