// Package report keeps what a run under load showed, second by second, and writes it as report.json,
// plot.png and a self-contained index.html.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Schema names the form of report.json. Fields may be added within v1; whatever else changes makes a v2.
const Schema = "vllm-autoscaling/load-report/v1"

// Report is one run: what was watched, what happened and how it ended.
type Report struct {
	// Schema is filled in by Write.
	Schema string `json:"schema"`
	Title  string `json:"title"`
	// Started is the zero of every time in the report.
	Started time.Time `json:"started"`
	// Notes say under which settings the run was made.
	Notes []string `json:"notes,omitempty"`
	// Settings are what the run was told, by name, exactly.
	Settings map[string]any `json:"settings,omitempty"`
	// Requests is what the client saw; nil when there was none.
	Requests *Requests `json:"requests,omitempty"`
	// Scaling is what the HPA did; nil when it was not watched.
	Scaling *Scaling `json:"scaling,omitempty"`
	Signals []Signal `json:"signals"`
	Samples []Sample `json:"samples"`
	Events  []Event  `json:"events,omitempty"`
	// Summary is the table a reader sees first, in this order.
	Summary []Row `json:"summary,omitempty"`
}

// Signal is a metric that the HPA scales on.
type Signal struct {
	Name  string `json:"name"`  // as the HPA asks for it
	Label string `json:"label"` // for people
	Unit  string `json:"unit"`
}

// Sample is the state at one moment.
type Sample struct {
	Seconds float64 `json:"seconds"` // since Report.Started
	Load    float64 `json:"load"`    // requests in flight, as the load generator counts them or keeps them up
	// Signals holds what the HPA's status says, by name.
	Signals map[string]Reading `json:"signals"`
	Desired int                `json:"desired"` // status.desiredReplicas of the HPA
	Current int                `json:"current"` // spec.replicas of the Deployment
	Ready   int                `json:"ready"`   // ready replicas of the Deployment
	Pods    int                `json:"pods"`    // pods that exist, terminating ones included
	// Min and Max are what the HPA may choose from.
	Min int `json:"min"`
	Max int `json:"max"`
}

// Reading is a metric as the HPA last saw it.
type Reading struct {
	// Value is the average over the pods; nil while the HPA has none.
	Value *float64 `json:"value"`
	// Live is the average over the pods that the custom metrics API has at the sample's moment, which the
	// HPA will see at its next look; nil when it was not asked or did not answer.
	Live   *float64 `json:"live,omitempty"`
	Target float64  `json:"target"`
}

// Event marks a moment worth finding again.
type Event struct {
	Seconds float64 `json:"seconds"`
	Text    string  `json:"text"`
}

// Row is one line of the summary.
type Row struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Write makes the folder and writes the report's three files into it. Files of
// an earlier report are replaced.
func (r *Report) Write(folder string) error {
	if len(r.Samples) == 0 && r.Requests == nil {
		return errors.New("report: nothing was sampled")
	}
	r.Schema = Schema
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("report: make its folder: %w", err)
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
