package load

import (
	"encoding/json"
	"time"
)

// payload is the JSON of an event, or of an answer that is not streamed: a part of the answer, or an error.
type payload struct {
	Choices []struct {
		Delta        delta  `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	// Usage comes in an event of its own without choices, the last one.
	Usage *struct {
		Input  int64 `json:"prompt_tokens"`
		Output int64 `json:"completion_tokens"`
	} `json:"usage"`
	reportedError
}

// delta is the text that an event adds to the answer.
type delta struct {
	Content string `json:"content"`
	// Reasoning is where vLLM sends what a reasoning parser takes out of the text; in older versions it is ReasoningContent.
	Reasoning        string `json:"reasoning"`
	ReasoningContent string `json:"reasoning_content"`
	Refusal          string `json:"refusal"`
	// ToolCalls and FunctionCall are where a tool parser puts text.
	ToolCalls    []json.RawMessage `json:"tool_calls"`
	FunctionCall json.RawMessage   `json:"function_call"`
}

// empty reports whether there is no token in it, as in the first event, which has only the role.
func (d delta) empty() bool {
	return d.Content == "" && d.Reasoning == "" && d.ReasoningContent == "" && d.Refusal == "" && len(d.ToolCalls) == 0 &&
		(len(d.FunctionCall) == 0 || isNull(d.FunctionCall))
}

// answer is the result of a request.
type answer struct {
	first         time.Time // zero without a token
	ended         time.Time // zero if the answer did not end
	gaps          []time.Duration
	counted       bool // whether the server counted the tokens
	input, output int64

	last   time.Time // when the last token came
	finish string    // the finish reason
}

// add adds a part that was received at a time. Of the gaps it keeps at most that many.
func (a *answer) add(c payload, now time.Time, most int) {
	if c.Usage != nil && c.Usage.Input+c.Usage.Output > 0 {
		a.counted, a.input, a.output = true, c.Usage.Input, c.Usage.Output
	}
	if len(c.Choices) == 0 {
		return
	}
	if reason := c.Choices[0].FinishReason; reason != "" {
		a.finish = reason
	}
	if c.Choices[0].Delta.empty() {
		return
	}
	switch {
	case a.first.IsZero():
		a.first = now
	case len(a.gaps) < most:
		a.gaps = append(a.gaps, now.Sub(a.last))
	}
	a.last = now
}

// complete returns an error if the answer did not end as it should.
func (a *answer) complete() error {
	switch a.finish {
	case "":
		return incomplete("it ended without a finish reason")
	case "abort", "error": // the engine gave up
		return incomplete("its finish reason is %q", a.finish)
	}
	return nil
}
