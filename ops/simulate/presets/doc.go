// Package presets holds the scaling policies that other projects publish, each as data with its source, so that a simulation
// compares them with a configuration on the same hardware and load.
//
// A policy is what a project's manifests and code say when nothing is changed: the metrics with their targets, how fast replicas
// are added and removed, and the number of sequences of a server where the manifests set it. The hardware, the limits of the
// replicas, the nodes and the routing are those of the configuration. What the simulation leaves out is in Preset.Note.
//
// Policies of KEDA are autoscalers with metrics of type External and an average value. The autoscaler reads the value of a query
// through KEDA in each of its own rounds. KEDA's pollingInterval and cooldownPeriod apply to the steps from no replica to one and
// back only, which are not simulated.
package presets
