package replica

// byLastPass is a heap of requests by the pass that gives their last token.
type byLastPass []*Request

func (h byLastPass) Len() int           { return len(h) }
func (h byLastPass) Less(i, j int) bool { return h[i].last < h[j].last }
func (h byLastPass) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].position, h[j].position = i, j
}

// Push implements heap.Interface.
func (h *byLastPass) Push(x any) {
	r := x.(*Request)
	r.position = len(*h)
	*h = append(*h, r)
}

// Pop implements heap.Interface.
func (h *byLastPass) Pop() any {
	n := len(*h) - 1
	r := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	return r
}

// queue is a first-in-first-out queue that also accepts requests at its front.
type queue struct {
	items []*Request
	head  int
}

func (q *queue) len() int        { return len(q.items) - q.head }
func (q *queue) first() *Request { return q.items[q.head] }
func (q *queue) push(r *Request) { q.items = append(q.items, r) }

func (q *queue) pop() *Request {
	r := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	if q.head > 64 && q.head > len(q.items)/2 {
		q.items = append(q.items[:0], q.items[q.head:]...)
		q.head = 0
	}
	return r
}

func (q *queue) pushFront(r *Request) {
	if q.head > 0 {
		q.head--
		q.items[q.head] = r
		return
	}
	q.items = append([]*Request{r}, q.items...)
}
