// Package policies compares the program's defaults with its defaults at commit 202218d, with the policies that other projects
// publish, the best constant number of replicas, the cheapest configuration that a search finds, and the oracle, on several models,
// machines and loads.
//
// A case is a Subject, a model on a machine, with a Load. The rates of the load are set so that the defaults of 202218d need a
// given mean number of replicas. The ratio of a candidate is that of its GPU-hours to those of 202218d in the same case.
package policies
