package dashboards

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
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

// All builds the dashboards: serving and autoscaling of each server, and one of all GPUs.
func All(servers ...telemetry.Settings) ([]Dashboard, error) {
	var pages []page
	for _, s := range servers {
		if err := s.Validate(); err != nil {
			return nil, fmt.Errorf("dashboards: %w", err)
		}
		pages = append(pages, ofServer(serving(s), s), ofServer(autoscaling(s), s))
	}
	if len(servers) == 0 {
		return nil, errors.New("dashboards: no server to show")
	}
	stack := servers[0]
	stack.Others = nil
	var all []Dashboard
	for _, p := range append(pages, gpus(stack)) {
		built, err := p.build()
		if err != nil {
			return nil, fmt.Errorf("dashboard %q: %w", p.title, err)
		}
		all = append(all, built)
	}
	return all, nil
}

// ofServer returns a page under the name of its server, which no other server changes. The title names the server where the stack has
// others.
func ofServer(p page, s telemetry.Settings) page {
	p.name = telemetry.ServerResource(p.name, s.Deployment)
	if len(s.Others) > 0 {
		p.title += " of " + s.Deployment
	}
	return p
}

// maxUID is the longest identifier of a dashboard that Grafana stores.
const maxUID = 40

// uid returns the identifier of a page: fixed, so that links and bookmarks outlive the stack.
func (p page) uid() string {
	id := Tag + "-" + p.name
	if len(id) <= maxUID {
		return id
	}
	hash := fmt.Sprintf("-%x", sha256.Sum256([]byte(id)))[:9]
	return id[:maxUID-len(hash)] + hash
}

// build turns a page into Grafana's model.
func (p page) build() (Dashboard, error) {
	b := dashboard.NewDashboardBuilder(p.title).
		Uid(p.uid()).
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
