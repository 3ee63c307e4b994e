package components

import (
	"slices"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kcorev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/providers"
)

func bucket(t *testing.T, uri string) Weights {
	t.Helper()
	parsed, err := providers.ParseBucket(uri)
	require.NoError(t, err)
	return Weights{Source: WeightsBucket, Bucket: parsed}
}

// TestVLLMWeights checks how vLLM loads the model by where its files are.
func TestVLLMWeights(t *testing.T) {
	const alone, together = `--model-loader-extra-config={"memory_limit":4294967296}`, `--model-loader-extra-config={"distributed":true,"memory_limit":4294967296}`
	stream := []string{"--served-model-name", "google/gemma-3-1b-it", "--load-format=runai_streamer"}
	for name, test := range map[string]struct {
		weights Weights
		change  func(*VLLMArgs)
		model   string
		flags   []string
	}{
		"the hub":  {Weights{}, nil, "google/gemma-3-1b-it", nil},
		"Google":   {bucket(t, "gs://models/gemma/1b"), nil, "gs://models/gemma/1b", append(slices.Clone(stream), alone)},
		"Amazon":   {bucket(t, "s3://models/gemma"), nil, "s3://models/gemma", append(slices.Clone(stream), alone)},
		"Azure":    {bucket(t, "az://account/models/gemma"), nil, "az://models/gemma", append(slices.Clone(stream), alone)},
		"two GPUs": {bucket(t, "gs://models/gemma"), func(a *VLLMArgs) { a.GPU.PerReplica = 2 }, "gs://models/gemma", append(slices.Clone(stream), together)},
		"a claim":  {Weights{Source: WeightsClaim, Claim: "models", Path: "gemma"}, nil, "/model-weights/gemma", append(slices.Clone(stream), alone)},
		"its root": {Weights{Source: WeightsClaim, Claim: "models"}, nil, "/model-weights", append(slices.Clone(stream), alone)},
		"an image": {Weights{Source: WeightsImage, Image: "a/b:1", Path: "m"}, nil, "/model-weights/m", append(slices.Clone(stream), alone)},
		"two engines": {bucket(t, "gs://models/gemma"), func(a *VLLMArgs) {
			a.GPU.PerReplica, a.Model.Parallel = 2, Parallel{Tensor: 1, Pipeline: 1, Data: 2}
		}, "gs://models/gemma", append(slices.Clone(stream), alone)},
		"a shared file system is read once": {Weights{Source: WeightsClaim, Claim: "models"}, func(a *VLLMArgs) { a.GPU.PerReplica = 2 },
			"/model-weights", append(slices.Clone(stream), alone)},
		"a loader of its own": {Weights{Source: WeightsClaim, Claim: "models"}, func(a *VLLMArgs) { a.Model.Quantization = "bitsandbytes" },
			"/model-weights", stream[:2]},
		"another loader": {Weights{Source: WeightsClaim, Claim: "models"}, func(a *VLLMArgs) { a.Model.ExtraArgs = []string{"--load-format=auto"} },
			"/model-weights", []string{"--served-model-name", "google/gemma-3-1b-it", "--load-format=auto"}},
		"another buffer": {bucket(t, "gs://m01/a"), func(a *VLLMArgs) { a.Model.ExtraArgs = []string{`--model-loader-extra-config={"concurrency":32}`} },
			"gs://m01/a", append(slices.Clone(stream), `--model-loader-extra-config={"concurrency":32}`)},
		"other names": {bucket(t, "gs://m01/a"), func(a *VLLMArgs) { a.Model.ExtraArgs = []string{"--served-model-name=a"} },
			"gs://m01/a", []string{"--load-format=runai_streamer", alone, "--served-model-name=a"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := vllmArgs()
			args.Model.Weights, args.Model.Revision = test.weights, "main"
			if test.change != nil {
				test.change(args)
			}
			require.NoError(t, args.validate())
			got := serverArgs(args)
			assert.Equal(t, test.model, got[0])
			var flags []string
			for i, arg := range got {
				flag, _ := FindServerFlag(arg)
				if slices.Contains([]string{"--served-model-name", "--load-format", "--model-loader-extra-config"}, flag.Name) {
					flags = append(flags, arg)
					if arg == "--served-model-name" {
						flags = append(flags, got[i+1])
					}
				}
			}
			assert.Equal(t, test.flags, flags)
			assert.Equal(t, test.weights.FromHub(), slices.Contains(got, "--revision=main"), "only the hub has revisions")
		})
	}
}

