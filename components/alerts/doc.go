// Package alerts generates the alerts of a stack and the recording rules that they need, as the operator's
// own types. It has no Pulumi in it. Every alert has a section in docs/runbooks.md.
package alerts
