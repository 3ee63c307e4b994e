package preflight

import (
	"encoding/json"
	"slices"
	"strings"

	"vllm-autoscaling/ops/preview/plan"
)

// planned is a resource that an update creates or changes.
type planned struct {
	plan.Resource
	// op is plan.OpCreate, plan.OpReplace or plan.OpUpdate, old the resource before it; nil for a creation.
	op  string
	old *plan.Resource
}

// created reports whether the resource is new: nothing of the stack has its name yet.
func (p planned) created() bool { return p.op == plan.OpCreate && p.old == nil }

// changing returns the resources of a type that an update creates, replaces or changes.
func changing(p *plan.Plan, isType func(string) bool) []planned {
	var all []planned
	for _, s := range p.Steps {
		if s.New != nil && isType(s.Type) && slices.Contains([]string{plan.OpCreate, plan.OpReplace, plan.OpUpdate}, s.Op) {
			all = append(all, planned{Resource: *s.New, op: s.Op, old: s.Old})
		}
	}
	return all
}

// creating returns those of changing that are created or replaced.
func creating(p *plan.Plan, isType func(string) bool) []planned {
	return slices.DeleteFunc(changing(p, isType), func(r planned) bool { return r.op == plan.OpUpdate })
}

// destroys reports whether an update leaves no resource: there is then nothing to check.
func destroys(p *plan.Plan) bool { return len(p.Planned()) == 0 }

// is returns a function that reports whether a type is the given one.
func is(typ string) func(string) bool { return func(t string) bool { return t == typ } }

// provider returns the inputs of the cloud's provider that is planned; false if there is none.
func provider(p *plan.Plan, name string) (plan.Resource, bool) {
	for _, r := range p.Planned() {
		if r.Type == "pulumi:providers:"+name {
			return r, true
		}
	}
	return plan.Resource{}, false
}

// known returns the string at a path; "" if it is not known before the update.
func known(r plan.Resource, path string) string {
	text := r.Text(path)
	if text == plan.Unknown || text == "[secret]" {
		return ""
	}
	return text
}

// knownList returns the strings of a list; nil if one of them is not known before the update.
func knownList(r plan.Resource, path string) []string {
	var all []string
	for _, value := range r.List(path) {
		text, _ := value.(string)
		if text == "" || text == plan.Unknown || text == "[secret]" {
			return nil
		}
		all = append(all, text)
	}
	return all
}

// count returns the whole number at a path, 0 if there is none.
func count(r plan.Resource, path string) int {
	n, _ := r.Number(path)
	return int(n)
}

// poolZones returns the zones of the key nodePools.<pool>.zones.
func poolZones(p *plan.Plan, pool string) []string {
	var pools map[string]struct {
		Zones []string `json:"zones"`
	}
	if json.Unmarshal([]byte(p.Key("nodePools")), &pools) != nil {
		return nil
	}
	return pools[pool].Zones
}

// ownPoolZones returns the zones of the GPU pools of single servers, by the name of the pool.
func ownPoolZones(p *plan.Plan) map[string][]string {
	var servers map[string]struct {
		NodePool *struct {
			Zones []string `json:"zones"`
		} `json:"nodePool"`
	}
	if json.Unmarshal([]byte(p.Key("servers")), &servers) != nil {
		return nil
	}
	zones := map[string][]string{}
	for name, server := range servers {
		if server.NodePool != nil {
			zones["gpu-"+name] = server.NodePool.Zones
		}
	}
	return zones
}

// unique returns the values without repetitions and empty ones, sorted.
func unique(values []string) []string {
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	slices.Sort(values)
	return slices.Compact(values)
}

// lastPart returns what follows the last slash: the name in a URL or path.
func lastPart(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
