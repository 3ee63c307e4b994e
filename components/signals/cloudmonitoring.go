package signals

import (
	"regexp"
	"slices"
	"strings"
)

// cloudMonitoringPrefix begins the metric type of every series that Google's managed collection stores.
const cloudMonitoringPrefix = "prometheus.googleapis.com"

// CloudMonitoringName returns the name under which the Custom Metrics Stackdriver Adapter serves a gauge that Google's
// managed collection has stored: the metric type prometheus.googleapis.com/SERIES/gauge, with bars for its slashes,
// which the custom metrics API does not allow. Results of recording rules are stored as gauges too.
func CloudMonitoringName(series string) string {
	return strings.Join([]string{cloudMonitoringPrefix, series, "gauge"}, "|")
}

// ForCloudMonitoring returns the signals under the names that the Custom Metrics Stackdriver Adapter serves. That adapter
// runs no query: it adds up every stored series of a pod. For vLLM's gauges that is the sum over engines and
// models, provided that the pod is scraped once.
func ForCloudMonitoring(signals []Signal) []Signal {
	renamed := slices.Clone(signals)
	for i := range renamed {
		renamed[i].Name = CloudMonitoringName(renamed[i].Series)
	}
	return renamed
}

// OneOf returns a regular expression, to be anchored by its reader, that matches exactly the given series.
func OneOf(series []string) string {
	quoted := make([]string, len(series))
	for i, name := range series {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return strings.Join(quoted, "|")
}
