package podruntime

import (
	"fmt"
	"slices"
	"strings"
)

// flagKind is the form of a flag's value.
type flagKind int

const (
	takesValue flagKind = iota // --flag value or --flag=value
	isSwitch                   // --flag, or --flag=true
	takesList                  // --flag a b c
)

// flagArg is one flag of a command line with its values. A switch has none or one.
type flagArg struct {
	name   string
	values []string
	// joined reports whether the value was given as --flag=value.
	joined bool
}

// parseFlags splits a command line by a table of known flags. It also returns the other arguments. An unknown flag is an
// error.
func parseFlags(args []string, known map[string]flagKind) (flags []flagArg, positional []string, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			positional = append(positional, arg)
			continue
		}
		name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		// vLLM accepts both spellings.
		name = strings.ReplaceAll(name, "_", "-")
		kind, ok := known[name]
		if !ok {
			return nil, nil, fmt.Errorf("flag %q is not known", "--"+name)
		}
		flag := flagArg{name: name, joined: joined}
		switch {
		case joined:
			flag.values = []string{value}
		case kind == takesValue:
			// The next argument is always the value, because a value can begin with a dash (a negative number).
			if i+1 >= len(args) {
				return nil, nil, fmt.Errorf("flag %q needs a value", "--"+name)
			}
			i++
			flag.values = []string{args[i]}
		case kind == takesList:
			for i+1 < len(args) && !strings.HasPrefix(args[i+1], "--") {
				i++
				flag.values = append(flag.values, args[i])
			}
		}
		flags = append(flags, flag)
	}
	return flags, positional, nil
}

// words returns the flag as arguments of a command line.
func (f flagArg) words() []string {
	if f.joined {
		return []string{"--" + f.name + "=" + f.values[0]}
	}
	return append([]string{"--" + f.name}, f.values...)
}

// splitArg returns the name and value of an argument of the form --name=value or -name=value; ok is false for any other.
func splitArg(arg string) (name, value string, ok bool) {
	if !strings.HasPrefix(arg, "-") {
		return "", "", false
	}
	name, value, _ = strings.Cut(strings.TrimLeft(arg, "-"), "=")
	return name, value, name != ""
}

// withoutFlags returns args without those flags. The argument after a flag without "=" is removed as well, unless it is a
// flag itself or the flag is one of switches.
func withoutFlags(args []string, drop func(name string) bool, switches ...string) []string {
	var kept []string
	for i := 0; i < len(args); i++ {
		name, _, ok := splitArg(args[i])
		if !ok || !drop(name) {
			kept = append(kept, args[i])
			continue
		}
		if !strings.Contains(args[i], "=") && !slices.Contains(switches, name) && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
		}
	}
	return kept
}

// flagValue returns the value of a flag given as --name=value or --name value, or the fallback.
func flagValue(args []string, flag, fallback string) string {
	for i, arg := range args {
		name, value, ok := splitArg(arg)
		if !ok || name != flag {
			continue
		}
		if strings.Contains(arg, "=") {
			return value
		}
		if i+1 < len(args) {
			return args[i+1]
		}
	}
	return fallback
}
