package agreement

import (
	"cmp"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/trace"
)

// Load is a load.Schedule whose requests are drawn in advance, so that the lab and the simulation get the same ones.
type Load struct {
	// Name is the load's name in the table.
	Name     string
	requests []load.Arrival
	length   time.Duration
}

const (
	// promptTokens is the length of every prompt that is sent to the lab, whose servers do not depend on it.
	promptTokens = 32
	// leastAnswer and mostAnswer bound the answers of the loads that are not traces.
	leastAnswer, mostAnswer = 20, 100
)

// shapes are the loads that are not traces, as shares of the length and of the highest rate.
var shapes = map[string][]struct{ length, from, to float64 }{
	"step":  {{0.2, 0.15, 0.15}, {0.5, 1, 1}, {0.3, 0.15, 0.15}},
	"ramp":  {{0.1, 0.1, 0.1}, {0.5, 0.1, 1}, {0.3, 1, 0.1}, {0.1, 0.1, 0.1}},
	"burst": {{0.25, 0.15, 0.15}, {0.1, 1, 1}, {0.25, 0.15, 0.15}, {0.1, 1, 1}, {0.3, 0.15, 0.15}},
}

// Shapes returns the names of the loads that are not traces.
func Shapes() []string { return []string{"step", "ramp", "burst"} }

// Shaped returns a load of Poisson arrivals and answers of 20 to 100 tokens.
func Shaped(shape string, rate float64, length time.Duration, seed uint64) (*Load, error) {
	parts, ok := shapes[shape]
	if !ok {
		return nil, fmt.Errorf("load %q is not one of %s", shape, strings.Join(Shapes(), ", "))
	}
	profile := load.Profile{Poisson: true, Seed: seed}
	for _, p := range parts {
		profile.Segments = append(profile.Segments, load.Segment{
			From: p.from * rate, To: p.to * rate, Length: time.Duration(p.length * float64(length)),
		})
	}
	if err := profile.Validate(); err != nil {
		return nil, err
	}
	l := &Load{Name: shape, length: profile.Length()}
	random := rand.New(rand.NewPCG(seed, 2))
	for a := range profile.Arrivals() {
		a.InputTokens, a.OutputTokens = promptTokens, leastAnswer+random.IntN(mostAnswer-leastAnswer+1)
		l.requests = append(l.requests, a)
	}
	return l, nil
}

// Traced returns the beginning of a trace. The file may be followed by @ and the factor by which it is replayed faster.
func Traced(file string, length time.Duration) (*Load, error) {
	path, factor, given := strings.Cut(file, "@")
	speed := 1.0
	if given {
		var err error
		if speed, err = strconv.ParseFloat(factor, 64); err != nil || speed <= 0 {
			return nil, fmt.Errorf("trace %s: %q is not a factor above 0", file, factor)
		}
	}
	t, err := trace.Open(path, trace.Options{Length: time.Duration(float64(length) * speed), Speed: speed, MaxInput: promptTokens})
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".gz"), ".csv")
	if speed != 1 {
		name += fmt.Sprintf(", %gx its speed", speed)
	}
	return &Load{Name: name, requests: slices.Collect(t.Arrivals()), length: length}, nil
}

// Arrivals implements load.Schedule.
func (l *Load) Arrivals() iter.Seq[load.Arrival] { return slices.Values(l.requests) }

// Length implements load.Schedule.
func (l *Load) Length() time.Duration { return l.length }

// Requests returns the number of requests.
func (l *Load) Requests() int { return len(l.requests) }

// Rate implements load.Schedule with the mean over ten seconds.
func (l *Load) Rate(at time.Duration) float64 {
	const half = 5 * time.Second
	before := func(moment time.Duration) int {
		i, _ := slices.BinarySearchFunc(l.requests, moment, func(a load.Arrival, m time.Duration) int { return cmp.Compare(a.At, m) })
		return i
	}
	return float64(before(at+half)-before(at-half)) / (2 * half).Seconds()
}

func (l *Load) String() string {
	return fmt.Sprintf("%s, %d requests in %s", l.Name, len(l.requests), l.length)
}

// Simulated returns the requests for package simulate, with prompts of one token as Server.Model requires.
func (l *Load) Simulated() iter.Seq[simulate.Arrival] {
	return func(yield func(simulate.Arrival) bool) {
		for _, a := range l.requests {
			if !yield(simulate.Arrival{At: a.At.Seconds(), Input: 1, Output: a.OutputTokens}) {
				return
			}
		}
	}
}
