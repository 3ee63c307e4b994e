package config

import "vllm-autoscaling/components/signals"

// moved lists the keys of earlier versions that have another name now, with that name. They are refused, because a value under the
// old name would have no effect.
var moved = map[string]string{
	"monitoring.alerts.ttftObjective": "slo.ttft",
	"monitoring.alerts.ttftRatio":     "slo.ratio",
}

// removed lists the keys of earlier versions whose values have no place now, with the reason. They are refused as well: a value
// that suited the old key would be wrong for the one that replaces it.
var removed = map[string]string{
	"autoscaling.signals.gpuUtilization.guardRequests": "the guard of the GPU signal counts requests waiting instead of requests in flight now, " +
		"under the key waitingRequests, whose default of 1 suits",
}

// replacedSignals are the signals that were on by default in earlier versions, so that a stack may have their targets alone.
var replacedSignals = []signals.Key{signals.KeyRequestsRunning, signals.KeyRequestsWaiting}
