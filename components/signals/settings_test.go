package signals

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// good is a valid set of settings, with every signal on, that the tests change one field of.
func good() Settings {
	return Settings{
		Namespace: "vllm",
		Targets: map[Key]float64{
			KeyRequestsInFlight: 4, KeyRequestsRunning: 12, KeyRequestsWaiting: 4, KeyGPUUtilization: 50, KeyKVCacheUsage: 80,
		},
		GPUWaitingRequests: 1,
		Interval:           2 * time.Second,
		MaxNumSeqs:         16,
	}
}

// only leaves the given signals on.
func only(s Settings, on ...Key) Settings {
	s.Targets = maps.Clone(s.Targets)
	maps.DeleteFunc(s.Targets, func(key Key, _ float64) bool { return !slices.Contains(on, key) })
	return s
}

// without switches signals off.
func without(s Settings, off ...Key) Settings {
	s.Targets = maps.Clone(s.Targets)
	for _, key := range off {
		delete(s.Targets, key)
	}
	return s
}

// with sets the target of a signal.
func with(s Settings, key Key, target float64) Settings {
	s.Targets = maps.Clone(s.Targets)
	s.Targets[key] = target
	return s
}

func TestSettingsThatAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Settings)
		want   []string // parts of the messages
	}{
		{"valid", func(*Settings) {}, nil},
		{"simulated", func(s *Settings) { s.SimulateGPU = true }, nil},
		{"in flight alone needs neither max-num-seqs nor a guard", func(s *Settings) {
			*s = only(*s, KeyRequestsInFlight)
			s.GPUWaitingRequests, s.MaxNumSeqs = 0, 0
		}, nil},
		{"in flight above the cap: the rest of them waits", func(s *Settings) { *s = with(*s, KeyRequestsInFlight, 20) }, nil},
		{"running alone", func(s *Settings) {
			*s = only(*s, KeyRequestsRunning)
			s.GPUWaitingRequests = 0
		}, nil},
		{"waiting alone needs no max-num-seqs", func(s *Settings) {
			*s = only(*s, KeyRequestsWaiting)
			s.MaxNumSeqs = 0
		}, nil},
		{"running just within reach", func(s *Settings) { *s = with(*s, KeyRequestsRunning, 14.5) }, nil},
		{"smallest target", func(s *Settings) { *s = with(*s, KeyRequestsWaiting, 0.001) }, nil},
		{"guard above the cap: requests that wait have none", func(s *Settings) { s.GPUWaitingRequests = 17 }, nil},
		{"guard of less than one request", func(s *Settings) { s.GPUWaitingRequests = 0.2 }, nil},
		{"guard is not looked at while the signal is off", func(s *Settings) {
			*s = without(*s, KeyGPUUtilization)
			s.GPUWaitingRequests = -1
		}, nil},

		{"no namespace", func(s *Settings) { s.Namespace = "" }, []string{`Namespace ""`}},
		{"namespace that would break a matcher", func(s *Settings) { s.Namespace = `x"} or up{a="` }, []string{"name of a namespace"}},
		{"namespace too long", func(s *Settings) { s.Namespace = strings.Repeat("a", 64) }, []string{"at most 63"}},
		{"negative in flight", func(s *Settings) { *s = with(*s, KeyRequestsInFlight, -4) }, []string{"requestsInFlight is -4: a target is a number above 0"}},
		{"negative running", func(s *Settings) { *s = with(*s, KeyRequestsRunning, -1) }, []string{"requestsRunning is -1: a target is a number above 0"}},
		{"negative waiting", func(s *Settings) { *s = with(*s, KeyRequestsWaiting, -0.5) }, []string{"requestsWaiting is -0.5"}},
		{"negative GPU", func(s *Settings) { *s = with(*s, KeyGPUUtilization, -80) }, []string{"gpuUtilization is -80: a target is a number above 0"}},
		{"zero", func(s *Settings) { *s = with(*s, KeyKVCacheUsage, 0) }, []string{"kvCacheUsage is 0: a target is a number above 0"}},
		{"NaN", func(s *Settings) { *s = with(*s, KeyRequestsWaiting, math.NaN()) }, []string{"requestsWaiting is NaN"}},
		{"infinite", func(s *Settings) { *s = with(*s, KeyRequestsWaiting, math.Inf(1)) }, []string{"requestsWaiting is +Inf"}},
		{"target that a quantity rounds to 0", func(s *Settings) { *s = with(*s, KeyRequestsWaiting, 0.0004) }, []string{"three decimals"}},
		{"running at the cap", func(s *Settings) { *s = with(*s, KeyRequestsRunning, 16) }, []string{"14.55 or more"}},
		{"running within the HPA's tolerance", func(s *Settings) { *s = with(*s, KeyRequestsRunning, 15) }, []string{"14.55 or more"}},
		{"running above the cap", func(s *Settings) { *s = with(*s, KeyRequestsRunning, 20) }, []string{"more than 16 requests, model.maxNumSeqs"}},
		{"no cap", func(s *Settings) { s.MaxNumSeqs = 0 }, []string{"more than 0 requests, model.maxNumSeqs"}},
		{"GPU at 100", func(s *Settings) { *s = with(*s, KeyGPUUtilization, 100) }, []string{"utilisation ends at 100 percent, so a target of 90.91 or more"}},
		{"KV cache at 91", func(s *Settings) { *s = with(*s, KeyKVCacheUsage, 91) }, []string{"KV-cache usage ends at 100 percent, so a target of 90.91 or more"}},
		{"no guard", func(s *Settings) { s.GPUWaitingRequests = 0 }, []string{"GPUWaitingRequests is 0: it must be above 0"}},
		{"negative guard", func(s *Settings) { s.GPUWaitingRequests = -3 }, []string{"GPUWaitingRequests is -3"}},
		{"NaN guard", func(s *Settings) { s.GPUWaitingRequests = math.NaN() }, []string{"GPUWaitingRequests is NaN"}},
		{"infinite guard", func(s *Settings) { s.GPUWaitingRequests = math.Inf(1) }, []string{"GPUWaitingRequests is +Inf"}},
		{"no interval", func(s *Settings) { s.Interval = 0 }, []string{"at least 1s"}},
		{"interval too short", func(s *Settings) { s.Interval = 999 * time.Millisecond }, []string{"Interval is 999ms"}},
		{"interval that Prometheus would cut", func(s *Settings) { s.Interval = 2*time.Second + time.Microsecond }, []string{"whole milliseconds"}},
		{"every signal off", func(s *Settings) { s.Targets = nil }, []string{"every signal is off"}},
		{"a signal that does not exist", func(s *Settings) { *s = with(*s, "tokens", 1) }, []string{`there is no signal "tokens"`}},
		{"everything at once", func(s *Settings) {
			*s = Settings{Namespace: "No_Good", MaxNumSeqs: 16, Targets: map[Key]float64{KeyRequestsRunning: 16, KeyRequestsWaiting: -1, KeyGPUUtilization: 120}}
		}, []string{"No_Good", "requestsRunning is 16", "requestsWaiting is -1", "gpuUtilization is 120", "GPUWaitingRequests is 0", "Interval is 0s"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := good()
			tc.change(&s)
			signals, err := Enabled(Catalogue(), s)
			if len(tc.want) == 0 {
				require.NoError(t, err)
				assert.Len(t, signals, len(s.Targets))
				return
			}
			assert.Nil(t, signals)
			for _, part := range tc.want {
				assert.ErrorContains(t, err, part)
			}
			require.Error(t, err)
			assert.Len(t, strings.Split(err.Error(), "\n"), len(tc.want), "one line a problem: %v", err)
		})
	}
}

