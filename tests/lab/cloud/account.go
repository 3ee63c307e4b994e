package cloud

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// question is a command of a cloud's CLI that reads the account, such as "gcloud compute regions describe us-central1".
type question struct {
	// command are its words, operands its further ones, flags the values of each flag.
	command  string
	operands []string
	flags    map[string][]string
}

// operand returns the first operand, "" for none.
func (q question) operand() string {
	if len(q.operands) == 0 {
		return ""
	}
	return q.operands[0]
}

// flag returns the first value of a flag, "" for none.
func (q question) flag(name string) string {
	if len(q.flags[name]) == 0 {
		return ""
	}
	return q.flags[name][0]
}

// answers are the answers of a cloud's CLI by command: the value that it prints as JSON. They are called with the lock held.
type answers map[string]func(c *Cloud, q question) (any, error)

// ask returns what the CLI of a cloud prints. A command that is not simulated is an error, so that nothing in the lab can change
// or read an account in another way.
func (c *Cloud) ask(d *double, args []string) Answer {
	q, answer, err := d.answers.parse(args)
	var value any
	if err == nil {
		value, err = answer(c, q)
	}
	var content []byte
	if err == nil {
		content, err = json.Marshal(value)
	}
	if err != nil {
		return Answer{Stderr: fmt.Sprintf("ERROR: %v\n", err), Code: 1}
	}
	return Answer{Stdout: string(content) + "\n"}
}

// parse divides arguments into the longest known command, its operands and its flags.
func (a answers) parse(args []string) (question, func(*Cloud, question) (any, error), error) {
	q := question{flags: map[string][]string{}}
	var words []string
	flag := ""
	for _, arg := range args {
		switch {
		case strings.HasPrefix(arg, "--"):
			flag = arg
			q.flags[flag] = []string{}
		case flag != "":
			q.flags[flag] = append(q.flags[flag], arg)
		default:
			words = append(words, arg)
		}
	}
	for n := len(words); n > 0; n-- {
		q.command, q.operands = strings.Join(words[:n], " "), words[n:]
		if answer := a[q.command]; answer != nil {
			return q, answer, nil
		}
	}
	return q, nil, fmt.Errorf("argument operation: Invalid choice: %s", strings.Join(words, " "))
}

// names returns a property of the resources of a type, as objects with one field.
func (c *Cloud) names(token, property, field string) []any {
	list := []any{}
	for _, r := range c.all(token, func(*Resource) bool { return true }) {
		name := object(r.Outputs).text(property)
		if name == "" {
			name = object(r.Inputs).text(property)
		}
		list = append(list, map[string]any{field: name})
	}
	return list
}

// hasName reports whether a resource of a type has a name.
func (c *Cloud) hasName(token, property, name string) bool {
	return slices.ContainsFunc(c.names(token, property, "name"), func(entry any) bool {
		return entry.(map[string]any)["name"] == name
	})
}

// plenty is a quota that no stack of the lab needs.
const plenty = 4096
