package config

import (
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// fieldByKey finds the field of a struct that a key names, and its tags.
func fieldByKey(structure reflect.Value, key string) (reflect.Value, reflect.StructTag, bool) {
	for i := range structure.NumField() {
		if tag := structure.Type().Field(i).Tag; tag.Get("key") == key && key != "-" {
			return structure.Field(i), tag, true
		}
	}
	return reflect.Value{}, "", false
}

// isObject reports whether a field is an object of keys, and not a value.
func isObject(of reflect.Type) bool {
	return of.Kind() == reflect.Struct && of != reflect.TypeFor[Secret]()
}

// providersOwn reports whether a top-level field is an object that exists on some clouds only: its defaults are left to the
// provider packages.
func providersOwn(tag reflect.StructTag, of reflect.Type) bool {
	return tag.Get("clouds") != "" && isObject(of)
}

// walk calls visit for every key that holds a value, in the order of the fields of a struct.
func walk(prefix string, structure reflect.Value, visit func(key string, field reflect.Value, tag reflect.StructTag)) {
	for i := range structure.NumField() {
		tag := structure.Type().Field(i).Tag
		key := tag.Get("key")
		switch field := structure.Field(i); {
		case key == "" || key == "-":
		case isObject(field.Type()):
			walk(prefix+key+".", field, visit)
		default:
			visit(prefix+key, field, tag)
		}
	}
}

// keysOf lists the keys of a struct in their order.
func keysOf(structure reflect.Type) []string {
	var keys []string
	for i := range structure.NumField() {
		if tag := structure.Field(i).Tag.Get("key"); tag != "-" && tag != "" {
			keys = append(keys, tag)
		}
	}
	return keys
}

func topLevelKeys() []string { return keysOf(reflect.TypeFor[Config]()) }

// Keys lists every key of the configuration, dotted, without the project's namespace: the leaves,
// in the order of Config.
func Keys() []string {
	var keys []string
	walk("", reflect.ValueOf(&Config{}).Elem(), func(key string, _ reflect.Value, _ reflect.StructTag) { keys = append(keys, key) })
	return keys
}

// nearestKey names the known key that an unknown one most likely stands for: the one whose
// spelling is nearest as a whole, or whose last part is, where it was put below the wrong parent.
func nearestKey(key string) string {
	best, bestDistance := "", math.MaxInt
	for _, known := range knownKeys() {
		whole := levenshtein.Distance(key, known, nil)
		// One more than the distance of the last parts: a near miss in place beats a far-off twin.
		part := levenshtein.Distance(lastPart(key), lastPart(known), nil) + 1
		if distance := min(whole, part); distance < bestDistance {
			best, bestDistance = known, distance
		}
	}
	return best
}

// knownKeys lists the keys and the objects that hold them.
func knownKeys() []string {
	known := topLevelKeys()
	for _, leaf := range Keys() {
		for end, r := range leaf {
			if r == '.' && !slices.Contains(known, leaf[:end]) {
				known = append(known, leaf[:end])
			}
		}
		if !slices.Contains(known, leaf) {
			known = append(known, leaf)
		}
	}
	return known
}

func lastPart(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }
