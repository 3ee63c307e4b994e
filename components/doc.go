// Package components registers what runs in the cluster: one file per component, none of which reads configuration
// or depends on the name of a cloud. Every component takes an Args struct, checks it before it registers anything,
// is the parent of its objects, and returns a struct with its outputs.
//
// Two interfaces separate how metrics get from the server to its number of replicas. A Collector collects the series
// of the server and its GPUs and records what the signals are calculated from; a Backend turns signals into replicas.
package components
