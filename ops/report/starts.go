package report

import (
	"fmt"
	"slices"

	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/ops/coldstart"
)

// StartRows returns the summary row about the starts of replicas; none if nothing was observed.
func (r *Report) StartRows() []Row {
	const name = "starts of replicas"
	switch {
	case r.Scaling == nil:
		return nil
	case len(r.Starts) == 0:
		return []Row{{name, "none"}}
	}
	slowest := slices.MaxFunc(r.Starts, func(a, b coldstart.Start) int {
		return int(a.Seconds[telemetry.PhaseTotal] - b.Seconds[telemetry.PhaseTotal])
	})
	return []Row{{name, fmt.Sprintf("%d, the slowest in %s", len(r.Starts), slowest)}}
}

// startTable is the table of the starts in the page.
type startTable struct {
	Phases   []string
	Rows     []startRow
	Estimate string
}

// startRow is a start: its pod, when it was ready in seconds since the report's begin, and its phases, the last of which is all of them.
type startRow struct {
	Pod    string
	Ready  string
	Phases []string
	Log    string
}

// startTable returns the table of the starts; nil without any.
func (r *Report) startTable() *startTable {
	if len(r.Starts) == 0 {
		return nil
	}
	phases := append(telemetry.Phases(), telemetry.PhaseTotal)
	table := &startTable{}
	for _, phase := range phases {
		table.Phases = append(table.Phases, string(phase))
	}
	for _, start := range r.Starts {
		row := startRow{Pod: start.Pod, Ready: fmt.Sprintf("%.0f", start.Ready.Sub(r.Started).Seconds())}
		for _, phase := range phases {
			row.Phases = append(row.Phases, fmt.Sprintf("%.0f", start.Seconds[phase]))
		}
		if start.Log != nil {
			row.Log = start.Log.String()
		}
		table.Rows = append(table.Rows, row)
	}
	if r.Estimate != nil {
		table.Estimate = coldstart.Estimated(*r.Estimate)
	}
	return table
}
