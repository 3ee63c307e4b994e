package configdocs

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"vllm-autoscaling/stacks/config"
)

// Project is the namespace of the keys.
const Project = "vllm-autoscaling"

// Given is a configuration: values as decoded from YAML, by dotted key without the namespace. A value of type Encrypted is
// encrypted in the file.
type Given map[string]any

// Encrypted is the value of a secret.
type Encrypted string

// Least returns the minimal configuration of a stack on a cloud. Load checks that all of its keys are required.
func Least(name string) Given {
	cloud, _ := config.FindCloud(name)
	least := Given{}
	if cloud.MakesNodes {
		least["cluster.apiAccessCidrs"], least["huggingFaceToken"] = []any{"1.2.3.4/32"}, Encrypted("hf_token")
	}
	maps.Copy(least, cloud.Required)
	return least
}

// With returns a copy with other values; nil removes a key.
func (g Given) With(more Given) Given {
	all := maps.Clone(g)
	maps.Copy(all, more)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return all
}

// String returns the configuration as dotted keys, one per line.
func (g Given) String() string {
	var text string
	for _, key := range slices.Sorted(maps.Keys(g)) {
		text += fmt.Sprintf("%s: %v\n", key, g[key])
	}
	return text
}

// Source returns the configuration as passed by the Pulumi CLI, for a stack of that name.
func (g Given) Source(stack string) (config.Source, error) {
	objects, secret := map[string]any{}, map[string]bool{}
	for _, dotted := range slices.Sorted(maps.Keys(g)) {
		value := g[dotted]
		parts := strings.Split(dotted, ".")
		if plain, ok := value.(Encrypted); ok {
			secret[Project+":"+parts[0]], value = true, string(plain)
		}
		inner := objects
		for _, part := range parts[:len(parts)-1] {
			child, ok := inner[part].(map[string]any)
			if !ok {
				child = map[string]any{}
				inner[part] = child
			}
			inner = child
		}
		inner[parts[len(parts)-1]] = value
	}
	values := map[string]string{}
	for name, value := range objects {
		if text, ok := value.(string); ok {
			values[Project+":"+name] = text
			continue
		}
		content, err := json.Marshal(value)
		if err != nil {
			return config.Source{}, fmt.Errorf("%s: %w", name, err)
		}
		values[Project+":"+name] = string(content)
	}
	return config.Source{Project: Project, Stack: stack, Values: values, Secret: func(key string) bool { return secret[key] }}, nil
}

// Read returns the program's result of reading the configuration.
func (g Given) Read(stack string) (*config.Config, error) {
	source, err := g.Source(stack)
	if err != nil {
		return nil, err
	}
	return config.Read(source)
}

// readDefaults reads the minimal configuration of each cloud with the program's own code.
func (l *loader) readDefaults() error {
	l.defaults, l.required = map[string]map[string]any{}, map[string][]string{}
	for _, cloud := range config.Clouds {
		least := Least(cloud)
		read, err := least.Read(cloud)
		if err != nil {
			return fmt.Errorf("the least configuration of %s: %w", cloud, err)
		}
		l.defaults[cloud] = map[string]any{}
		flatten("", reflect.ValueOf(*read), l.defaults[cloud])
		for key := range least {
			_, err := least.With(Given{key: nil}).Read(cloud)
			var refused *config.Error
			if !errors.As(err, &refused) {
				return fmt.Errorf("%s can do without %s: take it out of Required in its providers.Cloud", cloud, key)
			}
			l.required[key] = append(l.required[key], cloud)
		}
	}
	return nil
}

// flatten collects the values of all keys, in the form that the file has. Empty values are nil.
func flatten(prefix string, structure reflect.Value, into map[string]any) {
	for _, field := range config.Fields(structure.Type()) {
		name, value := prefix+field.Tag.Get("key"), field.In(structure)
		switch v := value.Interface().(type) {
		case config.Secret:
			continue
		case time.Duration:
			into[name] = durationText(v)
		case int, bool, float64:
			into[name] = v
		case config.Quantity:
			if v != "" {
				into[name] = string(v)
			}
		default:
			switch {
			case value.Kind() == reflect.Struct:
				flatten(name+".", value, into)
			case value.IsZero() || (value.Kind() == reflect.Slice || value.Kind() == reflect.Map) && value.Len() == 0:
			case value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Struct:
				var items []any
				for j := range value.Len() {
					item := map[string]any{}
					flatten("", value.Index(j), item)
					items = append(items, item)
				}
				into[name] = items
			default:
				into[name] = v
			}
		}
	}
}

// durationText returns a duration without zero units: 10m and not 10m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
