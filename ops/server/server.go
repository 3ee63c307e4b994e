package server

import (
	"fmt"
	"slices"
	"strings"
)

// Choose returns the index of the server that a command is for: the one with the given name or, where none is given, the only one.
// names are those of the stack's servers, at least one.
func Choose(names []string, given string) (int, error) {
	i := slices.Index(names, given)
	switch {
	case i >= 0:
		return i, nil
	case given != "":
		return 0, fmt.Errorf("the stack has no server %q: it has %s", given, strings.Join(names, ", "))
	case len(names) > 1:
		return 0, fmt.Errorf("the stack has several servers, %s: choose one, such as -server %s (with make: SERVER=%s)",
			strings.Join(names, ", "), names[0], names[0])
	}
	return 0, nil
}
