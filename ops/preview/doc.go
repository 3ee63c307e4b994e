// Package preview turns a recorded `pulumi preview --json` into a report for reviewers: first what is lost, then
// policy, cost and every change.
package preview
