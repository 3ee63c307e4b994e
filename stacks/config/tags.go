package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"vllm-autoscaling/providers"
)

// TagNames lists the tags that a field of the configuration may have; the package comment explains them.
var TagNames = []string{
	"key", "clouds", "when", "unit", "min", "max", "above", "below", "step", "values", "pattern", "format", "allowed", "hint", "default", "unset", "example",
}

// Rules holds the single-value rules of a key, as stated by the tags of its field.
type Rules struct {
	// Unit is the unit of a number.
	Unit string
	// Min and Max are inclusive bounds, Above and Below exclusive ones; "" means unbounded.
	Min, Max, Above, Below string
	// Values lists all allowed values; empty means that any value is allowed.
	Values []string
	// Pattern is a regular expression that every value matches: that of the tag pattern or of the format.
	Pattern string
	// Unset describes what happens without a value if there is no default.
	Unset string

	format, step, allowed, hint, fallback, example string
	// optional reports whether the empty text stands for no value.
	optional bool
}

// parsed caches the rules by tag, because reading a configuration needs those of every key.
var parsed sync.Map

// RulesOf returns the rules stated by a field's tags.
func RulesOf(tag reflect.StructTag) Rules {
	if found, ok := parsed.Load(tag); ok {
		return found.(Rules)
	}
	rules := parseRules(tag)
	parsed.Store(tag, rules)
	return rules
}

func parseRules(tag reflect.StructTag) Rules {
	rules := Rules{
		Unit: tag.Get("unit"), Min: tag.Get("min"), Max: tag.Get("max"), Above: tag.Get("above"), Below: tag.Get("below"),
		Values: strings.Fields(tag.Get("values")), Pattern: tag.Get("pattern"), Unset: tag.Get("unset"),
		format: tag.Get("format"), step: tag.Get("step"), allowed: tag.Get("allowed"), hint: tag.Get("hint"),
		fallback: tag.Get("default"), example: tag.Get("example"), optional: tag.Get("unset") != "",
	}
	if rules.Pattern == "" {
		rules.Pattern = formats[rules.format].pattern
	}
	return rules
}

// Bounds describes the bounds, or returns "" if there are none.
func (rules Rules) Bounds() string {
	var parts []string
	switch {
	case rules.Min != "" && rules.Max != "":
		parts = append(parts, rules.Min+" to "+rules.Max)
	case rules.Min != "":
		parts = append(parts, rules.Min+" or more")
	}
	if rules.Above != "" {
		parts = append(parts, "above "+rules.Above)
	}
	if rules.Max != "" && rules.Min == "" {
		parts = append(parts, "at most "+rules.Max)
	}
	if rules.Below != "" {
		parts = append(parts, "below "+rules.Below)
	}
	return strings.Join(parts, ", ")
}

// refusal describes a value that the rules of its key do not allow.
type refusal struct {
	// item is the part of the key after the field's own, such as [1] or .name; "" for the value as a whole.
	item string
	// value is the refused value, of the types that encoding/json produces; nil means the value as a whole.
	value any
	// allowed and fix are those of a Problem.
	allowed, fix string
}

// check returns the refusals of a value, which has the type of the key's field.
func (rules Rules) check(value any) []refusal {
	switch v := value.(type) {
	case string:
		return rules.checkText("", v)
	case Quantity:
		if quantity, err := resource.ParseQuantity(string(v)); (v != "" || !rules.optional) && (err != nil || quantity.Sign() <= 0) {
			return rules.refuse("a Kubernetes quantity above 0, such as 2, 500m or 10Gi")
		}
	case int:
		if len(rules.Values) > 0 && !slices.Contains(rules.Values, strconv.Itoa(v)) {
			return rules.refuse(oneOf(rules.Values))
		}
		return rules.checkBounds(float64(v), mustNumber, rules.inUnit(rules.Bounds()))
	case float64:
		return rules.checkBounds(v, mustNumber, rules.inUnit(rules.Bounds()))
	case bool:
		if len(rules.Values) > 0 && !slices.Contains(rules.Values, strconv.FormatBool(v)) {
			return rules.refuse(oneOf(rules.Values))
		}
	case time.Duration:
		return rules.checkDuration(v)
	case []string:
		var refused []refusal
		for i, item := range v {
			refused = append(refused, rules.checkText(fmt.Sprintf("[%d]", i), item)...)
		}
		return refused
	case map[string]string:
		var refused []refusal
		entry := formats[rules.format].entry
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if entry == nil {
				break
			}
			if wrong := entry(name, v[name]); wrong != "" {
				refused = append(refused, refusal{"." + name, v[name], formats[rules.format].allowed, wrong})
			}
		}
		return refused
	case []Toleration:
		var refused []refusal
		for i, t := range v {
			if err := providers.Toleration(t).Validate(); err != nil {
				refused = append(refused, refusal{fmt.Sprintf("[%d]", i), t.Key, "a toleration that Kubernetes accepts", err.Error()})
			}
		}
		return refused
	}
	return nil
}

