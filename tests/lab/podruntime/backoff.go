package podruntime

import "time"

// The kubelet's waits before it starts a container again.
const (
	firstBackOff = 10 * time.Second
	lastBackOff  = 5 * time.Minute
)

// backOff computes a kubelet's waits before it starts a container again: none after the first end, then 10 s, doubled with each
// further end up to 5 minutes. A container that has run for twice the longest wait begins anew.
type backOff struct {
	// next is the wait after the next end, 0 before the first.
	next time.Duration
	// started is when the container was last started again.
	started time.Time
}

// after returns how long to wait after a container has ended.
func (b *backOff) after(end time.Time) time.Duration {
	var wait time.Duration
	if b.next == 0 || end.Sub(b.started) > 2*lastBackOff {
		b.next = firstBackOff
	} else {
		wait = b.next
		b.next = min(2*wait, lastBackOff)
	}
	b.started = end.Add(wait)
	return wait
}
