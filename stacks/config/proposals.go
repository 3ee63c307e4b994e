package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/stacks/config/models"
	"vllm-autoscaling/stacks/config/sizing"
)

// replicaSizes lists the numbers of GPUs that a replica can have: the values of gpu.perReplica.
var replicaSizes = sync.OnceValue(func() []int {
	var sizes []int
	field, _ := reflect.TypeFor[GPU]().FieldByName("PerReplica")
	for _, text := range RulesOf(field.Tag).Values {
		sizes = append(sizes, int(mustNumber(text)))
	}
	return sizes
})

// change is a change of the configuration that may fix a problem: new values by key, nil to remove a key.
type change map[string]any

// way is a proposed fix of a problem.
type way struct {
	// text describes it in terms of keys.
	text string
	// changes lists all changes that the text names. Each was tried and removes the problem.
	changes []change
}

// inWords joins proposed fixes into the fix of a problem.
func inWords(ways []way) string {
	var texts []string
	for _, w := range ways {
		texts = append(texts, w.text)
	}
	if len(texts) == 0 {
		return "no single change does; docs/sizing.md lists which models fit which GPUs"
	}
	return choose(len(texts) > 1, "any of: ", "") + strings.Join(texts, "; or ")
}

// works reports whether a change removes the problem of a key and adds no new one. It reads the changed source, so that a
// proposal satisfies every rule.
func (r *report) works(key string, changed change) bool {
	if r.source.trial {
		return false // A proposal is not needed for the reading that tries one.
	}
	if r.before == nil {
		r.before = problemKeys(r.source)
	}
	for other := range problemKeys(r.source.with(changed)) {
		if other == r.source.Project+":"+key || !r.before[other] {
			return false
		}
	}
	return true
}

// problemKeys returns the keys of all problems of a source.
func problemKeys(source Source) map[string]bool {
	source.trial = true
	keys := map[string]bool{}
	_, r := readAll(source)
	for _, p := range r.problems {
		keys[p.Key] = true
	}
	return keys
}

// with returns the source after a change of keys below the project's namespace.
func (s Source) with(changed change) Source {
	s.Values = maps.Clone(s.Values)
	for key, value := range changed {
		top, path, nested := strings.Cut(key, ".")
		full := s.Project + ":" + top
		if !nested {
			s.Values[full] = fmt.Sprint(value)
			continue
		}
		var object map[string]any
		if json.Unmarshal([]byte(s.Values[full]), &object) != nil || object == nil {
			object = map[string]any{}
		}
		setIn(object, path, value)
		content, err := json.Marshal(object)
		if err != nil {
			continue // It came from JSON and strings.
		}
		s.Values[full] = string(content)
	}
	return s
}

// setIn sets a dotted path in an object, or removes it for nil.
func setIn(object map[string]any, path string, value any) {
	name, rest, nested := strings.Cut(path, ".")
	switch child, isObject := object[name].(map[string]any); {
	case nested && isObject:
		setIn(child, rest, value)
	case nested && value != nil:
		child = map[string]any{}
		object[name] = child
		setIn(child, rest, value)
	case !nested && value == nil:
		delete(object, name)
	case !nested:
		object[name] = value
	}
}

// waysToFit returns the changes that make a model fit: a shorter context, more GPUs, other GPUs, a larger share of GPU memory,
// another model.
func (c *Config) waysToFit(r *report, key string, footprint sizing.Footprint, server sizing.Server) []way {
	var ways []way
	try := func(text string, changed change) bool {
		if !r.works(key, changed) {
			return false
		}
		ways = append(ways, way{text, []change{changed}})
		return true
	}
	if longest := sizing.LongestContext(footprint, server) / shortestContext * shortestContext; longest >= shortestContext {
		try(fmt.Sprintf("model.maxModelLen %d", longest), change{"model.maxModelLen": longest})
	}
	for _, gpus := range replicaSizes() {
		if gpus <= c.GPU.PerReplica {
			continue
		}
		text, changed := fmt.Sprintf("gpu.perReplica %d", gpus), change{"gpu.perReplica": gpus}
		if pool := c.NodePools.GPU; c.createsGPUPool() && pool.GPUsPerNode < gpus {
			machines := c.cloud().Machines.With(pool.Accelerator)
			larger := slices.IndexFunc(machines, func(m accelerators.Machine) bool { return m.GPUs >= gpus })
			if larger < 0 {
				continue
			}
			text += " with nodePools.gpu.machineType " + machines[larger].Type
			changed["nodePools.gpu.machineType"], changed["nodePools.gpu.gpusPerNode"] = machines[larger].Type, nil
		}
		if try(text, changed) {
			break
		}
	}
	ways = append(ways, c.otherGPUs(r, key)...)
	if server.Utilization < highUtilization {
		try(fmt.Sprintf("model.gpuMemoryUtilization %g", highUtilization), change{"model.gpuMemoryUtilization": highUtilization})
	}
	return append(ways, c.otherModels(r, key)...)
}

// otherGPUs returns the GPUs that fix a problem: on a cloud its machine types with enough of them for a replica, elsewhere
// memory sizes.
func (c *Config) otherGPUs(r *report, key string) []way {
	var names []string
	var changes []change
	if !c.createsGPUPool() {
		needs, _ := c.needsCapability()
		for _, a := range accelerators.All() {
			name, changed := fmt.Sprintf("%g", a.MemoryGiB), change{"gpu.memoryGiB": a.MemoryGiB}
			if c.GPU.MemoryGiB > 0 && a.ComputeCapability >= needs && !slices.Contains(names, name) && r.works(key, changed) {
				names, changes = append(names, name), append(changes, changed)
			}
		}
		if len(names) == 0 {
			return nil
		}
		return []way{{fmt.Sprintf("GPUs of %s GiB", strings.Join(names, ", ")), changes}}
	}
	for _, a := range c.cloud().Machines.Accelerators() {
		if a.Name == c.NodePools.GPU.Accelerator {
			continue
		}
		var machines []string
		for _, machine := range c.machinesWith(a.Name) {
			if len(machines) == maxNamedMachines {
				machines = append(machines, "...")
				break
			}
			if changed := otherMachine(machine); r.works(key, changed) {
				machines, changes = append(machines, machine), append(changes, changed)
			}
		}
		if len(machines) > 0 {
			names = append(names, fmt.Sprintf("%s (%s)", a.Name, strings.Join(machines, ", ")))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []way{{"another nodePools.gpu.machineType: " + strings.Join(names, ", "), changes}}
}

// otherMachine returns the change to another machine type, from which the rest of the pool follows.
func otherMachine(machineType string) change {
	return change{
		"nodePools.gpu.machineType": machineType, "nodePools.gpu.accelerator": nil, "nodePools.gpu.gpusPerNode": nil, "gpu.memoryGiB": nil,
	}
}

// otherModels returns the largest models of the catalogue that fit without any other change.
func (c *Config) otherModels(r *report, key string) []way {
	largest := models.All()
	slices.SortStableFunc(largest, func(a, b models.Model) int { return cmp.Compare(b.Parameters, a.Parameters) })
	var names []string
	var changes []change
	for _, model := range largest {
		changed := change{"model.id": model.IDs[0], "model.size": nil, "model.revision": nil}
		if model.IDs[0] != c.Model.ID && len(names) < maxNamedModels && r.works(key, changed) {
			names, changes = append(names, model.IDs[0]), append(changes, changed)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []way{{"another model.id, such as " + strings.Join(names, ", "), changes}}
}
