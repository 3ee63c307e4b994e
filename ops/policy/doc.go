// Package policy checks the rules for a stack before it is deployed: on the planned resources of a preview, offline,
// without a cloud.
package policy
