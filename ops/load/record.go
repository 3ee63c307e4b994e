package load

import "time"

// Outcome is how a request ended.
type Outcome string

// The outcomes. Every request of a load has exactly one of them.
const (
	OK       Outcome = "ok"
	Failed   Outcome = "failed"
	Dropped  Outcome = "dropped"  // not sent
	Canceled Outcome = "canceled" // ended by Stop or a lower shape, not by the server
)

// Kinds of dropped requests; those of failed ones are in failure.go.
const (
	KindMaxInFlight = "max in flight reached"
	KindNoTarget    = "no ready pod"
)

// Record is one request. Times count from the generator's start.
type Record struct {
	// Arrived is the scheduled time, or when the closed load had room for the request.
	Arrived time.Duration
	// Sent is when it was passed to the HTTP client; later than Arrived by the client's own delay.
	Sent time.Duration
	// First is when the first token came; 0 if that is not known: without a token, and without Stream. See TTFT.
	First time.Duration
	// Ended is when the answer was complete, or the request had failed.
	Ended   time.Duration
	Outcome Outcome
	// Kind classifies a failure or a drop.
	Kind string
	// Target is the server that it was sent to; empty if dropped.
	Target string
	// Counted reports whether the server counted the tokens; InputTokens and OutputTokens are its counts.
	Counted                   bool
	InputTokens, OutputTokens int64
}

// TTFT returns the time to the first token from the arrival, waiting included, and whether it is known.
func (r Record) TTFT() (time.Duration, bool) { return r.First - r.Arrived, r.First != 0 }

// Latency returns the time from the arrival to the end of the answer.
func (r Record) Latency() time.Duration { return r.Ended - r.Arrived }

// Stats are the counts since Start.
type Stats struct {
	// Offered counts all requests of the loads: OK + Errors + Dropped + Canceled + InFlight.
	Offered  int `json:"offered"`
	Started  int `json:"started"` // sent
	OK       int `json:"ok"`
	Errors   int `json:"errors"`
	Dropped  int `json:"dropped"`  // not sent: MaxInFlight reached, or no ready pod (open loop)
	Canceled int `json:"canceled"` // ended by Stop or a lower shape, not by the server
	InFlight int `json:"inFlight"`
	// Latencies of successful requests, in seconds; 0, and absent from JSON, without any.
	P50 float64 `json:"p50Seconds,omitempty"`
	P95 float64 `json:"p95Seconds,omitempty"`
	Max float64 `json:"maxSeconds,omitempty"`
	// LastError is the most recent failure, for reports.
	LastError string `json:"lastError,omitempty"`
}
