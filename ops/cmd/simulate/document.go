package main

import (
	"encoding/json"
	"fmt"
	"io"

	"vllm-autoscaling/ops/simulate/compare"
)

// schema names the form of the document.
const schema = "vllm-autoscaling/simulation/v1"

// document is what is known at the end, and the document that -json prints.
type document struct {
	Schema string `json:"schema"`
	Stack  string `json:"stack"`
	// Server is the name of the server in a stack with the key servers; "" in any other.
	Server     string              `json:"server,omitempty"`
	Trace      string              `json:"trace"`
	Objective  compare.Objective   `json:"objective"`
	Candidates []compare.Candidate `json:"candidates"`
	Verdict    string              `json:"verdict"`
	// Search is nil where there was none.
	Search *searched `json:"search,omitempty"`
	Notes  []string  `json:"notes,omitempty"`
	// Interrupted reports whether a signal ended the command before it had finished.
	Interrupted bool `json:"interrupted,omitempty"`

	tried []compare.Candidate
}

// searched is what was searched.
type searched struct {
	// Candidates is the number of configurations that were run, Invalid that of those that the program's validation refused.
	Candidates int    `json:"candidates"`
	Invalid    int    `json:"invalid"`
	Seed       uint64 `json:"seed"`
	// HeldOut reports whether a half of the load was held out.
	HeldOut bool `json:"heldOut"`
}

func (d *document) write(to io.Writer, asJSON bool) error {
	if asJSON {
		d.Verdict = compare.Verdict(d.Candidates, d.Objective.Ratio)
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		return encoder.Encode(d)
	}
	return d.text(to)
}

// subject names what was simulated.
func (d *document) subject() string {
	if d.Server == "" {
		return d.Stack
	}
	return d.Stack + ", server " + d.Server
}

func (d *document) text(to io.Writer) error {
	if d.Interrupted {
		_, _ = fmt.Fprint(to, "Interrupted: this is what is known so far.\n\n")
	}
	_, _ = fmt.Fprintf(to, "%s, %s, objective: %s\n\n", d.subject(), d.Trace, d.Objective)
	if err := compare.WriteTable(to, d.Candidates, d.Objective.Ratio); err != nil {
		return err
	}
	if err := compare.WriteRecommendation(to, d.Stack, d.Candidates, d.Objective.Ratio); err != nil {
		return err
	}
	for _, note := range d.Notes {
		_, _ = fmt.Fprintf(to, "\n%s\n", note)
	}
	if d.Search != nil {
		_, _ = fmt.Fprintf(to, "\n%d configurations were run; validation refused %d more.\n", d.Search.Candidates, d.Search.Invalid)
	}
	return nil
}
