package configdocs

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"vllm-autoscaling/stacks/config"
)

const root = "../.."

func load(t *testing.T) []*Key {
	t.Helper()
	keys, err := Load(root)
	require.NoError(t, err)
	return keys
}

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	files, err := Files(root)
	require.NoError(t, err)
	require.Len(t, files, 3)
	for path, want := range files {
		got, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got), "%s differs from what the fields of the keys generate: run make config-docs and read the difference", path)
	}
}

// TestCommentsOfOtherPackages checks that keys may be declared in any package of the module, such as those of the clouds.
func TestCommentsOfOtherPackages(t *testing.T) {
	l := newLoader(root)
	for packagePath, field := range map[string]string{"vllm-autoscaling/stacks/config": "Model.ID", "vllm-autoscaling/providers": "NodePool.MachineType"} {
		comments, err := l.commentsOf(packagePath)
		require.NoError(t, err)
		assert.NotEmpty(t, comments[field], packagePath)
	}
	_, err := l.commentsOf("time")
	require.ErrorContains(t, err, "does not belong to module vllm-autoscaling")
	_, err = l.commentsOf("vllm-autoscaling/nowhere")
	require.ErrorContains(t, err, "no sources")
}

// TestProjectFile checks that only the section config of the project file is generated.
func TestProjectFile(t *testing.T) {
	folder := t.TempDir()
	keys := []*Key{
		{Name: "model", Kind: Object, Doc: "What vLLM serves. More of it."}, {Name: "apiKey", Kind: Secret, Doc: strings.Repeat("What clients send ", 8) + "."},
	}
	require.NoError(t, os.WriteFile(filepath.Join(folder, ProjectPath), []byte("# A comment.\nname: x\nconfig:\n  old:\n    type: string\n"), 0o600))
	content, err := ProjectFile(folder, keys)
	require.NoError(t, err)
	assert.Equal(t, `# A comment.
name: x
config:
  model:
    type: object
    default: {}
    description: >-
      What vLLM serves; see docs/configuration.md.
  apiKey:
    type: string
    default: ""
    description: >-
      What clients send What clients send What clients send What clients send What clients send What
      clients send What clients send What clients send ; set it with: pulumi config set --secret
      apiKey; see docs/configuration.md.
`, string(content))
	_, err = ProjectFile(folder, []*Key{{Name: "a", Kind: List}})
	require.ErrorContains(t, err, "no type for the key a")
	_, err = ProjectFile(t.TempDir(), keys)
	require.Error(t, err)
}

// TestKeysAreTheProgramsOwn checks that the generator finds exactly the keys of the program.
func TestKeysAreTheProgramsOwn(t *testing.T) {
	keys := load(t)
	var names []string
	for _, key := range Leaves(keys) {
		names = append(names, key.Name)
	}
	assert.Equal(t, config.Keys(), names)
	effects, err := MeasuredEffects()
	require.NoError(t, err)
	assert.Empty(t, effects.Unknown(keys), "run make config-docs")
}

// schema returns the generated schema, compiled.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	content, err := Schema(load(t))
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("stack.schema.json", document))
	compiled, err := compiler.Compile("stack.schema.json")
	require.NoError(t, err)
	return compiled
}

// document returns YAML as a document for the JSON Schema library.
func document(t *testing.T, text string) any {
	t.Helper()
	var value any
	require.NoError(t, yaml.Unmarshal([]byte(text), &value), text)
	content, err := json.Marshal(value)
	require.NoError(t, err, text)
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	require.NoError(t, err)
	return parsed
}

// TestStackFilesKeepTheSchema checks that the first line of the stack files names the schema, and that the files are valid, also
// with the keys that their comments propose.
func TestStackFilesKeepTheSchema(t *testing.T) {
	compiled := schema(t)
	files, err := filepath.Glob(filepath.Join(root, "Pulumi.*.yaml"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), len(config.Clouds))
	for _, path := range files {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		first, _, _ := strings.Cut(string(content), "\n")
		assert.Equal(t, "# yaml-language-server: $schema="+SchemaPath, first, path)
		require.NoError(t, compiled.Validate(document(t, string(content))), path)
	}
}

