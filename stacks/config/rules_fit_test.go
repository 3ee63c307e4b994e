package config

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/config/models"
)

type keys = map[string]any

// TestRulesOfFit checks each sizing rule with a configuration that breaks it and one that satisfies it.
func TestRulesOfFit(t *testing.T) {
	big := func(more keys) keys {
		all := keys{"nodePools.gpu.accelerator": "nvidia-a100-80gb"}
		for key, value := range more {
			all[key] = value
		}
		return onCloud(CloudGKE, all)
	}
	for name, test := range map[string]struct {
		cloud        string
		wrong, right keys
		key          string
		says         []string
	}{
		"context of which no request fits": {
			CloudGKE, onCloud(CloudGKE, keys{"model.id": "google/gemma-4-E4B-it", "model.maxModelLen": 131072, "nodePools.gpu.machineType": "g2-standard-4",
				"model.gpuMemoryUtilization": 0.85}),
			onCloud(CloudGKE, keys{"model.id": "google/gemma-4-E4B-it", "model.maxModelLen": 8192, "nodePools.gpu.machineType": "g2-standard-4",
				"model.gpuMemoryUtilization": 0.85}),
			"model.maxModelLen", []string{"GiB for the KV cache", "any of: model.maxModelLen ",
				"gpu.perReplica 2 with nodePools.gpu.machineType g2-standard-24", "nvidia-a100-40gb (a2-highgpu-1g", "model.gpuMemoryUtilization 0.95"},
		},
		"weights": {
			CloudEKS, onCloud(CloudEKS, keys{"model.id": "google/gemma-3-12b-it"}), onCloud(CloudEKS, keys{"model.id": "google/gemma-3-12b-it", "gpu.perReplica": 4}),
			"model.id", []string{"23.4 GiB", "gpu.perReplica 2 with nodePools.gpu.machineType g6.12xlarge", "nvidia-l40s (g6e.xlarge, "},
		},
		"size of a known model": {
			CloudLocal, nvidia(keys{"model.size.weightsGiB": 2, "model.size.kvBytesPerToken": 1000}),
			nvidia(keys{"model.id": "a/b", "model.size.weightsGiB": 2, "model.size.kvBytesPerToken": 1000}),
			"model.size", []string{"which the program knows"},
		},
		"half a size": {
			CloudLocal, nvidia(keys{"model.id": "a/b", "model.size.weightsGiB": 2}), nvidia(keys{"model.id": "a/b"}),
			"model.size.kvBytesPerToken", []string{"2 x layers"},
		},
		"the other half": {
			CloudLocal, nvidia(keys{"model.id": "a/b", "model.size.kvBytesPerToken": 2}),
			nvidia(keys{"model.id": "a/b", "model.size.kvBytesPerToken": 2, "model.size.weightsGiB": 0.1}),
			"model.size.weightsGiB", []string{"Model loading took"},
		},
		"negative context": {
			CloudLocal, nvidia(keys{"model.id": "a/b", "model.size.weightsGiB": 2, "model.size.kvBytesPerToken": 1000, "model.size.contextLength": -1}),
			nvidia(keys{"model.id": "a/b", "model.size.weightsGiB": 2, "model.size.kvBytesPerToken": 1000, "model.size.contextLength": 8192}),
			"model.size.contextLength", []string{"0 for unknown"},
		},
		"context of a model of one's own": {
			CloudLocal, nvidia(keys{"model.id": "a/b", "model.size.weightsGiB": 2, "model.size.kvBytesPerToken": 1000, "model.size.contextLength": 4096}),
			nvidia(keys{"model.id": "a/b", "model.size.weightsGiB": 2, "model.size.kvBytesPerToken": 1000, "model.size.contextLength": 8192}),
			"model.maxModelLen", []string{"model.size.contextLength (4096)"},
		},
		"weights of a model of one's own": {
			CloudGKE, onCloud(CloudGKE, keys{"model.id": "a/b", "model.size.weightsGiB": 30, "model.size.kvBytesPerToken": 131072, "vllm.modelCache": "40Gi"}),
			onCloud(CloudGKE, keys{"model.id": "a/b", "model.size.weightsGiB": 15, "model.size.kvBytesPerToken": 131072}),
			"model.id", []string{"take 30.0 GiB", "gpu.perReplica 2", "nvidia-a100-40gb"},
		},
		"old image of vLLM": {
			CloudLocal, nvidia(keys{"vllm.image": "vllm/vllm-openai:v0.17.1"}), nvidia(keys{"vllm.image": "mirror/vllm-openai:v0.18.0-cu129"}),
			"vllm.image", []string{"0.18.0 or newer", "this one is 0.17.1", "vllm.image vllm/vllm-openai:v0.20.0-cu129"},
		},
		"image older than the model": {
			CloudLocal, nvidia(keys{"model.id": "google/gemma-4-12B-it"}), nvidia(keys{"model.id": "google/gemma-4-12B-it", "vllm.image": "vllm/vllm-openai:v0.24.0"}),
			"vllm.image", []string{"0.24.0 or newer", "google/gemma-4-12B-it", "vllm.image vllm/vllm-openai:v0.24.0-cu129"},
		},
		"batch smaller than a video of Gemma 4": {
			CloudGKE, onCloud(CloudGKE, keys{"model.id": "google/gemma-4-E2B-it", "model.extraArgs": []any{"--enforce-eager", "--max-num-batched-tokens=2048"}}),
			onCloud(CloudGKE, keys{"model.id": "google/gemma-4-E2B-it", "model.extraArgs": []any{"--max-num-batched-tokens", "2.5k"}}),
			"model.extraArgs[1]", []string{"2496, the longest image or video", "raise it to 2560"},
		},
		"batch smaller than an image of Gemma 3": {
			CloudGKE, onCloud(CloudGKE, keys{"model.id": "google/gemma-3-4b-it", "model.extraArgs": []any{"--max_num_batched_tokens", "255"}}),
			onCloud(CloudGKE, keys{"model.id": "google/gemma-3-4b-it", "model.extraArgs": []any{"--max-num-batched-tokens=255", "--language-model-only"}}),
			"model.extraArgs[0]", []string{"256, the longest image"},
		},
		"batch smaller than the running requests": {
			CloudGKE, onCloud(CloudGKE, keys{"model.maxNumSeqs": 64, "model.extraArgs": []any{"--max-num-batched-tokens=32"}}),
			onCloud(CloudGKE, keys{"model.maxNumSeqs": 32, "model.extraArgs": []any{"--max-num-batched-tokens=32"}}),
			"model.extraArgs[0]", []string{"model.maxNumSeqs (64)"},
		},
		"batch smaller than a whole prompt": {
			CloudGKE, onCloud(CloudGKE, keys{"model.extraArgs": []any{"--no-enable-chunked-prefill", "--max-num-batched-tokens=4K"}}),
			onCloud(CloudGKE, keys{"model.extraArgs": []any{"--no-enable-chunked-prefill", "--max-num-batched-tokens=8K"}}),
			"model.extraArgs[1]", []string{"model.maxModelLen (8192)", "raise it to 8192"},
		},
		"batch without a number": {
			CloudGKE, onCloud(CloudGKE, keys{"model.extraArgs": []any{"--max-num-batched-tokens=many"}}),
			onCloud(CloudGKE, keys{"model.extraArgs": []any{"--max-num-batched-tokens=8192"}}),
			"model.extraArgs[0]", []string{"a number of tokens"},
		},
		"a second model": {
			CloudLocal, nvidia(keys{"model.extraArgs": []any{"google/gemma-3-4b-it"}}), nvidia(keys{"model.extraArgs": []any{"--seed", "1"}}),
			"model.extraArgs[0]", []string{"a second model", "model.id"},
		},
		"more CPUs than the machine has": {
			CloudGKE, onCloud(CloudGKE, keys{"vllm.cpu": 4}), onCloud(CloudGKE, keys{"vllm.cpu": 3}),
			"vllm.cpu", []string{"at most 3.9", "g2-standard-4 (4)", "any of: vllm.cpu 3; or nodePools.gpu.machineType g2-standard-8"},
		},
		"more memory than the machine has": {
			CloudEKS, onCloud(CloudEKS, keys{"vllm.memory": "16Gi"}), onCloud(CloudEKS, keys{"vllm.memory": "12Gi"}),
			"vllm.memory", []string{"g6.xlarge (16 GiB)", "nodePools.gpu.machineType g6.2xlarge"},
		},
		"memory on AKS": {
			CloudAKS, onCloud(CloudAKS, keys{"vllm.memory": "216Gi"}), onCloud(CloudAKS, keys{"vllm.memory": "190Gi"}),
			"vllm.memory", []string{"Standard_NC24ads_A100_v4 (220 GiB)", "Standard_NC48ads_A100_v4"},
		},
		"more replicas than their memory allows": {
			CloudGKE, onCloud(CloudGKE, keys{"nodePools.gpu.machineType": "g2-standard-96", "nodePools.gpu.maxNodes": 1, "autoscaling.maxReplicas": 8,
				"vllm.memory": "80Gi"}),
			onCloud(CloudGKE, keys{"nodePools.gpu.machineType": "g2-standard-96", "nodePools.gpu.maxNodes": 1, "autoscaling.maxReplicas": 4, "vllm.memory": "80Gi"}),
			"autoscaling.maxReplicas", []string{"at most 4", "not the room for their vllm.memory", "nodePools.gpu.maxNodes' 2"},
		},
		"volume smaller than the model": {
			CloudGKE, big(keys{"model.id": "google/gemma-3-27b-it", "vllm.modelCache": "40Gi"}), big(keys{"model.id": "google/gemma-3-27b-it"}),
			"vllm.modelCache", []string{"52.1 GiB", "remove the key", "vllm.modelCache 58Gi"},
		},
		"disk smaller than the model": {
			CloudGKE, big(keys{"model.id": "google/gemma-3-27b-it", "nodePools.gpu.diskGiB": 80}),
			big(keys{"model.id": "google/gemma-3-27b-it", "nodePools.gpu.diskGiB": 100}),
			"nodePools.gpu.diskGiB", []string{"at least 93", "nodePools.gpu.diskGiB 93"},
		},
		"Gemma 4 on a T4": {
			CloudEKS, onCloud(CloudEKS, keys{"nodePools.gpu.machineType": "g4dn.xlarge", "model.id": "google/gemma-4-E2B-it"}),
			onCloud(CloudEKS, keys{"model.id": "google/gemma-4-E2B-it"}),
			"nodePools.gpu.machineType", []string{"compute capability 8.0", "nvidia-l4"},
		},
		"another spelling of a flag": {
			CloudLocal, nvidia(keys{"model.extraArgs": []any{"--max_model_len=9"}}), nvidia(keys{"model.extraArgs": []any{"--enforce_eager"}}),
			"model.extraArgs[0]", []string{"model.maxModelLen"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			refused := problemsOf(t, source(t, test.cloud, test.wrong))
			require.Len(t, refused.Problems, 1, "%v", refused)
			assert.Equal(t, project+":"+test.key, refused.Problems[0].Key)
			for _, says := range test.says {
				assert.Contains(t, refused.Problems[0].Allowed+"; "+refused.Problems[0].Fix, says)
			}
			_, err := Read(source(t, test.cloud, test.right))
			require.NoError(t, err)
		})
	}
}

