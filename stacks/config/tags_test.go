package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/providers"
)

// imageStackdriverAdapter is the default of its key.
var imageStackdriverAdapter = tagsOf("autoscaling.adapterImage").Get("default")

// tagsOf returns the tags of a key's field.
func tagsOf(key string) (tag reflect.StructTag) {
	walk("", reflect.ValueOf(&Config{}).Elem(), func(found string, _ reflect.Value, tags reflect.StructTag) {
		if found == key {
			tag = tags
		}
	})
	return tag
}

// unfit holds a string that each format refuses.
var unfit = map[string]any{
	"adapters": keys{"a b": "example/c"},
	"bucket":   "gs://models/a/../b", "folder": "a/../b",
	"namespaces": "team-*", "network": "10.0.0.1/8", "host": "*.example.com",
	"label": "No", "namespace": "kube-public", "subdomain": "a..b", "labels": keys{"a b": "c"},
	"object-labels": keys{"app": "c"}, "monitor-labels": keys{"k8s.io/a": "c"}, "annotations": keys{"a b": "c"}, "model": "gemma", "image": "vllm/vllm-openai:latest",
	"version": "4.x", "repository": "prometheus-community", "prometheus-duration": "0d", "query-url": "https://a.example.com?b=c", "headers": map[string]any{"a b": "c"},
}

// outside returns a value that breaks each rule of a key's tags, by tag.
func outside(t *testing.T, of reflect.Type, tag reflect.StructTag) map[string]any {
	t.Helper()
	values := map[string]any{}
	text := func(name, value string) {
		values[name] = choose[any](of == reflect.TypeFor[[]string](), []any{value}, value)
	}
	if tag.Get("values") != "" {
		switch of.Kind() {
		case reflect.Int:
			values["values"] = 1 << 20
		case reflect.Bool:
			values["values"] = tag.Get("values") != "true"
		default:
			text("values", "none-of-them")
		}
	}
	if pattern := tag.Get("pattern"); pattern != "" {
		i := slices.IndexFunc([]string{"a b", "!", "-"}, func(text string) bool { return !compiled(pattern).MatchString(text) })
		require.GreaterOrEqual(t, i, 0, "a text that %s does not match", pattern)
		text("pattern", []string{"a b", "!", "-"}[i])
	}
	if format := tag.Get("format"); format != "" {
		require.Contains(t, formats, format)
		require.Contains(t, unfit, format, "a text that the format refuses")
		values["format"] = unfit[format]
		if of == reflect.TypeFor[[]string]() {
			values["format"] = []any{unfit[format]}
		}
	}
	for _, bound := range []string{"min", "max", "above", "below"} {
		limit := tag.Get(bound)
		if limit == "" {
			continue
		}
		step := map[string]float64{"min": -1, "max": 1}[bound]
		switch of {
		case reflect.TypeFor[time.Duration]():
			values[bound] = (mustDuration(limit) + time.Duration(step)*time.Second).String()
		case reflect.TypeFor[int]():
			values[bound] = int(mustNumber(limit) + step)
		default:
			values[bound] = mustNumber(limit) + step*0.001
		}
	}
	switch of {
	case reflect.TypeFor[time.Duration]():
		step := mustDuration(choose(tag.Get("step") == "", "1s", tag.Get("step")))
		values["step"] = (mustDuration(tag.Get("min")) + step/2).String()
	case reflect.TypeFor[Quantity]():
		values["quantity"] = "0"
	case reflect.TypeFor[[]Toleration]():
		values["toleration"] = []any{keys{"key": "a", "operator": "Like"}}
	}
	return values
}

