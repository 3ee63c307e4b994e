package config

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
)

// TestWeightsRules checks what is refused of the source of the weights, with a reason and the key.
func TestWeightsRules(t *testing.T) {
	fromBucket := func(uri string, more keys) keys {
		given := keys{"model.source": "bucket", "model.bucket": uri}
		maps.Copy(given, more)
		return given
	}
	claim := keys{"model.source": "claim", "model.claim.name": "models"}
	image := func(more keys) keys {
		given := keys{"model.source": "image", "model.image.reference": "registry.example.com/models/gemma:v1"}
		maps.Copy(given, more)
		return given
	}
	with := func(base, more keys) keys {
		given := maps.Clone(base)
		maps.Copy(given, more)
		return given
	}
	for name, rule := range map[string]struct {
		cloud        string
		wrong, right keys
		key          string
		says         string
	}{
		"another source":             {CloudGKE, keys{"model.source": "ftp"}, keys{"model.source": "hub"}, "model.source", "one of"},
		"a bucket without a source":  {CloudGKE, keys{"model.bucket": "gs://m01/a"}, fromBucket("gs://m01/a", nil), "model.bucket", "only with model.source bucket"},
		"a source without a bucket":  {CloudGKE, keys{"model.source": "bucket"}, fromBucket("gs://m01/a", nil), "model.bucket", "gs://example"},
		"no bucket at all":           {CloudGKE, fromBucket("models/gemma", nil), fromBucket("gs://m01/a", nil), "model.bucket", "gs://<bucket>"},
		"a bucket without a folder":  {CloudGKE, fromBucket("gs://models", nil), fromBucket("gs://models/a", nil), "model.bucket", "a folder of a bucket"},
		"another cloud's bucket":     {CloudGKE, fromBucket("s3://models/a", nil), fromBucket("gs://models/a", nil), "model.bucket", "gs://"},
		"Google's bucket on EKS":     {CloudEKS, fromBucket("gs://models/a", nil), fromBucket("s3://models/a", nil), "model.bucket", "s3://"},
		"Amazon's bucket on AKS":     {CloudAKS, fromBucket("s3://models/a", keys{"aks.storageResourceGroup": "g"}), fromBucket("az://acc/models/a", keys{"aks.storageResourceGroup": "g"}), "model.bucket", "az://"},
		"no group of the account":    {CloudAKS, fromBucket("az://acc/models/a", nil), fromBucket("az://acc/models/a", keys{"aks.storageResourceGroup": "g"}), "aks.storageResourceGroup", "storage account acc"},
		"a group without a bucket":   {CloudAKS, keys{"aks.storageResourceGroup": "g"}, keys{}, "aks.storageResourceGroup", "only with model.source bucket"},
		"bitsandbytes from a bucket": {CloudGKE, fromBucket("gs://models/a", keys{"model.quantization": "bitsandbytes"}), with(claim, keys{"model.quantization": "bitsandbytes"}), "model.quantization", "reads no bucket"},
		"a path as name":             {CloudGKE, fromBucket("gs://models/a", keys{"model.id": "/models/a"}), fromBucket("gs://models/a", keys{"model.id": "a/b"}), "model.id", "name by which clients"},
		"a claim without a name":     {CloudGKE, keys{"model.source": "claim"}, claim, "model.claim.name", "PersistentVolumeClaim"},
		"a claim without a source":   {CloudGKE, keys{"model.claim.name": "models"}, claim, "model.claim.name", "only with model.source claim"},
		"a path without a source":    {CloudGKE, keys{"model.claim.path": "a"}, with(claim, keys{"model.claim.path": "a"}), "model.claim.path", "only with"},
		"a path out of the claim":    {CloudGKE, with(claim, keys{"model.claim.path": "../a"}), with(claim, keys{"model.claim.path": "/"}), "model.claim.path", "without the parts"},
		"an image without a name":    {CloudGKE, keys{"model.source": "image"}, image(nil), "model.image.reference", "OCI image"},
		"an image without a source":  {CloudGKE, keys{"model.image.reference": "a/b:1"}, image(nil), "model.image.reference", "only with model.source image"},
		"an image without a tag":     {CloudGKE, image(keys{"model.image.reference": "a/b"}), image(nil), "model.image.reference", "no tag"},
		"an older Kubernetes":        {CloudEKS, image(keys{"cluster.kubernetesVersion": "1.34"}), image(keys{"cluster.kubernetesVersion": "1.35"}), "cluster.kubernetesVersion", "1.35"},
		"a revision of an image":     {CloudGKE, image(keys{"model.revision": "main"}), fromBucket("gs://models/a", keys{"model.revision": "main"}), "model.revision", "tag or digest"},
	} {
		t.Run(name, func(t *testing.T) {
			refused := problemsOf(t, source(t, rule.cloud, onCloud(rule.cloud, rule.wrong)))
			require.Len(t, refused.Problems, 1, refused.Error())
			problem := refused.Problems[0]
			assert.Equal(t, project+":"+rule.key, problem.Key)
			assert.Contains(t, problem.Allowed+" "+problem.Fix, rule.says)
			read(t, rule.cloud, onCloud(rule.cloud, rule.right))
		})
	}
	simulated := problemsOf(t, source(t, CloudLocal, keys{"model.source": "claim", "model.claim.name": "models"}))
	assert.Equal(t, project+":model.source", simulated.Problems[0].Key, "the simulator loads no weights")
}

