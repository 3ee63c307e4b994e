package config

// moved lists the keys of earlier versions that have another name now, with that name. They are refused, because a value under the
// old name would have no effect.
var moved = map[string]string{
	"monitoring.alerts.ttftObjective": "slo.ttft",
	"monitoring.alerts.ttftRatio":     "slo.ratio",
	// The guard counted requests in flight, and counts requests waiting now.
	"autoscaling.signals.gpuUtilization.guardRequests": "autoscaling.signals.gpuUtilization.waitingRequests",
}
