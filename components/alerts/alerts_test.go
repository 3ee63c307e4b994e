package alerts

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
)

func settings(t *testing.T) Settings {
	t.Helper()
	catalogue, err := signals.Enabled(signals.Catalogue(), signals.Settings{
		Namespace: "serving", GPUWaitingRequests: 1,
		Targets: map[signals.Key]float64{
			signals.KeyRequestsInFlight: 4, signals.KeyRequestsRunning: 12, signals.KeyRequestsWaiting: 4, signals.KeyGPUUtilization: 50,
			signals.KeyKVCacheUsage: 80,
		},
		Interval: 2 * time.Second, MaxNumSeqs: 16,
	})
	require.NoError(t, err)
	return Settings{
		Settings: telemetry.Settings{
			ServingNamespace: "serving", MonitoringNamespace: "watching", Deployment: "server", Autoscaler: "scaler",
			Adapter: "adapter", MetricsAPI: "v1beta1.custom.metrics.k8s.io", PrometheusJob: "prometheus", GPUJob: "dcgm-exporter", Signals: catalogue,
			SignalInterval: 2 * time.Second,
		},
		Objective: Objective{TTFT: 2500 * time.Millisecond, InterToken: 100 * time.Millisecond, Ratio: 0.95}, AtMaxFor: 15 * time.Minute,
		StartupBudget: 30 * time.Minute, ColdStart: time.Hour,
		ScrapeInterval: 15 * time.Second, MaxNumSeqs: 16, PrometheusStorage: 20 << 30, PrometheusVolume: "prometheus-.*",
	}
}

func rules(t *testing.T, s Settings) []monitoringv1.Rule {
	t.Helper()
	spec, err := Rules(s)
	require.NoError(t, err)
	var all []monitoringv1.Rule
	for _, group := range spec.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

func names(t *testing.T, s Settings) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, rule := range rules(t, s) {
		if rule.Alert != "" {
			found[rule.Alert] = true
		}
	}
	return found
}

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	for _, rule := range rules(t, settings(t)) {
		if rule.Alert == "" {
			continue
		}
		t.Run(rule.Alert, func(t *testing.T) {
			assert.Regexp(t, `^VLLM[A-Za-z]+$`, rule.Alert)
			assert.Contains(t, []string{"critical", "warning"}, rule.Labels["severity"])
			assert.NotEmpty(t, rule.Annotations["summary"])
			assert.NotRegexp(t, `\.$`, rule.Annotations["summary"], "a title")
			assert.Regexp(t, `\.$`, rule.Annotations["description"])
			assert.Regexp(t, `[Ll]ook |[Rr]aise |Delete |look the number up|kubectl`, rule.Annotations["description"], "a first step")
			assert.Equal(t, "docs/runbooks.md#"+strings.ToLower(rule.Alert), rule.Annotations["runbook"])
		})
	}
}

// Each alert has its section in the runbooks, with everything a section must have, and no section is
// left of an alert that is gone.
func TestRunbooks(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(Runbook)))
	require.NoError(t, err)
	sections := map[string]string{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		sections[strings.TrimSpace(title)] = body
	}
	alerts := names(t, settings(t))
	require.NotEmpty(t, alerts)
	for name := range alerts {
		require.Contains(t, sections, name, "%s has no section in %s", name, Runbook)
		for _, part := range []string{"**Meaning.** ", "**Impact.** ", "**Check.** ", "**Fix.** "} {
			assert.Contains(t, sections[name], part, name)
		}
	}
	for title := range sections {
		assert.Contains(t, alerts, title, "%s describes an alert that does not exist", Runbook)
	}
}

// The runbooks list every alert's delay with its reason, as the alerts have them.
func TestDelaysAreInTheRunbooks(t *testing.T) {
	table, err := DelayTable(settings(t))
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(Runbook)))
	require.NoError(t, err)
	assert.True(t, strings.Contains(string(text), table), "copy this table to %s:\n%s", Runbook, table)
	for _, a := range everyAlert(settings(t)) {
		assert.NotEmpty(t, a.why, "%s has no reason for its delay", a.name)
	}
}

