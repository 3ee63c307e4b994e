// Package telemetry describes what can be observed of a running stack: the series, the objects that they
// are about, and the selectors that dashboards and alerts share. It has no Pulumi and no chart in it.
package telemetry