// TestEveryTagIsEnforced checks that each rule in the tags of every key is enforced and reported under the key's name.
func TestEveryTagIsEnforced(t *testing.T) {
	enforced := map[string]int{}
	walk("", reflect.ValueOf(&Config{}).Elem(), func(key string, field reflect.Value, tag reflect.StructTag) {
		for kind, value := range outside(t, field.Type(), tag) {
			cloud, existing := CloudLocal, false
			for _, s := range scopesOf(key) {
				existing = existing || s.when == whenAttach
				if len(s.clouds) > 0 {
					cloud = s.clouds[0]
				}
			}
			given := keys{}
			switch {
			case existing:
				given = attached(cloud, nil)
			case cloud != CloudLocal:
				given = onCloud(cloud, nil)
			}
			given[key] = value
			_, r := readAll(source(t, cloud, given))
			i := slices.IndexFunc(r.problems, func(p Problem) bool { return isAtOrBelow(p.Key, project+":"+key) })
			if !assert.GreaterOrEqual(t, i, 0, "%s = %v breaks the tag %s", key, value, kind) {
				continue
			}
			assert.True(t, r.given.refused(key), "%s = %v is refused by the tag %s, before any other rule", key, value, kind)
			assert.NotEmpty(t, r.problems[i].Allowed)
			assert.NotEmpty(t, r.problems[i].Fix)
			count := 0
			for _, p := range r.problems {
				if isAtOrBelow(p.Key, project+":"+key) {
					count++
				}
			}
			assert.Equal(t, 1, count, "%s = %v is one problem: %v", key, value, r.problems)
			enforced[kind]++
		}
	})
	assert.Equal(t, []string{"above", "below", "format", "max", "min", "pattern", "quantity", "step", "toleration", "values"}, slices.Sorted(maps.Keys(enforced)))
	t.Log(enforced)
}

// TestBoundsAreAllowed checks that inclusive bounds are allowed values.
func TestBoundsAreAllowed(t *testing.T) {
	walk("", reflect.ValueOf(&Config{}).Elem(), func(key string, field reflect.Value, tag reflect.StructTag) {
		for _, bound := range []string{tag.Get("min"), tag.Get("max")} {
			if bound == "" {
				continue
			}
			var value any
			switch field.Interface().(type) {
			case int:
				value = int(mustNumber(bound))
			case float64:
				value = mustNumber(bound)
			default:
				value = mustDuration(bound)
			}
			assert.Empty(t, RulesOf(tag).check(value), "%s = %s", key, bound)
		}
	})
}

// TestAKeyIsDeclaredByItsField checks that the field alone declares a key without rules between keys: name, type, default,
// bounds and the text of a refusal.
func TestAKeyIsDeclaredByItsField(t *testing.T) {
	type object struct {
		Count   int           `key:"count" unit:"things" min:"1" max:"9" default:"4" hint:"4 suits"`
		Timeout time.Duration `key:"timeout" max:"1m" default:"10s"`
		Kind    string        `key:"kind" values:"plain odd" default:"plain"`
	}
	type sample struct {
		Object object `key:"object"`
	}
	readSample := func(value string) (sample, []Problem) {
		var s sample
		given, problems := parse(Source{Project: project, Values: map[string]string{project + ":object": value}}, &s)
		walk("", reflect.ValueOf(&s).Elem(), func(key string, field reflect.Value, tag reflect.StructTag) {
			setDefault(given, key, CloudLocal, field, tag)
		})
		return s, problems
	}
	read, problems := readSample(`{"count": 9, "kind": "odd"}`)
	assert.Empty(t, problems)
	assert.Equal(t, sample{object{9, 10 * time.Second, "odd"}}, read)

	read, problems = readSample(`{"count": 10, "timeout": "1500ms", "kind": "even"}`)
	assert.Equal(t, sample{object{4, 10 * time.Second, "plain"}}, read)
	assert.Equal(t, []Problem{
		{Key: project + ":object.count", Value: "10", Allowed: "1 to 9 things", Fix: "4 suits"},
		{Key: project + ":object.kind", Value: `"even"`, Allowed: "one of: plain, odd", Fix: "remove the key to get its default, plain"},
		{Key: project + ":object.timeout", Value: `"1500ms"`, Allowed: "at most 1m, in whole seconds", Fix: "remove the key to get its default, 10s"},
	}, problems)
}

