// Package cloud simulates the parts of Google Cloud, AWS and Azure that the stacks use, on the lab's control plane.
//
// A simulated cluster is the lab's API server behind an address of its own. A node pool is a set of simulated nodes with
// the labels, taints and GPUs that the cloud gives them, and the cloud's node autoscaler adds and removes them.
//
// The Pulumi engine reaches the clouds through simulated providers (see Provider), kubectl and the client libraries
// through simulated authentication programs. Both are thin clients, command lab-cloud: the state is kept in the lab's
// process, because a cloud completes an operation also when the program that requested it is killed.
//
// Each cloud is a row of the table in double.go, with one file for each of its services.
package cloud
