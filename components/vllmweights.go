package components

import (
	"encoding/json"
	"errors"
	"fmt"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// StreamBufferGiB is how much of the weights each worker keeps in main memory while it streams them. It has to hold the largest tensor;
// the streamer's own limit of 40 GB is more than the memory of most replicas
// (https://github.com/run-ai/runai-model-streamer/blob/master/docs/src/env-vars.md).
const StreamBufferGiB = 4

// weights returns where the model's files come from; the simulator loads none.
func (a *VLLMArgs) weights() Weights {
	if a.Engine == EngineSimulator {
		return Weights{}
	}
	return a.Model.Weights
}

// loaderConfig is vLLM's --model-loader-extra-config for the load format runai_streamer
// (https://docs.vllm.ai/en/stable/models/extensions/runai_model_streamer/).
type loaderConfig struct {
	// Distributed makes each worker read a part of an object store and send it to the others.
	Distributed bool `json:"distributed,omitempty"`
	// MemoryLimit is the size of the buffer in main memory, in bytes.
	MemoryLimit int64 `json:"memory_limit"`
}

// weightsArguments returns how vLLM loads weights that are not on the hub, under the model's own name, which clients and metrics use.
func (a *VLLMArgs) weightsArguments() []string {
	w := a.weights()
	if w.FromHub() {
		return nil
	}
	var args []string
	if !a.Model.extra("--served-model-name") {
		args = append(args, "--served-model-name", a.Model.ID)
	}
	if a.Model.Quantization == "bitsandbytes" || a.Model.extra("--load-format") {
		return args // bitsandbytes has a loader of its own.
	}
	args = append(args, "--load-format=runai_streamer")
	if a.Model.extra("--model-loader-extra-config") {
		return args
	}
	p := a.parallel()
	// On a file system, the page cache makes the workers read the files once.
	config, _ := json.Marshal(loaderConfig{ // Two plain values always encode.
		Distributed: w.Source == WeightsBucket && p.Tensor*p.Pipeline > 1, MemoryLimit: StreamBufferGiB << 30,
	})
	return append(args, "--model-loader-extra-config="+string(config))
}

// offline reports whether nothing is read from the hub, so that its client must not ask it. Not with a bucket: vLLM 0.20 would look for
// the bucket's URI in the cache of the hub.
func (a *VLLMArgs) offline() bool { return a.weights().Mounted() && a.Model.LoRA.inImage() }

// volume returns the read-only volume of mounted weights.
func (w Weights) volume() corev1.VolumeArgs {
	volume := corev1.VolumeArgs{Name: pulumi.String(weightsVolume)}
	if w.Source == WeightsImage {
		volume.Image = corev1.ImageVolumeSourceArgs{Reference: pulumi.String(w.Image)}
		return volume
	}
	volume.PersistentVolumeClaim = corev1.PersistentVolumeClaimVolumeSourceArgs{ClaimName: pulumi.String(w.Claim), ReadOnly: pulumi.Bool(true)}
	return volume
}

// identityEndpoint is where pods on a node get the credentials of their ServiceAccount.
type identityEndpoint struct {
	cidr string
	port int
}

// identityEndpoints are those endpoints by the scheme of the bucket. They are link-local, which the rule for the internet leaves out.
//   - gs: GKE's metadata server, at 169.254.169.254 with Dataplane V2 and at 169.254.169.252:988 without
//     (https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity).
//   - s3: the agent of EKS Pod Identity (https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html).
//   - az: none; Microsoft Entra ID is on the internet.
var identityEndpoints = map[string][]identityEndpoint{
	providers.SchemeGCS: {{"169.254.169.254/32", 80}, {"169.254.169.252/32", 988}},
	providers.SchemeS3:  {{"169.254.170.23/32", 80}},
}

// identityRules returns the egress rules for the credentials with which the bucket is read.
func (w Weights) identityRules() networkingv1.NetworkPolicyEgressRuleArray {
	rules := networkingv1.NetworkPolicyEgressRuleArray{}
	if w.Source != WeightsBucket {
		return rules
	}
	for _, endpoint := range identityEndpoints[w.Bucket.Scheme] {
		rules = append(rules, networkingv1.NetworkPolicyEgressRuleArgs{
			To:    networkPeers([]string{endpoint.cidr}),
			Ports: networkingv1.NetworkPolicyPortArray{networkingv1.NetworkPolicyPortArgs{Port: pulumi.Int(endpoint.port), Protocol: pulumi.String("TCP")}},
		})
	}
	return rules
}

// validate reports an incomplete or unknown place of the model's files.
func (w Weights) validate() error {
	switch w.Source {
	case "", WeightsHub:
		return nil
	case WeightsBucket:
		if _, err := providers.ParseBucket(w.Bucket.URI()); err != nil {
			return fmt.Errorf("the bucket of the weights %q: %w", w.Bucket.URI(), err)
		}
		return nil
	case WeightsClaim:
		if w.Claim == "" {
			return errors.New("the claim of the weights has no name")
		}
		return nil
	case WeightsImage:
		if err := validateImage(w.Image); err != nil {
			return fmt.Errorf("the image of the weights: %w", err)
		}
		return nil
	default:
		return fmt.Errorf("source %q of the weights not supported (one of: %s, %s, %s, %s)", w.Source, WeightsHub, WeightsBucket, WeightsClaim, WeightsImage)
	}
}