func TestSchemaAcceptsWhatTheCommandLineWrites(t *testing.T) {
	compiled := schema(t)
	for name, text := range map[string]string{
		"encrypted key":           "encryptionsalt: v1:abc\nconfig:\n  vllm-autoscaling:apiKey: {secure: v1:abc}",
		"encrypted key, nested":   "config:\n  vllm-autoscaling:monitoring:\n    grafanaPassword: {secure: v1:abc}",
		"encrypted plain value":   "config:\n  vllm-autoscaling:model:\n    id: {secure: v1:abc}",
		"encrypted object":        "config:\n  vllm-autoscaling:model: {secure: v1:abc}",
		"object as JSON":          "config:\n  vllm-autoscaling:model: '{\"id\": \"a/b\"}'",
		"empty entries":           "config:\n  vllm-autoscaling:model:\n  vllm-autoscaling:vllm:\n    image:",
		"number stored as text":   "config:\n  vllm-autoscaling:model:\n    gpuMemoryUtilization: \"0.85\"",
		"number for a text":       "config:\n  vllm-autoscaling:namespaces: {serving: 7}",
		"switch in a selector":    "config:\n  vllm-autoscaling:vllm: {nodeSelector: {gpu: true, zone: 7}}",
		"number in a list":        "config:\n  vllm-autoscaling:model: {extraArgs: [1]}",
		"quantity as number":      "config:\n  vllm-autoscaling:vllm:\n    cpu: 2",
		"keys of providers":       "config:\n  kubernetes:suppressDeprecationWarnings: true\n  pulumi:disable-default-providers: ['*']",
		"secrets provider":        "secretsprovider: awskms://alias/x\nencryptedkey: abc\nconfig: {}",
		"environments":            "environment: [production]\nconfig:",
		"values of a chart":       "config:\n  vllm-autoscaling:charts:\n    prometheusAdapter:\n      values: {a: {b: [1, {c: true}]}}",
		"pod template":            "config:\n  vllm-autoscaling:vllm: {podTemplate: {spec: {containers: [{env: [{name: A, value: {secure: v1:a}}]}]}}}",
		"numbers in a pod":        "config:\n  vllm-autoscaling:vllm: {podTemplate: {metadata: {labels: {a: 7}}, spec: {hostAliases: [{ip: 1}]}}}",
		"tolerations":             "config:\n  vllm-autoscaling:gpu:\n    tolerations: [{key: a, operator: Exists}]",
		"durations":               "config:\n  vllm-autoscaling:vllm: {preStop: 1m30s, startupBudget: 1.5h}",
		"comment to be taken out": "config:\n  vllm-autoscaling:gpu:\n    mode: nvidia\n    memoryGiB: 24",
	} {
		t.Run(name, func(t *testing.T) { require.NoError(t, compiled.Validate(document(t, text))) })
	}
}

