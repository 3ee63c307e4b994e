package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"vllm-autoscaling/components"
)

// DefaultServer is the name of the one server of a stack without the key servers.
const DefaultServer = components.VLLMName

const (
	// maxServerName leaves room for what the names of a server's objects and of its node pool add.
	maxServerName = 20
	// serverPool is the key of a server's own GPU pool; in the server's configuration that pool is mainPool.
	serverPool, mainPool = "nodePool", "nodePools.gpu"
)

// serverSections are the objects that a server may have beside serverPool: it has the keys that it sets itself, and for the others
// those of the stack.
var serverSections = []string{"model", "vllm", "gpu", "autoscaling", "slo", "expose"}

// stackKeys are the keys in these sections that all servers of a stack share, with the reason.
var stackKeys = map[string]string{
	"gpu.mode":                    "all servers of a stack are vLLM, or its simulator",
	"gpu.metrics":                 "the GPU metrics of all servers have one source",
	"autoscaling.adapter":         adapterShared,
	"autoscaling.adapterReplicas": adapterShared,
	"autoscaling.adapterImage":    adapterShared,
	"autoscaling.adapterPort":     adapterShared,
	"autoscaling.relistInterval":  adapterShared,
}

const adapterShared = "one adapter serves the metrics of all servers"

// reservedServers are names of objects that are in every namespace, with the object.
var reservedServers = map[string]string{"default": "ServiceAccount"}

// Servers are the keys of several servers by the server's name, as decoded from JSON: objects of serverSections, and serverPool.
// Package config checks what is in these objects when it reads each server's configuration.
type Servers map[string]map[string]any

// Names returns the names of the servers, sorted.
func (s Servers) Names() []string { return slices.Sorted(maps.Keys(s)) }

// ServerObjects lists the objects that an entry of servers may have: key of the entry by key of the stack.
func ServerObjects() map[string]string {
	objects := map[string]string{serverPool: mainPool}
	for _, section := range serverSections {
		objects[section] = section
	}
	return objects
}

// StackKeys lists the keys below ServerObjects that a server cannot have.
func StackKeys() []string { return slices.Sorted(maps.Keys(stackKeys)) }

// servers decodes the key servers.
func (d *decoder) servers(key string, value any, target *Servers) {
	found := len(d.problems)
	entries, ok := value.(map[string]any)
	if !ok {
		d.wrongType(key, value, "an object with an entry for each server, by its name")
		return
	}
	servers := Servers{}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		full := key + "." + name
		if wrong := validation.IsDNS1035Label(name); len(wrong) > 0 || len(name) > maxServerName {
			d.problems = append(d.problems, Problem{
				Key:     d.source.Project + ":" + full,
				Allowed: fmt.Sprintf("a name of at most %d lower-case letters, digits and '-', a letter first", maxServerName),
				Fix:     "give the server another name: its Deployment, Service and HorizontalPodAutoscaler are called like it",
			})
			continue
		}
		if kind := reservedServers[name]; kind != "" {
			d.problems = append(d.problems, Problem{
				Key:     d.source.Project + ":" + full,
				Allowed: fmt.Sprintf("a name that is not taken: every namespace has a %s %s, and that of a server is called like it", kind, name),
				Fix:     "give the server another name",
			})
			continue
		}
		entry, ok := entries[name].(map[string]any)
		if !ok && entries[name] != nil {
			d.wrongType(full, entries[name], "an object with the keys "+strings.Join(sectionNames(), ", "))
			continue
		}
		for _, section := range slices.Sorted(maps.Keys(entry)) {
			d.serverSection(full, section, entry)
		}
		servers[name] = entry
	}
	d.given[key] = len(d.problems) == found
	if d.given[key] {
		*target = servers
	}
}

func sectionNames() []string { return append(slices.Clone(serverSections), serverPool) }

