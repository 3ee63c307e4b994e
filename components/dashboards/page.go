package dashboards

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// datasourceVariable is the variable that chooses among the data sources of type prometheus.
const datasourceVariable = "datasource"

// Units of Grafana.
const (
	unitNumber       = "short"
	unitPerSecond    = "reqps"
	unitTokens       = "suffix: tokens/s"
	unitSeconds      = "s"
	unitPercent      = "percent"
	unitRatio        = "percentunit"
	unitMebibytes    = "mbytes"
	unitWatts        = "watt"
	unitDegrees      = "celsius"
	unitStates       = "bool_yes_no"
	unitChangesRange = "none"
)

// The grid is 24 wide.
const (
	third, half, whole, sixth = 8, 12, 24, 4
	statHeight, graphHeight   = 4, 8
)

// page is a dashboard before it is written in Grafana's model.
type page struct {
	name, title, description string
	variables                []variable
	annotation               *annotation
	rows                     []row
}

type row struct {
	title  string
	panels []panel
}

// panel is a graph over time, or with single its last value.
type panel struct {
	title, description, unit string
	width                    uint32
	single                   bool
	stacked                  bool
	bars                     bool
	// high is the upper end of the axis, which begins at 0; 0 leaves it to Grafana.
	high    float64
	queries []query
}

type query struct{ expr, legend string }

// variable offers the values of a label of a series; All matches every value.
type variable struct{ name, label, series, of string }

// annotation marks the moments at which an expression is not empty.
type annotation struct{ name, expr string }

func datasource() common.DataSourceRef {
	kind, uid := "prometheus", "${"+datasourceVariable+"}"
	return common.DataSourceRef{Type: &kind, Uid: &uid}
}

func (v variable) builder() cog.Builder[dashboard.VariableModel] {
	text := fmt.Sprintf("label_values(%s, %s)", v.series, v.of)
	return dashboard.NewQueryVariableBuilder(v.name).Label(v.label).
		Query(dashboard.StringOrMap{String: &text}).Datasource(datasource()).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).IncludeAll(true).AllValue(".*")
}

func (a annotation) builder() cog.Builder[dashboard.AnnotationQuery] {
	return dashboard.NewAnnotationQueryBuilder().Name(a.name).Datasource(datasource()).Enable(true).
		IconColor("blue").Expr(a.expr)
}

func (p panel) builder(id uint32) cog.Builder[dashboard.Panel] {
	if p.single {
		return p.stat(id)
	}
	b := timeseries.NewPanelBuilder().Id(id).Title(p.title).Description(p.description).Unit(p.unit).
		Datasource(datasource()).Span(p.width).Height(graphHeight).
		LineWidth(1).FillOpacity(8).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti))
	if p.bars {
		b.DrawStyle(common.GraphDrawStyleBars).FillOpacity(60)
	}
	if p.stacked {
		b.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal)).FillOpacity(30)
	}
	b.Min(0)
	if p.high != 0 {
		b.Max(p.high)
	}
	for i, q := range p.queries {
		b.WithTarget(q.builder(i))
	}
	return b
}

func (p panel) stat(id uint32) cog.Builder[dashboard.Panel] {
	b := stat.NewPanelBuilder().Id(id).Title(p.title).Description(p.description).Unit(p.unit).
		Datasource(datasource()).Span(p.width).Height(statHeight).
		GraphMode(common.BigValueGraphModeArea).ColorMode(common.BigValueColorModeValue).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
	for i, q := range p.queries {
		b.WithTarget(q.builder(i))
	}
	return b
}

func (q query) builder(index int) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Datasource(datasource()).Expr(q.expr).LegendFormat(q.legend).
		RefId(string(rune('A' + index))).Range().EditorMode(prometheus.QueryEditorModeCode)
}