// TestTokenOnlyForGatedModels checks that only gated models need a token.
func TestTokenOnlyForGatedModels(t *testing.T) {
	without := nvidia(keys{"model.id": "google/gemma-4-E4B-it"})
	delete(without, "huggingFaceToken")
	_, err := Read(source(t, CloudLocal, without))
	require.NoError(t, err)
	without["model.id"] = "google/gemma-3-270m"
	assert.Equal(t, project+":huggingFaceToken", problemsOf(t, source(t, CloudLocal, without)).Problems[0].Key)
}

// TestProposalsAreTrue checks that a configuration is valid after any one of the changes that its error proposes. The
// configurations are random, from a fixed seed.
func TestProposalsAreTrue(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	pick := func(values ...any) any { return values[random.IntN(len(values))] }
	refusals, changes := map[string]int{}, 0
	for range 300 {
		cloud := Clouds[random.IntN(len(Clouds))]
		given := keys{
			"model.id": models.All()[random.IntN(len(models.All()))].IDs[0], "model.maxModelLen": pick(512, 8192, 32768),
			"model.maxNumSeqs": pick(16, 64, 256), "model.gpuMemoryUtilization": pick(0.5, 0.8, 0.9), "model.dtype": pick("auto", "auto", "bfloat16", "float32"),
			"gpu.perReplica": pick(1, 1, 2, 4), "vllm.image": "vllm/vllm-openai:v0.24.0",
		}
		if random.IntN(4) == 0 {
			given["vllm.memory"], given["vllm.cpu"] = pick("10Gi", "30Gi", "100Gi"), pick(2, 8, 40)
		}
		if random.IntN(4) == 0 {
			given["vllm.modelCache"] = pick("10Gi", "30Gi")
		}
		if cloud == CloudLocal {
			given = nvidia(given)
			given["gpu.memoryGiB"] = pick(16, 24, 40, 80, 20)
		} else {
			if random.IntN(5) == 0 {
				given["nodePools.gpu.diskGiB"] = 100
			}
			of, _ := FindCloud(cloud)
			in := of.Machines.Accelerators()
			accelerator := in[random.IntN(len(in))].Name
			machines := of.Machines.With(accelerator)
			if random.IntN(2) == 0 {
				given["nodePools.gpu.machineType"] = machines[random.IntN(len(machines))].Type
			} else {
				given["nodePools.gpu.accelerator"] = accelerator
			}
			given = onCloud(cloud, given)
		}
		s := source(t, cloud, given)
		_, err := Read(s)
		if err == nil {
			continue
		}
		refused := problemsOf(t, s)
		_, found := readAll(s)
		ways := found.tried
		for _, problem := range refused.Problems {
			for _, way := range ways[problem.Key] {
				assert.Contains(t, problem.Fix, way.text)
				assert.NotEmpty(t, way.changes, way.text)
				for _, change := range way.changes {
					after, err := Read(s.with(change))
					changes++
					refusals[problem.Key]++
					if len(refused.Problems) == 1 {
						require.NoError(t, err, "%s proposes %q, which is %v, for %v", problem.Key, way.text, change, given)
						require.NotNil(t, after)
						continue
					}
					// If there were other problems, this one is gone and no new one was added.
					for _, left := range problemsLeft(err) {
						assert.NotEqual(t, problem.Key, left, "%q", way.text)
						assert.Contains(t, refused.Error(), left)
					}
				}
			}
		}
	}
	for _, key := range []string{"model.id", "model.maxModelLen", "vllm.cpu", "vllm.memory", "vllm.modelCache", "nodePools.gpu.machineType"} {
		assert.Positive(t, refusals[project+":"+key], "the draw reached %s: %v", key, refusals)
	}
	assert.Greater(t, changes, 500)
}

