package replica

import (
	"container/heap"
	"math"

	"vllm-autoscaling/stacks/config/speed"
)

// Request is a request and what became of it. Times are in seconds of the simulation.
type Request struct {
	// Arrival is when the server receives the request.
	Arrival float64
	// Input and Output are the tokens of the prompt and of the answer, each at least 1.
	Input, Output int
	// FirstToken and Finish are when the first and the last token are there; 0 before.
	FirstToken, Finish float64

	// generated are the tokens of the answer that were there at the last admission or end of a prompt.
	generated int
	// computed are the tokens of the context that are in the cache while the prompt is computed.
	computed int
	// last is the number of the pass that gives the last token, and position the request's index in the heap of these.
	last     int64
	position int
	// running and decoding report whether the request was admitted, and whether its prompt is computed too.
	running, decoding bool
}

// context returns the tokens that must be computed before the next token: the prompt, and after a preemption the answer so far.
func (r *Request) context() int { return r.Input + r.generated }

// Engine is a replica's scheduler. It is not safe for concurrent use.
type Engine struct {
	profile speed.Profile
	limits  Limits
	cache   speed.Cache

	now    float64
	passes int64
	// decoding are the running requests whose prompt is computed, by their last pass.
	decoding byLastPass
	// prompts are the running requests whose prompt is being computed, in the order of admission.
	prompts []*Request
	waiting queue
	// admitted lists running requests in the order of admission; those that have ended are removed when they are last.
	admitted []*Request
	// cached is the number of tokens in the cache.
	cached      int
	finished    []*Request
	preemptions int
}

// New returns an idle Engine.
func New(profile speed.Profile, limits Limits, cache speed.Cache) *Engine {
	limits.BatchedTokens = max(limits.BatchedTokens, limits.MaxNumSeqs)
	return &Engine{profile: profile, limits: limits, cache: cache}
}

// Submit adds a request at its arrival. Arrivals must not go back in time.
func (e *Engine) Submit(r *Request) {
	e.Advance(r.Arrival)
	e.waiting.push(r)
}

// Advance runs the passes that begin before a time.
func (e *Engine) Advance(to float64) {
	for e.now < to {
		switch {
		case len(e.prompts) > 0 || e.admissible():
			e.promptPass()
		case len(e.decoding) > 0:
			e.decode(to)
		default:
			e.now = to
		}
	}
}

// NextEnd returns the time from which a request can end while no other arrives: the beginning of the next pass while prompts are
// computed, and else the end of the pass that gives a request its last token, or that fills the cache. It is +Inf for an idle engine.
func (e *Engine) NextEnd() float64 {
	switch {
	case len(e.prompts) > 0 || e.admissible():
		return e.now
	case len(e.decoding) > 0:
		if most := e.decodable(); most > 0 {
			return e.now + e.decodeTime(most)
		}
		return e.now
	}
	return math.Inf(1)
}

// Drain runs until every request has ended.
func (e *Engine) Drain() {
	for e.Running() > 0 || e.waiting.len() > 0 {
		e.Advance(math.Nextafter(e.now, math.Inf(1)))
	}
}

// Running returns the number of running requests.
func (e *Engine) Running() int { return len(e.decoding) + len(e.prompts) }

// Waiting returns the number of waiting requests.
func (e *Engine) Waiting() int { return e.waiting.len() }

// CacheUsage returns the share of the KV cache in use.
func (e *Engine) CacheUsage() float64 {
	return e.cache.Allocated(e.Running(), e.cached) / e.limits.CacheBytes
}

// Preemptions returns how often a request was preempted.
func (e *Engine) Preemptions() int { return e.preemptions }

// Finished returns the requests that have ended since the last call.
func (e *Engine) Finished() []*Request {
	ended := e.finished
	e.finished = nil
	return ended
}

// Abandon returns the requests that have not ended and forgets them: the replica is gone.
func (e *Engine) Abandon() []*Request {
	left := append([]*Request(nil), e.decoding...)
	left = append(left, e.prompts...)
	for e.waiting.len() > 0 {
		left = append(left, e.waiting.pop())
	}
	e.decoding, e.prompts, e.admitted, e.cached = nil, nil, nil, 0
	return left
}

// admissible reports whether the next pass can take a part of the prompt of the first waiting request.
func (e *Engine) admissible() bool {
	if e.waiting.len() == 0 || e.Running() >= e.limits.MaxNumSeqs {
		return false
	}
	return e.begins(e.waiting.first(), e.limits.BatchedTokens-len(e.decoding))
}

// begins reports whether a pass with room for a number of tokens can take a part of a prompt.
func (e *Engine) begins(r *Request, left int) bool {
	return left > 0 && e.fits(1, min(e.reused(r)+left, r.context()))
}

// reused returns the tokens of a context that prefix caching finds computed when the request is admitted: full blocks, and not the last
// token, whose output is the next one.
func (e *Engine) reused(r *Request) int {
	hits := int(e.limits.PrefixHits * float64(r.Input))
	return min(hits, r.context()-1) / speed.BlockTokens * speed.BlockTokens
}

// fits reports whether the cache has room for more sequences and tokens. An empty cache has room for any request.
func (e *Engine) fits(sequences, tokens int) bool {
	return e.Running() == 0 || e.cache.Allocated(e.Running()+sequences, e.cached+tokens) <= e.limits.CacheBytes
}

