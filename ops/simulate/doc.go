// Package simulate replays requests against a deployment that exists only in memory: replicas, the node autoscaler, the way
// of the metrics, and the autoscaler. It returns how many requests kept an objective and how many GPU-hours that cost.
//
// Time is virtual, in seconds since the beginning of the load. The parts:
//
//   - package replica: what a replica does with its requests, and how fast;
//   - package hpa: the decisions of the HorizontalPodAutoscaler controller;
//   - law.go: scaling laws that are not an autoscaler's;
//   - clients.go: a closed loop of users, in place of a load whose arrivals are known;
//   - pods.go and removal.go: pods from their creation to their end;
//   - nodes.go: nodes, the node autoscaler, and reclaims of spot nodes;
//   - metrics.go: what the controller reads of the replicas, and how old it is;
//   - result.go: what is counted.
//
// The same Settings, requests and seed give the same Result.
package simulate
