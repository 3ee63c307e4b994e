package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/providers/eks"
)

const project = "vllm-autoscaling"

// source returns the source that the CLI would pass: objects as JSON, strings unchanged. A dotted key is set inside its object.
// Values of type hidden are encrypted in the file.
func source(t *testing.T, stack string, keys map[string]any) Source {
	t.Helper()
	objects, secret := map[string]any{}, map[string]bool{}
	for key, value := range keys {
		top, rest, nested := strings.Cut(key, ".")
		if !strings.Contains(top, ":") {
			top = project + ":" + top
		}
		if text, ok := value.(hidden); ok {
			secret[top], value = true, string(text)
		}
		if !nested {
			objects[top] = value
			continue
		}
		object, ok := objects[top].(map[string]any)
		if !ok {
			object = map[string]any{}
			objects[top] = object
		}
		parts := strings.Split(rest, ".")
		for _, part := range parts[:len(parts)-1] {
			child, ok := object[part].(map[string]any)
			if !ok {
				child = map[string]any{}
				object[part] = child
			}
			object = child
		}
		object[parts[len(parts)-1]] = value
	}
	values := map[string]string{}
	for key, value := range objects {
		if text, ok := value.(string); ok {
			values[key] = text
			continue
		}
		content, err := json.Marshal(value)
		require.NoError(t, err)
		values[key] = string(content)
	}
	return Source{Project: project, Stack: stack, Values: values, Secret: func(key string) bool { return secret[key] }}
}

type hidden string

// nvidia returns the minimal configuration with real GPUs, with more keys.
func nvidia(more map[string]any) map[string]any {
	keys := map[string]any{"cloud": "local", "gpu.mode": "nvidia", "huggingFaceToken": hidden("hf_token")}
	maps.Copy(keys, more)
	return keys
}

// problemsOf returns the error of a configuration that must be refused.
func problemsOf(t *testing.T, s Source) *Error {
	t.Helper()
	config, err := Read(s)
	require.Nil(t, config)
	var refused *Error
	require.ErrorAs(t, err, &refused)
	return refused
}

// TestDefaultsThatDependOnOtherKeys checks the defaults that depend on another key. The others are in docs/configuration.md,
// which is generated.
func TestDefaultsThatDependOnOtherKeys(t *testing.T) {
	local, err := Read(source(t, "local", nil))
	require.NoError(t, err)
	assert.Equal(t, "local", local.Cloud, "the stack's name is the cloud")
	assert.Equal(t, GPUSimulated, local.GPU.Mode)
	assert.Equal(t, "simulated", local.GPU.Metrics)
	assert.Equal(t, imageSimulator, local.VLLM.Image)
	assert.Empty(t, local.GPU.NodeSelector, "kind and minikube have no node with GPU labels")
	assert.InDelta(t, 4, local.Autoscaling.Signals.RequestsInFlight.Target, 0)

	gpu, err := Read(source(t, "dev", nvidia(nil)))
	require.NoError(t, err)
	assert.Equal(t, "dcgm-chart", gpu.GPU.Metrics)
	assert.Equal(t, imageVLLM, gpu.VLLM.Image)
	assert.Equal(t, map[string]string{"nvidia.com/gpu.present": "true"}, gpu.GPU.NodeSelector)
	assert.Equal(t, []Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}}, gpu.GPU.Tolerations)

	for maxNumSeqs, want := range map[int]struct{ inFlight, running float64 }{
		1: {0.75, 0.75}, 2: {1, 1}, 3: {1, 2}, 16: {4, 12}, 56: {33, 42}, 256: {208, 192},
	} {
		config, err := Read(source(t, "local", map[string]any{"model.maxNumSeqs": maxNumSeqs}))
		require.NoError(t, err, "the default targets of maxNumSeqs %d must themselves be valid", maxNumSeqs)
		assert.InDelta(t, want.inFlight, config.Autoscaling.Signals.RequestsInFlight.Target, 0, "maxNumSeqs %d", maxNumSeqs)
		assert.InDelta(t, want.running, config.Autoscaling.Signals.RequestsRunning.Target, 0, "maxNumSeqs %d", maxNumSeqs)
	}
}

