package providers

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with what a stack requests, in terms of the configuration.
type Problem struct {
	// Key is the dotted key below the project's namespace, such as "gke.location".
	Key string
	// Value is what was found, as it may be shown; "" when there is none.
	Value string
	// Allowed describes what would be right.
	Allowed string
	// Fix describes what to do; "" where Allowed is all there is to know.
	Fix string
}

// String returns the problem on one line.
func (p Problem) String() string {
	text := p.Key
	if p.Value != "" {
		text += " = " + p.Value
	}
	text += ": allowed: " + p.Allowed
	if p.Fix != "" {
		text += "; fix: " + p.Fix
	}
	return text
}

// Problems lists everything that is wrong. It is an error where it is not empty; see Err.
type Problems []Problem

// Error lists the problems, one on each line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems as an error, nil when there are none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Add adds a problem of a key; nil as value means that there is none to show.
func (p *Problems) Add(key string, value any, allowed, fix string) {
	*p = append(*p, Problem{Key: key, Value: Shown(value), Allowed: allowed, Fix: fix})
}

// Missing adds a problem of a required key without a value.
func (p *Problems) Missing(key, value, allowed, fix string) {
	if value == "" {
		p.Add(key, nil, allowed, fix)
	}
}

// Network reads an IPv4 network in CIDR notation and adds a problem where the value is none.
func (p *Problems) Network(key, value string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil || !prefix.Addr().Is4() {
		p.Add(key, value, "an IPv4 network such as 10.0.0.0/20, with /32 for one address", "")
		return netip.Prefix{}, false
	}
	if prefix != prefix.Masked() {
		p.Add(key, value, "an IPv4 network without bits outside its mask", fmt.Sprintf("write %s", prefix.Masked()))
		return netip.Prefix{}, false
	}
	return prefix, true
}

// Duplicates adds a problem for each value of a list that it has more than once.
func (p *Problems) Duplicates(key string, values []string) {
	seen := map[string]bool{}
	for i, value := range values {
		if seen[value] {
			p.Add(Item(key, i), value, "each value once; this one is listed twice", "remove it")
		}
		seen[value] = true
	}
}

// Item returns the key of an item of a list.
func Item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

// Shown returns a value as a problem shows it: strings in quotes, "" for nil.
func Shown(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return strconv.Quote(value)
	}
	return fmt.Sprintf("%v", value)
}
