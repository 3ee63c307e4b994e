// Package report collects the samples of a run under load and writes them as report.json, plot.png and a
// self-contained index.html.
package report
