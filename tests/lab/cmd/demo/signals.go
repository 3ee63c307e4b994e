package main

import (
	"slices"
	"strings"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/ops/report"
)

// shown returns the default signals, which are those of the demo's stack.
func shown() []signals.Definition {
	return slices.DeleteFunc(signals.Catalogue(), func(d signals.Definition) bool { return !d.Default })
}

// everySignal reports whether the HPA has a value of each signal.
func everySignal(s report.Sample) bool {
	for _, signal := range shown() {
		if s.Signals[signal.Name].Value == nil {
			return false
		}
	}
	return true
}

// cause returns the names of the signals above their target.
func cause(s report.Sample) string {
	var above []string
	for _, signal := range signals.Catalogue() {
		if reading := s.Signals[signal.Name]; reading.Ratio() > 1 {
			above = append(above, signal.Name+" "+reading.String())
		}
	}
	return strings.Join(above, ", ")
}
