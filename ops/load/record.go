package load

import (
	"time"
)

// Outcome is how a request ended.
type Outcome string

// Every request that a load asked for ends as exactly one of them.
const (
	OK       Outcome = "ok"
	Failed   Outcome = "failed"
	Dropped  Outcome = "dropped"  // not sent
	Canceled Outcome = "canceled" // ended by Stop or a lower shape, not by the server
)

// Kinds of dropped requests; those of failed ones are in client.go.
const (
	KindMaxInFlight = "max in flight reached"
	KindNoTarget    = "no ready pod"
)

// Record is one request. Times are since the generator's start.
type Record struct {
	// Arrived is when the schedule asked for it, or when the closed load had room for it.
	Arrived time.Duration
	// Sent is when it was handed to the HTTP client; later than Arrived by what the client itself waited.
	Sent time.Duration
	// First is when the first token came; 0 for none, and without Stream.
	First time.Duration
	// Ended is when the answer, or what became of it, was complete.
	Ended   time.Duration
	Outcome Outcome
	// Kind says of what kind a failure or a drop is.
	Kind string
	// Target that it was sent to; empty when dropped.
	Target string
	// InputTokens and OutputTokens are what the server has counted.
	InputTokens, OutputTokens int64
}

// TTFT is the time to the first token from the arrival, waiting included; 0 when it is not known.
func (r Record) TTFT() time.Duration {
	if r.First == 0 {
		return 0
	}
	return r.First - r.Arrived
}

// Latency is the time to the end of the answer from the arrival.
func (r Record) Latency() time.Duration { return r.Ended - r.Arrived }

// Stats counts what has happened since Start.
type Stats struct {
	// Offered is every request that a load asked for: OK + Errors + Dropped + Canceled + InFlight.
	Offered  int `json:"offered"`
	Started  int `json:"started"` // sent
	OK       int `json:"ok"`
	Errors   int `json:"errors"`
	Dropped  int `json:"dropped"`  // not sent: MaxInFlight reached, or no ready pod (open loop)
	Canceled int `json:"canceled"` // ended by Stop or a lower shape, not by the server
	InFlight int `json:"inFlight"`
	// Latency of requests that ended well, in seconds.
	P50 float64 `json:"p50Seconds"`
	P95 float64 `json:"p95Seconds"`
	Max float64 `json:"maxSeconds"`
	// LastError is the newest failure, for the reader of a report.
	LastError string `json:"lastError,omitempty"`
}
