package signals_test

import (
	"fmt"
	"time"

	"vllm-autoscaling/components/signals"
)

// The signals that are on, in the order of the autoscaler's metrics, each with the series that the adapter serves and the
// average per pod above which replicas are added.
func ExampleEnabled() {
	settings := signals.Settings{
		Namespace: "vllm", MaxNumSeqs: 16, Interval: 2 * time.Second,
		Targets: map[signals.Key]float64{signals.KeyRequestsInFlight: 4, signals.KeyKVCacheUsage: 80},
	}
	enabled, err := signals.Enabled(signals.Catalogue(), settings)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, signal := range enabled {
		fmt.Printf("%s: %s from %s, more than %g %s\n", signal.Key, signal.Name, signal.Series, signal.Target, signal.Unit)
	}
	// Output:
	// requestsInFlight: vllm_requests_in_flight from vllm:requests_in_flight:sum, more than 4 requests
	// kvCacheUsage: vllm_kv_cache_usage from vllm:kv_cache_usage:max, more than 80 percent
}