// The example of Alertmanager sends the alert that always fires to a watcher outside the cluster, often enough for a grace of
// three minutes.
func TestTheDeadMansSwitchOfTheExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "    kubePrometheusStack:\n      values:\n")
	require.True(t, found)
	example, _, found := strings.Cut(after, "```")
	require.True(t, found)
	var values struct {
		Alertmanager struct {
			Config struct {
				Route struct {
					Routes []struct {
						Receiver                      string
						Matchers                      []string
						GroupInterval, RepeatInterval string
					}
				}
				Receivers []struct {
					Name    string
					Webhook []struct {
						URLFile string `json:"url_file"`
					} `json:"webhook_configs"`
				}
			}
			AlertmanagerSpec struct{ Secrets []string }
		}
	}
	example = strings.NewReplacer("group_interval", "groupInterval", "repeat_interval", "repeatInterval").Replace(example)
	require.NoError(t, yaml.Unmarshal([]byte(example), &values))
	route := values.Alertmanager.Config.Route.Routes[0]
	require.Equal(t, []string{`alertname = "Watchdog"`}, route.Matchers)
	for _, interval := range []string{route.GroupInterval, route.RepeatInterval} {
		every, err := time.ParseDuration(interval)
		require.NoError(t, err)
		assert.LessOrEqual(t, every, time.Minute)
	}
	for _, receiver := range values.Alertmanager.Config.Receivers {
		if receiver.Name == route.Receiver {
			require.Len(t, receiver.Webhook, 1, "nobody notices that the calls stop")
			secret := strings.Split(receiver.Webhook[0].URLFile, "/")[4]
			assert.Contains(t, values.Alertmanager.AlertmanagerSpec.Secrets, secret, "mounted where it is read")
			return
		}
	}
	t.Fatalf("there is no receiver %s", route.Receiver)
}

// What stops scaling altogether fires within two minutes: one scrape, one evaluation, and the delay.
func TestWhatStopsScalingFiresWithinTwoMinutes(t *testing.T) {
	stops := []string{"VLLMSignalAbsent", "VLLMSignalNotServed", "VLLMMetricsAdapterDown", "VLLMCustomMetricsAPIUnavailable",
		"VLLMAutoscalerSwitchedOff", "VLLMAutoscalerInactive", "VLLMSignalRulesFailing"}
	found := names(t, settings(t))
	for _, name := range stops {
		assert.Contains(t, found, name)
	}
	for _, a := range everyAlert(settings(t)) {
		if slices.Contains(stops, a.name) {
			assert.Equal(t, Critical, a.severity, a.name)
			assert.LessOrEqual(t, 2*15*time.Second+a.after, 2*time.Minute, a.name)
		}
	}
}

func TestWhatIsLeftOut(t *testing.T) {
	full := names(t, settings(t))
	for name, tc := range map[string]struct {
		change func(*Settings)
		gone   []string
	}{
		"simulated GPU": {func(s *Settings) { s.SimulatedGPU = true },
			[]string{"VLLMGPUFailed", "VLLMGPUXIDError", "VLLMGPUHot", "VLLMGPUTargetDown"}},
		"no volume": {func(s *Settings) { s.PrometheusStorage = 0 },
			[]string{"VLLMPrometheusVolumeFilling", "VLLMPrometheusDatabaseLarge"}},
		"a Prometheus of somebody else": {func(s *Settings) { s.PrometheusJob = "" }, []string{"VLLMPrometheusDatabaseLarge", "VLLMSignalRulesFailing"}},
		"no adapter":                    {func(s *Settings) { s.Adapter = "" }, []string{"VLLMMetricsAdapterDown"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(t)
			tc.change(&s)
			left := names(t, s)
			assert.Len(t, left, len(full)-len(tc.gone))
			for _, one := range tc.gone {
				assert.Contains(t, full, one)
				assert.NotContains(t, left, one)
			}
			for _, rule := range rules(t, s) {
				if s.SimulatedGPU {
					assert.NotContains(t, rule.Expr.String(), "DCGM_FI_")
				}
			}
		})
	}
}

func TestEverySignalIsWatched(t *testing.T) {
	s := settings(t)
	watched := map[string]map[string]bool{}
	for _, rule := range rules(t, s) {
		if signal := rule.Labels["signal"]; signal != "" {
			if watched[rule.Alert] == nil {
				watched[rule.Alert] = map[string]bool{}
			}
			watched[rule.Alert][signal] = true
		}
	}
	for _, alert := range []string{"VLLMSignalAbsent", "VLLMSignalMissing"} {
		for _, signal := range s.Signals {
			assert.True(t, watched[alert][signal.Name], "%s of %s", alert, signal.Name)
		}
	}
	for i, only := range s.Signals {
		off := signals.Names(slices.Delete(slices.Clone(s.Signals), i, i+1))
		one := s
		one.Signals = []signals.Signal{only}
		for _, rule := range rules(t, one) {
			assert.NotContains(t, off, rule.Labels["signal"], "%s watches a signal that is off", rule.Alert)
		}
	}
}

// A target may be changed without a change of the alerts.
func TestTargetsAreNotInTheRules(t *testing.T) {
	s := settings(t)
	before := rules(t, s)
	for i := range s.Signals {
		s.Signals[i].Target *= 2
	}
	assert.Equal(t, before, rules(t, s))
}

