package configdocs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"vllm-autoscaling/stacks/config"
)

// SchemaPath is the path of the schema below the repository's root; the stack files name it.
const SchemaPath = "docs/stack.schema.json"

// Patterns of the strings that the program parses.
const (
	// durationPattern matches what time.ParseDuration accepts.
	durationPattern = `^[-+]?(0|([0-9]+([.][0-9]*)?|[.][0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`
	// quantityPattern matches what resource.ParseQuantity of Kubernetes accepts.
	quantityPattern = `^[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][-+]?[0-9]+)?$`
	// jsonPattern matches an object as `pulumi config set` without --path stores it, or the empty string.
	jsonPattern = `^([ \t\r\n]*[{].*)?$`
)

// unquoted are the values beside strings that the program takes for strings: what YAML makes of a whole number or a boolean
// without quotes. A pattern is only for the text.
var unquoted = []any{
	map[string]any{"type": "integer", "minimum": -999_999_999_999_999, "maximum": 999_999_999_999_999},
	map[string]any{"type": "boolean"},
}

// object is a JSON object.
type object = map[string]any

// Schema returns the JSON Schema of a stack file, in draft 7, which most editors support.
func Schema(keys []*Key) ([]byte, error) {
	properties := object{
		"pulumi:disable-default-providers": object{
			"description": `Packages without a default provider; ["*"] keeps every resource from ending up in another account by accident.`,
			"type":        "array", "items": object{"type": "string"},
		},
		"pulumi:tags": object{"description": "Tags of the stack in Pulumi Cloud.", "type": "object", "additionalProperties": object{"type": "string"}},
	}
	var ours []string
	for _, key := range keys {
		name := Project + ":" + key.Name
		ours = append(ours, name)
		properties[name] = topLevel(key)
	}
	schema := object{
		"$schema":     "http://json-schema.org/draft-07/schema#",
		"title":       "Stack file of " + Project,
		"description": "Pulumi.<stack>.yaml. Made by `make config-docs` from package stacks.",
		"type":        "object",
		"properties": object{
			"config": object{
				"description": "The configuration; docs/configuration.md is its reference.",
				"type":        []string{"object", "null"},
				"properties":  properties,
				// Keys of other namespaces belong to the engine and to providers.
				"propertyNames": object{"anyOf": []any{
					object{"enum": ours},
					object{"pattern": "^[^:]+:.+$", "not": object{"pattern": "^" + Project + ":"}},
				}},
			},
			"secretsprovider": object{"type": "string",
				"description": "What encrypts the secrets of this file, such as a passphrase or a cloud's KMS key. Written by the Pulumi CLI."},
			"encryptedkey":   object{"type": "string", "description": "The data key, encrypted by secretsprovider. Written by the Pulumi CLI."},
			"encryptionsalt": object{"type": "string", "description": "The salt of the passphrase. Written by the Pulumi CLI."},
			"environment":    object{"type": []string{"array", "object"}, "description": "Pulumi ESC environments."},
		},
		"additionalProperties": false,
		"definitions": object{
			"secure": object{
				"description":          "An encrypted value; `pulumi config set --secret` writes it.",
				"type":                 "object",
				"properties":           object{"secure": object{"type": "string"}},
				"required":             []string{"secure"},
				"additionalProperties": false,
			},
		},
	}
	addPodTemplate(schema["definitions"].(object))
	addServer(schema["definitions"].(object), keys)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(schema); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

var secure = object{"$ref": "#/definitions/secure"}

// topLevel returns the schema of a top-level key, which may be encrypted as a whole, or an object stored as JSON.
func topLevel(key *Key) object {
	value := schemaOf(key)
	// `pulumi config set` without --path stores every value as a string.
	switch key.Kind {
	case Boolean:
		value["anyOf"] = append(value["anyOf"].([]any), object{"enum": []string{"true", "false"}})
		return value
	case Integer, Number:
		value["anyOf"] = append(value["anyOf"].([]any), object{"type": "string", "pattern": `^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$`})
		return value
	case Map:
		value["anyOf"] = append(value["anyOf"].([]any), object{"type": "string", "pattern": `^[ \t\r\n]*[{]`})
		return value
	case List, Objects, Any, PodTemplate, Servers:
		value["anyOf"] = append(value["anyOf"].([]any), object{"type": "string", "pattern": `^[ \t\r\n]*[[{]`})
		return value
	case Object:
	default:
		return value
	}
	description := value["description"]
	delete(value, "description")
	return object{"description": description, "anyOf": []any{value, secure, object{"type": "string", "pattern": jsonPattern}}}
}

// schemaOf returns the schema of one key. A leaf may be empty, which means its default, or encrypted.
func schemaOf(key *Key) object {
	if key.Kind == Object {
		return object{
			"description": describe(key), "type": []string{"object", "null"},
			"properties": propertiesOf(key.Keys), "additionalProperties": false,
		}
	}
	schema := object{"description": describe(key)}
	if value, ok := common(key.Default, key.Clouds); ok && value != nil {
		schema["default"] = value
	}
	if examples := distinct(key.Example); len(examples) > 0 {
		schema["examples"] = examples
	}
	if key.Kind == Secret {
		// Plain text is refused. The empty string is the project file's default.
		schema["anyOf"] = []any{secure, object{"type": "null"}, object{"const": ""}}
		return schema
	}
	schema["anyOf"] = append(forms(key), object{"type": "null"}, secure)
	if !strings.Contains(key.Name, ".") && (!key.MayBeEmpty || key.Kind == Map || key.Kind == Servers) {
		schema["anyOf"] = append(schema["anyOf"].([]any), object{"const": ""})
	}
	return schema
}

func propertiesOf(keys []*Key) object {
	properties := object{}
	for _, key := range keys {
		properties[key.Part] = schemaOf(key)
	}
	return properties
}

// forms returns the schemas of the notations of a key's value.
func forms(key *Key) []any {
	switch key.Kind {
	case String:
		forms := append([]any{stringForm(key)}, unquotedForms(key)...)
		if key.MayBeEmpty && (key.Pattern != "" || len(key.Values) > 0) {
			forms = append(forms, object{"const": ""})
		}
		return forms
	case Duration:
		return []any{object{"type": "string", "pattern": durationPattern}}
	case Quantity:
		if key.Unset != "" {
			return []any{object{"type": "string", "pattern": "^$|" + quantityPattern}, object{"type": "number", "exclusiveMinimum": 0}}
		}
		return []any{object{"type": "string", "pattern": quantityPattern}, object{"type": "number", "exclusiveMinimum": 0}}
	case Boolean:
		if len(key.Values) > 0 {
			return []any{object{"enum": []any{key.Values[0] == "true", key.Values[0]}}}
		}
		return []any{object{"type": "boolean"}, object{"enum": []string{"true", "false"}}}
	case Integer:
		return []any{bounded(key, "integer"), quotedInteger(key)}
	case Number:
		// `pulumi config set --path` stores 0.85 as a string.
		return []any{bounded(key, "number"), object{"type": "string", "pattern": `^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$`}}
	case List:
		return []any{object{"type": "array", "items": object{"anyOf": append([]any{stringForm(key)}, unquotedForms(key)...)}}}
	case Map:
		return []any{object{"type": "object", "additionalProperties": object{"anyOf": append([]any{object{"type": "string"}}, unquoted...)}}}
	case Objects:
		return []any{object{"type": "array", "items": object{
			"type": "object", "properties": propertiesOf(key.Keys), "additionalProperties": false,
		}}}
	case PodTemplate:
		return []any{podTemplateForm}
	case Servers:
		return []any{serversForm}
	default:
		return []any{object{"type": "object"}}
	}
}

// unquotedForms returns the forms of a string's key beside strings; none where its values are listed.
func unquotedForms(key *Key) []any {
	if len(key.Values) > 0 {
		return nil
	}
	return unquoted
}

// quotedInteger returns the form of a whole number in quotes, which an encrypted value is and one set with --type string. Of
// the bounds, a pattern can express the least number only.
func quotedInteger(key *Key) object {
	if len(key.Values) > 0 {
		return object{"enum": key.Values}
	}
	pattern := "^(0|-?[1-9][0-9]{0,14})$"
	switch least, err := strconv.Atoi(key.Min); {
	case err == nil && least > 0:
		pattern = "^[1-9][0-9]{0,14}$"
	case err == nil && least == 0:
		pattern = "^(0|[1-9][0-9]{0,14})$"
	}
	return object{"type": "string", "pattern": pattern}
}

func stringForm(key *Key) object {
	switch {
	case len(key.Values) > 0:
		return object{"enum": key.Values}
	case key.Pattern != "":
		return object{"type": "string", "pattern": key.Pattern}
	}
	return object{"type": "string"}
}

func bounded(key *Key, kind string) object {
	form := object{"type": kind}
	for keyword, text := range map[string]string{
		"minimum": key.Min, "maximum": key.Max, "exclusiveMinimum": key.Above, "exclusiveMaximum": key.Below,
	} {
		if text != "" {
			form[keyword] = json.Number(text)
		}
	}
	if len(key.Values) > 0 {
		var numbers []any
		for _, text := range key.Values {
			numbers = append(numbers, json.Number(text))
		}
		return object{"enum": numbers}
	}
	return form
}

// describe returns the description of a key that editors show.
func describe(key *Key) string {
	var text strings.Builder
	text.WriteString(key.Doc)
	var scope []string
	if len(key.Clouds) < len(config.Clouds) {
		scope = append(scope, "with cloud "+strings.Join(key.Clouds, ", "))
	}
	switch key.When {
	case "create":
		scope = append(scope, "when the stack creates the cluster")
	case "attach":
		scope = append(scope, "with cluster.existing")
	}
	if len(scope) > 0 {
		fmt.Fprintf(&text, " Only %s.", strings.Join(scope, ", "))
	}
	if key.Kind == Object {
		return text.String()
	}
	if key.Unit != "" {
		fmt.Fprintf(&text, " Unit: %s.", key.Unit)
	}
	// Editors show values and bounds themselves, except those of durations.
	if key.Kind == Duration {
		fmt.Fprintf(&text, " Allowed: %s.", allowed(key))
	}
	fmt.Fprintf(&text, " Default: %s.", strings.ReplaceAll(defaults(key), "`", ""))
	return text.String()
}

// common returns the value of all the clouds, and whether they have the same one.
func common(values map[string]any, clouds []string) (any, bool) {
	for _, cloud := range clouds {
		if value, ok := values[cloud]; !ok || !reflect.DeepEqual(value, values[clouds[0]]) {
			return nil, false
		}
	}
	return values[clouds[0]], true
}

// distinct returns the different values of all clouds.
func distinct(values map[string]any) []any {
	var all []any
	for _, cloud := range slices.Sorted(maps.Keys(values)) {
		if !slices.ContainsFunc(all, func(v any) bool { return reflect.DeepEqual(v, values[cloud]) }) {
			all = append(all, values[cloud])
		}
	}
	return all
}

// show returns a value in the notation of a stack file, on one line.
func show(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case nil:
		return ""
	case int, bool:
		return fmt.Sprint(v)
	}
	content, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(content)
}
