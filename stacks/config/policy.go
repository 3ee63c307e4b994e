package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// PolicyRules lists the names of the rules that a preview is checked against, in the order of docs/policy.md. The checks
// themselves are not part of the program.
var PolicyRules = []string{
	"no-public-nodes", "api-server-not-open", "disks-encrypted", "no-privileged-containers", "versions-pinned", "limits-set",
	"deletion-protection", "spend-ceiling",
}

// checkPolicy refuses policy settings that the checks of a preview cannot use. Otherwise they would fail late or have no
// effect.
func checkPolicy(r *report, p Policy) {
	for _, exception := range slices.Sorted(maps.Keys(p.Exceptions)) {
		key := fmt.Sprintf("policy.exceptions[%q]", exception)
		rule, resource, _ := strings.Cut(exception, "/")
		if !slices.Contains(PolicyRules, rule) || resource == "" {
			r.bad(key, "", "rule/resource, where the rule is "+oneOf(PolicyRules), "name the resource as the preview does, or *")
		}
		if strings.TrimSpace(p.Exceptions[exception]) == "" {
			r.bad(key, "", "the reason why it is allowed", "write it down: it is shown with every preview")
		}
	}
	for _, machineType := range slices.Sorted(maps.Keys(p.Prices)) {
		price, ok := number(p.Prices[machineType])
		if !ok || price < 0 {
			r.bad(fmt.Sprintf("policy.prices[%q]", machineType), p.Prices[machineType], "US dollars per hour, 0 or more", "write a number such as 0.85")
		}
	}
}

// number converts a number as decoded from YAML or stored by `pulumi config set --path`; it returns false for anything else.
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
