package signals

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEnabledListsTheSignalsThatAreOn(t *testing.T) {
	const inFlight, running, waiting = "vllm_requests_in_flight", "vllm_requests_running", "vllm_requests_waiting"
	const gpu, kvCache = "vllm_gpu_utilization", "vllm_kv_cache_usage"
	for _, tc := range []struct {
		name string
		off  []Key
		want []string
	}{
		{"all", nil, []string{inFlight, running, waiting, gpu, kvCache}},
		{"no in flight", []Key{KeyRequestsInFlight}, []string{running, waiting, gpu, kvCache}},
		{"no running", []Key{KeyRequestsRunning}, []string{inFlight, waiting, gpu, kvCache}},
		{"no waiting", []Key{KeyRequestsWaiting}, []string{inFlight, running, gpu, kvCache}},
		{"no GPU", []Key{KeyGPUUtilization}, []string{inFlight, running, waiting, kvCache}},
		{"no KV cache", []Key{KeyKVCacheUsage}, []string{inFlight, running, waiting, gpu}},
		{"KV cache alone", []Key{KeyRequestsInFlight, KeyRequestsRunning, KeyRequestsWaiting, KeyGPUUtilization}, []string{kvCache}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Enabled(Catalogue(), without(good(), tc.off...))
			require.NoError(t, err)
			assert.Equal(t, tc.want, Names(got))
		})
	}
}

func TestRowsOfTheCatalogue(t *testing.T) {
	keys, names, series := map[Key]bool{}, map[string]bool{}, map[string]bool{}
	for _, d := range Catalogue() {
		assert.False(t, keys[d.Key] || names[d.Name] || series[d.Series], "%s stands there twice", d.Key)
		keys[d.Key], names[d.Name], series[d.Series] = true, true, true
		assert.Regexp(t, `^[a-z][A-Za-z]+$`, d.Key)
		// The HPA's metric name is a path segment of the custom metrics API, where a colon is not accepted everywhere.
		assert.Regexp(t, `^[a-z_]+$`, d.Name)
		assert.Contains(t, []Unit{Requests, Percent}, d.Unit, d.Key)
		assert.NotEmpty(t, d.Label, d.Key)
		assert.NotEmpty(t, d.Column, d.Key)
		assert.Regexp(t, `^[A-Z].*\.$`, d.Help, d.Key)
		scraped := slices.Contains(d.ServerSeries, d.Series)
		assert.True(t, scraped || strings.HasPrefix(d.Query, "max by (<<.GroupBy>>)"), "%s: a recorded series has one sample per pod", d.Key)
		assert.False(t, scraped && d.Unit == Percent, "%s: Google's adapter adds up the samples of a pod, which only a count survives", d.Key)
		for _, maxNumSeqs := range []int{1, 2, 16, 256} {
			target := d.DefaultTarget(maxNumSeqs)
			assert.GreaterOrEqual(t, target, SmallestTarget, d.Key)
			assert.True(t, d.Reachable(target, maxNumSeqs), "%s: the default target %v is out of reach with %d", d.Key, target, maxNumSeqs)
		}
		if d.Bound != nil {
			highest := d.Bound(16).Highest
			assert.False(t, d.Reachable(highest, 16), d.Key)
			assert.Contains(t, d.Bound(16).Why(), fmt.Sprint(highest), d.Key)
		}
	}
}

func TestSignalsThatAreOnByDefault(t *testing.T) {
	on := map[Key]float64{}
	for _, d := range Catalogue() {
		if d.Default {
			on[d.Key] = d.DefaultTarget(16)
		}
	}
	assert.Equal(t, map[Key]float64{KeyRequestsInFlight: 4, KeyGPUUtilization: 50}, on)
}

func TestDefaultTargetOfRequestsInFlight(t *testing.T) {
	for maxNumSeqs, want := range map[int]float64{
		1: 0.75,          // a replica that works on its only request is full
		2: 1, 4: 1, 8: 2, // a quarter of it
		16: 4, 24: 9, 32: 15, 56: 33, 64: 40, 128: 94, 256: 208, // three standard deviations below it
	} {
		assert.InDelta(t, want, inFlightTarget(maxNumSeqs), 0, "%d", maxNumSeqs)
	}
}

func TestServerSeriesAreTheRulesAndTheSignals(t *testing.T) {
	all := catalogue(t)
	assert.Equal(t, []string{SeriesRequestsRunning, SeriesRequestsWaiting, SeriesKVCacheUsage}, ServerSeries(all))
	require.Equal(t, KeyGPUUtilization, all[3].Key)
	assert.Equal(t, []string{SeriesRequestsRunning, SeriesRequestsWaiting}, ServerSeries(all[3:4]), "the rules read both")
	assert.True(t, ReadGPUs(all))
	assert.False(t, ReadGPUs(all[:3]))
}

// A row more in the table is a signal more everywhere: no other file of this package names the signals.
func TestARowMoreIsASignalMore(t *testing.T) {
	extended := append(Catalogue(), Definition{
		Key: "tokensWaiting", Name: "vllm_tokens_waiting", Series: "vllm:tokens_waiting:sum", Query: recordedQuery, Unit: Requests,
		ServerSeries: []string{"vllm:prompt_tokens_waiting"},
		Expr: func(s Settings) string {
			return "sum by (namespace, pod) (vllm:prompt_tokens_waiting{namespace=\"" + s.Namespace + "\"})"
		},
		DefaultTarget: constant(100),
	})
	s := with(good(), "tokensWaiting", 100)
	all, err := Enabled(extended, s)
	require.NoError(t, err)
	added := all[len(all)-1]
	assert.Equal(t, "vllm_tokens_waiting", added.Name)
	assert.Equal(t, "100", added.AverageValue())
	assert.Contains(t, recorded(Rules(s, all)), added.Series)
	assert.Equal(t, added.Name, AdapterConfig(all).Rules[len(all)-1].Name.As)
	assert.Equal(t, "prometheus.googleapis.com|vllm:tokens_waiting:sum|gauge", ForCloudMonitoring(all)[len(all)-1].Name)
	assert.Contains(t, ServerSeries(all), "vllm:prompt_tokens_waiting")
}

func TestAverageValueIsTheFormThatTheServerStores(t *testing.T) {
	for target, want := range map[float64]string{
		12: "12", 12.5: "12500m", 0.001: "1m", 80: "80", 1000: "1k", 0.1 + 0.2: "300m", 33.3333: "33333m",
	} {
		assert.Equal(t, want, Signal{Target: target}.AverageValue())
	}
}