// promptPass runs one pass in which prompts are computed.
func (e *Engine) promptPass() {
	left := e.limits.BatchedTokens - len(e.decoding)
	for _, r := range e.prompts {
		left -= e.compute(r, left)
	}
	for e.admissible() && e.begins(e.waiting.first(), left) {
		r := e.waiting.pop()
		r.running, r.computed = true, e.reused(r)
		e.cached += r.computed
		e.prompts = append(e.prompts, r)
		e.admitted = append(e.admitted, r)
		left -= e.compute(r, left)
	}
	e.pass(e.limits.BatchedTokens - left)
	e.endPrompts()
	e.preempt()
}

// compute adds up to a number of tokens of a prompt to the pass and returns how many.
func (e *Engine) compute(r *Request, left int) int {
	n := min(r.context()-r.computed, left)
	r.computed += n
	e.cached += n
	return n
}

// pass runs one pass: every decoding request gets a token.
func (e *Engine) pass(tokens int) {
	e.now += e.profile.Pass(tokens, e.cache.Bytes(e.Running(), float64(e.cached)))
	e.passes++
	e.cached += len(e.decoding)
	e.endDecoding()
}

// endPrompts gives the requests whose prompt is computed their next token.
func (e *Engine) endPrompts() {
	kept := e.prompts[:0]
	for _, r := range e.prompts {
		if r.computed < r.context() {
			kept = append(kept, r)
			continue
		}
		r.generated++
		e.cached++
		if r.FirstToken == 0 {
			r.FirstToken = e.now
		}
		r.last = e.passes + int64(r.Output-r.generated)
		if r.last == e.passes {
			e.end(r)
			continue
		}
		r.decoding = true
		heap.Push(&e.decoding, r)
	}
	clear(e.prompts[len(kept):])
	e.prompts = kept
}

// endDecoding ends the requests that have their last token.
func (e *Engine) endDecoding() {
	for len(e.decoding) > 0 && e.decoding[0].last <= e.passes {
		e.end(heap.Pop(&e.decoding).(*Request))
	}
}

func (e *Engine) end(r *Request) {
	r.Finish, r.running, r.decoding = e.now, false, false
	e.cached -= r.Input + r.Output
	e.finished = append(e.finished, r)
	e.trim()
}

// trim removes the requests from the end of the admitted ones that no longer run.
func (e *Engine) trim() {
	for len(e.admitted) > 0 && !e.admitted[len(e.admitted)-1].running {
		e.admitted = e.admitted[:len(e.admitted)-1]
	}
	// Those in the middle stay until they are last; this bounds their number.
	if len(e.admitted) > 2*e.limits.MaxNumSeqs {
		kept := e.admitted[:0]
		for _, r := range e.admitted {
			if r.running {
				kept = append(kept, r)
			}
		}
		e.admitted = kept
	}
}

// preempt puts the requests that were admitted last back to the front of the queue until the rest fits the cache. The first
// one stays: it alone always fits.
func (e *Engine) preempt() {
	for e.Running() > 1 && e.cache.Allocated(e.Running(), e.cached) > e.limits.CacheBytes {
		r := e.admitted[len(e.admitted)-1]
		if r.decoding {
			r.generated = r.Output - int(r.last-e.passes)
			e.cached -= r.context()
			heap.Remove(&e.decoding, r.position)
		} else {
			e.cached -= r.computed
			e.prompts = e.prompts[:len(e.prompts)-1]
		}
		r.running, r.decoding = false, false
		e.trim()
		e.preemptions++
		e.waiting.pushFront(r)
	}
}

// decode runs passes without prompts, up to the first that begins at the given time or later, that ends a request, or that
// fills the cache.
func (e *Engine) decode(to float64) {
	n := len(e.decoding)
	most := e.decodable()
	if most < 1 {
		e.pass(n)
		e.preempt()
		return
	}
	passes := e.passesUntil(to-e.now, most)
	e.now += e.decodeTime(passes)
	e.passes += passes
	e.cached += n * int(passes)
	e.endDecoding()
}

// decodable returns the number of passes without prompts up to the first that ends a request or fills the cache.
func (e *Engine) decodable() int64 {
	return min(e.decoding[0].last-e.passes, e.passesUntilFull(len(e.decoding)))
}

// passesUntilFull returns how many passes fit the cache when each adds a token to n sequences.
func (e *Engine) passesUntilFull(n int) int64 {
	perToken := e.cache.FullBytes
	if e.cache.Window == 0 || e.cached < n*e.cache.Window {
		perToken += e.cache.SlidingBytes
	}
	if perToken == 0 {
		return math.MaxInt64
	}
	free := e.limits.CacheBytes - e.cache.Allocated(n, e.cached)
	return int64(max(0, free/(perToken*float64(n))))
}

// decodeTime returns the time of a number of equal passes from now on: the sum over passes whose cache grows by a token for
// each sequence. The time of a pass is linear in the number of tokens but for two bends, at the window and where computing
// takes longer than reading; with the mean of the first and the last pass the sum is exact between them.
func (e *Engine) decodeTime(passes int64) float64 {
	n := len(e.decoding)
	first := e.profile.Pass(n, e.cache.Bytes(n, float64(e.cached)))
	last := e.profile.Pass(n, e.cache.Bytes(n, float64(e.cached)+float64(n)*float64(passes-1)))
	return float64(passes) * (first + last) / 2
}

// passesUntil returns the smallest number of passes that take at least the given time, 1 to most.
func (e *Engine) passesUntil(duration float64, most int64) int64 {
	if e.decodeTime(most) <= duration {
		return most
	}
	low, high := int64(1), most // The answer is within.
	for low < high {
		middle := low + (high-low)/2
		if e.decodeTime(middle) >= duration {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}
