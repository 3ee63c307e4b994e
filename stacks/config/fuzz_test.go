package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// canary is part of the secrets in the seeds and must not appear in any message.
const canary = "canary-4b1d"

// FuzzRead reads arbitrary configurations. Each line of the text is a full key, a space and its value as passed by the CLI; an
// exclamation mark before the key marks an encrypted value.
func FuzzRead(f *testing.F) {
	for _, cloud := range Clouds {
		for _, content := range seedFiles(f, cloud) {
			s, err := FileSource(project, cloud, []byte(content))
			require.NoError(f, err)
			f.Add(cloud, asLines(s))
			// Each key with values of each type, in addition to the required keys.
			for i, key := range Keys() {
				value := []string{`"x"`, "1", "-1", "0.5", "true", "[]", `["a"]`, "{}", `{"a":"b"}`, "null", `"10m"`, `"1Gi"`, `"` + canary + `"`}[i%13]
				top, rest, nested := strings.Cut(key, ".")
				if !nested {
					f.Add(cloud, asLines(s)+"!"+project+":"+top+" "+strings.Trim(value, `"`)+"\n")
					continue
				}
				parts := strings.Split(rest, ".")
				f.Add(cloud, asLines(s)+project+":"+top+` {"`+strings.Join(parts, `":{"`)+`":`+value+strings.Repeat("}", len(parts))+"\n")
			}
		}
	}
	f.Add("local", "!"+project+`:monitoring {"grafanaPassword":"`+canary+`","grafana":"`+canary+"\"}\n")
	f.Add("local", project+":model {\n"+project+":vllm {} {}\npulumi:disable-default-providers [\"*\"]\nvllm-autoscalling:x y\n")
	// The same key twice, in two notations.
	f.Add("local", project+": 00\n"+project)
	f.Add("local", project+":model.x 1\n"+project+`:model {"x":2}`+"\n"+project+`:autoscaling {"signals.x.y":1,"signals":{"x.y":1}}`+"\n")
	f.Fuzz(func(t *testing.T, stack, text string) { checkRead(t, sourceOfLines(stack, text)) })
}

// FuzzStackFile reads stack files. It skips texts that are not YAML or not a stack file: the CLI refuses those.
func FuzzStackFile(f *testing.F) {
	for _, cloud := range Clouds {
		for _, content := range seedFiles(f, cloud) {
			f.Add(cloud, content)
		}
	}
	f.Fuzz(func(t *testing.T, stack, content string) {
		if s, err := FileSource(project, stack, []byte(content)); err == nil {
			checkRead(t, s)
		}
	})
}

// seedFiles returns the stack's file with its secrets, and other files that a cloud's stack may have.
func seedFiles(f *testing.F, cloud string) []string {
	shipped, err := os.ReadFile("../../Pulumi." + cloud + ".yaml")
	require.NoError(f, err)
	token := "  " + project + ":huggingFaceToken: {secure: " + canary + "}\n"
	files := []string{string(shipped), string(shipped) + token}
	asFile := func(keys map[string]any) string {
		objects := map[string]any{}
		for key, value := range keys {
			if plain, ok := value.(hidden); ok {
				value = map[string]any{"secure": string(plain)}
			}
			top, rest, nested := strings.Cut(key, ".")
			if !nested {
				objects[project+":"+top] = value
				continue
			}
			object, ok := objects[project+":"+top].(map[string]any)
			if !ok {
				object = map[string]any{}
				objects[project+":"+top] = object
			}
			setIn(object, rest, value)
		}
		content, err := yaml.Marshal(map[string]any{"config": objects})
		require.NoError(f, err)
		return string(content)
	}
	if cloud == CloudLocal {
		return append(files, asFile(nvidia(map[string]any{
			"gpu.memoryGiB": 24, "gpu.tolerations": []any{map[string]any{"key": "a", "operator": "Exists"}}, "gpu.nodeSelector": map[string]any{"a": "b"},
			"monitoring.grafanaPassword": hidden(canary), "monitoring.storage": "20Gi", "apiKey": hidden(canary),
			"charts.kubePrometheusStack.values": map[string]any{"a": []any{1, 1.5, "x"}},
		})))
	}
	return append(files, asFile(onCloud(cloud, map[string]any{"model.id": "google/gemma-3-12b-it", "gpu.perReplica": 2, "nodePools.gpu.spot": true})),
		asFile(attached(cloud, map[string]any{"nodePools.gpu.create": false})))
}

// asLines returns a source in the input format of FuzzRead.
func asLines(s Source) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s.Values)) {
		fmt.Fprintf(&text, "%s%s %s\n", choose(s.isSecret(key), "!", ""), key, strings.ReplaceAll(s.Values[key], "\n", " "))
	}
	return text.String()
}

func sourceOfLines(stack, text string) Source {
	values, secret := map[string]string{}, map[string]bool{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		plain := strings.TrimPrefix(key, "!")
		values[plain], secret[plain] = value, plain != key
	}
	return Source{Project: project, Stack: stack, Values: values, Secret: func(key string) bool { return secret[key] }}
}