func TestSchemaRefusesMistakes(t *testing.T) {
	compiled := schema(t)
	for name, text := range map[string]string{
		"misspelt section":          "confg: {}",
		"unknown top-level key":     "config:\n  vllm-autoscaling:modl: {}",
		"key without namespace":     "config:\n  model: {}",
		"unknown key":               "config:\n  vllm-autoscaling:model: {idd: a/b}",
		"unknown key, deep":         "config:\n  vllm-autoscaling:autoscaling: {signals: {gpuUtilisation: {target: 80}}}",
		"unknown key of toleration": "config:\n  vllm-autoscaling:gpu: {tolerations: [{efect: NoSchedule}]}",
		"text for a number":         "config:\n  vllm-autoscaling:autoscaling: {maxReplicas: many}",
		"fraction for a count":      "config:\n  vllm-autoscaling:autoscaling: {maxReplicas: 2.5}",
		"fraction for a text":       "config:\n  vllm-autoscaling:namespaces: {serving: 7.5}",
		"number for a version":      "config:\n  vllm-autoscaling:cluster: {kubernetesVersion: 1.34}",
		"text for a switch":         "config:\n  vllm-autoscaling:monitoring: {grafana: 'yes'}",
		"text for a list":           "config:\n  vllm-autoscaling:model: {extraArgs: --x}",
		"fraction in a list":        "config:\n  vllm-autoscaling:model: {extraArgs: [1.5]}",
		"fraction in a selector":    "config:\n  vllm-autoscaling:vllm: {nodeSelector: {gpu: 1.5}}",
		"field of a pod":            "config:\n  vllm-autoscaling:vllm: {podTemplate: {spec: {imagePullSecret: a}}}",
		"type in a pod":             "config:\n  vllm-autoscaling:vllm: {podTemplate: {spec: {containers: [{env: {A: b}}]}}}",
		"list for values":           "config:\n  vllm-autoscaling:charts: {dcgmExporter: {values: []}}",
		"list for an object":        "config:\n  vllm-autoscaling:autoscaling: []",
		"text for an object":        "config:\n  vllm-autoscaling:autoscaling: \"on\"",
		"unknown cloud":             "config:\n  vllm-autoscaling:cloud: azure",
		"value that is none":        "config:\n  vllm-autoscaling:model: {dtype: fp8}",
		"number that is none":       "config:\n  vllm-autoscaling:gpu: {perReplica: 3}",
		"value of a list":           "config:\n  vllm-autoscaling:eks: {controlPlaneLogs: [apis]}",
		"number for a duration":     "config:\n  vllm-autoscaling:vllm: {preStop: 15}",
		"duration without unit":     "config:\n  vllm-autoscaling:vllm: {preStop: '15'}",
		"duration in days":          "config:\n  vllm-autoscaling:vllm: {startupBudget: 1d}",
		"quantity":                  "config:\n  vllm-autoscaling:vllm: {memory: 10GB}",
		"too low":                   "config:\n  vllm-autoscaling:autoscaling: {minReplicas: 0}",
		"too high":                  "config:\n  vllm-autoscaling:autoscaling: {scaleUp: {pods: 1001}}",
		"share above one":           "config:\n  vllm-autoscaling:model: {gpuMemoryUtilization: 90}",
		"target of 100 percent":     "config:\n  vllm-autoscaling:autoscaling: {signals: {gpuUtilization: {target: 100}}}",
		"network":                   "config:\n  vllm-autoscaling:cluster: {apiAccessCidrs: [anyone]}",
		"version range":             "config:\n  vllm-autoscaling:charts: {dcgmExporter: {version: 4.x}}",
		"image without tag":         "config:\n  vllm-autoscaling:vllm: {image: vllm/vllm-openai}",
		"token in plain text":       "config:\n  vllm-autoscaling:huggingFaceToken: hf_plain",
		"password in plain text":    "config:\n  vllm-autoscaling:monitoring: {grafanaPassword: plain}",
		"Autopilot":                 "config:\n  vllm-autoscaling:gke: {autopilot: true}",
	} {
		t.Run(name, func(t *testing.T) { require.Error(t, compiled.Validate(document(t, text))) })
	}
}

// TestTags checks that invalid tags and comments of fields are reported.
func TestTags(t *testing.T) {
	assert.Error(t, checkTags(`key:"a" minimum:"1"`))
	assert.NoError(t, checkTags(`key:"a" min:"1" example:"[\"1\"]"`))
	assert.Empty(t, docOf("Port", "The port."), "has to begin with the field's name")
	assert.Equal(t, "Where it listens.", docOf("Port", "Port is where\nit listens.\n"))
	assert.Equal(t, "Serves the API.", docOf("Port", "Port serves the API."))
	_, err := perCloud("gke=1 eks=2", &Key{Kind: Integer, Clouds: []string{"gke"}})
	assert.ErrorContains(t, err, "eks")
}

// TestPageIsComplete checks that the page describes every key and the effect of changing it.
func TestPageIsComplete(t *testing.T) {
	keys := load(t)
	effects, err := MeasuredEffects()
	require.NoError(t, err)
	page, err := Page(keys, effects)
	require.NoError(t, err)
	for _, key := range Leaves(keys) {
		assert.Equal(t, 1, strings.Count(string(page), "\n| `"+key.Name+"` | "), key.Name)
		for _, cloud := range key.Clouds {
			assert.NotEmpty(t, effects[key.Name][cloud], "%s on %s: run make config-docs", key.Name, cloud)
		}
	}
	delete(effects, "cloud")
	_, err = Page(keys, effects)
	require.ErrorContains(t, err, "make config-docs")
	_, err = Page(slices.Concat(keys, []*Key{{Name: "new", Part: "new", Kind: String}}), effects)
	require.Error(t, err)
}
