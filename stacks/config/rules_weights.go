package config

import (
	"fmt"
	"strconv"
	"strings"

	"vllm-autoscaling/components"
)

// imageVolumeVersion is the first minor version of Kubernetes that mounts an OCI image as a volume without a feature gate
// (https://kubernetes.io/docs/tasks/configure-pod-container/image-volumes).
const imageVolumeVersion = 35

// checkWeights refuses a source of the weights that the server could not read, and settings of another source.
func (c *Config) checkWeights(r *report) {
	if r.anyRefused("model.source") {
		return
	}
	c.refuseOtherSources(r)
	if c.Model.Source == SourceHub {
		return
	}
	if c.GPU.Mode == GPUSimulated && !r.anyRefused("gpu.mode") {
		r.bad("model.source", c.Model.Source, "hub with gpu.mode simulated: the simulator loads no weights", "remove the key")
		return
	}
	if strings.HasPrefix(c.Model.ID, "/") {
		r.bad("model.id", c.Model.ID, fmt.Sprintf("the name by which clients choose the model, with model.source %s", c.Model.Source),
			"give organisation/name; where the files are follows from model."+c.Model.Source)
	}
	switch c.Model.Source {
	case SourceBucket:
		c.checkBucket(r)
	case SourceClaim:
		c.requireOfSource(r, "model.claim.name", c.Model.Claim.Name, "an existing PersistentVolumeClaim in namespace "+c.Namespaces.Serving,
			"name one that several nodes can mount (ReadOnlyMany or ReadWriteMany)")
	case SourceImage:
		c.checkImageVolume(r)
	}
}

// refuseOtherSources refuses the keys of a source that is not the chosen one.
func (c *Config) refuseOtherSources(r *report) {
	for _, key := range []struct{ key, value, source string }{
		{"model.bucket", c.Model.Bucket, SourceBucket},
		{"model.claim.name", c.Model.Claim.Name, SourceClaim},
		{"model.claim.path", c.Model.Claim.Path, SourceClaim},
		{"model.image.reference", c.Model.Image.Reference, SourceImage},
		{"model.image.path", c.Model.Image.Path, SourceImage},
	} {
		if r.given.has(key.key) && key.value != "" && c.Model.Source != key.source {
			r.bad(key.key, key.value, fmt.Sprintf("a value only with model.source %s; it is %s", key.source, c.Model.Source),
				"remove it, or "+r.set("model.source", key.source))
		}
	}
}

// requireOfSource reports a key that the source needs and that has no value.
func (c *Config) requireOfSource(r *report, key, value, allowed, fix string) {
	if value == "" && !r.anyRefused(key) {
		r.add(Problem{Key: r.full(key), Allowed: fmt.Sprintf("%s, with model.source %s", allowed, c.Model.Source), Fix: fix})
	}
}

// checkBucket refuses a bucket of another cloud, and what vLLM cannot stream.
func (c *Config) checkBucket(r *report) {
	if c.Model.Quantization == "bitsandbytes" {
		r.bad("model.quantization", c.Model.Quantization, "another one with model.source bucket: vLLM loads bitsandbytes with a loader that reads no bucket",
			"remove it, or use model.source hub or claim")
	}
	if r.anyRefused("model.bucket") {
		return
	}
	scheme := c.cloud().BucketScheme
	example := c.cloud().Examples["model.bucket"]
	if c.Model.Bucket == "" {
		c.requireOfSource(r, "model.bucket", "", "the folder with the model's files", r.set("model.bucket", example))
		return
	}
	if given := c.Model.Weights().Bucket.Scheme; scheme != "" && given != scheme {
		r.bad("model.bucket", c.Model.Bucket, fmt.Sprintf("a URI that begins with %s:// on %s, whose identities the server's pods have", scheme, c.Cloud),
			"copy the model to a bucket such as "+example+", or use model.source claim")
	}
}

// checkImageVolume refuses an image volume on a Kubernetes that has none.
func (c *Config) checkImageVolume(r *report) {
	c.requireOfSource(r, "model.image.reference", c.Model.Image.Reference, "an OCI image with the model's files", "name one with a version tag or a digest")
	if c.Model.Revision != "" {
		r.bad("model.revision", c.Model.Revision, "no revision with model.source image, whose tag or digest is one", "remove it")
	}
	if version := c.Cluster.KubernetesVersion; version != "" && !r.anyRefused("cluster.kubernetesVersion") && minorOf(version) < imageVolumeVersion {
		r.bad("cluster.kubernetesVersion", version, fmt.Sprintf("at least 1.%d with model.source image: earlier versions mount no images unless a feature gate is set",
			imageVolumeVersion), fmt.Sprintf("set it to 1.%d, or use model.source bucket or claim", imageVolumeVersion))
	}
}

// minorOf returns the minor version of 1.34; 0 for anything else.
func minorOf(version string) int {
	minor, _ := strconv.Atoi(strings.TrimPrefix(version, "1."))
	return minor
}

// warnOfWeights warns of what a source needs and the program cannot see.
func (c *Config) warnOfWeights(r *report) {
	switch {
	case c.Model.Source == SourceBucket && (c.attaches() || !c.onCloud()):
		r.warn("model.bucket", c.Model.Bucket,
			fmt.Sprintf("in a cluster that the stack did not create it grants no rights to the bucket: ServiceAccount %[1]s/%[2]s has to read it, and %[1]s/%[3]s "+
				"to write to it for `make stage-model`", c.Namespaces.Serving, c.Server, components.StagerAccount(c.Server)),
			"grant both (docs/cold-start.md#weights)")
	case c.Model.Source == SourceImage && c.Cluster.KubernetesVersion == "":
		r.warn("model.source", c.Model.Source, fmt.Sprintf("Kubernetes mounts images as volumes from 1.%d on, with a container runtime that can; the server's pods "+
			"of an older cluster are refused, or lose the volume", imageVolumeVersion), "check the version of the cluster")
	}
}
