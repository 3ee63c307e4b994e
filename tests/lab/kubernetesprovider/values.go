package kubernetesprovider

import (
	"encoding/base64"
	"math"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// reveal removes the marks of secrets around a value.
func reveal(v resource.PropertyValue) resource.PropertyValue {
	for {
		switch {
		case v.IsSecret():
			v = v.SecretValue().Element
		case v.IsOutput() && v.OutputValue().Known:
			v = v.OutputValue().Element
		default:
			return v
		}
	}
}

func isUnknown(v resource.PropertyValue) bool {
	v = reveal(v)
	return v.IsComputed() || v.IsOutput()
}

// plain converts properties to values for JSON and YAML encoders. Secrets are revealed, whole numbers become integers (a Helm
// template would otherwise print 1.025e+06) and, unless keepNulls is set, nulls are left out.
func plain(m resource.PropertyMap, keepNulls bool) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		if v := plainValue(v, keepNulls); v != nil || keepNulls {
			out[string(k)] = v
		}
	}
	return out
}

func plainValue(v resource.PropertyValue, keepNulls bool) any {
	v = reveal(v)
	switch {
	case v.IsBool():
		return v.BoolValue()
	case v.IsNumber():
		n := v.NumberValue()
		if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int64(n)
		}
		return n
	case v.IsString():
		return v.StringValue()
	case v.IsArray():
		list := make([]any, 0, len(v.ArrayValue()))
		for _, e := range v.ArrayValue() {
			list = append(list, plainValue(e, keepNulls))
		}
		return list
	case v.IsObject():
		return plain(v.ObjectValue(), keepNulls)
	}
	return nil
}

// object returns the object at a key, revealed; nil when there is none.
func object(m resource.PropertyMap, key resource.PropertyKey) resource.PropertyMap {
	if v := reveal(m[key]); v.IsObject() {
		return v.ObjectValue()
	}
	return nil
}

// text returns the string at a key, revealed; "" when there is none.
func text(m resource.PropertyMap, key resource.PropertyKey) string {
	if v := reveal(m[key]); v.IsString() {
		return v.StringValue()
	}
	return ""
}

// boolean returns the boolean at a key, revealed; false when there is none.
func boolean(m resource.PropertyMap, key resource.PropertyKey) bool {
	v := reveal(m[key])
	return v.IsBool() && v.BoolValue()
}

// annotation returns an annotation of the object.
func annotation(m resource.PropertyMap, key resource.PropertyKey) string {
	return text(object(object(m, "metadata"), "annotations"), key)
}

// markSecrets marks in outputs what is secret in inputs at the same place.
func markSecrets(outputs, inputs resource.PropertyMap) resource.PropertyMap {
	marked := outputs.Copy()
	for k, in := range inputs {
		if out, ok := marked[k]; ok {
			marked[k] = markSecret(out, in)
		}
	}
	return marked
}

func markSecret(out, in resource.PropertyValue) resource.PropertyValue {
	switch {
	case out.IsSecret():
		return out
	case in.IsSecret() || in.IsOutput() && in.OutputValue().Secret:
		return resource.MakeSecret(out)
	case !in.ContainsSecrets():
		return out
	case in.IsObject() && out.IsObject():
		return resource.NewObjectProperty(markSecrets(out.ObjectValue(), in.ObjectValue()))
	case in.IsArray() && out.IsArray() && len(in.ArrayValue()) == len(out.ArrayValue()):
		list := make([]resource.PropertyValue, len(out.ArrayValue()))
		for i, e := range out.ArrayValue() {
			list[i] = markSecret(e, in.ArrayValue()[i])
		}
		return resource.NewArrayProperty(list)
	}
	// The shapes differ, so where the secret went is not known: all of it is secret.
	return resource.MakeSecret(out)
}

