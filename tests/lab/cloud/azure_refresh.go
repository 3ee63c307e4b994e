package cloud

import (
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"google.golang.org/protobuf/types/known/structpb"
)

// refreshed returns the inputs of a resource after a refresh by azure-native (provider/pkg/provider, Read): what differs
// between the outputs of the state and those of the cloud is also changed in the inputs. Lists have no keys there, so that
// they are compared element by element, and an element that is new in the cloud is taken over as a whole.
func refreshed(k *kind, inputs resource.PropertyMap, state, live *structpb.Struct) (resource.PropertyMap, error) {
	before, err := unmarshal(state)
	if err != nil {
		return nil, err
	}
	after, err := unmarshal(live)
	if err != nil {
		return nil, err
	}
	before, after = revealed(before), revealed(after)
	for _, name := range k.computed {
		delete(before, resource.PropertyKey(name))
		delete(after, resource.PropertyKey(name))
	}
	return refreshedObject(inputs, before, after), nil
}

func refreshedObject(inputs, before, after resource.PropertyMap) resource.PropertyMap {
	found := resource.PropertyMap{}
	for key, value := range inputs {
		if _, was := before[key]; !was || after.HasValue(key) {
			found[key] = value // Otherwise, it was there and is gone.
		}
	}
	for key, now := range after {
		was, known := before[key]
		switch input, given := inputs[key]; {
		case known && was.DeepEquals(now):
		case known && given:
			found[key] = refreshedValue(input, was, now)
		default:
			found[key] = now
		}
	}
	return found
}

func refreshedValue(input, before, after resource.PropertyValue) resource.PropertyValue {
	switch {
	case input.IsObject() && before.IsObject() && after.IsObject():
		return resource.NewObjectProperty(refreshedObject(input.ObjectValue(), before.ObjectValue(), after.ObjectValue()))
	case input.IsArray() && before.IsArray() && after.IsArray():
		var all []resource.PropertyValue
		for i, now := range after.ArrayValue() {
			if i < len(input.ArrayValue()) && i < len(before.ArrayValue()) {
				now = refreshedValue(input.ArrayValue()[i], before.ArrayValue()[i], now)
			}
			all = append(all, now)
		}
		return resource.NewArrayProperty(all)
	}
	return after
}
