// Package charts contains small Helm charts that replace the published ones, which a closed network cannot download.
//
// The charts are written for this project. Each reads the same values as the chart that it replaces, as far as the program
// sets them, and creates objects with the same names, labels, ports and images. Their versions are those that the program
// pins. The operator's CRDs are not among the files: package chartrepository adds them from the operator's own module.
package charts