// TestVLLMWeightsPod checks the volume, the environment and the labels of the pod, which the simulator does not get.
func TestVLLMWeightsPod(t *testing.T) {
	offline := kcorev1.EnvVar{Name: "HF_HUB_OFFLINE", Value: "1"}
	account := kcorev1.EnvVar{Name: "AZURE_STORAGE_ACCOUNT_NAME", Value: "account"}
	for name, test := range map[string]struct {
		weights  Weights
		adapters map[string]string
		volume   *kcorev1.VolumeSource
		env      []kcorev1.EnvVar
		label    string
	}{
		"the hub":  {},
		"a bucket": {weights: bucket(t, "gs://models/gemma")},
		"Azure":    {weights: bucket(t, "az://account/models/gemma"), env: []kcorev1.EnvVar{account}, label: "true"},
		"a claim": {weights: Weights{Source: WeightsClaim, Claim: "models"}, env: []kcorev1.EnvVar{offline},
			volume: &kcorev1.VolumeSource{PersistentVolumeClaim: &kcorev1.PersistentVolumeClaimVolumeSource{ClaimName: "models", ReadOnly: true}}},
		"adapters from the hub": {weights: Weights{Source: WeightsClaim, Claim: "models"}, adapters: map[string]string{"a": "example/a"},
			volume: &kcorev1.VolumeSource{PersistentVolumeClaim: &kcorev1.PersistentVolumeClaimVolumeSource{ClaimName: "models", ReadOnly: true}}},
		"an image": {weights: Weights{Source: WeightsImage, Image: "a/b:1"}, env: []kcorev1.EnvVar{offline},
			volume: &kcorev1.VolumeSource{Image: &kcorev1.ImageVolumeSource{Reference: "a/b:1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			args := vllmArgs()
			args.Model.Weights = test.weights
			if test.adapters != nil {
				args.Model.LoRA = LoRA{Adapters: test.adapters, MaxRank: 16, MaxLoras: 1}
			}
			template := vllmDeployment(t, args).Spec.Template
			assert.Equal(t, test.label, template.Labels["azure.workload.identity/use"])
			container := template.Spec.Containers[0]
			var env []kcorev1.EnvVar
			for _, variable := range container.Env {
				if slices.Contains([]string{"HF_HUB_OFFLINE", "AZURE_STORAGE_ACCOUNT_NAME"}, variable.Name) {
					env = append(env, variable)
				}
			}
			assert.Equal(t, test.env, env)
			at := slices.IndexFunc(template.Spec.Volumes, func(v kcorev1.Volume) bool { return v.Name == weightsVolume })
			if test.volume == nil {
				assert.Negative(t, at)
				return
			}
			require.GreaterOrEqual(t, at, 0)
			assert.Equal(t, *test.volume, template.Spec.Volumes[at].VolumeSource)
			assert.Contains(t, container.VolumeMounts, kcorev1.VolumeMount{Name: weightsVolume, MountPath: "/model-weights", ReadOnly: true})
		})
	}
	simulator := simulatorArgs()
	simulator.Model.Weights = Weights{Source: WeightsClaim, Claim: "models"}
	assert.Len(t, vllmDeployment(t, simulator).Spec.Template.Spec.Volumes, 1, "the simulator loads nothing")
}

// TestVLLMWeightsEgress checks that the server reaches what its weights need, and the credentials for it.
func TestVLLMWeightsEgress(t *testing.T) {
	claim := Weights{Source: WeightsClaim, Claim: "models"}
	for name, test := range map[string]struct {
		weights  Weights
		change   func(*VLLMArgs)
		internet bool
		// identity are the addresses with ports.
		identity map[string]int32
	}{
		"the hub":        {Weights{}, nil, true, nil},
		"Google":         {bucket(t, "gs://models/gemma"), nil, true, map[string]int32{"169.254.169.254/32": 80, "169.254.169.252/32": 988}},
		"Amazon":         {bucket(t, "s3://models/gemma"), nil, true, map[string]int32{"169.254.170.23/32": 80}},
		"Azure":          {bucket(t, "az://account/models/gemma"), nil, true, nil},
		"a claim":        {claim, nil, false, nil},
		"media":          {claim, func(a *VLLMArgs) { a.MediaDomains = []string{"a.example"} }, true, nil},
		"an adapter":     {claim, func(a *VLLMArgs) { a.Model.LoRA = LoRA{map[string]string{"a": "b/c"}, 16, 1} }, true, nil},
		"an image":       {Weights{Source: WeightsImage, Image: "a/b:1"}, nil, false, nil},
		"no real server": {bucket(t, "gs://models/gemma"), func(a *VLLMArgs) { *a = *simulatorArgs() }, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			args := vllmArgs()
			args.Model.Weights = test.weights
			if test.change != nil {
				test.change(args)
				args.Model.Weights = test.weights
			}
			internet, identity := false, map[string]int32{}
			for _, rule := range vllmNetworkPolicy(t, args).Egress {
				for _, peer := range rule.To {
					if peer.IPBlock.CIDR == "0.0.0.0/0" {
						internet = true
						continue
					}
					require.Len(t, rule.Ports, 1, "only the port of the credentials")
					identity[peer.IPBlock.CIDR] = rule.Ports[0].Port.IntVal
				}
			}
			assert.Equal(t, test.internet, internet)
			if test.identity == nil {
				test.identity = map[string]int32{}
			}
			assert.Equal(t, test.identity, identity)
		})
	}
}