func TestLimitsOfTheBudget(t *testing.T) {
	for _, tc := range []struct {
		ratio, factor, want float64
	}{
		{0.95, 14.4, 0.72},
		{0.9, 14.4, 0.9},
		{0.99, 14.4, 0.144},
		{0.999, 14.4, 0.0144},
		{0.95, 6, 0.3},
		{0.95, 3, 0.15},
		{0.95, 1, 0.05},
		{0.5, 14.4, 0.9},
		{0.5, 1, 0.5},
	} {
		assert.InDelta(t, tc.want, burn{factor: tc.factor}.limit(tc.ratio), 1e-9, "%v at %v", tc.factor, tc.ratio)
		assert.Less(t, burn{factor: tc.factor}.limit(tc.ratio), 1.0, "a share of 1 is never exceeded")
	}
}

func TestBucket(t *testing.T) {
	for bound, want := range map[time.Duration][]string{
		2500 * time.Millisecond: {"2.5"}, 100 * time.Millisecond: {"0.1"},
		time.Second: {"1", "1.0"}, 10 * time.Second: {"10", "10.0"}, 80 * time.Second: {"80", "80.0"},
	} {
		matcher := bucket(bound)
		pattern := regexp.MustCompile(`^le=~?"(.*)"$`).FindStringSubmatch(matcher)
		require.NotNil(t, pattern, matcher)
		anchored := regexp.MustCompile("^(?:" + strings.ReplaceAll(pattern[1], `\\`, `\`) + ")$")
		for _, written := range want {
			assert.True(t, anchored.MatchString(written), "%s for %s", matcher, written)
		}
		assert.False(t, anchored.MatchString(want[0]+"5"), matcher)
	}
}

func TestObjectives(t *testing.T) {
	for _, ttft := range TTFTBounds() {
		s := settings(t)
		s.TTFT = ttft
		assert.NoError(t, s.Validate())
	}
	for _, between := range InterTokenBounds() {
		s := settings(t)
		s.InterToken = between
		assert.NoError(t, s.Validate())
	}
	assert.Subset(t, TTFTBounds(), []time.Duration{100 * time.Millisecond, 2500 * time.Millisecond})
	assert.Subset(t, InterTokenBounds(), []time.Duration{10 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond, 80 * time.Second})
}

// Each limit of the objective is measured by its own histogram, at the bucket of that limit.
func TestLimitsOfTheObjective(t *testing.T) {
	s := settings(t)
	s.TTFT, s.InterToken = 5*time.Second, 75*time.Millisecond
	expressions := map[string]string{}
	for _, rule := range rules(t, s) {
		expressions[rule.Record+rule.Alert] = rule.Expr.String()
	}
	assert.Contains(t, expressions[RecordFirstTokensInTime], `vllm:time_to_first_token_seconds_bucket{namespace="serving",le=~"5(\\.0)?"}`)
	assert.Contains(t, expressions[RecordFinishedInTime], `vllm:request_time_per_output_token_seconds_bucket{namespace="serving",le="0.075"}`)
	assert.Contains(t, expressions["VLLMTTFTBudgetBurningFast"], RecordFirstTokensLate+":ratio1h")
	assert.Contains(t, expressions["VLLMInterTokenBudgetBurningFast"], RecordFinishedSlow+":ratio1h")
	assert.NotContains(t, expressions["VLLMInterTokenBudgetBurningFast"], "first_token")
}

func TestRefused(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"TTFT 2s":              func(s *Settings) { s.TTFT = 2 * time.Second },
		"TTFT 10ms":            func(s *Settings) { s.TTFT = 10 * time.Millisecond },
		"InterToken 80ms":      func(s *Settings) { s.InterToken = 80 * time.Millisecond },
		"InterToken 0s":        func(s *Settings) { s.InterToken = 0 },
		"Ratio 95":             func(s *Settings) { s.Ratio = 95 },
		"Ratio 1":              func(s *Settings) { s.Ratio = 1 },
		"AtMaxFor":             func(s *Settings) { s.AtMaxFor = time.Second },
		"StartupBudget":        func(s *Settings) { s.StartupBudget = 0 },
		"ColdStart":            func(s *Settings) { s.ColdStart = s.StartupBudget - time.Minute },
		"ScrapeInterval":       func(s *Settings) { s.ScrapeInterval = 0 },
		"MaxNumSeqs":           func(s *Settings) { s.MaxNumSeqs = 0 },
		"PrometheusStorage -1": func(s *Settings) { s.PrometheusStorage = -1 },
		"PrometheusVolume":     func(s *Settings) { s.PrometheusVolume = "" },
		"ServingNamespace":     func(s *Settings) { s.ServingNamespace = "" },
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(t)
			change(&s)
			_, err := Rules(s)
			require.ErrorContains(t, err, name)
		})
	}
}
