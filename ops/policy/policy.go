package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vllm-autoscaling/ops/cost"
	"vllm-autoscaling/ops/preview/plan"
)

// Severity is the effect of a violation.
type Severity string

// The severities.
const (
	// Mandatory violations fail a preview with --fail-on policy.
	Mandatory Severity = "mandatory"
	// Advisory violations are only shown.
	Advisory Severity = "advisory"
)

// AnyResource in an exception matches every resource.
const AnyResource = "*"

// Rule is a requirement on planned resources.
type Rule struct {
	// ID names the rule in exceptions and messages.
	ID string
	// Severity of its violations, unless a violation has its own.
	Severity Severity
	// About is the requirement in one line.
	About string

	check func(*input) []Violation
}

// Violation is a resource that breaks a rule.
type Violation struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	// Resource is the resource's name in the program, Type its type.
	Resource string `json:"resource"`
	Type     string `json:"type"`
	// Property is the path of the violation; "" if the object is missing as a whole.
	Property string `json:"property,omitempty"`
	// Found is what is wrong, Fix what to do.
	Found string `json:"found"`
	Fix   string `json:"fix"`
	// Reason is that of the exception that allows the violation; "" without one.
	Reason string `json:"reason,omitempty"`
}

// Exception allows a resource to break a rule.
type Exception struct {
	// Rule is the ID of the rule.
	Rule string `json:"rule"`
	// Resource is the resource's name in the program, or AnyResource.
	Resource string `json:"resource"`
	// Reason is why it is allowed; it is shown with the violation.
	Reason string `json:"reason"`
}

// Settings are the policy settings of a stack.
type Settings struct {
	// Production enables the rules that apply to production only.
	Production bool
	// SpendCeiling is the maximum cost of all GPU nodes, in US dollars for one hour; 0 for no limit.
	SpendCeiling float64
	// Exceptions allow violations.
	Exceptions []Exception
	// Prices override the table of package prices.
	Prices cost.Overrides
}

// Result is the result of a check.
type Result struct {
	// Violations count, Allowed are those that an exception allows.
	Violations []Violation `json:"violations"`
	Allowed    []Violation `json:"allowed"`
	// Unused are exceptions that match no violation.
	Unused []Exception `json:"unused"`
	// Rules are the rules that were checked.
	Rules []string `json:"rules"`
}

// input is what a rule checks.
type input struct {
	resources []plan.Resource
	settings  Settings
	cost      cost.Estimate
}

// SettingsOf reads the keys production and policy of a stack's configuration, as they are in the preview.
func SettingsOf(p *plan.Plan) (Settings, error) {
	var s Settings
	switch value := p.Key("production"); value {
	case "", "false":
	case "true":
		s.Production = true
	default:
		return s, fmt.Errorf("%s:production is %q: must be true or false", p.Namespace(), value)
	}
	value := p.Key("policy")
	if value == "" {
		return s, nil
	}
	var policy struct {
		SpendCeiling json.Number            `json:"spendCeiling"`
		Exceptions   map[string]string      `json:"exceptions"`
		Prices       map[string]json.Number `json:"prices"`
	}
	if err := json.Unmarshal([]byte(value), &policy); err != nil {
		return s, fmt.Errorf("%s:policy: %w", p.Namespace(), err)
	}
	if policy.SpendCeiling != "" {
		ceiling, err := policy.SpendCeiling.Float64()
		if err != nil {
			return s, fmt.Errorf("%s:policy.spendCeiling: %w", p.Namespace(), err)
		}
		s.SpendCeiling = ceiling
	}
	for machineType, price := range policy.Prices {
		usd, err := price.Float64()
		if err != nil {
			return s, fmt.Errorf("%s:policy.prices.%s: %w", p.Namespace(), machineType, err)
		}
		if s.Prices == nil {
			s.Prices = cost.Overrides{}
		}
		s.Prices[machineType] = usd
	}
	for _, key := range slices.Sorted(maps.Keys(policy.Exceptions)) {
		rule, name, ok := strings.Cut(key, "/")
		reason := strings.TrimSpace(policy.Exceptions[key])
		switch {
		case !ok || name == "":
			return s, fmt.Errorf("%s:policy.exceptions: %q is not rule/resource, such as spend-ceiling/*", p.Namespace(), key)
		case !slices.ContainsFunc(Rules, func(r Rule) bool { return r.ID == rule }):
			return s, fmt.Errorf("%s:policy.exceptions: there is no rule %q; docs/policy.md lists them", p.Namespace(), rule)
		case reason == "":
			return s, fmt.Errorf("%s:policy.exceptions: %q has no reason; add why it is allowed", p.Namespace(), key)
		}
		s.Exceptions = append(s.Exceptions, Exception{Rule: rule, Resource: name, Reason: reason})
	}
	return s, nil
}

// Check checks resources against every rule.
func Check(resources []plan.Resource, settings Settings) Result {
	in := &input{resources: resources, settings: settings, cost: cost.Of(resources, settings.Prices)}
	result := Result{Violations: []Violation{}, Allowed: []Violation{}, Unused: []Exception{}}
	used := make([]bool, len(settings.Exceptions))
	for _, rule := range Rules {
		result.Rules = append(result.Rules, rule.ID)
		for _, v := range rule.check(in) {
			v.Rule = rule.ID
			if v.Severity == "" {
				v.Severity = rule.Severity
			}
			i := slices.IndexFunc(settings.Exceptions, func(e Exception) bool {
				return e.Rule == rule.ID && (e.Resource == AnyResource || e.Resource == v.Resource)
			})
			if i < 0 {
				result.Violations = append(result.Violations, v)
				continue
			}
			used[i], v.Reason = true, settings.Exceptions[i].Reason
			result.Allowed = append(result.Allowed, v)
		}
	}
	for i, e := range settings.Exceptions {
		if !used[i] {
			result.Unused = append(result.Unused, e)
		}
	}
	slices.SortStableFunc(result.Violations, func(a, b Violation) int { return rank(a) - rank(b) })
	return result
}

func rank(v Violation) int {
	if v.Severity == Mandatory {
		return 0
	}
	return 1
}

// Mandatory counts the mandatory violations that no exception allows.
func (r Result) Mandatory() int {
	n := 0
	for _, v := range r.Violations {
		if v.Severity == Mandatory {
			n++
		}
	}
	return n
}

// String returns the violation in one line: where it is, what is wrong and what to do.
func (v Violation) String() string {
	at := v.Resource + " (" + v.Type + ")"
	if v.Property != "" {
		at += ", " + v.Property
	}
	return fmt.Sprintf("%s: %s: %s; %s", v.Rule, at, v.Found, v.Fix)
}

// broken returns a violation of a resource.
func broken(r plan.Resource, property, found, fix string) Violation {
	return Violation{Resource: r.Name, Type: r.Type, Property: property, Found: found, Fix: fix}
}
