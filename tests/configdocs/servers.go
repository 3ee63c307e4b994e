package configdocs

import (
	"slices"

	"vllm-autoscaling/stacks/config"
)

// serversForm is the form of an object with an entry for each server.
var serversForm = object{
	"type": "object", "propertyNames": object{"pattern": "^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$"},
	"additionalProperties": object{"anyOf": []any{object{"$ref": "#/definitions/Server"}, object{"type": "null"}}},
}

// addServer adds the definition of an entry of servers: the objects of keys that it may have.
func addServer(definitions object, keys []*Key) {
	properties := object{}
	for own, stacks := range config.ServerObjects() {
		if key := find(keys, stacks); key != nil {
			properties[own] = schemaOf(withoutStackKeys(key))
		}
	}
	definitions["Server"] = object{"type": "object", "properties": properties, "additionalProperties": false}
}

// find returns the key of a name, at any depth; nil for none.
func find(keys []*Key, name string) *Key {
	for _, key := range keys {
		if key.Name == name {
			return key
		}
		if found := find(key.Keys, name); found != nil {
			return found
		}
	}
	return nil
}

// withoutStackKeys returns an object of keys without those that only the stack has.
func withoutStackKeys(key *Key) *Key {
	own := *key
	own.Keys = slices.DeleteFunc(slices.Clone(key.Keys), func(k *Key) bool { return slices.Contains(config.StackKeys(), k.Name) })
	return &own
}
