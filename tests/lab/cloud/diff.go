package cloud

import (
	"context"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// Diff compares the inputs and, where this version of the provider does, the values filled in by the server.
func (p *Provider) Diff(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	k, err := p.kind(req.GetUrn())
	if err != nil {
		return nil, err
	}
	return diff(req, k.replace, k.drifts, k)
}

func diff(req *pulumirpc.DiffRequest, replace, drifts []string, k *kind) (*pulumirpc.DiffResponse, error) {
	olds, err := unmarshal(req.GetOldInputs())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	state, err := unmarshal(req.GetOlds())
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE, DetailedDiff: map[string]*pulumirpc.PropertyDiff{}, HasDetailedDiff: true}
	note := func(path string, kind plugin.DiffKind) {
		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
		top := strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' })[0]
		if !slices.Contains(response.Diffs, top) {
			response.Diffs = append(response.Diffs, top)
		}
		if covered(path, replace) {
			kind = kind.AsReplace()
			if !slices.Contains(response.Replaces, top) {
				response.Replaces = append(response.Replaces, top)
			}
		}
		response.DetailedDiff[path] = &pulumirpc.PropertyDiff{Kind: rpcKinds[kind], InputDiff: true}
	}
	before, after := revealed(olds), revealed(news)
	if delta := before.Diff(after, resource.IsInternalPropertyKey); delta != nil {
		for path, change := range plugin.NewDetailedDiffFromObjectDiff(delta, true) {
			note(path, change.Kind)
		}
	}
	for _, path := range drifts {
		parsed, err := resource.ParsePropertyPath(path)
		if err != nil {
			return nil, err
		}
		filled, inState := parsed.Get(resource.NewObjectProperty(revealed(state)))
		asked, given := parsed.Get(resource.NewObjectProperty(after))
		if !inState || given && asked.DeepEquals(filled) || slices.Contains(req.GetIgnoreChanges(), path) {
			continue
		}
		change := plugin.DiffDelete
		if given {
			change = plugin.DiffUpdate
		}
		if k != nil && slices.Contains(k.kept, path) {
			change = change.AsReplace()
			response.Replaces = append(response.Replaces, path)
		}
		note(path, change)
	}
	if k != nil && k.name != "" && len(response.Replaces) > 0 {
		// A resource with a fixed name cannot exist twice.
		was, now := before[resource.PropertyKey(k.name)], after[resource.PropertyKey(k.name)]
		response.DeleteBeforeReplace = was.IsString() && now.IsString() && was.StringValue() == now.StringValue()
	}
	return response, nil
}

var rpcKinds = map[plugin.DiffKind]pulumirpc.PropertyDiff_Kind{
	plugin.DiffAdd: pulumirpc.PropertyDiff_ADD, plugin.DiffAddReplace: pulumirpc.PropertyDiff_ADD_REPLACE,
	plugin.DiffDelete: pulumirpc.PropertyDiff_DELETE, plugin.DiffDeleteReplace: pulumirpc.PropertyDiff_DELETE_REPLACE,
	plugin.DiffUpdate: pulumirpc.PropertyDiff_UPDATE, plugin.DiffUpdateReplace: pulumirpc.PropertyDiff_UPDATE_REPLACE,
}

// covered reports whether a path, without its list indices, is one of the fields or below one.
func covered(path string, fields []string) bool {
	parsed, err := resource.ParsePropertyPath(path)
	if err != nil {
		return false
	}
	var names []string
	for _, element := range parsed {
		if name, ok := element.(string); ok {
			names = append(names, name)
		}
	}
	joined := strings.Join(names, ".")
	return slices.ContainsFunc(fields, func(field string) bool {
		// A change of a whole object changes the field in it.
		return joined == field || strings.HasPrefix(joined, field+".") || strings.HasPrefix(field, joined+".")
	})
}

// revealed returns a copy without the marks of secrets.
func revealed(m resource.PropertyMap) resource.PropertyMap {
	copied := resource.PropertyMap{}
	for key, value := range m {
		copied[key] = revealedValue(value)
	}
	return copied
}

func revealedValue(v resource.PropertyValue) resource.PropertyValue {
	v = reveal(v)
	switch {
	case v.IsArray():
		list := make([]resource.PropertyValue, len(v.ArrayValue()))
		for i, element := range v.ArrayValue() {
			list[i] = revealedValue(element)
		}
		return resource.NewArrayProperty(list)
	case v.IsObject():
		return resource.NewObjectProperty(revealed(v.ObjectValue()))
	}
	return v
}
