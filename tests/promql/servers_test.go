package promql

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/components/dashboards"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/tests/observed"
)

// chat and code are the servers of a stack of two.
const chat, code = "chat", "code"

// twoServers returns the settings of the alerts of chat and code.
func twoServers(t *testing.T) (ofChat, ofCode alerts.Settings) {
	t.Helper()
	of := func(server, other string) alerts.Settings {
		s := alertSettings(t)
		s.Deployment, s.Autoscaler, s.Others = server, server, []string{other}
		return s
	}
	return of(chat, code), of(code, chat)
}

// named puts a server in the place of the one of a healthy stack.
func named(server, text string) string {
	return strings.NewReplacer(`"vllm-5d4f9-`, `"`+server+`-5d4f9-`, `deployment="vllm"`, `deployment="`+server+`"`,
		`horizontalpodautoscaler="vllm"`, `horizontalpodautoscaler="`+server+`"`, `job="vllm"`, `job="`+server+`"`).Replace(text)
}

// healthyServers are the series of a working stack of two servers: those of one by the server's name and the short name, those that
// they share by the short name.
func healthyServers() map[string]string {
	all := map[string]string{}
	for short, line := range healthy() {
		if named(chat, line) == line {
			all[short] = line
			continue
		}
		for _, server := range []string{chat, code} {
			all[server+" "+short] = named(server, line)
		}
	}
	return all
}

// ofServer returns changes of a healthy stack as those of one of two servers. shared is true where they are of no server.
func ofServer(server string, samples map[string]string) (changes map[string]string, shared bool) {
	both := healthyServers()
	changes, shared = map[string]string{}, true
	for short, text := range samples {
		if _, common := both[short]; common {
			changes[short] = text
			continue
		}
		changes[server+" "+short], shared = text, false
	}
	return changes, shared
}

func TestHealthyServersAreSilent(t *testing.T) {
	ofChat, ofCode := twoServers(t)
	for minute, now := range newAlerting(t, block(healthyServers()), ofChat, ofCode).firing(60) {
		require.Empty(t, alertNames(now), "at minute %d", minute)
	}
}

// Whatever happens to one server alerts as it does in a stack of one, with its name, and nothing alerts on the other. What happens
// to what they share alerts once.
func TestAlertsOfOneServer(t *testing.T) {
	ofChat, ofCode := twoServers(t)
	for name, tc := range alertCases() {
		t.Run(name, func(t *testing.T) {
			samples, shared := ofServer(code, tc.samples)
			alone := newAlerting(t, block(change(healthy(), tc.samples)), alertSettings(t)).firing(tc.last)[tc.last]
			series := newAlerting(t, block(change(healthyServers(), samples)), ofChat, ofCode).firing(tc.last)
			for minute, now := range series[:tc.first] {
				require.Empty(t, alertNames(now), "at minute %d, before it was time", minute)
			}
			require.Equal(t, tc.want, alertNames(series[tc.last]), "and nothing else")
			for alert, firing := range series[tc.last] {
				assert.Len(t, firing, len(alone[alert]), "%s fires as often as on a stack of one", alert)
				for _, active := range firing {
					want := code
					if shared {
						want = ""
					}
					assert.Equal(t, want, active.Labels.Get(telemetry.LabelServer), "of %s", active.Labels)
					assert.NotContains(t, active.Annotations.Get("summary")+active.Annotations.Get("description"), "<no value>")
				}
			}
			for _, active := range series[tc.last][tc.want[0]] {
				for key, value := range tc.labels {
					if key == "deployment" || key == "horizontalpodautoscaler" {
						value = strings.Replace(value, "vllm", code, 1)
					}
					assert.Equal(t, strings.Replace(value, "vllm-5d4f9", code+"-5d4f9", 1), active.Labels.Get(key), "label %s of %s", key, active.Labels)
				}
			}
		})
	}
}

