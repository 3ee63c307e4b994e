package config

import (
	"encoding/json"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Source is what a stack's configuration is read from.
type Source struct {
	// Project is the namespace of the program's keys.
	Project string
	// Stack is the stack's name.
	Stack string
	// Values are all configuration values by full key, such as "vllm-autoscaling:cloud". Objects
	// are JSON.
	Values map[string]string
	// Secret reports whether a full key holds a secret.
	Secret func(key string) bool
	// trial marks a source that is only tried, to see whether a change makes a problem go away.
	trial bool
}

// Load reads the configuration of the running stack. Its error is a *ConfigError and lists
// everything that is wrong.
func Load(ctx *pulumi.Context) (*Config, error) {
	return Read(sourceOf(ctx))
}

// Read turns a source into a configuration: it decodes the values, fills in the defaults and checks the rules between keys.
// Its error is a *ConfigError and lists everything that is wrong.
func Read(source Source) (*Config, error) {
	c, r := readAll(source)
	if len(r.problems) > 0 {
		return nil, newConfigError(source, r.problems)
	}
	return c, nil
}

// readAll is Read with the report of what was found.
func readAll(source Source) (*Config, *report) {
	c := &Config{Project: source.Project, Stack: source.Stack}
	given, problems := parse(source, c)
	c.applyDefaults(given)
	r := &report{source: source, given: given, problems: problems}
	c.check(r)
	return c, r
}

// sourceOf collects the configuration of a Pulumi context. The SDK looks single keys up but does
// not list them, so a misspelt key could not be noticed; the list comes from the variable that the
// language host hands the whole configuration over with. Where that is not set, as with inline
// programs, known keys still work and unknown ones pass unnoticed.
func sourceOf(ctx *pulumi.Context) Source {
	source := Source{Project: ctx.Project(), Stack: ctx.Stack(), Values: map[string]string{}, Secret: ctx.IsConfigSecret}
	if all := os.Getenv(pulumi.EnvConfig); all != "" {
		// An unreadable variable is the host's mistake; the keys that the SDK knows still count.
		_ = json.Unmarshal([]byte(all), &source.Values)
	}
	for _, name := range topLevelKeys() {
		key := source.Project + ":" + name
		if value, ok := ctx.GetConfig(key); ok {
			source.Values[key] = value
		}
	}
	return source
}

// isSecret reports whether a full key holds a secret.
func (s Source) isSecret(full string) bool { return s.Secret != nil && s.Secret(full) }
