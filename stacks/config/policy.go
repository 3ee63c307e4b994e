package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// PolicyRules are the names of the rules that a preview is held against, in the order of docs/policy.md.
// The checks themselves are outside the program.
var PolicyRules = []string{
	"no-public-nodes", "api-server-not-open", "disks-encrypted", "no-privileged-containers", "versions-pinned", "limits-set",
	"deletion-protection", "spend-ceiling",
}

// validatePolicy refuses what the check could not use: it would be noticed at the next preview only, or
// never.
func (c *Config) validatePolicy(r *report) {
	if c.Policy.SpendCeiling < 0 {
		r.bad("policy.spendCeiling", c.Policy.SpendCeiling, "US dollars per hour, 0 or more", "remove the key for no ceiling")
	}
	for _, exception := range slices.Sorted(maps.Keys(c.Policy.Exceptions)) {
		key := fmt.Sprintf("policy.exceptions[%q]", exception)
		rule, resource, _ := strings.Cut(exception, "/")
		if !slices.Contains(PolicyRules, rule) || resource == "" {
			r.bad(key, "", "rule/resource, where the rule is "+oneOf(PolicyRules), "name the resource as the preview does, or *")
		}
		if strings.TrimSpace(c.Policy.Exceptions[exception]) == "" {
			r.bad(key, "", "the reason why it is allowed", "write it down: it is shown with every preview")
		}
	}
	for _, machineType := range slices.Sorted(maps.Keys(c.Policy.Prices)) {
		price, ok := number(c.Policy.Prices[machineType])
		if !ok || price < 0 {
			r.bad(fmt.Sprintf("policy.prices[%q]", machineType), c.Policy.Prices[machineType], "US dollars per hour, 0 or more", "write a number such as 0.85")
		}
	}
}

// number takes what YAML and `pulumi config set --path` make of a number.
func number(value any) (float64, bool) {
	switch value := value.(type) {
	case int:
		return float64(value), true
	case float64:
		return value, true
	case string:
		return asFloat(value)
	}
	return 0, false
}
