package config

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// keySet holds the dotted keys, below the project's namespace, that a source sets: true for those whose value was accepted,
// false for those whose value was refused.
type keySet map[string]bool

// has reports whether a key is set to a value that was accepted.
func (s keySet) has(key string) bool { return s[key] }

// refused reports whether a key is set to a value that was refused; its field then has the default.
func (s keySet) refused(key string) bool {
	taken, given := s[key]
	return given && !taken
}

// hasBelow reports whether any key of an object is set, other than the excepted one.
func (s keySet) hasBelow(object, except string) bool {
	for key, taken := range s {
		if taken && key != except && strings.HasPrefix(key, object+".") {
			return true
		}
	}
	return false
}

// parse strictly decodes a source into a struct, passed by pointer, and returns the keys that the source sets. A value that
// has the wrong type, or that the tags of its field do not allow, is a problem and leaves the field unchanged.
func parse(source Source, into any) (keySet, []Problem) {
	d := &decoder{source: source, given: keySet{}}
	root := reflect.ValueOf(into).Elem()
	for _, full := range slices.Sorted(maps.Keys(source.Values)) {
		namespace, name, named := strings.Cut(full, ":")
		if namespace != source.Project || !named {
			d.checkNamespace(full, namespace, name)
			continue
		}
		d.secret = source.isSecret(full)
		field, tag, ok := fieldByKey(root, name)
		if !ok {
			d.unknown("", name, keysOf(root.Type()))
			continue
		}
		d.providers = providersOwn(tag, field.Type())
		d.topLevel(name, source.Values[full], field, tag)
	}
	return d.given, d.problems
}

// decoder collects keys and problems while it decodes the values.
type decoder struct {
	source   Source
	given    keySet
	problems []Problem
	// secret is true below a top-level key that holds a secret: none of its values is shown.
	secret bool
	// providers is true below an object whose defaults are left to a provider package, where the empty text means the default.
	providers bool
}

