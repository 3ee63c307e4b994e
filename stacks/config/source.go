package config

import (
	"cmp"
	"encoding/json"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Source is the input that a stack's configuration is read from.
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
	// trial marks a source that is read only to check whether a change fixes a problem.
	trial bool
	// server is the name of the server that the source is of, in a stack of several; "" in any other.
	server string
	// neighbours are the configurations of the other servers that use the same GPU pool; ownPool is true where the server has one of
	// its own.
	neighbours []*Config
	ownPool    bool
}

// Load reads the configuration of the running stack. Its error is a *Error and lists
// everything that is wrong.
func Load(ctx *pulumi.Context) (*Config, error) {
	return Read(sourceOf(ctx))
}

// Read returns the configuration of a source: it decodes the values, sets the defaults and checks the rules between keys.
// Its error is a *Error and lists everything that is wrong.
func Read(source Source) (*Config, error) {
	c, r := readAll(source)
	if len(r.problems) > 0 {
		return nil, newError(source, r.problems)
	}
	return c, nil
}

// readAll is like Read but returns the report.
func readAll(source Source) (*Config, *report) {
	c, r := decode(source)
	switch {
	case len(c.Servers) > 0:
		c.readServers(r)
	case !r.given.refused("servers"):
		c.check(r)
	}
	return c, r
}

// decode returns the configuration of a source with its defaults, before the rules between keys are checked.
func decode(source Source) (*Config, *report) {
	c := &Config{
		Project: source.Project, Stack: source.Stack, CloudKeys: newCloudKeys(),
		Server: cmp.Or(source.server, DefaultServer), named: source.server != "", neighbours: source.neighbours, ownPool: source.ownPool,
	}
	given, problems := parse(source, c)
	c.applyDefaults(given)
	return c, &report{source: source, given: given, problems: problems}
}

// sourceOf returns the configuration of a Pulumi context. The SDK looks up single keys but does not list them, so the list,
// which is needed to report misspelt keys, comes from the environment variable in which the language host passes the whole
// configuration. If it is not set, as with inline programs, known keys still work and unknown ones are not reported.
func sourceOf(ctx *pulumi.Context) Source {
	source := Source{Project: ctx.Project(), Stack: ctx.Stack(), Values: map[string]string{}, Secret: ctx.IsConfigSecret}
	if all := os.Getenv(pulumi.EnvConfig); all != "" {
		// An unreadable variable is an error of the host; the SDK still provides the known keys.
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

// Trial returns the source for readings whose error only matters as such: it has no proposals, which take most of the time of a
// reading that fails.
func (s Source) Trial() Source {
	s.trial = true
	return s
}

// isSecret reports whether a full key holds a secret.
func (s Source) isSecret(full string) bool { return s.Secret != nil && s.Secret(full) }
