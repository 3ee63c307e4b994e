// Package config is the configuration of a stack: its keys, their rules, and what follows from them.
//
// # Keys
//
// A key is a field of Config or of a struct below it. `make config-docs` generates docs/configuration.md, the JSON Schema of
// the stack files and the descriptions in Pulumi.yaml from these fields. The comment of a field describes its key, in one or
// two sentences in terms of keys and not of fields. Its tags are
//
//	key       the key in Pulumi.<stack>.yaml, below the project's namespace
//	clouds    the clouds on which it has an effect; elsewhere it is refused (scope.go). Default: all
//	when      create or attach: only for a cluster that the stack creates, or only for an existing one
//	unit      the unit of a number
//	min, max  bounds, inclusive; above, below: exclusive. Bounds that depend on other keys are left out
//	step      the unit that a duration is a multiple of. Default: 1s
//	values    all allowed values, separated by spaces
//	pattern   a regular expression that every allowed value matches
//	allowed   the pattern in words
//	format    a rule of formats.go, in place of a pattern
//	hint      the fix for a value that is not allowed. Default: the default or the example
//	default   the default, as value or as cloud=value for some clouds
//	unset     what happens without a value if there is no default
//	example   an allowed value other than the default
//
// A word with a dollar sign in a tag is expanded from the table of clouds (fields.go). The keys that only one cloud has are
// the fields of struct Keys in that cloud's package.
//
// # Reading
//
// Load reads the configuration of the running stack, and Read that of a Source, in three steps. The decoder (decode.go)
// strictly converts each value and enforces the tags of its field (tags.go), which are the rules on single values. Then every
// key that was not given is set to its default: that of its tag or one that depends on other keys (defaults.go). The provider
// packages set the defaults of nodePools and of the cloud-specific objects. Last, the rules between keys are checked
// (rules*.go). A key without such rules needs no code but its field. A key of an earlier version that has another name now, or
// whose values have no place any more (moved.go), is refused like an unknown one, with its new name or the reason.
//
// All problems are reported in one *Error; each Problem has a key, a value, the allowed values and a fix. A value that
// the decoder refused is one problem: its field has the default, and other rules do not report it again. A valid setting that
// is probably not intended is a Warning (warnings.go).
//
// # Proposals
//
// The fixes of some problems propose changes, such as a larger machine type or a shorter context. Each change is tried by
// reading the changed source again (proposals.go), so that a proposal satisfies every rule.
package config
