// Package plan reads the output of `pulumi preview --json`: the steps of an update, and the resources after it.
package plan