func TestGivenValuesWin(t *testing.T) {
	config, err := Read(source(t, "local", map[string]any{
		"gpu.tolerations":                              []any{map[string]any{"operator": "Exists"}},
		"vllm.cpu":                                     4,
		"vllm.startupBudget":                           "1h",
		"vllm.clientNamespaces":                        []any{"apps"},
		"model.gpuMemoryUtilization":                   "0.85",
		"model.extraArgs":                              []any{"--enforce-eager"},
		"monitoring.grafana":                           false,
		"monitoring.grafanaPassword":                   hidden("grafana-pw"),
		"autoscaling.signals.requestsInFlight.enabled": false,
		"autoscaling.signals.gpuUtilization.target":    72.5,
		"autoscaling.signals.requestsRunning":          map[string]any{},
		"autoscaling.scaleUp":                          nil,
		"autoscaling.scaleDown.stabilization":          "0s",
		"charts.kubePrometheusStack.values":            map[string]any{"a": map[string]any{"b": 3, "c": 1.5, "d": []any{1}}},
		"charts.dcgmExporter":                          map[string]any{"repository": "oci://registry.example.com/charts"},
		"pulumi:disable-default-providers":             `["*"]`,
		"kubernetes:suppressDeprecationWarnings":       "true",
		"apiKey":                                       "",
	}))
	require.NoError(t, err)
	assert.Equal(t, []Toleration{{Operator: "Exists"}}, config.GPU.Tolerations)
	assert.Equal(t, Quantity("4"), config.VLLM.CPU)
	assert.Equal(t, time.Hour, config.VLLM.StartupBudget)
	assert.Equal(t, []string{"apps"}, config.VLLM.ClientNamespaces)
	assert.InDelta(t, 0.85, config.Model.GPUMemoryUtilization, 0)
	assert.Equal(t, []string{"--enforce-eager"}, config.Model.ExtraArgs)
	assert.False(t, config.Monitoring.Grafana)
	assert.Equal(t, NewSecret("grafana-pw"), config.Monitoring.GrafanaPassword)
	assert.False(t, config.Autoscaling.Signals.RequestsInFlight.Enabled)
	assert.InDelta(t, 72.5, config.Autoscaling.Signals.GPUUtilization.Target, 0)
	assert.Equal(t, 4, config.Autoscaling.ScaleUp.Pods)
	assert.Zero(t, config.Autoscaling.ScaleDown.Stabilization, "a zero that was given is not replaced by the default")
	assert.Equal(t, "4.8.2", config.Charts.DCGMExporter.Version, "the rest of an object keeps its defaults")
	assert.False(t, config.APIKey.Given())
	// Whole numbers stay whole: a chart that prints replicas: 3.0 is refused by the API server.
	assert.Equal(t, map[string]any{"a": map[string]any{"b": 3, "c": 1.5, "d": []any{1}}}, config.Charts.KubePrometheusStack.Values)
}

