package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"vllm-autoscaling/providers"
)

// CloudKeys holds the keys that only one cloud has, by the cloud's name: pointers as returned by Cloud.NewKeys.
type CloudKeys map[string]any

// newCloudKeys returns the zero values of every cloud's keys.
func newCloudKeys() CloudKeys {
	keys := CloudKeys{}
	for _, cloud := range clouds {
		if cloud.NewKeys != nil {
			keys[cloud.Name] = cloud.NewKeys()
		}
	}
	return keys
}

// Field is a field of a struct of the configuration, with complete tags.
type Field struct {
	reflect.StructField
	// Doc describes the key of a field that no source file has; "" where the field's comment does.
	Doc string
	// cloud is the name of the cloud that a section of CloudKeys belongs to; "" for any other field.
	cloud string
}

// Fields lists the fields of a struct that have a key, in order. A section for each cloud, with the cloud's name, replaces
// CloudKeys, and words with a dollar sign in tags are expanded from the table of clouds (see words).
func Fields(structure reflect.Type) []Field {
	if known, ok := fieldsOf.Load(structure); ok {
		return known.([]Field)
	}
	var fields []Field
	for i := range structure.NumField() {
		field := structure.Field(i)
		switch key := field.Tag.Get("key"); {
		case field.Type == reflect.TypeFor[CloudKeys]():
			fields = append(fields, sections(field)...)
		case key != "" && key != "-":
			field.Tag = expand(field.Tag)
			fields = append(fields, Field{StructField: field})
		}
	}
	fieldsOf.Store(structure, fields)
	return fields
}

// fieldsOf caches the results of Fields, which is called for every key that is read.
var fieldsOf sync.Map

// sections lists the sections of the cloud-specific keys.
func sections(of reflect.StructField) []Field {
	var fields []Field
	for _, cloud := range clouds {
		if cloud.NewKeys == nil {
			continue
		}
		field := of
		field.Name, field.Type = strings.ToUpper(cloud.Name), reflect.TypeOf(cloud.NewKeys()).Elem()
		field.Tag = reflect.StructTag(fmt.Sprintf("key:%q clouds:%[1]q", cloud.Name))
		fields = append(fields, Field{StructField: field, Doc: "What only " + cloud.Title + " has.", cloud: cloud.Name})
	}
	return fields
}

// In returns the value of the field in a struct. A cloud's section is settable even if the struct is not.
func (f Field) In(structure reflect.Value) reflect.Value {
	value := structure.FieldByIndex(f.Index)
	if f.cloud == "" {
		return value
	}
	if keys, ok := value.Interface().(CloudKeys)[f.cloud]; ok {
		return reflect.ValueOf(keys).Elem()
	}
	return reflect.New(f.Type).Elem()
}

// expand replaces the words with a dollar sign in a tag; see words.
func expand(tag reflect.StructTag) reflect.StructTag {
	text := string(tag)
	for _, name := range TagNames {
		value, ok := tag.Lookup(name)
		if !ok || !strings.HasPrefix(value, "$") {
			continue
		}
		text = strings.Replace(text, name+":"+strconv.Quote(value), name+":"+strconv.Quote(words(name, value)), 1)
	}
	return reflect.StructTag(text)
}

// words returns the expansion of a word in a tag: for "$clouds" the names of all clouds; for "$nodes", "$versions" and
// "$managedMetrics" those that create nodes, offer a choice of Kubernetes versions, or have managed metrics pipelines; for
// "$metrics" all metrics pipelines; and for "$" with a key that key's default, or example, on each cloud.
func words(tag, word string) string {
	switch word {
	case "$clouds":
		return namesOf(func(providers.Cloud) bool { return true })
	case "$nodes":
		return namesOf(func(cloud providers.Cloud) bool { return cloud.MakesNodes })
	case "$versions":
		return namesOf(func(cloud providers.Cloud) bool { return cloud.Versions })
	case "$managedMetrics":
		return namesOf(func(cloud providers.Cloud) bool { return len(cloud.ManagedMetrics) > 0 })
	case "$metrics":
		pipelines := []string{MetricsPrometheusOperator}
		for _, cloud := range clouds {
			pipelines = append(pipelines, cloud.ManagedMetrics...)
		}
		return strings.Join(append(pipelines, MetricsExisting), " ")
	}
	var perCloud []string
	for _, cloud := range clouds {
		value := cloud.Examples[word[1:]]
		if tag == "default" {
			value = poolDefaults(cloud)[word[1:]]
		}
		if value != "" {
			perCloud = append(perCloud, cloud.Name+"="+value)
		}
	}
	if len(perCloud) == 0 {
		panic(fmt.Sprintf("tag %s has %s, which stands for nothing", tag, word))
	}
	return strings.Join(perCloud, " ")
}

// namesOf returns the names of the selected clouds, separated by spaces.
func namesOf(which func(providers.Cloud) bool) string {
	var names []string
	for _, cloud := range clouds {
		if which(cloud) {
			names = append(names, cloud.Name)
		}
	}
	return strings.Join(names, " ")
}

// poolDefaults returns the defaults of the node pools' keys that a cloud's package applies.
func poolDefaults(cloud providers.Cloud) map[string]string {
	if !cloud.MakesNodes {
		return nil
	}
	system := cloud.SystemPool
	return map[string]string{
		providers.KeySystemPool + providers.KeyMachineType: system.MachineType,
		providers.KeySystemPool + providers.KeyMinNodes:    strconv.Itoa(system.MinNodes),
		providers.KeySystemPool + providers.KeyMaxNodes:    strconv.Itoa(system.MaxNodes),
		providers.KeySystemPool + providers.KeyDiskGiB:     strconv.Itoa(system.DiskGiB),
		providers.KeyGPUPool + providers.KeyDiskGiB:        strconv.Itoa(cloud.GPUPool.DiskGiB),
	}
}

// fieldOf returns the field of a struct that a key names.
func fieldOf(structure reflect.Type, key string) (Field, bool) {
	fields := Fields(structure)
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Tag.Get("key") == key })
	if i < 0 {
		return Field{}, false
	}
	return fields[i], true
}