// checkRead reads a configuration and checks the invariants of every result.
func checkRead(t *testing.T, s Source) {
	config, err := Read(s)
	if err != nil {
		if config != nil {
			t.Fatalf("a configuration beside the error %v", err)
		}
		checkProblems(t, s, err)
		return
	}
	if config.Cloud == "" || len(config.Warnings()) > 0 && config.Warnings()[0].Key == "" {
		t.Fatalf("accepted: %+v", config)
	}
	// Rewritten from the result, the source has the same meaning.
	again, err := Read(rewritten(t, s, config))
	if err != nil {
		t.Fatalf("accepted, but not when written again: %v", err)
	}
	if !reflect.DeepEqual(empty(*config), empty(*again)) {
		t.Fatalf("written again it reads\n%+v\nand not\n%+v", again, config)
	}
}

func checkProblems(t *testing.T, s Source, err error) {
	var refused *Error
	if !errors.As(err, &refused) || len(refused.Problems) == 0 {
		t.Fatalf("%T is no list of problems: %v", err, err)
	}
	seen := map[string]bool{}
	for i, p := range refused.Problems {
		if i > 0 && p.Key < refused.Problems[i-1].Key {
			t.Fatalf("%s comes after %s", p.Key, refused.Problems[i-1].Key)
		}
		if p.Key == "" || p.Allowed == "" || p.Fix == "" {
			t.Fatalf("a problem without key, rule or fix: %+v", p)
		}
		if seen[p.Key+"\n"+p.Allowed] {
			t.Fatalf("%s said twice: %s", p.Key, p.Allowed)
		}
		seen[p.Key+"\n"+p.Allowed] = true
	}
	// Keys, values that are not encrypted and the stack's name are not secret.
	for key, value := range s.Values {
		if strings.Contains(key, canary) || !s.isSecret(key) && strings.Contains(value, canary) {
			return
		}
		if s.isSecret(key) && strings.Contains(value, canary) && strings.HasPrefix(strings.TrimSpace(value), "{") {
			// A canary in the place of a key is reported as an unknown key.
			var object any
			if json.Unmarshal([]byte(value), &object) != nil || hasKey(object, canary) {
				return
			}
		}
	}
	if !strings.Contains(s.Stack, canary) && strings.Contains(err.Error(), canary) {
		t.Fatalf("a secret is shown: %v", err)
	}
}

// hasKey reports whether a key of an object, or of an object in it, contains a text.
func hasKey(value any, text string) bool {
	switch v := value.(type) {
	case map[string]any:
		for key, item := range v {
			if strings.Contains(key, text) || hasKey(item, text) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return hasKey(item, text) })
	}
	return false
}

// rewritten returns a source with the same keys and the values of the resulting configuration.
func rewritten(t *testing.T, s Source, config *Config) Source {
	given, problems := parse(s, &Config{})
	if len(problems) > 0 {
		t.Fatalf("accepted with %v", problems)
	}
	objects := map[string]any{}
	for key := range given {
		value := reflect.ValueOf(*config)
		var written any
		for part := range strings.SplitSeq(key, ".") {
			next, _, ok := fieldByKey(value, part)
			if !ok {
				break // An item of a list, which is written as a whole.
			}
			value = next
		}
		switch v := value.Interface().(type) {
		case Secret:
			written = v.value
		case time.Duration:
			written = v.String()
		default:
			if value.Kind() == reflect.Struct {
				continue
			}
			written = v
			if value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Struct {
				items := []any{}
				for i := range value.Len() {
					item := map[string]any{}
					walk("", value.Index(i), func(key string, field reflect.Value, _ reflect.StructTag) { item[key] = field.Interface() })
					items = append(items, item)
				}
				written = items
			}
		}
		if !strings.Contains(key, "[") {
			top, rest, nested := strings.Cut(key, ".")
			if !nested {
				objects[top] = written
				continue
			}
			object, ok := objects[top].(map[string]any)
			if !ok {
				object = map[string]any{}
				objects[top] = object
			}
			setIn(object, rest, written)
		}
	}
	again := s
	again.Values = map[string]string{}
	for key, value := range objects {
		text, ok := value.(string)
		if !ok {
			content, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			text = string(content)
		}
		again.Values[s.Project+":"+key] = text
	}
	return again
}

// empty replaces empty collections by nil ones and removes the fields that are not read.
func empty(c Config) Config {
	value := reflect.ValueOf(&c).Elem()
	var visit func(value reflect.Value)
	visit = func(value reflect.Value) {
		switch value.Kind() {
		case reflect.Struct:
			for i := range value.NumField() {
				if value.Type().Field(i).IsExported() {
					visit(value.Field(i))
				}
			}
		case reflect.Slice, reflect.Map:
			if value.Len() == 0 {
				value.SetZero()
			}
		}
	}
	visit(value)
	return c
}
