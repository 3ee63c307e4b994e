// Package promql tests the program's PromQL with Prometheus' own code: its parser, its reader of rule files, its rule manager
// and its engine. The rules and queries under test are the generated ones, never copies.
package promql
