package dashboards

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
)

func settings(t *testing.T) telemetry.Settings {
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
	return telemetry.Settings{
		ServingNamespace: "serving", MonitoringNamespace: "watching", Deployment: "server", Autoscaler: "scaler",
		Adapter: "adapter", MetricsAPI: "v1beta1.custom.metrics.k8s.io", PrometheusJob: "prometheus", GPUJob: "dcgm-exporter", Signals: catalogue,
		SignalInterval: 2 * time.Second,
	}
}

// read unmarshals with Grafana's own types, which refuse unknown fields and wrong types.
func read(t *testing.T, d Dashboard) dashboard.Dashboard {
	t.Helper()
	// Not the SDK's own list of plugins: it imports every panel and data source there is.
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	var model dashboard.Dashboard
	require.NoError(t, model.UnmarshalJSONStrict(d.JSON), d.Name)
	require.NoError(t, model.Validate(), d.Name)
	return model
}

func all(t *testing.T, s telemetry.Settings) map[string]dashboard.Dashboard {
	t.Helper()
	built, err := All(s)
	require.NoError(t, err)
	models := map[string]dashboard.Dashboard{}
	for _, d := range built {
		models[d.Name] = read(t, d)
	}
	require.Len(t, models, len(built), "names are unique")
	return models
}

func panels(model dashboard.Dashboard) []dashboard.Panel {
	var found []dashboard.Panel
	for _, p := range model.Panels {
		if p.Panel != nil {
			found = append(found, *p.Panel)
		}
	}
	return found
}

func TestDashboards(t *testing.T) {
	models := all(t, settings(t))
	require.Equal(t, []string{"autoscaling-server", "gpus", "serving-server"}, sorted(models))
	uids := map[string]bool{}
	for name, model := range models {
		t.Run(name, func(t *testing.T) {
			require.NotNil(t, model.Uid)
			assert.Regexp(t, `^[a-zA-Z0-9_-]{8,40}$`, *model.Uid)
			assert.False(t, uids[*model.Uid], "uid %s twice", *model.Uid)
			uids[*model.Uid] = true
			assert.NotEmpty(t, *model.Title)
			assert.NotEmpty(t, *model.Description)
			assert.Contains(t, model.Tags, Tag)
			assert.Nil(t, model.Id, "Grafana gives the number")
			require.NotEmpty(t, model.Templating.List)
			source := model.Templating.List[0]
			assert.Equal(t, dashboard.VariableTypeDatasource, source.Type)
			assert.Equal(t, datasourceVariable, source.Name)
			for _, v := range model.Templating.List[1:] {
				require.NotNil(t, v.Datasource, v.Name)
				assert.Equal(t, "${datasource}", *v.Datasource.Uid)
			}
		})
	}
}

func TestPanels(t *testing.T) {
	for name, model := range all(t, settings(t)) {
		t.Run(name, func(t *testing.T) {
			ids, titles := map[uint32]bool{}, map[string]bool{}
			for _, p := range model.Panels {
				if p.RowPanel != nil {
					assert.False(t, ids[p.RowPanel.Id], "id %d twice", p.RowPanel.Id)
					ids[p.RowPanel.Id] = true
				}
			}
			for _, p := range panels(model) {
				require.NotNil(t, p.Title)
				assert.False(t, titles[*p.Title], "title %q twice", *p.Title)
				titles[*p.Title] = true
				assert.False(t, ids[*p.Id], "id %d twice", *p.Id)
				ids[*p.Id] = true
				require.NotNil(t, p.Description, *p.Title)
				assert.Regexp(t, `\.$`, *p.Description, *p.Title)
				require.NotNil(t, p.FieldConfig, *p.Title)
				require.NotNil(t, p.FieldConfig.Defaults.Unit, *p.Title)
				assert.NotEmpty(t, *p.FieldConfig.Defaults.Unit, *p.Title)
				require.NotNil(t, p.Datasource, *p.Title)
				assert.Equal(t, "${datasource}", *p.Datasource.Uid)
				assert.Contains(t, []string{"timeseries", "stat"}, p.Type)
				require.NotEmpty(t, p.Targets, *p.Title)
				refs := map[string]bool{}
				for _, target := range p.Targets {
					q, ok := target.(*prometheus.Dataquery)
					require.True(t, ok, "%s: %T", *p.Title, target)
					require.NotNil(t, q.RefId, *p.Title)
					assert.False(t, refs[*q.RefId], "%s: refId %s twice", *p.Title, *q.RefId)
					refs[*q.RefId] = true
					assert.NotEmpty(t, *q.LegendFormat, *p.Title)
				}
			}
		})
	}
}

// Nothing lies on anything else, and nothing sticks out of the 24 columns.
func TestLayout(t *testing.T) {
	for name, model := range all(t, settings(t)) {
		t.Run(name, func(t *testing.T) {
			taken := map[[2]uint32]string{}
			place := func(what string, at *dashboard.GridPos) {
				require.NotNil(t, at, what)
				require.LessOrEqual(t, at.X+at.W, uint32(24), what)
				require.NotZero(t, at.W*at.H, what)
				for x := at.X; x < at.X+at.W; x++ {
					for y := at.Y; y < at.Y+at.H; y++ {
						require.Empty(t, taken[[2]uint32{x, y}], "%q covers column %d, line %d", what, x, y)
						taken[[2]uint32{x, y}] = what
					}
				}
			}
			for _, p := range model.Panels {
				if p.RowPanel != nil {
					place(*p.RowPanel.Title, p.RowPanel.GridPos)
				} else {
					place(*p.Panel.Title, p.Panel.GridPos)
				}
			}
		})
	}
}

