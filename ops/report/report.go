package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"vllm-autoscaling/ops/coldstart"
	"vllm-autoscaling/stacks/outputs"
)

// Schema is the format of report.json. Fields may be added within v2; any other change is a v3.
// A number that is not known is absent.
const Schema = "vllm-autoscaling/load-report/v2"

// Report is one run: what was observed, what happened and how it ended.
type Report struct {
	// Schema is set by Write.
	Schema string `json:"schema"`
	Title  string `json:"title"`
	// Started is the zero of every time in the report.
	Started time.Time `json:"started"`
	// Notes describe the settings of the run.
	Notes []string `json:"notes,omitempty"`
	// Settings are the exact settings of the run, by name.
	Settings map[string]any `json:"settings,omitempty"`
	// Requests is the client's view; nil if there were no requests.
	Requests *Requests `json:"requests,omitempty"`
	// Scaling is what the HPA did; nil if it was not observed.
	Scaling *Scaling `json:"scaling,omitempty"`
	// Starts are those of the replicas that became ready for the first time during the run, in that order.
	Starts []coldstart.Start `json:"starts,omitempty"`
	// Estimate is that of the stack's configuration for a start on a new node; nil if there is none.
	Estimate *outputs.ColdStart `json:"coldStartEstimate,omitempty"`
	Signals  []Signal           `json:"signals"`
	Samples  []Sample           `json:"samples"`
	Events   []Event            `json:"events,omitempty"`
	// Summary is the table at the top of the page, in this order.
	Summary []Row `json:"summary,omitempty"`
}

// Signal is a metric that the HPA scales on.
type Signal struct {
	Name  string `json:"name"`  // as in the HPA's metrics
	Label string `json:"label"` // for people
	Unit  string `json:"unit"`
}

// Sample is the state at one moment.
type Sample struct {
	Seconds float64 `json:"seconds"` // since Report.Started
	Load    float64 `json:"load"`    // requests in flight, as counted or kept by the load generator
	// Signals are the values of the HPA's status, by name.
	Signals map[string]Reading `json:"signals"`
	Desired int                `json:"desired"` // status.desiredReplicas of the HPA; 0 if it has computed none
	Current int                `json:"current"` // spec.replicas of the Deployment
	Ready   int                `json:"ready"`   // ready replicas of the Deployment
	Pods    int                `json:"pods"`    // pods that exist, terminating ones included
	// Min and Max are the HPA's limits.
	Min int `json:"min"`
	Max int `json:"max"`
}

// Reading is a metric as the HPA last read it.
type Reading struct {
	// Value is the average over the pods; nil if the HPA has none.
	Value *float64 `json:"value"`
	// Live is the average over the pods that the custom metrics API has at the time of the sample, which the HPA will
	// read next; nil if it was not read or had no value.
	Live   *float64 `json:"live,omitempty"`
	Target float64  `json:"target"`
}

// Event marks a time of interest.
type Event struct {
	Seconds float64 `json:"seconds"`
	Text    string  `json:"text"`
}

// Row is one line of the summary.
type Row struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Write creates the folder and writes the report's three files into it, replacing those of an earlier report.
func (r *Report) Write(folder string) error {
	if len(r.Samples) == 0 && r.Requests == nil {
		return errors.New("report: no sample was recorded")
	}
	r.Schema = Schema
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("report: create its folder: %w", err)
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: encode: %w", err)
	}
	png, err := r.PNG()
	if err != nil {
		return err
	}
	html, err := r.HTML(png)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"report.json": append(data, '\n'), "plot.png": png, "index.html": html,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return fmt.Errorf("report: write: %w", err)
		}
	}
	return nil
}
