package config

import (
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// minElsewhere is the least length of a name that may be misspelt and below the wrong object at once.
const minElsewhere = 6

// nearestKey returns the key that an unknown one most likely stands for: a key of the same object with a similar name, or the
// only one of that name elsewhere. It returns "" when none is near, because a wrong hint is worse than none.
func nearestKey(key string) string {
	if respelt, ok := respell(key); ok {
		return respelt
	}
	last := lastPart(key)
	var elsewhere []string
	for _, known := range knownKeys() {
		distance := edits(last, lastPart(known))
		if distance == 0 || distance == 1 && len(last) >= minElsewhere {
			elsewhere = append(elsewhere, known)
		}
	}
	if len(elsewhere) == 1 {
		return elsewhere[0]
	}
	return ""
}

// respell replaces each part of a dotted key by the most similar name that its object has, and reports whether every part
// is near to one.
func respell(key string) (string, bool) {
	structure := reflect.TypeFor[Config]()
	var parts []string
	for part := range strings.SplitSeq(key, ".") {
		name, item, listed := strings.Cut(part, "[")
		if structure.Kind() != reflect.Struct {
			return "", false // Below a value.
		}
		name, ok := nearestName(name, keysOf(structure))
		if !ok {
			return "", false
		}
		field, _ := fieldOf(structure, name)
		structure = field.Type
		if listed {
			if structure.Kind() != reflect.Slice {
				return "", false
			}
			name, structure = name+"["+item, structure.Elem()
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, "."), true
}

// nearestName returns the name that is spelt most similarly, and whether it is near: at most one edit in four letters.
func nearestName(name string, known []string) (string, bool) {
	best, fewest := "", math.MaxInt
	for _, other := range known {
		if n := edits(name, other); n < fewest {
			best, fewest = other, n
		}
	}
	length := max(len(name), len(best))
	return best, fewest == 0 || length > 2 && fewest <= max(1, length/4)
}

// edits returns the number of typing errors between two names: letters that are added, left out or replaced, or two that are
// swapped. Upper and lower case are the same.
func edits(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	n := levenshtein.Distance(a, b, nil)
	if n == 2 && len(a) == len(b) && slices.Equal(sorted(a), sorted(b)) {
		return 1
	}
	return n
}

func sorted(text string) []rune {
	runes := []rune(text)
	slices.Sort(runes)
	return runes
}

// nearNamespace reports whether a namespace looks like a misspelling of the project's name. Names as short as those of
// providers, such as aws and aks, are all similar and do not count.
func nearNamespace(namespace, project string) bool {
	return levenshtein.Distance(namespace, project, nil) <= max(len(namespace), len(project))/5
}
