package stacks

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Key is the full key, such as "vllm-autoscaling:autoscaling.minReplicas".
	Key string
	// Value is what was found, as it may be shown; "" when there is none.
	Value string
	// Allowed says what would be right.
	Allowed string
	// Fix says what to do.
	Fix string
}

// ConfigError is everything that is wrong with the configuration of a stack, sorted by key.
type ConfigError struct {
	Stack    string
	Problems []Problem
}

func newConfigError(source Source, problems []Problem) *ConfigError {
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) })
	return &ConfigError{Stack: source.Stack, Problems: problems}
}

// Error lists the problems, one block each.
func (e *ConfigError) Error() string {
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
