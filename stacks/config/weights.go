package config

import (
	"cmp"
	"strings"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
)

// Values of the key model.source.
const (
	SourceHub    = string(components.WeightsHub)
	SourceBucket = string(components.WeightsBucket)
	SourceClaim  = string(components.WeightsClaim)
	SourceImage  = string(components.WeightsImage)
)

// Claim is an existing PersistentVolumeClaim with the files of a model.
type Claim struct {
	// Name is a PersistentVolumeClaim in namespaces.serving that pods on several nodes can mount at a time; it is mounted read-only. Only
	// with model.source claim.
	Name string `key:"name" unset:"none" example:"models" format:"subdomain"`
	// Path is the folder in it that has config.json, the tokenizer and the safetensors files, or / for its root.
	Path string `key:"path" unset:"model.id" example:"models/gemma-3-4b-it" format:"folder"`
}

// WeightsImage is an OCI image with the files of a model.
type WeightsImage struct {
	// Reference is an image with a version tag or a digest, which the kubelet mounts as a volume from Kubernetes 1.35 on. Only with
	// model.source image.
	Reference string `key:"reference" unset:"none" example:"registry.example.com/models/gemma-3-4b-it:v1" format:"image"`
	// Path is the folder in it that has config.json, the tokenizer and the safetensors files.
	Path string `key:"path" unset:"its root" example:"models/gemma-3-4b-it" format:"folder"`
}

// Weights returns where the files of the model are.
func (m Model) Weights() components.Weights {
	w := components.Weights{Source: components.WeightsSource(m.Source)}
	switch m.Source {
	case SourceBucket:
		w.Bucket, _ = providers.ParseBucket(m.Bucket) // Its format was checked.
	case SourceClaim:
		w.Claim, w.Path = m.Claim.Name, strings.Trim(cmp.Or(m.Claim.Path, m.ID), "/")
	case SourceImage:
		w.Image, w.Path = m.Image.Reference, strings.Trim(m.Image.Path, "/")
	}
	return w
}

// fromHub reports whether the server downloads the model from the hub.
func (m Model) fromHub() bool { return m.Weights().FromHub() && !strings.HasPrefix(m.ID, "/") }

// bucketDetail returns why a text is not the URI of a folder in a bucket, or "".
func bucketDetail(uri string) string {
	if _, err := providers.ParseBucket(uri); err != nil {
		return err.Error()
	}
	return ""
}

// folderDetail returns why a text is not a folder of a volume, or "".
func folderDetail(folder string) string {
	for part := range strings.SplitSeq(strings.Trim(folder, "/"), "/") {
		if part == ".." || part == "." {
			return "without the parts . and .."
		}
	}
	return spaceDetail(folder)
}