func problemsLeft(err error) []string {
	var left []string
	if refused, ok := err.(*Error); ok { //nolint:errorlint // Read returns nothing else.
		for _, p := range refused.Problems {
			left = append(left, p.Key)
		}
	}
	return left
}

// warningTest is a configuration that causes one warning, and one that causes none. Both are valid.
type warningTest struct {
	cloud      string
	warns, not keys
	// key is the key of the warning, and says lists parts of its text.
	key  string
	says []string
}

func (w warningTest) run(t *testing.T) {
	// On local, the configurations of the tests name no client.
	for _, given := range []keys{w.warns, w.not} {
		if !strings.HasPrefix(w.key, "vllm.client") {
			given["vllm.clientNamespaces"] = []any{"apps"}
		}
	}
	warnings := read(t, w.cloud, w.warns).Warnings()
	require.Len(t, warnings, 1, "%v", warnings)
	assert.Equal(t, project+":"+w.key, warnings[0].Key)
	for _, says := range w.says {
		assert.Contains(t, warnings[0].String(), says)
	}
	assert.NotContains(t, warnings[0].String(), "hunter2")
	assert.Empty(t, read(t, w.cloud, w.not).Warnings())
}

// TestWarnings checks each warning, except for those of signals.
func TestWarnings(t *testing.T) {
	for name, test := range map[string]warningTest{
		"KV cache that never fills": {
			CloudGKE, onCloud(CloudGKE, keys{"autoscaling.signals.kvCacheUsage.enabled": true, "model.maxNumSeqs": 16}),
			onCloud(CloudGKE, keys{"autoscaling.signals.kvCacheUsage.enabled": true, "model.maxModelLen": 32768, "model.maxNumSeqs": 200}),
			"autoscaling.signals.kvCacheUsage.target", []string{"percent of it at most", "switch kvCacheUsage off"},
		},
		"relist": {
			CloudLocal, keys{"autoscaling.relistInterval": "3s"}, keys{"autoscaling.relistInterval": "4s"}, "autoscaling.relistInterval", []string{"4s or more"},
		},
		"slow signals": {
			CloudLocal, keys{"monitoring.signalInterval": "20s"}, keys{"monitoring.signalInterval": "15s"}, "monitoring.signalInterval",
			[]string{"every 15s", "55s late"},
		},
		"window shorter than a cold start": {
			CloudGKE, onCloud(CloudGKE, keys{"autoscaling.scaleDown.stabilization": "2m"}), onCloud(CloudGKE,
				keys{"autoscaling.scaleDown.stabilization": "2m", "nodePools.gpu.minNodes": 4}),
			"autoscaling.scaleDown.stabilization", []string{"takes 4m2s at least", "4m2s or more"},
		},
		"late scale-up": {
			CloudLocal, nvidia(keys{"autoscaling.scaleUp.stabilization": "2m", "gpu.memoryGiB": 24}),
			nvidia(keys{"autoscaling.scaleUp.stabilization": "1m", "gpu.memoryGiB": 24}),
			"autoscaling.scaleUp.stabilization", []string{"high for all of it"},
		},
		"little cache": {
			CloudGKE, onCloud(CloudGKE, keys{"model.maxModelLen": 32768, "model.maxNumSeqs": 256, "model.id": "google/gemma-3-4b-it"}),
			onCloud(CloudGKE, keys{"model.maxModelLen": 32768, "model.id": "google/gemma-3-4b-it"}),
			"model.maxNumSeqs", []string{"of model.maxModelLen (32768)", "requestsInFlight.target (208)", "remove the key"},
		},
		"nearly all of the GPU": {
			CloudGKE, onCloud(CloudGKE, keys{"model.gpuMemoryUtilization": 0.99}), onCloud(CloudGKE, keys{"model.gpuMemoryUtilization": 0.95}),
			"model.gpuMemoryUtilization", []string{"0.22 GiB", "0.96 or less"},
		},
		"unknown model": {
			CloudGKE, onCloud(CloudGKE, keys{"model.id": "a/b"}), onCloud(CloudGKE,
				keys{"model.id": "a/b", "model.size.weightsGiB": 8, "model.size.kvBytesPerToken": 100000}),
			"model.id", []string{"not checked", "model.size.weightsGiB"},
		},
		"unknown GPU": {
			CloudLocal, nvidia(nil), nvidia(keys{"gpu.memoryGiB": 24}), "gpu.memoryGiB", []string{"not known"},
		},
		"flags that change the sums": {
			CloudGKE, onCloud(CloudGKE, keys{"model.extraArgs": []any{"--cpu-offload-gb", "4"}}), onCloud(CloudGKE,
				keys{"model.kvCacheDType": "fp8"}),
			"model.extraArgs", []string{"--cpu-offload-gb", "not checked"},
		},
		"CPUs that are probably not there": {
			CloudEKS, onCloud(CloudEKS, keys{"vllm.cpu": "3800m"}), onCloud(CloudEKS, keys{"vllm.cpu": "3400m"}), "vllm.cpu", []string{"g6.xlarge", "lower it to 3"},
		},
		"memory that is probably not there": {
			CloudGKE, onCloud(CloudGKE, keys{"vllm.memory": "13Gi"}), onCloud(CloudGKE, keys{"vllm.memory": "12Gi"}), "vllm.memory",
			[]string{"g2-standard-4", "lower it to 12Gi"},
		},
		"short budget": {
			CloudGKE, onCloud(CloudGKE, keys{"model.id": "google/gemma-3-4b-it", "vllm.startupBudget": "1m"}),
			onCloud(CloudGKE, keys{"model.id": "google/gemma-3-4b-it", "vllm.startupBudget": "2m"}),
			"vllm.startupBudget", []string{"download", "2m0s or more"},
		},
		"spot": {
			CloudGKE, onCloud(CloudGKE, keys{"nodePools.gpu.spot": true}), onCloud(CloudGKE,
				keys{"nodePools.gpu.spot": true, "vllm.preStop": "5s", "vllm.shutdownTimeout": "10s"}),
			"nodePools.gpu.spot", []string{"have 15s", "vllm.preStop (15s)"},
		},
		"no client": {
			CloudLocal, keys{"namespaces.serving": "llm"}, keys{"vllm.clientNamespaces": []any{"*"}}, "vllm.clientNamespaces",
			[]string{"only pods of namespace llm", `"*" is every one`, "vllm.clientCidrs"},
		},
		"a load balancer is enough": {
			CloudLocal, keys{"vllm.clientCidrs": []any{"10.0.0.0/16", "0.0.0.0/0"}}, keys{"vllm.clientCidrs": []any{"10.0.0.0/16"}}, "vllm.clientCidrs",
			[]string{"0.0.0.0/0", "no key", "pulumi config set --secret"},
		},
		"everybody, with a key": {
			CloudLocal, keys{"vllm.clientCidrs": []any{"::/0"}}, keys{"vllm.clientCidrs": []any{"::/0"}, "apiKey": hidden("k")}, "vllm.clientCidrs",
			[]string{"asks for no key"},
		},
		"password in a chart": {
			CloudLocal, keys{"charts.kubePrometheusStack.values": keys{"grafana": keys{"adminPassword": "hunter2"}}},
			keys{"charts.kubePrometheusStack.values": keys{"grafana": keys{"admin": keys{"existingSecret": "grafana", "passwordKey": "password"}}}},
			"charts.kubePrometheusStack.values.grafana.adminPassword", []string{"--secret --path"},
		},
	} {
		t.Run(name, test.run)
	}
}

