package components

import (
	"strings"

	"vllm-autoscaling/components/rollout"
	"vllm-autoscaling/providers"
)

// WeightsSource is where the files of a model come from.
type WeightsSource string

// The sources of weights.
const (
	// WeightsHub is the Hugging Face hub, from which every replica downloads.
	WeightsHub WeightsSource = "hub"
	// WeightsBucket is a folder of an object store, from which every replica streams.
	WeightsBucket WeightsSource = "bucket"
	// WeightsClaim is a folder of an existing PersistentVolumeClaim in the namespace of the server.
	WeightsClaim WeightsSource = "claim"
	// WeightsImage is a folder of an OCI image, which the kubelet pulls and mounts.
	WeightsImage WeightsSource = "image"
)

// CompleteMarker is the file in the folder of a model that is written last: it lists the model, its revision and each file with size and
// SHA-256.
const CompleteMarker = "vllm-autoscaling.json"

// weightsVolume is the volume of weights that are mounted, weightsDir where it is.
const (
	weightsVolume = rollout.WeightsVolume
	weightsDir    = "/model-weights"
)

// Weights is where the files of a model are. The zero value is the hub.
type Weights struct {
	// Source is one of the sources; "" is WeightsHub.
	Source WeightsSource
	// Bucket is the folder with source WeightsBucket.
	Bucket providers.Bucket
	// Claim is the name of the PersistentVolumeClaim with source WeightsClaim.
	Claim string
	// Image is the OCI image with source WeightsImage.
	Image string
	// Path is the folder of the model in the claim or the image, without a slash at either end; "" is their root.
	Path string
}

// FromHub reports whether the files come from the hub, or from a path in the server's image.
func (w Weights) FromHub() bool { return w.Source == "" || w.Source == WeightsHub }

// Mounted reports whether the files are on a volume of the pod.
func (w Weights) Mounted() bool { return w.Source == WeightsClaim || w.Source == WeightsImage }

// Location returns what vLLM serves in place of the model's name; "" for the hub.
func (w Weights) Location() string {
	switch {
	case w.Mounted():
		return strings.TrimSuffix(weightsDir+"/"+w.Path, "/")
	case w.Source != WeightsBucket:
		return ""
	case w.Bucket.Scheme == providers.SchemeAzure:
		// vLLM reads the account from AZURE_STORAGE_ACCOUNT_NAME.
		return w.Bucket.Scheme + "://" + w.Bucket.Name + "/" + w.Bucket.Folder
	default:
		return w.Bucket.URI()
	}
}

// String describes the place of the files for people.
func (w Weights) String() string {
	switch w.Source {
	case WeightsBucket:
		return w.Bucket.URI()
	case WeightsClaim:
		return strings.TrimSuffix("PersistentVolumeClaim "+w.Claim+", folder /"+w.Path, ", folder /")
	case WeightsImage:
		return strings.TrimSuffix("image "+w.Image+", folder /"+w.Path, ", folder /")
	default:
		return "the Hugging Face hub"
	}
}

// PodLabels returns the labels of pods that reach the bucket with the identity of their ServiceAccount; nil where none is needed.
func (w Weights) PodLabels() map[string]string {
	if w.Source == WeightsBucket && w.Bucket.Scheme == providers.SchemeAzure {
		// AKS' webhook gives such pods a token of their ServiceAccount.
		return map[string]string{"azure.workload.identity/use": "true"}
	}
	return nil
}

// Variables returns the environment that the clients of the object store need besides the identity of the pod.
func (w Weights) Variables() map[string]string {
	if w.Source == WeightsBucket && w.Bucket.Scheme == providers.SchemeAzure {
		return map[string]string{"AZURE_STORAGE_ACCOUNT_NAME": w.Bucket.Account}
	}
	return nil
}

// StagerAccount returns the name of the ServiceAccount that fills the bucket of a server; that of the server only reads.
func StagerAccount(server string) string { return server + "-stager" }