// checkText checks a string, or an item of a list.
func (rules Rules) checkText(item, value string) []refusal {
	if value == "" && item == "" && rules.optional {
		return nil
	}
	refuse := func(allowed string) []refusal {
		refused := rules.refuse(allowed)
		refused[0].item, refused[0].value = item, value
		return refused
	}
	if len(rules.Values) > 0 && !slices.Contains(rules.Values, value) {
		return refuse(oneOf(rules.Values))
	}
	form := formats[rules.format]
	detail := ""
	if form.detail != nil {
		detail = form.detail(value)
	}
	if detail == "" && (rules.Pattern == "" || compiled(rules.Pattern).MatchString(value)) {
		return nil
	}
	allowed := form.allowed
	switch {
	case rules.allowed != "":
		allowed = rules.allowed
	case allowed == "":
		allowed = "a text of the form " + rules.Pattern
	}
	if detail != "" {
		allowed += ": " + detail
	}
	return refuse(allowed)
}

// checkDuration checks a duration: it is a multiple of the step, by default a second, which is what Kubernetes' fields count in.
func (rules Rules) checkDuration(value time.Duration) []refusal {
	step := time.Second
	if rules.step != "" {
		step = mustDuration(rules.step)
	}
	allowed := rules.Bounds()
	switch step {
	case time.Second:
		allowed = strings.TrimPrefix(allowed+", in whole seconds", ", ")
	case time.Minute:
		allowed = strings.TrimPrefix(allowed+", in whole minutes", ", ")
	}
	if value%step != 0 {
		return rules.refuse(allowed)
	}
	return rules.checkBounds(value.Seconds(), func(text string) float64 { return mustDuration(text).Seconds() }, allowed)
}

// checkBounds checks a number against the bounds.
func (rules Rules) checkBounds(value float64, parse func(string) float64, allowed string) []refusal {
	if rules.Min != "" && value < parse(rules.Min) || rules.Max != "" && value > parse(rules.Max) ||
		rules.Above != "" && value <= parse(rules.Above) || rules.Below != "" && value >= parse(rules.Below) {
		return rules.refuse(allowed)
	}
	return nil
}

// inUnit adds the unit to bounds.
func (rules Rules) inUnit(bounds string) string { return strings.TrimSpace(bounds + " " + rules.Unit) }

// refuse returns the refusal of a value as a whole, with the fix from the tags: the hint, or else an allowed value.
func (rules Rules) refuse(allowed string) []refusal {
	fix := "remove the key to get its default"
	switch {
	case rules.hint != "":
		fix = rules.hint
	case formats[rules.format].fix != "":
		fix = formats[rules.format].fix
	case rules.fallback != "" && !strings.Contains(rules.fallback, "="):
		fix += ", " + rules.fallback
	case rules.example != "" && !strings.ContainsAny(rules.example, "=[{"):
		fix = "for example " + rules.example
	}
	return []refusal{{allowed: allowed, fix: fix}}
}

// defaultOn returns the tag default for a cloud: one text for all of them, or cloud=text for some.
func (rules Rules) defaultOn(cloud string) (string, bool) {
	if rules.fallback == "" {
		return "", false
	}
	for one := range strings.FieldsSeq(rules.fallback) {
		name, text, perCloud := strings.Cut(one, "=")
		if !perCloud || !slices.Contains(Clouds, name) {
			return rules.fallback, true
		}
		if name == cloud {
			return text, true
		}
	}
	return "", false
}

// mustNumber parses a number in a tag.
func mustNumber(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(fmt.Sprintf("a tag has %q for a number", text))
	}
	return n
}

// mustDuration parses a duration in a tag.
func mustDuration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(fmt.Sprintf("a tag has %q for a duration", text))
	}
	return d
}

// patterns caches compiled regular expressions by their text.
var patterns sync.Map

// compiled returns the compiled pattern of a tag.
func compiled(pattern string) *regexp.Regexp {
	if found, ok := patterns.Load(pattern); ok {
		return found.(*regexp.Regexp)
	}
	expression := regexp.MustCompile(pattern)
	patterns.Store(pattern, expression)
	return expression
}

// oneOf describes the allowed values.
func oneOf(values []string) string { return "one of: " + strings.Join(values, ", ") }
