package profile

import (
	"fmt"

	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

// Quantity is what was measured.
type Quantity string

const (
	// FirstToken is the time from sending a request to its first token, without the network's part.
	FirstToken Quantity = "firstToken"
	// InterToken is the mean time between the tokens of an answer: of those sent at once, the one that began last.
	InterToken Quantity = "interToken"
)

// Point is a measured time: of a number of equal requests that were sent at once to an idle replica.
type Point struct {
	Quantity     Quantity `json:"quantity"`
	Concurrency  int      `json:"concurrency"`
	InputTokens  int      `json:"inputTokens"`
	OutputTokens int      `json:"outputTokens"`
	// Seconds is the median of Samples measurements.
	Seconds float64 `json:"seconds"`
	Samples int     `json:"samples"`
	// PredictedSeconds is what the fit gives.
	PredictedSeconds float64 `json:"predictedSeconds"`
}

func (p Point) String() string {
	what := "first token"
	if p.Quantity == InterToken {
		what = "between tokens"
	}
	return fmt.Sprintf("%s, %d x %d tokens", what, p.Concurrency, p.InputTokens)
}

// difference returns the relative difference of the prediction.
func (p Point) difference() float64 { return p.PredictedSeconds/p.Seconds - 1 }

// predict returns the time that a replica with the constants takes.
func (p Point) predict(c Constants, limits replica.Limits, cache speed.Cache) float64 {
	e := replica.New(c.Profile(), limits, cache)
	requests := make([]replica.Request, p.Concurrency)
	last := &requests[0]
	for i := range requests {
		requests[i].Input, requests[i].Output = p.InputTokens, p.OutputTokens
		e.Submit(&requests[i])
	}
	e.Drain()
	if p.Quantity == FirstToken {
		return c.RequestSeconds + requests[0].FirstToken
	}
	for i := range requests {
		if requests[i].FirstToken >= last.FirstToken {
			last = &requests[i]
		}
	}
	return (last.Finish - last.FirstToken) / float64(last.Output-1)
}
