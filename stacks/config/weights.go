package config

import (
	"cmp"
	"strings"
	"time"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config/models"
	"vllm-autoscaling/stacks/config/sizing"
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

// filesGiB returns the size of the model's files, wherever they are, and of its adapters; 0 if it is not known, or if they are in the
// server's image.
func (c *Config) filesGiB() float64 {
	if strings.HasPrefix(c.Model.ID, "/") || c.GPU.Mode != GPUNvidia {
		return 0
	}
	adapters := c.Model.adaptersGiB(len(c.Model.LoRA.Adapters))
	if model, known := models.Find(c.Model.ID); known {
		// 2 % more for the tokenizer and the other files.
		return 1.02*model.FileBytes()/sizing.GiB + adapters
	}
	return c.Model.Size.WeightsGiB
}

// downloadGiB returns the disk space that files from the hub take on a node; 0 if it is not known or nothing is downloaded.
func (c *Config) downloadGiB() float64 {
	if !c.Model.Weights().FromHub() && c.GPU.Mode == GPUNvidia {
		return c.Model.adaptersGiB(len(c.Model.LoRA.Adapters))
	}
	return c.filesGiB()
}

// diskGiB returns the disk space that files of the model take on a node: what is downloaded, or pulled with an image.
func (c *Config) diskGiB() float64 {
	if c.Model.Source == SourceImage {
		return c.filesGiB()
	}
	return c.downloadGiB()
}

// cachedGiB returns how much of the files main memory is of use for: they are read from a disk or a network file system. Those of a bucket
// are read once.
func (c *Config) cachedGiB() float64 {
	if c.Model.Source == SourceBucket {
		return c.downloadGiB()
	}
	return c.filesGiB()
}

// streamGiB returns the buffer of each worker that streams the weights; 0 for weights that are not streamed.
func (c *Config) streamGiB() float64 {
	if c.Model.Weights().FromHub() {
		return 0
	}
	if files := c.filesGiB(); files > 0 {
		return min(files, components.StreamBufferGiB)
	}
	return components.StreamBufferGiB
}

// weightsTime returns how long a replica takes to read a number of 10^9 bytes of weights into the GPU, from wherever they are.
func (m Model) weightsTime(gigabytes float64) time.Duration {
	switch {
	case m.Source == SourceBucket:
		return seconds(gigabytes / streamRate)
	case m.Source == SourceImage, m.fromHub():
		return seconds(gigabytes/downloadRate) + seconds(gigabytes/loadRate)
	default: // A path in the server's image, or a volume.
		return seconds(gigabytes / loadRate)
	}
}

// buckets returns the rights to buckets that the stack's cloud grants: in a cluster that the stack creates.
func (c *Config) buckets() []providers.BucketAccess {
	if c.attaches() || !c.onCloud() {
		return nil
	}
	var all []providers.BucketAccess
	for _, server := range c.ServerConfigs() {
		if server.Model.Source != SourceBucket {
			continue
		}
		all = append(all, providers.BucketAccess{
			Server: server.Server, Bucket: server.Model.Weights().Bucket,
			Reader: providers.ServiceAccount{Namespace: server.Namespaces.Serving, Name: server.Server},
			Writer: providers.ServiceAccount{Namespace: server.Namespaces.Serving, Name: components.StagerAccount(server.Server)},
		})
	}
	return all
}

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
