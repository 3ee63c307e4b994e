package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// report collects the problems and warnings of one reading.
type report struct {
	source   Source
	given    keySet
	problems []Problem
	warnings []Warning
	// before holds the keys of the problems of the unchanged source; nil until a change was tried.
	before map[string]bool
	// tried holds the proposed fixes of problems by key.
	tried map[string][]way
}

// full returns a key with the project's namespace.
func (r *report) full(key string) string { return r.source.Project + ":" + key }

// add adds a problem, unless the decoder refused the value of its key: its field then has the default, so that no other rule
// can check the value.
func (r *report) add(p Problem) {
	key, _, _ := strings.Cut(strings.TrimPrefix(p.Key, r.source.Project+":"), "[")
	if !r.given.refused(key) {
		r.problems = append(r.problems, p)
	}
}

// anyRefused reports whether the decoder refused the value of any of the keys, so that a rule that needs them cannot be
// checked.
func (r *report) anyRefused(keys ...string) bool { return slices.ContainsFunc(keys, r.given.refused) }

// bad adds a problem; value is shown unless its top-level key holds a secret.
func (r *report) bad(key string, value any, allowed, fix string) {
	r.add(Problem{Key: r.full(key), Value: r.shown(key, value), Allowed: allowed, Fix: fix})
}

// badWith adds a problem with fixes that were tried.
func (r *report) badWith(key string, value any, allowed string, ways []way) {
	r.bad(key, value, allowed, inWords(ways))
	if r.tried == nil {
		r.tried = map[string][]way{}
	}
	r.tried[r.full(key)] = append(r.tried[r.full(key)], ways...)
}

// has reports whether a key already has a problem.
func (r *report) has(key string) bool {
	return slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Key == r.full(key) })
}

// warn adds a warning.
func (r *report) warn(key string, value any, why, fix string) {
	shown := r.shown(key, value)
	r.warnings = append(r.warnings, Warning{
		Key: r.full(key), Value: withoutTokens(choose(shown == `""`, "", shown)), Why: withoutTokens(why), Fix: fix,
	})
}

// shown returns a value in the form in which a message may print it.
func (r *report) shown(key string, value any) string {
	top, _, _ := strings.Cut(r.full(key), ".")
	if r.source.isSecret(top) {
		return "[secret]"
	}
	if text, ok := value.(string); ok {
		return strconv.Quote(text)
	}
	return fmt.Sprintf("%v", value)
}

// set returns the command that sets a key.
func (r *report) set(key, value string) string {
	return fmt.Sprintf("pulumi config set --path '%s' %s", r.full(key), value)
}