// Half of the requests of both servers take between one second and two and a half until their first token.
func TestEachServerHasItsObjective(t *testing.T) {
	ofChat, ofCode := twoServers(t)
	ofCode.TTFT = time.Second
	firing := newAlerting(t, block(healthyServers()), ofChat, ofCode).firing(110)[110]
	require.Equal(t, []string{"VLLMTTFTBudgetBurningFast"}, alertNames(firing))
	require.Len(t, firing["VLLMTTFTBudgetBurningFast"], 1)
	active := firing["VLLMTTFTBudgetBurningFast"][0]
	assert.Equal(t, code, active.Labels.Get(telemetry.LabelServer))
	assert.Contains(t, active.Annotations.Get("summary"), "more than 1s")
}

// The same queue is long for a server that runs 4 requests at a time, and short for one that runs 16.
func TestEachServerHasItsQueue(t *testing.T) {
	ofChat, ofCode := twoServers(t)
	ofCode.MaxNumSeqs = 4
	samples := map[string]string{}
	for _, server := range []string{chat, code} {
		samples[server+" waiting a"] = "0x20 8+0.5x400"
	}
	a := newAlerting(t, block(change(healthyServers(), samples)), ofChat, ofCode)
	firing := a.firing(50)[50]
	require.Equal(t, []string{"VLLMQueueGrowing"}, alertNames(firing))
	require.Len(t, firing["VLLMQueueGrowing"], 1)
	assert.Equal(t, code, firing["VLLMQueueGrowing"][0].Labels.Get(telemetry.LabelServer))

	recorded := map[string]float64{}
	for _, sample := range a.read.query(alerts.RecordRequestsWaiting, 50*time.Minute) {
		require.Equal(t, []string{"__name__", "namespace", "server"}, labelNames(sample.Metric))
		recorded[sample.Metric.Get(telemetry.LabelServer)] = sample.F
	}
	assert.Equal(t, map[string]float64{chat: 22.5, code: 22.5}, recorded, "each queue is that of one server")
}

// The guard of each server holds for its pods. Those of chat-x are not of chat, although their names begin like theirs.
func TestEachServerHasItsGuard(t *testing.T) {
	pod := func(server string) string { return server + "-5d4f9c7b8-abcde" }
	var samples []string
	want := map[string]float64{}
	guards := map[string]float64{chat: 1, code: 4, "chat-x": 8}
	for server, guard := range guards {
		samples = append(samples, serving("vllm", pod(server), 2)...)
		samples = append(samples, renamed(percent, "vllm", pod(server), 96, `gpu="0",UUID="GPU-`+server+`"`))
		want["vllm/"+pod(server)] = 96 * min(1, 2/guard)
	}
	for name, standalone := range map[string]bool{"operator": false, "standalone": true} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			s.StandaloneRules = standalone
			for _, server := range slices.Sorted(maps.Keys(guards)) {
				s.Servers = append(s.Servers, signals.Server{Deployment: server, GPUWaitingRequests: guards[server]})
			}
			p := newPipeline(t, s, at0(samples...))
			p.evaluate(0)
			requireValues(t, want, p.recorded(signals.RecordGPUUtilizationGuarded, 0), "each pod once, by the guard of its server")
			for server := range guards {
				requireValues(t, map[string]float64{pod(server): want["vllm/"+pod(server)]}, p.served(signals.MetricGPUUtilization, "vllm", 0, pod(server)), server)
				requireValues(t, map[string]float64{pod(server): 18}, p.served(signals.MetricRequestsInFlight, "vllm", 0, pod(server)), server)
			}
		})
	}
}

// ownMatcher are the labels that a series of one server has: its pods', its objects', or that of what is recorded for it.
var ownMatcher = []string{signals.LabelPod, "deployment", "horizontalpodautoscaler", telemetry.LabelServer}

// requireOwn checks that a selector has a matcher of the server, which nothing of the other satisfies.
func requireOwn(t *testing.T, where, selector, server, other string) {
	t.Helper()
	matchers, err := parserOf().ParseMetricSelector(selector)
	require.NoError(t, err, where)
	of := func(server string) map[string]string {
		return map[string]string{signals.LabelPod: server + "-5d4f9c7b8-abcde", "deployment": server, "horizontalpodautoscaler": server, telemetry.LabelServer: server}
	}
	matches := func(values map[string]string) bool {
		return !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return slices.Contains(ownMatcher, m.Name) && !m.Matches(values[m.Name]) })
	}
	assert.True(t, matches(of(server)), "%s: %s does not select %s", where, selector, server)
	assert.False(t, matches(of(other)), "%s: %s selects %s too", where, selector, other)
}

