// Package rollout follows the rollout of a Deployment whose pods take minutes to become ready: it finds out from the objects
// in the cluster what a pod waits for, and waits until the rollout is complete.
package rollout