func TestPodsOf(t *testing.T) {
	pods := regexp.MustCompile("^(?:" + PodsOf("chat") + ")$")
	assert.Regexp(t, pods, "chat-5d4f9c7b8-abcde")
	for _, other := range []string{"chat-x-5d4f9c7b8-abcde", "x-chat-5d4f9c7b8-abcde", "chat2-5d4f9c7b8-abcde", "code-5d4f9c7b8-abcde", "chat-0", "chat"} {
		assert.NotRegexp(t, pods, other)
	}
}

// A rule for each server is there only for the signals whose rule depends on the server.
func TestRulesOfServers(t *testing.T) {
	s := good()
	s.Servers = []Server{{Deployment: "chat", GPUWaitingRequests: 1}, {Deployment: "code", GPUWaitingRequests: 4}}
	enabled, err := Enabled(Catalogue(), s)
	require.NoError(t, err)
	records := map[string]int{}
	for _, rule := range Rules(s, enabled).Groups[0].Rules {
		records[rule.Record]++
	}
	for record, count := range records {
		want := 1
		if record == RecordGPUUtilizationGuarded {
			want = 2
		}
		assert.Equal(t, want, count, record)
	}
	assert.Equal(t, 2, records[RecordGPUUtilizationGuarded])
}

func TestUnion(t *testing.T) {
	lists := [][]Signal{}
	for _, on := range []Settings{only(good(), KeyGPUUtilization, KeyKVCacheUsage), only(good(), KeyRequestsInFlight, KeyGPUUtilization)} {
		enabled, err := Enabled(Catalogue(), on)
		require.NoError(t, err)
		lists = append(lists, enabled)
	}
	var keys []Key
	for _, signal := range Union(lists...) {
		keys = append(keys, signal.Key)
	}
	var want []Key
	for _, definition := range Catalogue() {
		if slices.Contains([]Key{KeyRequestsInFlight, KeyGPUUtilization, KeyKVCacheUsage}, definition.Key) {
			want = append(want, definition.Key)
		}
	}
	assert.Equal(t, want, keys, "each once, in the order of the catalogue")
	assert.Empty(t, Union())
}
