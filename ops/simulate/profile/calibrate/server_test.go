package calibrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

// server answers as vLLM streams, at the times of a replica.Engine. In a bubble of testing/synctest its times are exact.
type server struct {
	// roundTrip is the network's time, request that of a request outside of forward passes.
	roundTrip, request time.Duration
	// jitter is by how much tokens are late at most, at random but the same for a prompt.
	jitter time.Duration
	// others is what /metrics reports as running.
	others int
	// status is that of completions; 0 for 200.
	status int

	mu     sync.Mutex
	engine *replica.Engine
	start  time.Time
}

func newServer(profile speed.Profile, limits replica.Limits, cache speed.Cache) *server {
	return &server{engine: replica.New(profile, limits, cache), start: time.Now()}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(s.roundTrip)
	switch r.URL.Path {
	case "/health":
	case "/metrics":
		fmt.Fprintf(w, "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{model_name=\"m\"} %d\n", s.others)
	case "/v1/chat/completions":
		s.complete(w, r)
	default:
		http.NotFound(w, r)
	}
}

// complete answers a request.
func (s *server) complete(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Messages  []struct{ Content string }
		MaxTokens int `json:"max_tokens"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if s.status != 0 {
		http.Error(w, `{"error":{"message":"out of order"}}`, s.status)
		return
	}
	time.Sleep(s.request)
	w.Header().Set("Content-Type", "text/event-stream")
	event := func(format string, args ...any) {
		fmt.Fprintf(w, "data: "+format+"\n\n", args...)
		w.(http.Flusher).Flush()
	}
	event(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`)
	input := 9 + strings.Count(body.Messages[0].Content, " ")
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(body.Messages[0].Content))
	chance := rand.New(rand.NewPCG(hash.Sum64(), 0))
	late := func() time.Duration { return time.Duration(chance.Float64() * float64(s.jitter)) }
	q := s.submit(input, body.MaxTokens)
	s.wait(&q.FirstToken, late())
	event(`{"choices":[{"delta":{"content":"a"}}]}`)
	s.wait(&q.Finish, late())
	for range body.MaxTokens - 1 {
		event(`{"choices":[{"delta":{"content":"b"}}]}`)
	}
	event(`{"choices":[{"delta":{},"finish_reason":"length"}]}`)
	event(`{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}`, input, body.MaxTokens)
	event("[DONE]")
}

func (s *server) submit(input, output int) *replica.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &replica.Request{Arrival: time.Since(s.start).Seconds(), Input: input, Output: output}
	s.engine.Submit(q)
	return q
}

// wait sleeps until a time of a request, which the engine sets when the pass begins that ends then, and for a while.
func (s *server) wait(at *float64, late time.Duration) {
	for {
		s.mu.Lock()
		s.engine.Advance(time.Since(s.start).Seconds() + 1e-9)
		until := *at
		s.mu.Unlock()
		if until > 0 {
			time.Sleep(time.Until(s.start.Add(time.Duration(until*float64(time.Second)))) + late)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// pipes is a network in memory.
type pipes struct {
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

func newPipes() *pipes { return &pipes{connections: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.connections <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.closed:
		return nil, errors.New("closed")
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }
