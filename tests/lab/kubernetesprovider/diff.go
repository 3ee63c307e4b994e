package kubernetesprovider

import (
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// edit is one difference between old and new inputs.
type edit struct {
	path resource.PropertyPath
	kind pulumirpc.PropertyDiff_Kind // ADD, DELETE or UPDATE
}

// diffProperties lists the differences in a fixed order. Null and absent are the same; an unknown value counts as changed.
// The inputs must not have marks of secrets.
func diffProperties(olds, news resource.PropertyMap) []edit {
	return diffObjects(nil, olds, news)
}

func diffObjects(path resource.PropertyPath, olds, news resource.PropertyMap) []edit {
	keys := map[resource.PropertyKey]bool{}
	for k := range olds {
		keys[k] = true
	}
	for k := range news {
		keys[k] = true
	}
	sorted := make([]resource.PropertyKey, 0, len(keys))
	for k := range keys {
		sorted = append(sorted, k)
	}
	slices.Sort(sorted)
	var edits []edit
	for _, k := range sorted {
		if path == nil && strings.HasPrefix(string(k), "__") {
			continue // the engine's own marks, for example __defaults
		}
		edits = append(edits, diffValues(extend(path, string(k)), olds[k], news[k])...)
	}
	return edits
}

func diffValues(path resource.PropertyPath, before, after resource.PropertyValue) []edit {
	before, after = reveal(before), reveal(after)
	switch {
	case before.IsNull() && after.IsNull():
		return nil
	case before.IsNull():
		return []edit{{path, pulumirpc.PropertyDiff_ADD}}
	case after.IsNull():
		return []edit{{path, pulumirpc.PropertyDiff_DELETE}}
	case isUnknown(before) || isUnknown(after):
		return []edit{{path, pulumirpc.PropertyDiff_UPDATE}}
	case before.IsObject() && after.IsObject():
		return diffObjects(path, before.ObjectValue(), after.ObjectValue())
	case before.IsArray() && after.IsArray():
		was, now := before.ArrayValue(), after.ArrayValue()
		var edits []edit
		for i := range max(len(was), len(now)) {
			var b, a resource.PropertyValue
			if i < len(was) {
				b = was[i]
			}
			if i < len(now) {
				a = now[i]
			}
			edits = append(edits, diffValues(extend(path, i), b, a)...)
		}
		return edits
	case before.DeepEquals(after):
		return nil
	}
	return []edit{{path, pulumirpc.PropertyDiff_UPDATE}}
}

// extend returns a path that does not share its backing array with the parent path.
func extend(path resource.PropertyPath, element any) resource.PropertyPath {
	return append(slices.Clone(path), element)
}

// diffResponse converts the edits to the engine's response. replaces reports whether one requires a replacement.
func diffResponse(edits []edit, replaces func(resource.PropertyPath) bool, deleteFirst bool) *pulumirpc.DiffResponse {
	resp := &pulumirpc.DiffResponse{
		Changes:         pulumirpc.DiffResponse_DIFF_NONE,
		DetailedDiff:    map[string]*pulumirpc.PropertyDiff{},
		HasDetailedDiff: true,
	}
	for _, e := range edits {
		resp.Changes = pulumirpc.DiffResponse_DIFF_SOME
		top, _ := e.path[0].(string)
		if !slices.Contains(resp.Diffs, top) {
			resp.Diffs = append(resp.Diffs, top)
		}
		kind := e.kind
		if replaces(e.path) {
			switch kind {
			case pulumirpc.PropertyDiff_ADD:
				kind = pulumirpc.PropertyDiff_ADD_REPLACE
			case pulumirpc.PropertyDiff_DELETE:
				kind = pulumirpc.PropertyDiff_DELETE_REPLACE
			default:
				kind = pulumirpc.PropertyDiff_UPDATE_REPLACE
			}
			if !slices.Contains(resp.Replaces, top) {
				resp.Replaces = append(resp.Replaces, top)
			}
		}
		resp.DetailedDiff[e.path.String()] = &pulumirpc.PropertyDiff{Kind: kind, InputDiff: true}
	}
	resp.DeleteBeforeReplace = deleteFirst && len(resp.Replaces) > 0
	return resp
}

// immutableFields are the fields of a kind that the API server refuses to change, or for which the upstream provider
// replaces an object. A path includes everything below it.
var immutableFields = map[string][]string{
	"apps/Deployment":                       {"spec.selector"},
	"apps/DaemonSet":                        {"spec.selector"},
	"apps/ReplicaSet":                       {"spec.selector"},
	"apps/StatefulSet":                      {"spec.selector", "spec.serviceName", "spec.podManagementPolicy", "spec.volumeClaimTemplates"},
	"batch/Job":                             {"spec.selector", "spec.template", "spec.completionMode"},
	"/Service":                              {"spec.clusterIP"},
	"/Secret":                               {"type", "data", "stringData", "immutable"},
	"/ConfigMap":                            {"data", "binaryData", "immutable"},
	"/Pod":                                  {"spec"},
	"/PersistentVolumeClaim":                {"spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeMode", "spec.volumeName"},
	"rbac.authorization.k8s.io/RoleBinding": {"roleRef"},
	"rbac.authorization.k8s.io/ClusterRoleBinding": {"roleRef"},
	"storage.k8s.io/StorageClass":                  {"parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"},
}

// objectReplaces returns which changes of a kind require a new object.
func objectReplaces(t token, olds resource.PropertyMap, s settings) func(resource.PropertyPath) bool {
	kind := t.gvk.Group + "/" + t.gvk.Kind
	fields := append([]string{"apiVersion", "kind", "metadata.name", "metadata.namespace"}, immutableFields[kind]...)
	// As upstream, a changed content replaces the object, so that pods which mount it are rolled. Two provider settings turn
	// that off, but not for an object that is immutable in the cluster.
	mutable := kind == "/ConfigMap" && s.configMapMutable || kind == "/Secret" && s.secretMutable
	if mutable && !boolean(olds, "immutable") {
		fields = slices.DeleteFunc(fields, func(f string) bool {
			return f == "data" || f == "binaryData" || f == "stringData" || f == "immutable"
		})
	}
	return func(path resource.PropertyPath) bool { return covered(path, fields) }
}

// releaseReplaces reports whether a change of a Helm release requires a new one.
func releaseReplaces(path resource.PropertyPath) bool {
	return covered(path, []string{"name", "namespace"})
}

// covered reports whether a path is one of the fields or below one.
func covered(path resource.PropertyPath, fields []string) bool {
	var parts []string
	for _, e := range path {
		if s, ok := e.(string); ok {
			parts = append(parts, s)
		} else {
			break // list elements lie below their list
		}
	}
	changed := strings.Join(parts, ".")
	for _, f := range fields {
		if changed == f || strings.HasPrefix(changed, f+".") {
			return true
		}
	}
	return false
}

// sameIdentity reports whether old and new inputs name the same object, which must be deleted before its replacement is
// created.
func sameIdentity(olds, news resource.PropertyMap) bool {
	was, now := object(olds, "metadata"), object(news, "metadata")
	return !isUnknown(now["name"]) && !isUnknown(now["namespace"]) &&
		text(was, "name") == text(now, "name") && text(was, "namespace") == text(now, "namespace") &&
		text(olds, "apiVersion") == text(news, "apiVersion") && text(olds, "kind") == text(news, "kind")
}