// topLevel decodes a top-level value: a plain string, or JSON for everything that has structure.
func (d *decoder) topLevel(name, raw string, field reflect.Value, tag reflect.StructTag) {
	if raw == "" || raw == "{}" && field.Kind() == reflect.Map {
		return // The project file's default of an optional key.
	}
	switch field.Interface().(type) {
	case string, Secret:
		d.value(name, raw, field, tag)
		return
	}
	decoder := json.NewDecoder(strings.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil || decoder.Decode(new(any)) != io.EOF {
		value = raw // Not JSON, so a plain string where an object belongs.
	}
	d.value(name, value, field, tag)
}

// value decodes one value, of the types that encoding/json produces, into a field.
func (d *decoder) value(key string, value any, field reflect.Value, tag reflect.StructTag) {
	if value == nil {
		return // An empty entry in YAML means the default.
	}
	switch target := field.Addr().Interface().(type) {
	case *string:
		decodeAs(d, key, value, target, tag, textWanted, asString)
	case *Secret:
		decodeAs(d, key, value, target, tag, textWanted, func(v any) (Secret, bool) {
			s, ok := asString(v)
			return NewSecret(s), ok
		})
	case *Quantity:
		decodeAs(d, key, value, target, tag, `a quantity such as 2, "500m" or "10Gi"`, asQuantity)
	case *int:
		decodeAs(d, key, value, target, tag, "a whole number", asInt)
	case *float64:
		decodeAs(d, key, value, target, tag, "a number", asFloat)
	case *bool:
		decodeAs(d, key, value, target, tag, "true or false", asBool)
	case *time.Duration:
		decodeAs(d, key, value, target, tag, `a duration such as "500ms", "15s" or "5m"`, asDuration)
	case *[]string:
		decodeTexts(d, key, value, target, tag, listWanted, d.strings)
	case *map[string]string:
		decodeTexts(d, key, value, target, tag, "a map of strings to strings", d.stringMap)
	case *map[string]any:
		decodeAs(d, key, value, target, tag, "an object", func(v any) (map[string]any, bool) {
			m, ok := v.(map[string]any)
			return plainNumbers(m).(map[string]any), ok
		})
	case *PodTemplate:
		d.podTemplate(key, value, target)
	case *Servers:
		d.servers(key, value, target)
	case *Chart:
		target.secret = d.secret
		d.object(key, value, field)
	case *VLLM:
		target.secret = d.secret
		d.object(key, value, field)
	default:
		if field.Kind() == reflect.Slice {
			d.objects(key, value, field, tag)
			return
		}
		d.object(key, value, field)
	}
}

// decodeAs stores a value that has the right type and satisfies the rules of its field's tags, and reports any other.
func decodeAs[T any](
	d *decoder, key string, value any, target *T, tag reflect.StructTag, want string, convert func(any) (T, bool),
) {
	converted, ok := convert(value)
	if !ok {
		d.wrongType(key, value, want)
		return
	}
	if d.allows(key, value, converted, tag) {
		*target = converted
		d.given[key] = true
	}
}

// allows reports whether the tags of a key's field allow its converted value, and adds a problem for each part that they
// do not allow.
func (d *decoder) allows(key string, value, converted any, tag reflect.StructTag) bool {
	rules := RulesOf(tag)
	rules.optional = rules.optional || d.providers
	refused := rules.check(converted)
	for _, r := range refused {
		shown, fix := choose(r.item == "", value, r.value), choose(d.secret, "see docs/configuration.md", r.fix)
		switch converted.(type) {
		case string, []string, map[string]string:
			if unquoted(value) && !d.secret {
				fix += "; or " + d.quote(key+r.item)
			}
		}
		d.problems = append(d.problems, Problem{Key: d.source.Project + ":" + key + r.item, Value: d.shown(shown), Allowed: r.allowed, Fix: fix})
	}
	if len(refused) > 0 {
		d.given[key] = false
	}
	return len(refused) == 0
}

// object decodes a nested object, key by key.
func (d *decoder) object(key string, value any, field reflect.Value) {
	object, ok := value.(map[string]any)
	if !ok {
		d.wrongType(key, value, "an object with the keys "+strings.Join(keysOf(field.Type()), ", "))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		child, tag, ok := fieldByKey(field, name)
		if !ok {
			d.unknown(key+".", name, keysOf(field.Type()))
			continue
		}
		d.value(key+"."+name, object[name], child, tag)
	}
}

// objects decodes a list of objects.
func (d *decoder) objects(key string, value any, field reflect.Value, tag reflect.StructTag) {
	list, ok := value.([]any)
	if !ok {
		d.wrongType(key, value, "a list of objects with the keys "+strings.Join(keysOf(field.Type().Elem()), ", "))
		return
	}
	found, decoded := len(d.problems), reflect.MakeSlice(field.Type(), len(list), len(list))
	for i, item := range list {
		d.object(fmt.Sprintf("%s[%d]", key, i), item, decoded.Index(i))
	}
	// Problems of the parts of an item are not reported for the item again.
	if len(d.problems) == found && d.allows(key, value, decoded.Interface(), tag) {
		field.Set(decoded)
	}
	d.given[key] = len(d.problems) == found
}

func (d *decoder) wrongType(key string, value any, want string) {
	d.given[key] = false
	fix := "change the value, or remove the key to get its default"
	_, isNumber := value.(json.Number)
	_, isObject := value.(map[string]any)
	switch {
	case want == textWanted && isNumber:
		fix = d.quote(key)
	case want == listWanted && !isObject:
		fix = fmt.Sprintf("change it to a list; its first item: pulumi config set --path '%s:%s[0]' <value>", d.source.Project, key)
	}
	d.problems = append(d.problems, Problem{Key: d.source.Project + ":" + key, Value: d.shown(value), Allowed: want, Fix: fix})
}

// quote returns how to set a key to a text that is a number in YAML.
func (d *decoder) quote(key string) string {
	return fmt.Sprintf("write it in quotes: of a number without them, YAML keeps the value and not the text; pulumi config set --path --type string '%s:%s' <value>",
		d.source.Project, key)
}

// unknown adds a problem for a name that the object with this prefix does not have, or has no more; known lists the names that it
// has.
func (d *decoder) unknown(prefix, name string, known []string) {
	key := prefix + name
	replacement, renamed := moved[key]
	reason, gone := removed[key]
	nearest := choose(renamed || gone, replacement, nearestKey(key))
	problem := Problem{Key: d.source.Project + ":" + key, Allowed: "only keys that docs/configuration.md lists"}
	switch {
	case renamed:
		problem.Fix = fmt.Sprintf("the key is now %[1]s:%[2]s; remove this one, then: pulumi config set --path '%[1]s:%[2]s' <value>", d.source.Project, replacement)
	case gone:
		problem.Fix = fmt.Sprintf("remove it: pulumi config rm --path '%s'; %s", problem.Key, reason)
	case nearest == "":
		problem.Fix = fmt.Sprintf("remove it; there is no such key, nor one of a similar name (%s%s)",
			choose(prefix == "", "the top-level keys are ", strings.TrimSuffix(prefix, ".")+" has "), strings.Join(known, ", "))
	default:
		problem.Fix = "no such key; the nearest is " + d.source.Project + ":" + nearest
	}
	// `pulumi config set model.id x` without --path stores one name with a dot in it.
	if strings.Contains(name, ".") {
		problem.Allowed = "names without a dot: a dot leads from an object to a key in it"
		problem.Fix = "remove it" + choose(prefix == "", ": pulumi config rm '"+problem.Key+"'", "")
		if gone {
			problem.Fix += "; " + reason
		}
		if nearest != "" {
			problem.Fix += fmt.Sprintf("; %s: pulumi config set --path %s'%s:%s' <value>",
				choose(nearest == key || renamed, "as a path it is", "the nearest path is"), choose(d.secret, "--secret ", ""), d.source.Project, nearest)
		}
	}
	// Several names with dots can stand for the same key.
	if !slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Key == problem.Key && p.Allowed == problem.Allowed }) {
		d.problems = append(d.problems, problem)
	}
}

// checkNamespace adds a problem for a namespace that looks like a misspelling of the project's: its keys would have no effect.
func (d *decoder) checkNamespace(full, namespace, name string) {
	if !nearNamespace(namespace, d.source.Project) {
		return // A provider's or the engine's own.
	}
	meant := nearestKey(name)
	d.problems = append(d.problems, Problem{
		Key: full, Allowed: "keys of the namespace " + d.source.Project,
		Fix: fmt.Sprintf("write it as %s:%s", d.source.Project, choose(meant == "", name, meant)),
	})
}

// shown returns a value in the form in which an error may print it.
func (d *decoder) shown(value any) string {
	if d.secret {
		return "[secret]"
	}
	if text, ok := value.(string); ok {
		return strconv.Quote(text)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("%v", value)
	}
	return string(text)
}