// liveOutputs converts a live object to outputs, without the API server's bookkeeping. Secret inputs and the content of a
// Secret are secret.
func liveOutputs(live map[string]any, inputs resource.PropertyMap) resource.PropertyMap {
	outputs := resource.NewPropertyMapFromMap(withoutBookkeeping(live))
	outputs = markSecrets(outputs, inputs)
	if live["apiVersion"] == "v1" && live["kind"] == "Secret" {
		if given, ok := inputs["stringData"]; ok {
			outputs["stringData"] = given
		}
		for _, key := range []resource.PropertyKey{"data", "stringData"} {
			if v, ok := outputs[key]; ok && !v.IsSecret() {
				outputs[key] = resource.MakeSecret(v)
			}
		}
	}
	return outputs
}

func withoutBookkeeping(live map[string]any) map[string]any {
	out := make(map[string]any, len(live))
	for k, v := range live {
		out[k] = v
	}
	if metadata, ok := live["metadata"].(map[string]any); ok {
		kept := make(map[string]any, len(metadata))
		for k, v := range metadata {
			if k != "managedFields" {
				kept[k] = v
			}
		}
		out["metadata"] = kept
	}
	return out
}

// encodeStringData moves a Secret's stringData to data, as the API server does. Server-side apply does not track a key that
// was set by stringData and would therefore never remove it.
func encodeStringData(object map[string]any) {
	if object["apiVersion"] != "v1" || object["kind"] != "Secret" {
		return
	}
	given, ok := object["stringData"].(map[string]any)
	if !ok {
		return
	}
	data := map[string]any{}
	if existing, ok := object["data"].(map[string]any); ok {
		for k, v := range existing {
			data[k] = v
		}
	}
	for k, v := range given {
		if s, ok := v.(string); ok {
			data[k] = base64.StdEncoding.EncodeToString([]byte(s))
		} else {
			data[k] = v
		}
	}
	object["data"] = data
	delete(object, "stringData")
}

// overlay returns the old values overridden by the new ones: objects are merged, everything else is replaced.
func overlay(olds, news resource.PropertyMap) resource.PropertyMap {
	out := olds.Copy()
	for k, v := range news {
		before, after := reveal(out[k]), reveal(v)
		if before.IsObject() && after.IsObject() && !v.IsSecret() {
			out[k] = resource.NewObjectProperty(overlay(before.ObjectValue(), after.ObjectValue()))
			continue
		}
		out[k] = v
	}
	return out
}

// drift returns the inputs with the live value wherever applying the inputs would give another one. Comparing with the
// applied object instead of the inputs ignores values that the API server only formats differently, such as 0.5 CPUs as
// 500m.
func drift(live, applied map[string]any, inputs resource.PropertyMap) resource.PropertyMap {
	out := resource.PropertyMap{}
	for k, in := range inputs {
		is, exists := live[string(k)]
		wanted, known := applied[string(k)]
		switch {
		case !known:
			out[k] = in // never stored under this name, as a Secret's stringData
		case exists:
			out[k] = driftOf(is, wanted, in)
		}
	}
	return out
}

func driftOf(is, wanted any, in resource.PropertyValue) resource.PropertyValue {
	if reflect.DeepEqual(is, wanted) {
		return in
	}
	if in.IsSecret() {
		return resource.MakeSecret(driftOf(is, wanted, in.SecretValue().Element))
	}
	switch is := is.(type) {
	case map[string]any:
		if wanted, ok := wanted.(map[string]any); ok && in.IsObject() {
			return resource.NewObjectProperty(drift(is, wanted, in.ObjectValue()))
		}
	case []any:
		wanted, ok := wanted.([]any)
		if ok && in.IsArray() && len(in.ArrayValue()) == len(is) && len(wanted) == len(is) {
			list := make([]resource.PropertyValue, len(is))
			for i := range is {
				list[i] = driftOf(is[i], wanted[i], in.ArrayValue()[i])
			}
			return resource.NewArrayProperty(list)
		}
	}
	return resource.NewPropertyValue(is)
}
