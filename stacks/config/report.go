package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// report collects problems and warnings under keys of one project.
type report struct {
	source   Source
	problems []Problem
	warnings []Warning
	// before are the keys of everything that is wrong as it is; nil until something was tried.
	before map[string]bool
}

// bad adds a problem; value is shown unless its top-level key holds a secret.
func (r *report) bad(key string, value any, allowed, fix string) {
	r.problems = append(r.problems, Problem{Key: r.source.Project + ":" + key, Value: r.shown(key, value), Allowed: allowed, Fix: fix})
}

// badWith adds a problem whose fixes were tried.
func (r *report) badWith(key string, value any, allowed string, ways []way) {
	r.bad(key, value, allowed, inWords(ways))
	r.problems[len(r.problems)-1].ways = ways
}

// has says whether something is wrong with a key already.
func (r *report) has(key string) bool {
	return slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Key == r.source.Project+":"+key })
}

// warn adds a warning.
func (r *report) warn(key string, value any, why, fix string) {
	shown := r.shown(key, value)
	r.warnings = append(r.warnings, Warning{
		Key: r.source.Project + ":" + key, Value: withoutTokens(choose(shown == `""`, "", shown)), Why: withoutTokens(why), Fix: fix,
	})
}

// shown is a value as a message may print it.
func (r *report) shown(key string, value any) string {
	top, _, _ := strings.Cut(r.source.Project+":"+key, ".")
	if r.source.isSecret(top) {
		return "[secret]"
	}
	if text, ok := value.(string); ok {
		return strconv.Quote(text)
	}
	return fmt.Sprintf("%v", value)
}

// set is the command that sets a key.
func (r *report) set(key, value string) string {
	return fmt.Sprintf("pulumi config set --path '%s:%s' %s", r.source.Project, key, value)
}