func TestDashboardsOfAServerShowNothingOfTheOther(t *testing.T) {
	ofChat, ofCode := twoServers(t)
	built, err := dashboards.All(ofChat.Settings, ofCode.Settings)
	require.NoError(t, err)
	shown := map[string]int{}
	for _, d := range built {
		queries, err := observed.Dashboard(d.JSON)
		require.NoError(t, err)
		for _, q := range queries {
			parsed, err := parserOf().ParseExpr(q.Expr)
			require.NoError(t, err, "%s:\n%s", q.Where, q.Expr)
			require.Equal(t, parser.ValueTypeVector, parsed.Type(), q.Where)
			server := regexp.MustCompile(` of (chat|code)$`).FindStringSubmatch(d.Title)
			if server == nil {
				require.Equal(t, "gpus", d.Name, "the one page of the stack")
				continue
			}
			other := map[string]string{chat: code, code: chat}[server[1]]
			selectors, err := q.Selectors()
			require.NoError(t, err)
			for name, list := range selectors {
				if name == telemetry.SeriesNodeAllocatable { // The nodes are those of all.
					continue
				}
				for _, selector := range list {
					requireOwn(t, q.Where, selector, server[1], other)
					shown[server[1]]++
				}
			}
		}
	}
	assert.Positive(t, shown[chat])
	assert.Equal(t, shown[chat], shown[code])
}

func TestRulesOfAServerReadNothingOfTheOther(t *testing.T) {
	ofChat, ofCode := twoServers(t)
	spec, err := alerts.Rules(ofChat, ofCode)
	require.NoError(t, err)
	names := map[string]int{}
	var shared []string
	for _, group := range spec.Groups {
		assert.Zero(t, names[group.Name], "group %s twice", group.Name)
		names[group.Name]++
		server, _, _ := strings.Cut(group.Name, "-")
		if server != chat && server != code {
			for _, rule := range group.Rules {
				shared = append(shared, rule.Alert)
				assert.NotContains(t, rule.Labels, telemetry.LabelServer, rule.Alert)
			}
			continue
		}
		for _, rule := range group.Rules {
			assert.Equal(t, server, rule.Labels[telemetry.LabelServer], rule.Alert+rule.Record)
			selectors, err := observed.Query{Where: rule.Alert + rule.Record, Expr: rule.Expr.String()}.Selectors()
			require.NoError(t, err)
			for _, list := range selectors {
				for _, selector := range list {
					requireOwn(t, rule.Alert+rule.Record, selector, server, map[string]string{chat: code, code: chat}[server])
				}
			}
		}
	}
	for _, alert := range []string{"VLLMMetricsAdapterDown", "VLLMCustomMetricsAPIUnavailable", "VLLMSignalRulesFailing", "VLLMGPUFailed",
		"VLLMPrometheusVolumeFilling"} {
		assert.Equal(t, 1, countOf(shared, alert), "%s is of the stack", alert)
	}
}

func countOf(all []string, wanted string) int {
	count := 0
	for _, one := range all {
		if one == wanted {
			count++
		}
	}
	return count
}

// The custom metrics API matters to a server that scales, whatever the other does.
func TestTheMetricsAPIIsOfAllServers(t *testing.T) {
	ofChat, ofCode := twoServers(t)
	for _, down := range []string{chat, code} {
		samples, _ := ofServer(down, scaledAway())
		samples["api"] = "0x30 1x400"
		firing := newAlerting(t, block(change(healthyServers(), samples)), ofChat, ofCode).firing(40)[40]
		assert.Len(t, firing["VLLMCustomMetricsAPIUnavailable"], 1, "while %s is scaled away", down)
	}
}
