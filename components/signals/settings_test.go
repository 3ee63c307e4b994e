package signals

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// good is a valid set of settings that the tests change one field of.
func good() Settings {
	return Settings{
		Namespace:        "vllm",
		RunningTarget:    12,
		WaitingTarget:    4,
		GPUTarget:        80,
		GPUGuardRequests: 3,
		Interval:         2 * time.Second,
		MaxNumSeqs:       16,
	}
}

func TestSettingsProblems(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Settings)
		want   map[string]string // field -> part of its message
	}{
		{"valid", func(*Settings) {}, nil},
		{"simulated", func(s *Settings) { s.SimulateGPU = true }, nil},
		{"running alone", func(s *Settings) { s.WaitingTarget, s.GPUTarget, s.GPUGuardRequests = 0, 0, 0 }, nil},
		{"waiting alone needs no max-num-seqs", func(s *Settings) { s.RunningTarget, s.GPUTarget, s.MaxNumSeqs = 0, 0, 0 }, nil},
		{"running just below the cap", func(s *Settings) { s.RunningTarget = 15.9 }, nil},
		{"smallest target", func(s *Settings) { s.WaitingTarget = 0.001 }, nil},
		{"guard equal to the cap", func(s *Settings) { s.GPUGuardRequests = 16 }, nil},
		{"guard is not looked at while the signal is off", func(s *Settings) { s.GPUTarget, s.GPUGuardRequests = 0, -1 }, nil},

		{"no namespace", func(s *Settings) { s.Namespace = "" }, map[string]string{"Namespace": `is ""`}},
		{"namespace that would break a matcher", func(s *Settings) { s.Namespace = `x"} or up{a="` }, map[string]string{"Namespace": "name of a namespace"}},
		{"namespace too long", func(s *Settings) { s.Namespace = strings.Repeat("a", 64) }, map[string]string{"Namespace": "at most 63"}},
		{"negative running", func(s *Settings) { s.RunningTarget = -1 }, map[string]string{"RunningTarget": "above 0"}},
		{"negative waiting", func(s *Settings) { s.WaitingTarget = -0.5 }, map[string]string{"WaitingTarget": "is -0.5"}},
		{"negative GPU", func(s *Settings) { s.GPUTarget = -80 }, map[string]string{"GPUTarget": "above 0"}},
		{"NaN", func(s *Settings) { s.WaitingTarget = math.NaN() }, map[string]string{"WaitingTarget": "is NaN"}},
		{"infinite", func(s *Settings) { s.WaitingTarget = math.Inf(1) }, map[string]string{"WaitingTarget": "is +Inf"}},
		{"target that a quantity rounds to 0", func(s *Settings) { s.WaitingTarget = 0.0004 }, map[string]string{"WaitingTarget": "three decimals"}},
		{"running at the cap", func(s *Settings) { s.RunningTarget = 16 }, map[string]string{"RunningTarget": "below 16"}},
		{"running above the cap", func(s *Settings) { s.RunningTarget = 20 }, map[string]string{"RunningTarget": "max-num-seqs (16)"}},
		{"running without the cap", func(s *Settings) { s.MaxNumSeqs = 0 }, map[string]string{"MaxNumSeqs": "at least 1"}},
		{"GPU at 100", func(s *Settings) { s.GPUTarget = 100 }, map[string]string{"GPUTarget": "below 100"}},
		{"no guard", func(s *Settings) { s.GPUGuardRequests = 0 }, map[string]string{"GPUGuardRequests": "above 0"}},
		{"negative guard", func(s *Settings) { s.GPUGuardRequests = -3 }, map[string]string{"GPUGuardRequests": "is -3"}},
		{"NaN guard", func(s *Settings) { s.GPUGuardRequests = math.NaN() }, map[string]string{"GPUGuardRequests": "is NaN"}},
		{"guard above the cap", func(s *Settings) { s.GPUGuardRequests = 17 }, map[string]string{"GPUGuardRequests": "at most 16"}},
		{"no interval", func(s *Settings) { s.Interval = 0 }, map[string]string{"Interval": "at least 1s"}},
		{"interval too short", func(s *Settings) { s.Interval = 999 * time.Millisecond }, map[string]string{"Interval": "is 999ms"}},
		{"interval that Prometheus would cut", func(s *Settings) { s.Interval = 2*time.Second + time.Microsecond }, map[string]string{"Interval": "whole milliseconds"}},
		{"every signal off", func(s *Settings) { s.RunningTarget, s.WaitingTarget, s.GPUTarget = 0, 0, 0 },
			map[string]string{"RunningTarget, WaitingTarget, GPUTarget": "every signal is off"}},
		{"everything at once", func(s *Settings) {
			*s = Settings{Namespace: "No_Good", RunningTarget: 16, WaitingTarget: -1, GPUTarget: 120, MaxNumSeqs: 16}
		}, map[string]string{
			"Namespace": "No_Good", "RunningTarget": "below 16", "WaitingTarget": "above 0", "GPUTarget": "below 100",
			"GPUGuardRequests": "above 0", "Interval": "at least 1s",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := good()
			tc.change(&s)

			got := map[string]string{}
			for _, p := range s.Problems() {
				require.NotContains(t, got, p.Field, "one problem a field")
				require.NotEmpty(t, p.Fix)
				got[p.Field] = p.Error()
			}
			require.Len(t, got, len(tc.want), "%v", got)
			for field, part := range tc.want {
				assert.Contains(t, got[field], part)
			}

			signals, err := Catalogue(s)
			if len(tc.want) == 0 {
				require.NoError(t, s.Validate())
				require.NoError(t, err)
				return
			}
			assert.Nil(t, signals)
			for _, message := range got {
				assert.ErrorContains(t, s.Validate(), message)
				assert.ErrorContains(t, err, message)
			}
			var first Problem
			assert.True(t, errors.As(err, &first), "callers can tell the field")
		})
	}
}
