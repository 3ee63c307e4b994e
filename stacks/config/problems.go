package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"vllm-autoscaling/providers"
)

// Problem is one thing that is wrong with a configuration. In an Error its key is the full key, such as
// "vllm-autoscaling:autoscaling.minReplicas".
type Problem = providers.Problem

// Warning describes a setting of a valid configuration that is probably not intended.
type Warning struct {
	// Key is the full key.
	Key string
	// Value is the value found, in a form that may be shown; "" when there is none.
	Value string
	// Why is the consequence.
	Why string
	// Fix is the remedy.
	Fix string
}

// String returns the warning as Pulumi shows it.
func (w Warning) String() string {
	return fmt.Sprintf("%s%s: %s; %s", w.Key, choose(w.Value == "", "", " = "+w.Value), w.Why, w.Fix)
}

// Error is the error of an invalid configuration. It lists all problems of the stack.
type Error struct {
	// Stack is the stack's name.
	Stack string
	// Problems are sorted by key.
	Problems []Problem
}

// newError sorts the problems and removes credentials from them.
func newError(source Source, problems []Problem) *Error {
	for i := range problems {
		p := &problems[i]
		p.Key, p.Value, p.Allowed, p.Fix = withoutTokens(p.Key), withoutTokens(p.Value), withoutTokens(p.Allowed), withoutTokens(p.Fix)
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) })
	return &Error{Stack: source.Stack, Problems: problems}
}

// Error lists the problems, a block for each.
func (e *Error) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "the configuration of stack %q has %d problem%s; nothing was created or changed\n",
		e.Stack, len(e.Problems), choose(len(e.Problems) == 1, "", "s"))
	for _, p := range e.Problems {
		fmt.Fprintf(&text, "\n  %s", p.Key)
		if p.Value != "" {
			fmt.Fprintf(&text, " = %s", p.Value)
		}
		fmt.Fprintf(&text, "\n    allowed: %s\n    fix:     %s\n", p.Allowed, p.Fix)
	}
	return text.String()
}

// tokenForms matches credentials with a recognizable form.
var tokenForms = regexp.MustCompile(`hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{20,}|` +
	`\bAKIA[0-9A-Z]{16}\b|\bsk-[A-Za-z0-9_-]{20,}|pul-[0-9a-f]{40}|xox[abprs]-[A-Za-z0-9-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----`)

// withoutTokens replaces the credentials in a text.
func withoutTokens(text string) string { return tokenForms.ReplaceAllString(text, "[hidden]") }
