// Package signals is the catalogue of what the deployment scales on. Catalogue lists every signal in one table: the
// series that it comes from, the recording rule that prepares it, how a metrics adapter serves it, its name in the
// custom metrics API, its default target and what its average can reach. The scrape, the recording rules, the
// adapter's configuration, the autoscaler, alerts, dashboards and the stack's outputs are derived from that table, so
// that no name is typed twice and a new signal is a new row.
//
// The package has no Pulumi and no configuration in it.
package signals