func TestWrongTypesAndUnknownKeys(t *testing.T) {
	for name, test := range map[string]struct {
		keys           map[string]any
		key, value     string
		allowed, fixes string // What the problem must say.
	}{
		"text for a number":        {map[string]any{"autoscaling.maxReplicas": "many"}, "autoscaling.maxReplicas", `"many"`, "a whole number", "change"},
		"fraction for a count":     {map[string]any{"autoscaling.maxReplicas": 2.5}, "autoscaling.maxReplicas", "2.5", "a whole number", "change"},
		"text for a share":         {map[string]any{"model.gpuMemoryUtilization": "most"}, "model.gpuMemoryUtilization", `"most"`, "a number", "change"},
		"not a number for a share": {map[string]any{"model.gpuMemoryUtilization": "NaN"}, "model.gpuMemoryUtilization", `"NaN"`, "a number", "change"},
		"number for a duration":    {map[string]any{"vllm.preStop": 15}, "vllm.preStop", "15", "a duration", "change"},
		"duration without unit":    {map[string]any{"vllm.preStop": "15"}, "vllm.preStop", `"15"`, "a duration", "change"},
		"text for a switch":        {map[string]any{"monitoring.grafana": "yes"}, "monitoring.grafana", `"yes"`, "true or false", "change"},
		"fraction for a name":      {map[string]any{"namespaces.serving": 1.5}, "namespaces.serving", "1.5", "a string", "in quotes"},
		"object for a name":        {map[string]any{"namespaces.serving": map[string]any{}}, "namespaces.serving", "{}", "a string", "change"},
		"list for a name":          {map[string]any{"namespaces.serving": []any{"a"}}, "namespaces.serving", `["a"]`, "a string", "change"},
		"list in a selector":       {map[string]any{"vllm.nodeSelector": map[string]any{"gpu": []any{1}}}, "vllm.nodeSelector.gpu", `[1]`, "a string", "change"},
		"nothing in a selector":    {map[string]any{"vllm.nodeSelector": map[string]any{"gpu": nil}}, "vllm.nodeSelector.gpu", `null`, "a string", "change"},
		"list for a selector":      {map[string]any{"vllm.nodeSelector": []any{"gpu"}}, "vllm.nodeSelector", `["gpu"]`, "a map of strings", "change"},
		"text for a list":          {map[string]any{"model.extraArgs": "--x"}, "model.extraArgs", `"--x"`, "a list of strings", "model.extraArgs[0]' <value>"},
		"object for a list":        {map[string]any{"model.extraArgs": map[string]any{}}, "model.extraArgs", "{}", "a list of strings", "change"},
		"object in a list":         {map[string]any{"model.extraArgs": []any{"--x", map[string]any{}}}, "model.extraArgs[1]", "{}", "a string", "change"},
		"fraction in a list": {map[string]any{"model.extraArgs": []any{"--x", 1.5}}, "model.extraArgs[1]", "1.5", "a string",
			"pulumi config set --path --type string 'vllm-autoscaling:model.extraArgs[1]' <value>"},
		"nothing in a list":       {map[string]any{"model.extraArgs": []any{nil}}, "model.extraArgs[0]", "null", "a string", "change"},
		"list for a count":        {map[string]any{"autoscaling.maxReplicas": []any{3}}, "autoscaling.maxReplicas", "[3]", "a whole number", "change"},
		"leading zero":            {map[string]any{"autoscaling.maxReplicas": "08"}, "autoscaling.maxReplicas", `"08"`, "a whole number", "change"},
		"switch for a count":      {map[string]any{"autoscaling.maxReplicas": true}, "autoscaling.maxReplicas", "true", "a whole number", "change"},
		"number for a switch":     {map[string]any{"monitoring.grafana": 1}, "monitoring.grafana", "1", "true or false", "change"},
		"switch for a duration":   {map[string]any{"vllm.preStop": true}, "vllm.preStop", "true", "a duration", "change"},
		"list for a share":        {map[string]any{"model.gpuMemoryUtilization": []any{}}, "model.gpuMemoryUtilization", "[]", "a number", "change"},
		"list for a quantity":     {map[string]any{"vllm.memory": []any{}}, "vllm.memory", "[]", "a quantity", "change"},
		"text for tolerations":    {map[string]any{"gpu.tolerations": "all"}, "gpu.tolerations", `"all"`, "a list of objects", "change"},
		"number in tolerations":   {map[string]any{"gpu.tolerations": []any{1}}, "gpu.tolerations[0]", "1", "an object with the keys", "change"},
		"number for chart values": {map[string]any{"charts.dcgmExporter.values": 1}, "charts.dcgmExporter.values", "1", "an object", "change"},
		"text for an object":      {map[string]any{"autoscaling": "on"}, "autoscaling", `"on"`, "minReplicas, maxReplicas", "change"},
		"list for an object":      {map[string]any{"charts.dcgmExporter.values": []any{}}, "charts.dcgmExporter.values", "[]", "an object", "change"},
		"object for tolerations":  {map[string]any{"gpu.tolerations": map[string]any{}}, "gpu.tolerations", "{}", "a list of objects", "change"},
		"switch for a quantity":   {map[string]any{"vllm.memory": true}, "vllm.memory", "true", "a quantity", "change"},
		"unknown top-level key":   {map[string]any{"autoscalling.maxReplicas": 3}, "autoscalling", "", "docs/configuration.md", "vllm-autoscaling:autoscaling"},
		"unknown nested key": {map[string]any{"autoscaling.maxReplica": 3}, "autoscaling.maxReplica", "", "docs/configuration.md",
			"vllm-autoscaling:autoscaling.maxReplicas"},
		"key at the wrong place": {map[string]any{"model.maxReplicas": 3}, "model.maxReplicas", "", "docs/configuration.md",
			"vllm-autoscaling:autoscaling.maxReplicas"},
		"key in the wrong case": {map[string]any{"model.ID": "a/b"}, "model.ID", "", "docs/configuration.md", "vllm-autoscaling:model.id"},
		"unknown and empty":     {map[string]any{"model.idd": nil}, "model.idd", "", "docs/configuration.md", "vllm-autoscaling:model.id"},
		"unknown key of an item": {map[string]any{"gpu.tolerations": []any{map[string]any{"efect": "NoSchedule", "key": "a", "operator": "Exists"}}},
			"gpu.tolerations[0].efect", "", "docs/configuration.md", "vllm-autoscaling:gpu.tolerations[0].effect"},
		"key that is like no other": {map[string]any{"vllm.env": map[string]any{}}, "vllm.env", "", "docs/configuration.md",
			"there is no such key, nor one of a similar name (vllm has image, port, "},
		"top-level key that is like no other": {map[string]any{"zzz": 1}, "zzz", "", "docs/configuration.md", "(the top-level keys are cloud, cluster, "},
		"unknown key three deep": {map[string]any{"autoscaling.signals.gpuUtilisation.target": 80}, "autoscaling.signals.gpuUtilisation", "",
			"docs/configuration.md", "vllm-autoscaling:autoscaling.signals.gpuUtilization"},
		"wrong type below a secret": {map[string]any{"monitoring.grafanaPassword": hidden("pw"), "monitoring.grafana": "pw"}, "monitoring.grafana",
			"[secret]", "true or false", "change"},
	} {
		t.Run(name, func(t *testing.T) {
			refused := problemsOf(t, source(t, "local", test.keys))
			require.Len(t, refused.Problems, 1, "%v", refused)
			got := refused.Problems[0]
			assert.Equal(t, project+":"+test.key, got.Key)
			assert.Equal(t, test.value, got.Value)
			assert.Contains(t, got.Allowed, test.allowed)
			assert.Contains(t, got.Fix, test.fixes)
		})
	}
}

