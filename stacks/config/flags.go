package config

import (
	"fmt"
	"strings"

	"vllm-autoscaling/components"
)

// checkExtraArgs refuses flags that the program sets itself, and a second model.
func checkExtraArgs(r *report, args []string) {
	for i, arg := range args {
		if i == 0 && !strings.HasPrefix(arg, "-") {
			r.bad("model.extraArgs[0]", arg, "a flag first: an argument without one is a second model to the server", "put the flag before its value, or set model.id")
		}
		flag, owned := components.FindServerFlag(arg)
		if !owned || flag.Yields {
			continue
		}
		if flag.Secret {
			arg, _, _ = strings.Cut(arg, "=")
		}
		r.bad(fmt.Sprintf("model.extraArgs[%d]", i), arg, "flags that the program does not set itself",
			choose(flag.Key == "", "remove it", "set "+flag.Key+" instead"))
	}
}

// serverFlags returns the flags among the server's extra arguments with their values, in their long form with dashes.
func serverFlags(args []string) map[string]string {
	flags := map[string]string{}
	last := ""
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			if last != "" && flags[last] == "" {
				flags[last] = arg
			}
			continue
		}
		name, value, _ := strings.Cut(arg, "=")
		last = flagName(name)
		flags[last] = value
	}
	return flags
}

// flagName returns a flag in the spelling of vLLM's help; vLLM also accepts underscores in place of dashes.
func flagName(flag string) string { return strings.ReplaceAll(flag, "_", "-") }