// serverSection checks that an entry of servers may have an object, and which of its keys are the stack's.
func (d *decoder) serverSection(server, section string, entry map[string]any) {
	full := server + "." + section
	if !slices.Contains(sectionNames(), section) {
		fix := fmt.Sprintf("a server has %s; the other keys are the stack's", strings.Join(sectionNames(), ", "))
		if nearest, ok := nearestName(section, sectionNames()); ok {
			fix = "no such key; the nearest is " + d.source.Project + ":" + server + "." + nearest
		}
		d.problems = append(d.problems, Problem{Key: d.source.Project + ":" + full, Allowed: "only keys that docs/configuration.md lists", Fix: fix})
		return
	}
	object, ok := entry[section].(map[string]any)
	if !ok {
		if entry[section] != nil {
			d.wrongType(full, entry[section], "an object")
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if reason, stacks := stackKeys[section+"."+name]; stacks {
			d.problems = append(d.problems, Problem{
				Key: d.source.Project + ":" + full + "." + name, Allowed: "only for the whole stack: " + reason,
				Fix: fmt.Sprintf("remove it here, and set %s:%s.%s", d.source.Project, section, name),
			})
		}
	}
}

// serverSource is the source of one server's configuration: the keys of the stack, and over them those of the server's entry.
type serverSource struct {
	Source
	// stack is the stack's source.
	stack Source
	// entry holds the server's own keys.
	entry map[string]any
}

// forServer returns the source of a server's configuration.
func (s Source) forServer(name string, entry map[string]any) serverSource {
	view := s
	view.Values, view.server = maps.Clone(s.Values), name
	delete(view.Values, s.Project+":servers")
	for _, section := range serverSections {
		if own := entry[section]; own != nil {
			view.setObject(section, merged(view.object(section), own))
		}
	}
	if own := entry[serverPool]; own != nil {
		pools := view.object("nodePools")
		pools[lastPart(mainPool)], view.ownPool = own, true
		view.setObject("nodePools", pools)
	}
	// What a server's entry encrypts is a secret wherever the entry has a value.
	view.Secret = func(full string) bool {
		section := strings.TrimPrefix(full, s.Project+":")
		return s.isSecret(full) || s.isSecret(s.Project+":servers") && (slices.Contains(serverSections, section) || section == "nodePools")
	}
	return serverSource{Source: view, stack: s, entry: entry}
}

// object returns the value of a top-level key that is an object; empty if it has none.
func (s Source) object(top string) map[string]any {
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader([]byte(s.Values[s.Project+":"+top])))
	decoder.UseNumber()
	if decoder.Decode(&object) != nil || object == nil {
		return map[string]any{}
	}
	return object
}

// setObject sets the value of a top-level key.
func (s Source) setObject(top string, value any) {
	content, err := json.Marshal(value)
	if err != nil {
		return // It came from JSON.
	}
	s.Values[s.Project+":"+top] = string(content)
}

// merged returns an object with the values of another over its own, object by object. Lists are replaced.
func merged(base map[string]any, over any) any {
	object, ok := over.(map[string]any)
	if !ok {
		return over
	}
	result := maps.Clone(base)
	for name, value := range object {
		below, _ := result[name].(map[string]any)
		if below == nil {
			result[name] = value
			continue
		}
		result[name] = merged(below, value)
	}
	return result
}

// sectionReference matches the full keys of serverSections and mainPool in a message.
var sectionReference = regexp.MustCompile(`[A-Za-z][A-Za-z0-9-]*:(` + strings.Join(serverSections, "|") + "|" + regexp.QuoteMeta(mainPool) + `)\b(\.[A-Za-z]+)*`)

// place returns the full key of the stack file for a full key of the server's configuration: in the server's entry, unless the
// stack's own value applies.
func (s serverSource) place(full string) string {
	key, ours := strings.CutPrefix(full, s.Project+":")
	if !ours {
		return full
	}
	if rest, ok := strings.CutPrefix(key, mainPool); ok && s.ownPool && (rest == "" || rest[0] == '.') {
		return s.inEntry(serverPool + rest)
	}
	top, _, _ := strings.Cut(key, ".")
	leaf, _, _ := strings.Cut(key, "[")
	if _, stacks := stackKeys[leaf]; stacks || !slices.Contains(serverSections, top) {
		return full
	}
	if !isSet(s.entry, leaf) && isSet(s.stack.sections(), leaf) {
		return full
	}
	return s.inEntry(key)
}

func (s serverSource) inEntry(key string) string {
	return fmt.Sprintf("%s:servers.%s.%s", s.Project, s.server, key)
}

// sections returns the values of serverSections.
func (s Source) sections() map[string]any {
	sections := map[string]any{}
	for _, section := range serverSections {
		sections[section] = s.object(section)
	}
	return sections
}

// isSet reports whether an object has a value at a dotted path.
func isSet(object map[string]any, path string) bool {
	name, rest, nested := strings.Cut(path, ".")
	value, ok := object[name]
	if !nested || !ok {
		return ok && value != nil
	}
	below, ok := value.(map[string]any)
	return ok && isSet(below, rest)
}

// placeAll replaces the full keys in a message by those of the stack file.
func (s serverSource) placeAll(text string) string {
	return sectionReference.ReplaceAllStringFunc(text, func(full string) string {
		if !strings.HasPrefix(full, s.Project+":") {
			return full
		}
		return s.place(full)
	})
}