// TestUnquotedValues checks that the numbers and booleans that `pulumi config set --path` makes of texts, and the texts that
// --secret and --type string make of numbers and booleans, are accepted where they have only one text.
func TestUnquotedValues(t *testing.T) {
	c := read(t, CloudEKS, onCloud(CloudEKS, map[string]any{
		"eks.accountId": 123456789012, "eks.tags": map[string]any{"cost": 4711, "shared": true, "zero": 0, "below": -1},
		"model.revision": 42, "model.extraArgs": []any{"--seed", 7, true}, "vllm.nodeSelector": map[string]any{"example.com/fast": true, "rack": 12},
		"autoscaling.maxReplicas": "3", "monitoring.grafana": "false", "model.gpuMemoryUtilization": "0.85", "nodePools.gpu.maxNodes": "4",
	}))
	keys := c.CloudKeys[CloudEKS].(*eks.Keys)
	assert.Equal(t, "123456789012", keys.AccountID)
	assert.Equal(t, map[string]string{"cost": "4711", "shared": "true", "zero": "0", "below": "-1"}, keys.Tags)
	assert.Equal(t, "42", c.Model.Revision)
	assert.Equal(t, []string{"--seed", "7", "true"}, c.Model.ExtraArgs)
	assert.Equal(t, map[string]string{"example.com/fast": "true", "rack": "12"}, c.VLLM.NodeSelector)
	assert.Equal(t, 3, c.Autoscaling.MaxReplicas)
	assert.False(t, c.Monitoring.Grafana)

	aksKeys := read(t, CloudAKS, onCloud(CloudAKS, map[string]any{"nodePools.gpu.zones": []any{1, "2"}}))
	assert.Equal(t, []string{"1", "2"}, aksKeys.NodePools.GPU.Zones)

	refused := problemsOf(t, source(t, CloudEKS, onCloud(CloudEKS, map[string]any{"eks.accountId": 12345678901})))
	require.Len(t, refused.Problems, 1, "YAML takes the zero from 012345678901")
	assert.Equal(t, "12345678901", refused.Problems[0].Value)
	assert.Contains(t, refused.Problems[0].Fix, "pulumi config set --path --type string 'vllm-autoscaling:eks.accountId' <value>")

	for _, lossy := range []string{"1.30", "1e3", "1.0", "012", "1234567890123456", "-0", "1.5e300"} {
		value := json.Number(lossy)
		_, ok := asString(value)
		assert.False(t, ok, lossy)
	}
}

// TestMisspeltNamespace checks that a misspelt namespace is refused: its keys would have no effect.
func TestMisspeltNamespace(t *testing.T) {
	refused := problemsOf(t, source(t, "local", map[string]any{"vllm-autoscalling:model": `{"id":"a/b"}`}))
	require.Len(t, refused.Problems, 1)
	assert.Equal(t, "vllm-autoscalling:model", refused.Problems[0].Key)
	assert.Contains(t, refused.Problems[0].Fix, "vllm-autoscaling:model")

	// Names as short as those of providers are similar to each other.
	for _, project := range []string{"aks", "ai", "gpu", "vllm", "pulse"} {
		for _, other := range []string{"aws:region", "gcp:project", "pulumi:tags", "kubernetes:context", "azure-native:location"} {
			_, err := Read(Source{Project: project, Stack: CloudLocal, Values: map[string]string{other: "x"}})
			require.NoError(t, err, "%s in project %s", other, project)
		}
	}
}

