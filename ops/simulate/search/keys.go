package search

import (
	"strconv"
	"strings"
	"time"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/stacks/config"
)

// The keys of the configuration that a search sets.
const (
	keyMaxNumSeqs  = "model.maxNumSeqs"
	keyMinReplicas = "autoscaling.minReplicas"
	keyMaxReplicas = "autoscaling.maxReplicas"
	keySignals     = "autoscaling.signals."
	keyScaleUp     = "autoscaling.scaleUp."
	keyScaleDown   = "autoscaling.scaleDown."

	enabled       = ".enabled"
	target        = ".target"
	stabilization = "stabilization"
	pods          = "pods"
	period        = "period"
)

// signalKeys are the signals in the order of their dimensions.
var signalKeys = []signals.Key{
	signals.KeyRequestsInFlight, signals.KeyRequestsRunning, signals.KeyRequestsWaiting, signals.KeyGPUUtilization, signals.KeyKVCacheUsage,
}

// ValuesOf returns the values of the keys that a search sets, as they are in a configuration, given or by default. The target of a
// signal that is off is left out.
func ValuesOf(c *config.Config) map[string]string {
	a := &c.Autoscaling
	values := map[string]string{
		keyMaxNumSeqs:                strconv.Itoa(c.Model.MaxNumSeqs),
		keyMinReplicas:               strconv.Itoa(a.MinReplicas),
		keyMaxReplicas:               strconv.Itoa(a.MaxReplicas),
		keyScaleUp + stabilization:   durationText(a.ScaleUp.Stabilization),
		keyScaleUp + pods:            strconv.Itoa(a.ScaleUp.Pods),
		keyScaleUp + period:          durationText(a.ScaleUp.Period),
		keyScaleDown + stabilization: durationText(a.ScaleDown.Stabilization),
		keyScaleDown + pods:          strconv.Itoa(a.ScaleDown.Pods),
		keyScaleDown + period:        durationText(a.ScaleDown.Period),
	}
	targets := a.Signals.Targets()
	for _, key := range signalKeys {
		value, on := targets[key]
		values[keySignals+string(key)+enabled] = strconv.FormatBool(on)
		if on {
			values[keySignals+string(key)+target] = numberText(value)
		}
	}
	return values
}

// durationText returns a duration as people write it: 5m instead of 5m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func numberText(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
