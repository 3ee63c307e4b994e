// Package preflight checks what a planned update needs of a cloud's account before the minutes that a cluster takes: enabled
// APIs, quotas, machine types, versions, and names that have to exist or to be free. It reads the plan of `pulumi preview`
// and runs read-only commands of the cloud's CLI.
package preflight