// TestNameWithADot checks the error for a name with a dot, which `pulumi config set model.id x` without --path stores.
func TestNameWithADot(t *testing.T) {
	for line, fix := range map[string]string{
		"vllm-autoscaling:model.id a/b": "remove it: pulumi config rm 'vllm-autoscaling:model.id'; " +
			"as a path it is: pulumi config set --path 'vllm-autoscaling:model.id' <value>",
		"vllm-autoscaling:model.idd a/b": "remove it: pulumi config rm 'vllm-autoscaling:model.idd'; " +
			"the nearest path is: pulumi config set --path 'vllm-autoscaling:model.id' <value>",
		"!vllm-autoscaling:monitoring.grafanaPassword x": "remove it: pulumi config rm 'vllm-autoscaling:monitoring.grafanaPassword'; " +
			"as a path it is: pulumi config set --path --secret 'vllm-autoscaling:monitoring.grafanaPassword' <value>",
	} {
		key, _, _ := strings.Cut(strings.TrimPrefix(line, "!"), " ")
		t.Run(key, func(t *testing.T) {
			refused := problemsOf(t, sourceOfLines("local", line))
			require.Len(t, refused.Problems, 1)
			p := refused.Problems[0]
			assert.Equal(t, key, p.Key)
			assert.Contains(t, p.Allowed, "without a dot")
			assert.Equal(t, fix, p.Fix)
		})
	}
	t.Run("in an object", func(t *testing.T) {
		s := sourceOfLines("local", project+`:autoscaling {"signals.requestsRunning.target":12,"signals":{"requestsRunning.target":12}}`)
		refused := problemsOf(t, s)
		require.Len(t, refused.Problems, 1, "one key, said once")
		assert.Equal(t, project+":autoscaling.signals.requestsRunning.target", refused.Problems[0].Key)
		assert.Equal(t, "remove it; as a path it is: pulumi config set --path 'vllm-autoscaling:autoscaling.signals.requestsRunning.target' <value>",
			refused.Problems[0].Fix)
	})
}

func TestAllProblemsAtOnceSortedByKey(t *testing.T) {
	refused := problemsOf(t, source(t, "moon", map[string]any{
		"vllm.preStop": 15, "autoscaling.minReplicas": 0, "gpu.mode": "tpu", "mdel.id": "x",
		"huggingFaceToken": "hf_plain",
	}))
	var keys []string
	for _, p := range refused.Problems {
		keys = append(keys, strings.TrimPrefix(p.Key, project+":"))
	}
	assert.Equal(t, []string{"autoscaling.minReplicas", "cloud", "gpu.mode", "huggingFaceToken", "mdel", "vllm.preStop"}, keys)
	text := refused.Error()
	assert.Contains(t, text, `the configuration of stack "moon" has 6 problems; nothing was created or changed`)
	for _, p := range refused.Problems {
		assert.Contains(t, text, fmt.Sprintf("    allowed: %s\n    fix:     %s\n", p.Allowed, p.Fix))
	}
	assert.NotContains(t, text, "hf_plain")
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	const canary = "canary-9f2c"
	config, err := Read(source(t, "local", map[string]any{
		"huggingFaceToken": hidden(canary), "apiKey": hidden(canary), "monitoring.grafanaPassword": hidden(canary),
	}))
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		assert.NotContains(t, fmt.Sprintf(verb, *config), canary)
		assert.NotContains(t, fmt.Sprintf(verb, config.APIKey), canary)
	}
	assert.Nil(t, Secret{}.Input(), "an absent secret is a nil interface, so that a component sees that it is absent")

	// No problem below a key that holds a secret shows the value.
	refused := problemsOf(t, source(t, "local", map[string]any{
		"monitoring.grafanaPassword": hidden(canary), "monitoring.retention": canary, "monitoring.storage": canary,
	}))
	assert.Len(t, refused.Problems, 2)
	assert.NotContains(t, refused.Error(), canary)
}

