package config

import (
	"reflect"
	"slices"
	"strings"
)

// fieldByKey returns the field of a struct that a key names, and its tags.
func fieldByKey(structure reflect.Value, key string) (reflect.Value, reflect.StructTag, bool) {
	field, ok := fieldOf(structure.Type(), key)
	if !ok {
		return reflect.Value{}, "", false
	}
	return field.In(structure), field.Tag, true
}

// isObject reports whether a field is an object of keys, and not a value.
func isObject(of reflect.Type) bool {
	return of.Kind() == reflect.Struct && of != reflect.TypeFor[Secret]()
}

// providersOwn reports whether a top-level field is an object that exists on some clouds only. The provider packages set its
// defaults.
func providersOwn(tag reflect.StructTag, of reflect.Type) bool {
	return tag.Get("clouds") != "" && isObject(of)
}

// walk calls visit for every key that holds a value, in the order of the fields of a struct.
func walk(prefix string, structure reflect.Value, visit func(key string, field reflect.Value, tag reflect.StructTag)) {
	for _, f := range Fields(structure.Type()) {
		key, field := prefix+f.Tag.Get("key"), f.In(structure)
		if isObject(field.Type()) {
			walk(key+".", field, visit)
			continue
		}
		visit(key, field, f.Tag)
	}
}

// keysOf lists the keys of a struct in their order.
func keysOf(structure reflect.Type) []string {
	var keys []string
	for _, field := range Fields(structure) {
		keys = append(keys, field.Tag.Get("key"))
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