// TestRefusedValuesAreOneProblem checks that a refused value has the default in the rules between keys, which do not report it
// again.
func TestRefusedValuesAreOneProblem(t *testing.T) {
	for name, test := range map[string]struct {
		cloud string
		given keys
		key   string
	}{
		"other keys of another cloud": {CloudLocal, keys{"eks.region": "nowhere"}, "eks"},
		"required, but wrong":         {CloudGKE, onCloud(CloudGKE, keys{"cluster.apiAccessCidrs": []any{"anyone"}}), "cluster.apiAccessCidrs[0]"},
		"required, of another type":   {CloudGKE, onCloud(CloudGKE, keys{"cluster.apiAccessCidrs": "anyone"}), "cluster.apiAccessCidrs"},
		"model that is none":          {CloudLocal, keys{"gpu.mode": "nvidia", "model.id": "gemma", "model.maxModelLen": 100000}, "model.id"},
		"memory in a wrong unit":      {CloudLocal, keys{"vllm.memory": "20GB", "vllm.shm": "12Gi"}, "vllm.memory"},
		"cloud that is none":          {CloudGKE, keys{"cloud": "azure"}, "cloud"},
	} {
		t.Run(name, func(t *testing.T) {
			refused := problemsOf(t, source(t, test.cloud, test.given))
			require.Len(t, refused.Problems, 1, "%v", refused)
			assert.Equal(t, project+":"+test.key, refused.Problems[0].Key)
		})
	}
}

// TestTagsAgreeWithTheProgram checks that values in tags equal those that the program computes with.
func TestTagsAgreeWithTheProgram(t *testing.T) {
	ttft, interToken := alerts.TTFTBounds(), alerts.InterTokenBounds()
	for _, same := range []struct {
		key, tag string
		want     any
	}{
		{"vllm.preStop", "max", maxDrain},
		{"vllm.shutdownTimeout", "max", maxDrain},
		{"slo.ratio", "min", alerts.MinRatio},
		{"slo.ratio", "max", alerts.MaxRatio},
		{"slo.ttft", "min", ttft[0]},
		{"slo.ttft", "max", ttft[len(ttft)-1]},
		{"slo.interToken", "min", interToken[0]},
		{"slo.interToken", "max", interToken[len(interToken)-1]},
		{"autoscaling.signals.gpuUtilization.target", "below", 100 / (1 + hpaTolerance)},
		{"cloud", "values", Clouds},
		{"gpu.mode", "values", []string{GPUNvidia, GPUSimulated}},
		{"gpu.metrics", "values", []string{string(providers.DCGMChart), string(providers.Simulated)}},
		{"metrics", "values", []string{MetricsPrometheusOperator, MetricsGoogleManaged, MetricsExisting}},
	} {
		text := tagsOf(same.key).Get(same.tag)
		switch want := same.want.(type) {
		case time.Duration:
			assert.Equal(t, want, mustDuration(text), "%s, tag %s", same.key, same.tag)
		case float64:
			assert.InDelta(t, want, mustNumber(text), 0.001, "%s, tag %s", same.key, same.tag)
		default:
			assert.ElementsMatch(t, want, strings.Fields(text), "%s, tag %s", same.key, same.tag)
		}
	}
}

// TestPatternsHaveWords checks that every pattern is also described in words.
func TestPatternsHaveWords(t *testing.T) {
	walk("", reflect.ValueOf(&Config{}).Elem(), func(key string, _ reflect.Value, tag reflect.StructTag) {
		if tag.Get("pattern") != "" {
			assert.NotEmpty(t, tag.Get("allowed"), "%s: give its field the tag allowed, which describes the pattern, or a format in place of the pattern", key)
		}
	})
	for name, format := range formats {
		assert.NotEmpty(t, format.allowed, name)
	}
}

// TestFlagsOfKeys checks that the keys that package components lists for the server's flags exist.
func TestFlagsOfKeys(t *testing.T) {
	for _, flag := range components.ServerFlags() {
		if flag.Key != "" {
			assert.Contains(t, Keys(), flag.Key, flag.Name)
			assert.Equal(t, isSecretKey(flag.Key), flag.Secret, flag.Name)
		}
	}
}

// TestEveryChartIsPinned checks that the charts with a pin are those with a key.
func TestEveryChartIsPinned(t *testing.T) {
	assert.ElementsMatch(t, keysOf(reflect.TypeFor[Charts]()), slices.Collect(maps.Keys(pins)))
	for name, pin := range pins {
		chart := reflect.TypeFor[Chart]()
		for field, value := range map[string]string{"Version": pin.version, "Repository": pin.repository} {
			of, _ := chart.FieldByName(field)
			assert.Empty(t, RulesOf(of.Tag).check(value), fmt.Sprint(name, strconv.Quote(value)))
		}
	}
}