// TestLoadReadsContextAndEnvironment checks that known keys are read through the SDK and unknown ones are found in the
// environment.
func TestLoadReadsContextAndEnvironment(t *testing.T) {
	load := func(config map[string]string, secret ...string) (loaded *Config, err error) {
		runErr := pulumi.RunErr(func(ctx *pulumi.Context) error {
			loaded, err = Load(ctx)
			return nil
		}, pulumi.WithMocks(project, "local", mocks{}), func(info *pulumi.RunInfo) {
			info.Config, info.ConfigSecretKeys = config, secret
		})
		require.NoError(t, runErr)
		return loaded, err
	}

	t.Setenv(pulumi.EnvConfig, "")
	config, err := load(map[string]string{project + ":model": `{"maxNumSeqs":8}`, project + ":apiKey": "key"}, project+":apiKey")
	require.NoError(t, err)
	assert.Equal(t, 8, config.Model.MaxNumSeqs)
	assert.Equal(t, NewSecret("key"), config.APIKey)

	_, err = load(map[string]string{project + ":apiKey": "key"})
	require.ErrorContains(t, err, "pulumi config set --secret vllm-autoscaling:apiKey")

	t.Setenv(pulumi.EnvConfig, `{"vllm-autoscaling:mdel":"{}"}`)
	_, err = load(map[string]string{project + ":mdel": "{}"})
	require.ErrorContains(t, err, "vllm-autoscaling:mdel")
}

type mocks struct{}

func (mocks) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	return args.Name, args.Inputs, nil
}

func (mocks) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) { return nil, nil }

// TestProjectFileDeclaresEveryKey checks that the project file declares every key with a default, without which the CLI
// requires the key of every stack. The descriptions are generated; tests/configdocs compares them.
func TestProjectFileDeclaresEveryKey(t *testing.T) {
	content, err := os.ReadFile("../../Pulumi.yaml")
	require.NoError(t, err)
	var file struct {
		Name   string
		Config map[string]struct {
			Type, Description string
			Default           any
			Items             any
		}
	}
	require.NoError(t, yaml.Unmarshal(content, &file))
	assert.Equal(t, project, file.Name)
	assert.ElementsMatch(t, topLevelKeys(), slices.Collect(maps.Keys(file.Config)))
	values := map[string]any{}
	for key, declared := range file.Config {
		assert.NotEmpty(t, declared.Type, key)
		assert.NotEmpty(t, declared.Description, key)
		require.NotNil(t, declared.Default, "%s: the CLI would refuse every stack that does not set it", key)
		values[key] = declared.Default
	}
	withDefaults, err := Read(source(t, "local", values))
	require.NoError(t, err)
	without, err := Read(source(t, "local", nil))
	require.NoError(t, err)
	assert.Equal(t, without, withDefaults, "the project file's defaults change nothing")
}

// shippedKeys returns the keys of the stack file that users copy, and those that its comments require to be set first.
func shippedKeys(t *testing.T, stack string) (shipped, filledIn map[string]any) {
	t.Helper()
	content, err := os.ReadFile("../../Pulumi." + stack + ".yaml")
	require.NoError(t, err)
	var file struct{ Config map[string]any }
	require.NoError(t, yaml.Unmarshal(content, &file))
	assert.Equal(t, []any{"*"}, file.Config["pulumi:disable-default-providers"])
	filledIn = maps.Clone(file.Config)
	if stack == CloudLocal {
		return file.Config, filledIn
	}
	filledIn["huggingFaceToken"] = hidden("hf_token")
	cluster := project + ":cluster"
	access := maps.Clone(file.Config[cluster].(map[string]any))
	access["apiAccessCidrs"] = []any{"1.2.3.4/32"}
	filledIn[cluster] = access
	return file.Config, filledIn
}

// TestStackFiles checks that the stack files that users copy are valid once they are filled in, and that a file in which
// nobody has filled in who may reach the API server is refused with the command that does so.
func TestStackFiles(t *testing.T) {
	for _, stack := range Clouds {
		shipped, filledIn := shippedKeys(t, stack)
		_, err := Read(source(t, stack, filledIn))
		require.NoError(t, err)
		if stack == CloudLocal {
			continue
		}
		_, err = Read(source(t, stack, shipped))
		require.ErrorContains(t, err, "vllm-autoscaling:cluster.apiAccessCidrs\n")
		require.ErrorContains(t, err,
			`pulumi config set --path 'vllm-autoscaling:cluster.apiAccessCidrs[0]' "$(curl -s https://checkip.amazonaws.com)/32"`)
	}
}
