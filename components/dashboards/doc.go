// Package dashboards builds the Grafana dashboards of a stack from its signals and from what package telemetry
// describes. It has no Pulumi in it.
package dashboards
