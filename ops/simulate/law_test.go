package simulate

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorder asks for numbers of replicas in turn, the last one for good, and keeps what it was shown.
type recorder struct {
	answers []int
	times   []float64
	seen    []Observation
}

func (r *recorder) Decide(now float64, o Observation) int {
	r.times, r.seen = append(r.times, now), append(r.seen, o)
	return r.answers[min(len(r.seen), len(r.answers))-1]
}

func lawOf(period float64, r *recorder) *Law {
	return &Law{Period: period, New: func() (Decider, error) { return r, nil }}
}

func TestALawDecides(t *testing.T) {
	s, law := settings(2), &recorder{answers: []int{2, 3, 3, 3, 3, 1}}
	s.Law = lawOf(30, law)
	got, err := Run(s, steady(1, 0, 600, 8))
	require.NoError(t, err)
	assert.Equal(t, 3, got.Most)
	assert.Equal(t, 2, got.Changes)
	assert.Equal(t, 1, got.Timeline[len(got.Timeline)-1].Wanted)
	for i, at := range law.times[1:] {
		assert.InDelta(t, 30, at-law.times[i], 1e-9)
	}
	// The third replica needs 60 s for a node and 30 s to start.
	replicas := make([][3]int, 7)
	for i, o := range law.seen[:7] {
		replicas[i] = [3]int{o.Wanted, o.Created, o.Ready}
	}
	assert.Equal(t, [][3]int{{2, 2, 2}, {2, 2, 2}, {3, 3, 2}, {3, 3, 2}, {3, 3, 2}, {3, 3, 3}, {1, 1, 1}}, replicas)
}

// Every request is in flight at a decision, or was shown to one as answered; those in flight include the ones of a replica that
// is being removed.
func TestALawReadsTheRequests(t *testing.T) {
	s, law := settings(3), &recorder{answers: []int{3, 3, 1}}
	s.Law = lawOf(1, law)
	sent := []float64{}
	got, err := Run(s, func(yield func(Arrival) bool) {
		for a := range steady(1, 0, 120, 9) {
			sent = append(sent, a.At)
			if !yield(a) {
				return
			}
		}
	})
	require.NoError(t, err)
	require.Zero(t, got.Lost+got.Refused)
	ended := 0
	for i, o := range law.seen {
		ended += len(o.Ended)
		arrived := 0
		for _, at := range sent {
			if at < law.times[i] {
				arrived++
			}
		}
		assert.Equal(t, arrived, ended+o.InFlight, "decision %d", i)
	}
	assert.Positive(t, ended)
}

func TestInvalidLaws(t *testing.T) {
	s := scaled(1, 8)
	s.Law = &Law{}
	_, err := Run(s, steady(1, 0, 1, 1))
	for _, part := range []string{"both a law and an autoscaler", "a period above 0 and a constructor"} {
		assert.ErrorContains(t, err, part)
	}
	s = settings(1)
	s.Law = &Law{Period: 1, New: func() (Decider, error) { return nil, errors.New("no target") }}
	_, err = Run(s, steady(1, 0, 1, 1))
	assert.ErrorContains(t, err, "no target")
}