// TestShippedStacksWarnOfNothing checks that the stack files that users copy cause no warnings, on every cloud.
func TestShippedStacksWarnOfNothing(t *testing.T) {
	for _, stack := range Clouds {
		_, filledIn := shippedKeys(t, stack)
		config, err := Read(source(t, stack, filledIn))
		require.NoError(t, err)
		assert.Empty(t, config.Warnings(), stack)
	}
}

// TestDefaultModelCache checks that the default volume is large enough for the files of every model in the catalogue.
func TestDefaultModelCache(t *testing.T) {
	for id, want := range map[string]Quantity{"google/gemma-3-1b-it": "20Gi", "google/gemma-3-12b-it": "30Gi", "google/gemma-3-27b-it": "60Gi",
		"google/gemma-4-31B-it": "70Gi", "a/b": "20Gi"} {
		assert.Equal(t, want, read(t, CloudLocal, nvidia(keys{"model.id": id})).VLLM.ModelCache, id)
	}
	assert.Equal(t, Quantity("20Gi"), read(t, CloudLocal, keys{"model.id": "google/gemma-3-27b-it"}).VLLM.ModelCache, "nothing is downloaded")
}

// TestCredentialsInPlainText checks that credentials under other keys are refused everywhere and never shown.
func TestCredentialsInPlainText(t *testing.T) {
	token := "hf_" + strings.Repeat("aB3", 11)
	for name, test := range map[string]struct {
		given keys
		key   string
		says  string
	}{
		"in a flag": {keys{"model.extraArgs": []any{"--seed=1", "--load-token=" + token}}, "model.extraArgs[1]",
			"--secret vllm-autoscaling:huggingFaceToken"},
		"as a model": {keys{"model.revision": token}, "model.revision", "huggingFaceToken"},
		"in a chart": {keys{"charts.dcgmExporter.values": keys{"env": []any{keys{"name": "T", "value": token}}}},
			"charts.dcgmExporter.values.env[0].value", "huggingFaceToken"},
		"as a whole object": {keys{"namespaces.serving": "x", "cloud": "local", "vllm.nodeSelector": keys{"a": token}}, "vllm.nodeSelector.a", "huggingFaceToken"},
		"of GitHub": {keys{"charts.prometheusAdapter.repository": "https://ghp_" + strings.Repeat("x1", 18) + "@example.com/charts"},
			"charts.prometheusAdapter.repository", "--secret --path 'vllm-autoscaling:charts.prometheusAdapter.repository'"},
		"of AWS": {keys{"charts.dcgmExporter.values": keys{"key": "AKIA" + strings.Repeat("A", 16)}}, "charts.dcgmExporter.values.key", "in plain text"},
		"a private key": {keys{"charts.dcgmExporter.values": keys{"tls": "-----BEGIN RSA PRIVATE KEY-----\nabc"}}, "charts.dcgmExporter.values.tls",
			"in plain text"},
	} {
		t.Run(name, func(t *testing.T) {
			refused := problemsOf(t, source(t, CloudLocal, test.given))
			var found bool
			for _, p := range refused.Problems {
				if p.Key == project+":"+test.key && strings.Contains(p.Allowed+p.Fix, test.says) {
					found = true
					assert.Equal(t, "[hidden]", p.Value)
				}
			}
			assert.True(t, found, "%v", refused)
			assert.NotContains(t, refused.Error(), token)
			assert.NotContains(t, refused.Error(), "ghp_x1")
			assert.NotContains(t, fmt.Sprintf("%+v", refused), token)
		})
	}
	// An encrypted token under its own key is valid, and so is an encrypted object of a chart.
	_, err := Read(source(t, CloudLocal, keys{"huggingFaceToken": hidden(token)}))
	require.NoError(t, err)
	s := source(t, CloudLocal, keys{"charts.dcgmExporter.values": keys{"env": token}})
	s.Secret = func(key string) bool { return key == project+":charts" }
	_, err = Read(s)
	require.NoError(t, err)
}

