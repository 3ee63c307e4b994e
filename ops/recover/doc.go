// Package recover mends a stack after a command on it was killed: the lock and the pending operations that are left in the
// state, what of them exists in the cluster or the cloud, and revisions of Helm releases that stay pending.
//
// Look finds and changes nothing, Apply does what a plan lists. The state is edited as generic JSON, so that fields which this
// package does not use survive.
package recover