// Every signal stands beside its target, and a changed target changes no dashboard.
func TestSignals(t *testing.T) {
	s := settings(t)
	first, err := All(s)
	require.NoError(t, err)
	for _, signal := range s.Signals {
		found := false
		for _, p := range panels(all(t, s)["autoscaling-server"]) {
			if text := expressions(p); strings.Contains(text, signal.Series+"{") &&
				strings.Contains(text, telemetry.SeriesHPATarget+"{") && strings.Contains(text, `metric_name="`+signal.Name+`"`) {
				found = true
			}
		}
		assert.True(t, found, "no panel has %s beside its target", signal.Name)
	}
	for i := range s.Signals {
		s.Signals[i].Target *= 2
	}
	second, err := All(s)
	require.NoError(t, err)
	assert.Equal(t, first, second, "targets are the autoscaler's own")

	s.Signals = s.Signals[1:2]
	for _, p := range panels(all(t, s)["autoscaling-server"]) {
		assert.NotContains(t, expressions(p), signals.MetricRequestsInFlight, "a signal that is off")
	}
}

func TestSimulatedGPUHasNothingButItsUtilisation(t *testing.T) {
	s := settings(t)
	s.SimulatedGPU = true
	for _, p := range panels(all(t, s)["gpus"]) {
		assert.NotContains(t, expressions(p), "DCGM_FI_", *p.Title)
	}
}

// Without kube-state-metrics no start is recorded, and no panel of them is empty.
func TestStartsNeedStateMetrics(t *testing.T) {
	shown := func(s telemetry.Settings) int {
		count := 0
		for _, p := range panels(all(t, s)["autoscaling-server"]) {
			count += strings.Count(expressions(p), telemetry.SeriesReplicaStart+"{")
		}
		return count
	}
	s := settings(t)
	assert.GreaterOrEqual(t, shown(s), len(telemetry.Phases())+1, "each phase, and all of them together")
	s.NoStateMetrics = true
	assert.Zero(t, shown(s))
}

// The names of this stack reach every query, and no other's do.
func TestNamesComeFromTheSettings(t *testing.T) {
	built, err := All(settings(t))
	require.NoError(t, err)
	for _, d := range built {
		for _, m := range regexp.MustCompile(`(namespace|horizontalpodautoscaler|deployment)=\\"([^\\]*)\\"`).FindAllStringSubmatch(string(d.JSON), -1) {
			assert.Contains(t, []string{"serving", "watching", "scaler", "server"}, m[2], "%s in %s", m[0], d.Name)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, change := range map[string]func(*telemetry.Settings){
		"ServingNamespace":    func(s *telemetry.Settings) { s.ServingNamespace = "" },
		"MonitoringNamespace": func(s *telemetry.Settings) { s.MonitoringNamespace = "A b" },
		"Deployment":          func(s *telemetry.Settings) { s.Deployment = "" },
		"MetricsAPI":          func(s *telemetry.Settings) { s.MetricsAPI = "" },
		"Autoscaler":          func(s *telemetry.Settings) { s.Autoscaler = "" },
		"GPUJob":              func(s *telemetry.Settings) { s.GPUJob = "" },
		"no signal":           func(s *telemetry.Settings) { s.Signals = nil },
		"SignalInterval":      func(s *telemetry.Settings) { s.SignalInterval = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(t)
			change(&s)
			_, err := All(s)
			require.ErrorContains(t, err, name)
		})
	}
}

func expressions(p dashboard.Panel) string {
	var text []string
	for _, target := range p.Targets {
		if q, ok := target.(*prometheus.Dataquery); ok {
			text = append(text, q.Expr)
		}
	}
	return strings.Join(text, "\n")
}

func sorted(models map[string]dashboard.Dashboard) []string {
	var names []string
	for name := range models {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestJSONIsStable(t *testing.T) {
	first, err := All(settings(t))
	require.NoError(t, err)
	second, err := All(settings(t))
	require.NoError(t, err)
	require.Equal(t, first, second, "a preview without a change shows none")
	for _, d := range first {
		assert.True(t, json.Valid(d.JSON))
		assert.Less(t, len(d.JSON), 256<<10, "a ConfigMap holds 1 MiB, its annotations 256 KiB")
	}
}

// TestSpareNodesHaveAPanel checks that a stack without spare nodes has no panel of them.
func TestSpareNodesHaveAPanel(t *testing.T) {
	for name, queries := range map[string][]string{
		"": nil,
		"server-spare": {`max(kube_deployment_status_replicas{namespace="serving",deployment="server-spare"})`,
			`max(kube_deployment_status_replicas_ready{namespace="serving",deployment="server-spare"})`},
	} {
		s := settings(t)
		s.SpareNodes = name
		var found []string
		for _, p := range podsAndNodes(s) {
			for _, q := range p.queries {
				if p.title == "Spare nodes" {
					found = append(found, q.expr)
				}
			}
		}
		assert.Equal(t, queries, found)
	}
}