// TestRefusalsHideCredentials checks that a flag with a credential, and a token in the place of a number, are refused without
// showing the credential.
func TestRefusalsHideCredentials(t *testing.T) {
	for _, given := range []keys{
		{"model.extraArgs": []any{"--api-key=correct horse"}}, {"model.extraArgs": []any{"--hf_token=correct horse"}},
	} {
		refused := problemsOf(t, source(t, CloudLocal, given))
		assert.NotContains(t, refused.Error(), "correct horse")
		assert.Contains(t, refused.Error(), "instead")
	}
	token := "hf_" + strings.Repeat("z", 34)
	refused := problemsOf(t, source(t, CloudLocal, keys{"model.maxModelLen": token, token: "x"}))
	assert.NotContains(t, refused.Error(), token)
}

// TestPlainSecretsAreRefused checks that every secret in plain text, also inside an object, is refused with the command that
// sets it.
func TestPlainSecretsAreRefused(t *testing.T) {
	for key, command := range map[string]string{
		"huggingFaceToken":           "pulumi config set --secret vllm-autoscaling:huggingFaceToken",
		"apiKey":                     "pulumi config set --secret vllm-autoscaling:apiKey",
		"monitoring.grafanaPassword": "pulumi config set --secret --path vllm-autoscaling:monitoring.grafanaPassword",
	} {
		refused := problemsOf(t, source(t, CloudLocal, keys{key: "in-plain-sight"}))
		require.Len(t, refused.Problems, 1, "%v", refused)
		assert.Contains(t, refused.Problems[0].Fix, command)
		assert.NotContains(t, refused.Error(), "in-plain-sight")
	}
	for _, key := range Keys() {
		measured := strings.HasSuffix(key, "PerToken") || key == "slo.interToken"
		if strings.HasSuffix(key, "Token") && !measured || strings.HasSuffix(strings.ToLower(key), "password") || key == "apiKey" {
			assert.True(t, isSecretKey(key), "%s looks like a secret", key)
		}
	}
}
