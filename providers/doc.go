// Package providers describes where the pipeline runs. Every cloud has a package of its own below this
// one, with a Cloud as its description; all of them return the same Cluster, so that nothing under components depends on a
// cloud's name.
package providers
