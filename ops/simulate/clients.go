package simulate

import (
	"container/heap"
	"math"
	"math/rand/v2"

	"vllm-autoscaling/ops/simulate/replica"
)

// Clients are users that each wait for the answer to a request before the next one: a closed loop. A user whose request is refused or
// lost sends another one after a think time, after a refusal of at least retryAfter; each counts as a request.
type Clients struct {
	// Users is their number.
	Users int
	// Think is the mean time from an answer to the user's next request, exponentially distributed, in seconds. The first request of
	// each user comes after a think time too.
	Think float64
	// Length is how long requests are sent, in seconds.
	Length float64
	// Tokens returns the tokens of a request's prompt and answer.
	Tokens func(*rand.Rand) (input, output int)
}

// retryAfter is the shortest time between a refused request and the user's next one, in seconds. Without it, users without a think
// time would try infinitely often at the same moment.
const retryAfter = 1

// loop is a closed loop in progress.
type loop struct {
	clients *Clients
	random  *rand.Rand
	due     times
}

// send lets a user send a request a think time after a moment.
func (l *loop) send(after float64) { heap.Push(&l.due, after+l.think()) }

func (l *loop) think() float64 { return l.clients.Think * l.random.ExpFloat64() }

// next returns the time of the next request, +Inf while every user waits for an answer.
func (l *loop) next() float64 {
	if len(l.due) == 0 {
		return math.Inf(1)
	}
	return l.due[0]
}

// play lets the clients send their requests and returns the time at which they stop.
func (r *run) play() float64 {
	r.runLoop(r.newLoop())
	return r.settings.Clients.Length
}

// newLoop returns the loop in which each user has a first request to send, and has it told of answers.
func (r *run) newLoop() *loop {
	l := &loop{clients: r.settings.Clients, random: rand.New(rand.NewPCG(r.settings.Seed, 3))}
	finished, lost := r.fleet.finished, r.fleet.lost
	r.fleet.finished = func(q *replica.Request) {
		finished(q)
		l.send(q.Finish)
	}
	r.fleet.lost = func(q *replica.Request) {
		lost(q)
		l.send(r.now)
	}
	for range l.clients.Users {
		l.send(0)
	}
	return l
}

// runLoop makes everything happen until the clients stop. An answer brings a further request, so that a replica must not be advanced
// beyond the time at which another one may answer.
func (r *run) runLoop(l *loop) {
	for {
		sent, event := min(l.next(), l.clients.Length), r.next()
		p, answered := r.fleet.nextAnswer()
		switch {
		case event <= min(sent, answered):
			r.step(event)
		case answered < sent:
			r.fleet.advance(math.Nextafter(answered, math.Inf(1)), p)
		case sent >= l.clients.Length:
			return
		default:
			heap.Pop(&l.due)
			r.sendFor(l, sent)
		}
	}
}

// sendFor sends a user's request.
func (r *run) sendFor(l *loop, at float64) {
	input, output := l.clients.Tokens(l.random)
	if !r.arrive(Arrival{At: at, Input: input, Output: output}) {
		heap.Push(&l.due, at+max(retryAfter, l.think()))
	}
}

// nextAnswer returns the pod whose request may be the next to end, and the time from which that is possible; +Inf where none runs.
func (f *fleet) nextAnswer() (*pod, float64) {
	var next *pod
	at := math.Inf(1)
	for _, p := range f.pods {
		if end := p.engine.NextEnd(); end < at {
			next, at = p, end
		}
	}
	return next, at
}

// times is a heap of times.
type times []float64

func (t times) Len() int           { return len(t) }
func (t times) Less(i, j int) bool { return t[i] < t[j] }
func (t times) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push implements heap.Interface.
func (t *times) Push(x any) { *t = append(*t, x.(float64)) }

// Pop implements heap.Interface.
func (t *times) Pop() any {
	n := len(*t) - 1
	last := (*t)[n]
	*t = (*t)[:n]
	return last
}