// TestVLLMBucketAccounts checks the ServiceAccounts: the server's reads, that of the stager writes, and the server waits for its right.
func TestVLLMBucketAccounts(t *testing.T) {
	args := vllmArgs()
	args.Model.Weights = bucket(t, "az://account/models/gemma")
	args.AccountAnnotations = map[string]string{"example.com/owner": "ml"}
	args.BucketIdentity.ReaderAnnotations = pulumi.StringMap{"azure.workload.identity/client-id": pulumi.String("reader")}
	args.BucketIdentity.WriterAnnotations = pulumi.StringMap{"azure.workload.identity/client-id": pulumi.String("writer")}
	r := runVLLM(t, args)
	for name, client := range map[string]string{VLLMName: "reader", "vllm-stager": "writer"} {
		account := decode[kcorev1.ServiceAccount](t, r.get(t, accountType, name))
		assert.Equal(t, name, account.Name)
		assert.Equal(t, map[string]string{"example.com/owner": "ml", "azure.workload.identity/client-id": client}, account.Annotations)
		assert.False(t, *account.AutomountServiceAccountToken)
	}
	pod := decode[kcorev1.ServiceAccount](t, runVLLM(t, vllmArgs()).get(t, accountType, VLLMName))
	assert.Empty(t, pod.Annotations)
}

func TestVLLMWeightsValidation(t *testing.T) {
	for name, test := range map[string]struct {
		weights Weights
		says    string
	}{
		"another source":        {Weights{Source: "ftp"}, "not supported"},
		"a bucket without name": {Weights{Source: WeightsBucket}, "bucket of the weights"},
		"no folder":             {Weights{Source: WeightsBucket, Bucket: providers.Bucket{Scheme: "gs", Name: "models"}}, "folder is missing"},
		"a claim without name":  {Weights{Source: WeightsClaim}, "no name"},
		"an image without tag":  {Weights{Source: WeightsImage, Image: "a/b"}, "image of the weights"},
	} {
		t.Run(name, func(t *testing.T) {
			args := vllmArgs()
			args.Model.Weights = test.weights
			assert.ErrorContains(t, args.validate(), test.says)
		})
	}
	args := vllmArgs()
	args.BucketIdentity.WriterAnnotations = pulumi.StringMap{"a": pulumi.String("b")}
	assert.ErrorContains(t, args.validate(), "identity for a bucket")
}