// TestWeightsOf checks the place of the files for each source.
func TestWeightsOf(t *testing.T) {
	for name, test := range map[string]struct {
		given keys
		want  components.Weights
	}{
		"the hub": {nil, components.Weights{Source: components.WeightsHub}},
		"a bucket": {keys{"model.source": "bucket", "model.bucket": "gs://models/a/b"},
			components.Weights{Source: components.WeightsBucket, Bucket: providers.Bucket{Scheme: "gs", Name: "models", Folder: "a/b"}}},
		"a claim": {keys{"model.source": "claim", "model.claim.name": "models"},
			components.Weights{Source: components.WeightsClaim, Claim: "models", Path: "google/gemma-3-1b-it"}},
		"the root of a claim": {keys{"model.source": "claim", "model.claim.name": "models", "model.claim.path": "/"},
			components.Weights{Source: components.WeightsClaim, Claim: "models"}},
		"an image": {keys{"model.source": "image", "model.image.reference": "a/b:1", "model.image.path": "/m/"},
			components.Weights{Source: components.WeightsImage, Image: "a/b:1", Path: "m"}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, read(t, CloudGKE, onCloud(CloudGKE, test.given)).Model.Weights())
		})
	}
}

// TestBucketAccess checks which rights a stack requests: of each server with a bucket, in a cluster that it creates.
func TestBucketAccess(t *testing.T) {
	given := keys{"model.source": "bucket", "model.bucket": "gs://models/a"}
	c := read(t, CloudGKE, onCloud(CloudGKE, given))
	assert.Equal(t, []providers.BucketAccess{{
		Server: "vllm", Bucket: providers.Bucket{Scheme: "gs", Name: "models", Folder: "a"},
		Reader: providers.ServiceAccount{Namespace: "vllm", Name: "vllm"}, Writer: providers.ServiceAccount{Namespace: "vllm", Name: "vllm-stager"},
	}}, c.request(nil).Buckets)
	assert.Empty(t, c.Warnings())

	theirs := read(t, CloudGKE, attached(CloudGKE, given))
	assert.Empty(t, theirs.request(nil).Buckets)
	require.NotEmpty(t, theirs.Warnings())
	assert.Contains(t, theirs.Warnings()[0].Why, "vllm/vllm-stager")

	several := read(t, CloudGKE, onCloud(CloudGKE, keys{"servers": keys{
		"chat": keys{"model": keys{"source": "bucket", "bucket": "gs://models/chat"}}, "code": keys{},
	}, "nodePools.gpu.maxNodes": 10}))
	buckets := several.request(nil).Buckets
	require.Len(t, buckets, 1)
	assert.Equal(t, "chat", buckets[0].Server)
	assert.Equal(t, "chat-stager", buckets[0].Writer.Name)

	taken := problemsOf(t, source(t, CloudGKE, onCloud(CloudGKE, keys{"servers": keys{"chat": keys{}, "chat-stager": keys{}}, "nodePools.gpu.maxNodes": 10})))
	assert.Equal(t, project+":servers.chat-stager", taken.Problems[0].Key)
}

// TestWeightsTakeNoTokenNorCache checks what follows from files that are not on the hub: the token, the disk, the memory and the start.
func TestWeightsTakeNoTokenNorCache(t *testing.T) {
	large := func(more keys) *Config {
		given := onCloud(CloudAKS, keys{"model.id": "google/gemma-3-27b-it"})
		delete(given, "huggingFaceToken")
		maps.Copy(given, more)
		return read(t, CloudAKS, given)
	}
	hub := large(keys{"huggingFaceToken": hidden("hf_token")})
	bucket := large(keys{"model.source": "bucket", "model.bucket": "az://acc/models/a", "aks.storageResourceGroup": "g"})
	claim := large(keys{"model.source": "claim", "model.claim.name": "models"})
	image := large(keys{"model.source": "image", "model.image.reference": "a/b:1"})

	assert.Equal(t, Quantity("60Gi"), hub.VLLM.ModelCache)
	for _, other := range []*Config{bucket, claim, image} {
		assert.Equal(t, Quantity("20Gi"), other.VLLM.ModelCache, other.Model.Source)
	}
	assert.Equal(t, Quantity("12Gi"), bucket.VLLM.Memory, "the buffer of one worker, and no page cache")
	assert.NotEqual(t, bucket.VLLM.Memory, claim.VLLM.Memory, "files of a volume are kept in the page cache where there is room")
	assert.Less(t, bucket.ColdStart().Weights, claim.ColdStart().Weights)
	assert.Less(t, claim.ColdStart().Weights, image.ColdStart().Weights)
	assert.Equal(t, hub.ColdStart().Weights, image.ColdStart().Weights, "both are downloaded to the node, and then loaded")
	assert.Less(t, bucket.ColdStart().Weights.Seconds(), hub.ColdStart().Weights.Seconds()/10, "187 s and 10 s were published")
	assert.Positive(t, image.diskGiB())
	assert.Zero(t, bucket.diskGiB())
}
