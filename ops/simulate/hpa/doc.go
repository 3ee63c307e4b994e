// Package hpa decides as the HorizontalPodAutoscaler controller of Kubernetes 1.34 does, without a cluster and without a
// clock: given a time, the scale, the pods and what the metrics APIs answered, Controller.Decide returns the replicas
// that the controller would write.
//
// A decision has three steps, each in a file of its own:
//
//   - proposals.go: each metric proposes a number of replicas; the highest proposal wins, and a metric that failed keeps
//     the others from removing replicas.
//   - stabilization.go: proposals of the stabilization windows are taken into account.
//   - rates.go: the policies limit how fast replicas are added and removed, then the minimum and maximum apply.
//
// Metrics of the types Pods, Object and External are supported. The package exists because a simulation of days asks for
// thousands of decisions in a second, which the real controller with its informers and queues cannot give; a differential
// test in tests/hpacontroller runs both on random scenarios.
package hpa
