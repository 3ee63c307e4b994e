package workflows

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Evaluate evaluates an expression of GitHub Actions. It supports what this repository's workflows use: contexts, strings,
// ==, !=, !, &&, ||, parentheses, format, fromJSON and the status check functions. An unknown function is an error, an unknown
// value is "". Objects are map[string]any.
func Evaluate(expression string, contexts map[string]any, status map[string]bool) (any, error) {
	p := &parser{tokens: token.FindAllString(expression, -1), contexts: contexts, status: status}
	if joined := strings.Join(p.tokens, ""); joined != blanks(expression) {
		return nil, fmt.Errorf("expression %q: not all of it is understood", expression)
	}
	value, err := p.or()
	if err == nil && p.at < len(p.tokens) {
		err = fmt.Errorf("%q is left over", p.tokens[p.at])
	}
	if err != nil {
		return nil, fmt.Errorf("expression %q: %w", expression, err)
	}
	return value, nil
}

// Expand replaces each ${{ }} in a text.
func Expand(text string, contexts map[string]any, status map[string]bool) (string, error) {
	var failed error
	expanded := placeholder.ReplaceAllStringFunc(text, func(found string) string {
		value, err := Evaluate(placeholder.FindStringSubmatch(found)[1], contexts, status)
		if err != nil {
			failed = err
		}
		return shown(value)
	})
	return expanded, failed
}

var (
	token       = regexp.MustCompile(`'(?:[^']|'')*'|==|!=|&&|\|\||[!(),]|[A-Za-z_][\w.-]*|\d+`)
	placeholder = regexp.MustCompile(`\$\{\{(.*?)\}\}`)
)

// blanks removes the blanks outside of strings, because the tokens have none.
func blanks(expression string) string {
	parts := strings.Split(expression, "'")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.Join(strings.Fields(parts[i]), "")
	}
	return strings.Join(parts, "'")
}

type parser struct {
	tokens   []string
	at       int
	contexts map[string]any
	status   map[string]bool
}

func (p *parser) next(is string) bool {
	if p.at < len(p.tokens) && p.tokens[p.at] == is {
		p.at++
		return true
	}
	return false
}

func (p *parser) or() (any, error) {
	left, err := p.and()
	for err == nil && p.next("||") {
		var right any
		if right, err = p.and(); !truth(left) {
			left = right
		}
	}
	return left, err
}

func (p *parser) and() (any, error) {
	left, err := p.equal()
	for err == nil && p.next("&&") {
		var right any
		if right, err = p.equal(); truth(left) {
			left = right
		}
	}
	return left, err
}

func (p *parser) equal() (any, error) {
	left, err := p.unary()
	for err == nil {
		different := p.next("!=")
		if !different && !p.next("==") {
			break
		}
		var right any
		right, err = p.unary()
		left = strings.EqualFold(shown(left), shown(right)) != different
	}
	return left, err
}

func (p *parser) unary() (any, error) {
	if p.next("!") {
		value, err := p.unary()
		return !truth(value), err
	}
	if p.next("(") {
		value, err := p.or()
		if err == nil && !p.next(")") {
			err = fmt.Errorf("a ) is missing")
		}
		return value, err
	}
	if p.at == len(p.tokens) {
		return nil, fmt.Errorf("it ends too early")
	}
	word := p.tokens[p.at]
	p.at++
	switch {
	case strings.HasPrefix(word, "'"):
		return strings.ReplaceAll(word[1:len(word)-1], "''", "'"), nil
	case p.next("("):
		return p.call(word)
	case word == "true", word == "false":
		return word == "true", nil
	case word[0] >= '0' && word[0] <= '9':
		return word, nil
	}
	var value any = p.contexts
	for _, name := range strings.Split(word, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return "", nil
		}
		value = object[name]
	}
	return value, nil
}

func (p *parser) call(function string) (any, error) {
	var arguments []any
	for !p.next(")") {
		value, err := p.or()
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, value)
		if !p.next(",") && (p.at == len(p.tokens) || p.tokens[p.at] != ")") {
			return nil, fmt.Errorf("%s(: a ) is missing", function)
		}
	}
	switch {
	case function == "format" && len(arguments) > 0:
		text := shown(arguments[0])
		for i, argument := range arguments[1:] {
			text = strings.ReplaceAll(text, fmt.Sprintf("{%d}", i), shown(argument))
		}
		return text, nil
	case function == "fromJSON" && len(arguments) == 1:
		var value any
		err := json.Unmarshal([]byte(shown(arguments[0])), &value)
		return value, err
	}
	value, ok := p.status[function]
	if !ok || len(arguments) > 0 {
		return nil, fmt.Errorf("function %s is not known here", function)
	}
	return value, nil
}

func truth(value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	}
	return true
}

func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool, int:
		return fmt.Sprint(v)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(text)
}
