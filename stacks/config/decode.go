package config

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agext/levenshtein"
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
			d.unknown("", name)
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
	if raw == "" {
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
		decodeAs(d, key, value, target, tag, "a string, in quotes where YAML would read something else", asString)
	case *Secret:
		decodeAs(d, key, value, target, tag, "a string", func(v any) (Secret, bool) {
			s, ok := v.(string)
			return NewSecret(s), ok
		})
	case *Quantity:
		decodeAs(d, key, value, target, tag, `a quantity such as 2, "500m" or "10Gi"`, asQuantity)
	case *int:
		decodeAs(d, key, value, target, tag, "a whole number", asInt)
	case *float64:
		decodeAs(d, key, value, target, tag, "a number", asFloat)
	case *bool:
		decodeAs(d, key, value, target, tag, "true or false", func(v any) (bool, bool) {
			b, ok := v.(bool)
			return b, ok
		})
	case *time.Duration:
		decodeAs(d, key, value, target, tag, `a duration such as "500ms", "15s" or "5m"`, asDuration)
	case *[]string:
		decodeAs(d, key, value, target, tag, "a list of strings", asStrings)
	case *map[string]string:
		decodeAs(d, key, value, target, tag, `a map of strings to strings, "true" and numbers in quotes`, asStringMap)
	case *map[string]any:
		decodeAs(d, key, value, target, tag, "an object", func(v any) (map[string]any, bool) {
			m, ok := v.(map[string]any)
			return plainNumbers(m).(map[string]any), ok
		})
	case *Chart:
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
		shown := choose(r.item == "", value, r.value)
		d.problems = append(d.problems, Problem{
			Key: d.source.Project + ":" + key + r.item, Value: d.shown(shown), Allowed: r.allowed, Fix: choose(d.secret, "see docs/configuration.md", r.fix),
		})
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
			d.unknown(key+".", name)
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
	d.problems = append(d.problems, Problem{
		Key: d.source.Project + ":" + key, Value: d.shown(value), Allowed: want,
		Fix: "change the value, or remove the key to get its default",
	})
}

// unknown adds a problem for a name that the object with this prefix does not have.
func (d *decoder) unknown(prefix, name string) {
	key := prefix + name
	nearest := d.source.Project + ":" + nearestKey(key)
	problem := Problem{
		Key: d.source.Project + ":" + key, Allowed: "only keys that docs/configuration.md lists",
		Fix: "no such key; the nearest is " + nearest,
	}
	// `pulumi config set model.id x` without --path stores one name with a dot in it.
	if strings.Contains(name, ".") {
		problem.Allowed = "names without a dot: a dot leads from an object to a key in it"
		problem.Fix = fmt.Sprintf("remove it%s; %s: pulumi config set --path %s'%s' <value>",
			choose(prefix == "", ": pulumi config rm '"+problem.Key+"'", ""),
			choose(nearest == problem.Key, "as a path it is", "the nearest path is"), choose(d.secret, "--secret ", ""), nearest)
	}
	// Several names with dots can stand for the same key.
	if !slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Key == problem.Key && p.Allowed == problem.Allowed }) {
		d.problems = append(d.problems, problem)
	}
}

// checkNamespace adds a problem for a namespace that looks like a misspelling of the project's: its keys would have no effect.
func (d *decoder) checkNamespace(full, namespace, name string) {
	if levenshtein.Distance(namespace, d.source.Project, nil) > 3 {
		return // A provider's or the engine's own.
	}
	d.problems = append(d.problems, Problem{
		Key: full, Allowed: "keys of the namespace " + d.source.Project,
		Fix: fmt.Sprintf("write it as %s:%s", d.source.Project, nearestKey(name)),
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

func asString(v any) (string, bool) {
	s, ok := v.(string)
	return s, ok
}

func asQuantity(v any) (Quantity, bool) {
	if n, ok := v.(json.Number); ok {
		return Quantity(n.String()), true
	}
	s, ok := v.(string)
	return Quantity(s), ok
}

func asInt(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(n.String())
	return i, err == nil
}

// asFloat also accepts a number in quotes, because `pulumi config set --path` stores 0.85 as a string.
func asFloat(v any) (float64, bool) {
	var text string
	switch n := v.(type) {
	case json.Number:
		text = n.String()
	case string:
		text = n
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

func asDuration(v any) (time.Duration, bool) {
	s, ok := v.(string)
	if !ok {
		return 0, false
	}
	duration, err := time.ParseDuration(s)
	return duration, err == nil
}

func asStrings(v any) ([]string, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	out := make([]string, len(list))
	for i, item := range list {
		if out[i], ok = item.(string); !ok {
			return nil, false
		}
	}
	return out, true
}

func asStringMap(v any) (map[string]string, bool) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	out := make(map[string]string, len(object))
	for key, item := range object {
		if out[key], ok = item.(string); !ok {
			return nil, false
		}
	}
	return out, true
}

// plainNumbers replaces json.Number by int where the number is whole, so that chart values keep 3 as 3, and by float64
// otherwise.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.Atoi(v.String()); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for key := range v {
			v[key] = plainNumbers(v[key])
		}
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	}
	return v
}
