// Package config is the configuration of a stack: its keys, their rules, and what follows from them.
//
// # Keys
//
// A key is a field of Config or of a struct below it. `make config-docs` generates docs/configuration.md, the JSON Schema of
// the stack files and the descriptions in Pulumi.yaml from these fields. The comment of a field describes its key, in one or
// two sentences in terms of keys and not of fields. Its tags are
//
//	key       the key in Pulumi.<stack>.yaml, below the project's namespace
//	clouds    the clouds on which it has a meaning; elsewhere it is refused (scope.go). Default: all
//	when      create or attach: only for a cluster that the stack creates, or that was there before
//	unit      what a number counts
//	min, max  bounds, inclusive; above, below: exclusive. Bounds that depend on other keys are left out
//	step      what a duration is a multiple of. Default: 1s
//	values    all allowed values, separated by spaces
//	pattern   a regular expression that every allowed value matches
//	allowed   the pattern in words
//	format    a rule of formats.go, in place of a pattern
//	hint      what to do about a value that is not allowed. Default: the default or the example
//	default   the default, as value or as cloud=value for some clouds
//	unset     what happens without a value, where there is no default
//	example   an allowed value other than the default
//
// # Reading
//
// Load takes the Source of the running stack and Read turns it into a Config, in three steps. The decoder (decode.go) converts
// each value strictly and enforces the tags of its field (tags.go), which are the rules on single values. Then every key that
// was not given gets its default: that of its tag or one that depends on other keys (defaults.go); the defaults of the objects
// nodePools, gke, eks and aks are left to the provider packages. Last, the rules between keys are checked (rules*.go): a key
// without any needs no code here but its field.
//
// Everything that is wrong is one *ConfigError of Problems, each with key, value, what is allowed and a fix. A value that the
// decoder refused is one problem: its field has the default, and other rules neither judge it nor blame it on other keys. What
// is valid and probably not meant is a Warning (warnings.go).
//
// # Proposals
//
// The fixes of some problems name changes: a larger machine type, a shorter context. Each of them was tried by reading the
// changed source once more (proposals.go), so that a proposal keeps every rule there is.
package config
