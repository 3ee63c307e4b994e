package dashboards

import (
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"vllm-autoscaling/components/telemetry"
)

// Tag is on every dashboard, so that they are found together; each links to the others by it.
const Tag = "vllm-autoscaling"

// Dashboard is one dashboard, ready for Grafana.
type Dashboard struct {
	// Name is the file's name without ".json", and with a prefix the ConfigMap's.
	Name string
	// Title is what Grafana shows.
	Title string
	// JSON is Grafana's dashboard model.
	JSON []byte
}

// All builds the dashboards: serving, autoscaling and GPUs.
func All(s telemetry.Settings) ([]Dashboard, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("dashboards: %w", err)
	}
	var all []Dashboard
	for _, make := range []func(telemetry.Settings) page{serving, autoscaling, gpus} {
		p := make(s)
		built, err := p.build()
		if err != nil {
			return nil, fmt.Errorf("dashboard %q: %w", p.title, err)
		}
		all = append(all, built)
	}
	return all, nil
}

// build turns a page into Grafana's model.
func (p page) build() (Dashboard, error) {
	b := dashboard.NewDashboardBuilder(p.title).
		// Fixed, so that links and bookmarks outlive the stack; 40 characters at most.
		Uid(Tag+"-"+p.name).
		Description(p.description).
		Tags([]string{Tag}).
		Timezone("browser").
		Time("now-1h", "now").
		Refresh("10s").
		// A change in Grafana would be lost with the next one here.
		Readonly().
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("vLLM").Type(dashboard.DashboardLinkTypeDashboards).
			Tags([]string{Tag}).AsDropdown(true).KeepTime(true).IncludeVars(false)).
		WithVariable(dashboard.NewDatasourceVariableBuilder(datasourceVariable).Label("Data source").Type("prometheus"))
	for _, v := range p.variables {
		b.WithVariable(v.builder())
	}
	if p.annotation != nil {
		b.Annotation(p.annotation.builder())
	}
	id := uint32(1)
	for _, row := range p.rows {
		b.WithRow(dashboard.NewRowBuilder(row.title).Id(id))
		id++
		for _, panel := range row.panels {
			b.WithPanel(panel.builder(id))
			id++
		}
	}
	model, err := b.Build()
	if err != nil {
		return Dashboard{}, err
	}
	text, err := json.MarshalIndent(model, "", "  ")
	if err != nil {
		return Dashboard{}, err
	}
	return Dashboard{Name: p.name, Title: p.title, JSON: text}, nil
}
