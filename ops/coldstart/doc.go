// Package coldstart tells how long the phases of a replica's start took, from its pod's status and the server's log. That works with
// every metrics pipeline; where there is kube-state-metrics, the series telemetry.SeriesReplicaStart has the same phases.
package coldstart
