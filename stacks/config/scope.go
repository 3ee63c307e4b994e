package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Values of the tag when.
const (
	// whenCreate marks keys of a cluster that the stack creates.
	whenCreate = "create"
	// whenAttach marks keys of an existing cluster.
	whenAttach = "attach"
)

// scope is where a key has an effect. A key without a scope has an effect everywhere.
type scope struct {
	// key is the key or object that declares the scope.
	key string
	// clouds lists the clouds on which the key has an effect; empty means all.
	clouds []string
	// when is whenCreate, whenAttach, or "" for both.
	when string
}

// scopesOf lists the scopes of a key, from the outermost object to the key itself.
func scopesOf(key string) []scope {
	var scopes []scope
	structure := reflect.TypeFor[Config]()
	name := ""
	for part := range strings.SplitSeq(key, ".") {
		if structure.Kind() != reflect.Struct {
			break
		}
		field, ok := fieldOf(structure, part)
		if !ok {
			break // Below a list or a map.
		}
		name = strings.TrimPrefix(name+"."+part, ".")
		if clouds, when := field.Tag.Get("clouds"), field.Tag.Get("when"); clouds != "" || when != "" {
			scopes = append(scopes, scope{key: name, clouds: strings.Fields(clouds), when: when})
		}
		structure = field.Type
	}
	return scopes
}

// checkScopes refuses keys without effect: those of another cloud, those of a created cluster when the stack attaches to an
// existing one, and the other way round. It replaces any other problem of such a key.
func (c *Config) checkScopes(r *report) {
	if !slices.Contains(Clouds, c.Cloud) {
		return // A problem already; with the right cloud they may all be right.
	}
	reported := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(r.given)) {
		for _, s := range scopesOf(key) {
			problem := c.outside(s)
			if problem == nil {
				continue
			}
			if !reported[s.key] {
				reported[s.key] = true
				problem.Key = r.full(s.key)
				r.problems = slices.DeleteFunc(r.problems, func(p Problem) bool { return isAtOrBelow(p.Key, problem.Key) })
				r.problems = append(r.problems, *problem)
			}
			break
		}
	}
}

// isAtOrBelow reports whether a key is that of an object or of something in it.
func isAtOrBelow(key, object string) bool {
	rest, ok := strings.CutPrefix(key, object)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// outside returns the problem of a key that is set outside its scope, without the key; nil if the key is in scope.
func (c *Config) outside(s scope) *Problem {
	switch {
	case len(s.clouds) > 0 && !slices.Contains(s.clouds, c.Cloud):
		return &Problem{
			Allowed: fmt.Sprintf("only with cloud %s; this stack's cloud is %s", strings.Join(s.clouds, ", "), c.Cloud),
			Fix:     choose(outsideFixes[s.key] == "", "remove the key", outsideFixes[s.key]),
		}
	case s.when == whenCreate && c.attaches():
		return &Problem{
			Allowed: fmt.Sprintf("only when the stack creates the cluster; the existing cluster %q stays its owner's", c.Cluster.Existing),
			Fix:     "remove the key, or cluster.existing",
		}
	case s.when == whenAttach && !c.attaches() && c.onCloud():
		return &Problem{
			Allowed: "only with cluster.existing: a cluster that the stack creates has what the stack puts there",
			Fix:     "remove the key, or set cluster.existing",
		}
	}
	return nil
}

// outsideFixes lists the fixes for keys on the wrong cloud where removing the key is not enough.
var outsideFixes = map[string]string{
	"cluster.kubernetesVersion": "remove the key; on GKE, gke.releaseChannel chooses how new versions are",
	"cluster.kubeconfig":        "remove the key: how to reach its cluster follows from the cloud",
	"cluster.context":           "remove the key: how to reach its cluster follows from the cloud",
	"gpu.nodeSelector":          "remove the key: it follows from the GPU pool; vllm.nodeSelector narrows it",
	"gpu.tolerations":           "remove the key: they follow from the GPU pool",
	"gpu.metrics":               "remove the key: the cloud decides who exports GPU metrics",
	"autoscaling.adapterPort":   "remove the key: every cloud's control plane reaches 10250",
}
