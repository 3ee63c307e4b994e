package rollout

import "strings"

// WeightsVolume is the name of the volume of the server's pod with the weights, where they are mounted.
const WeightsVolume = "model-weights"

// weightsCauses are likely reasons why a server cannot read its weights, by parts of what the scheduler, the kubelet and vLLM report. The
// first row with all of its parts counts.
var weightsCauses = []struct {
	parts []string
	cause string
}{
	{[]string{"persistentvolumeclaim", "not found"}, "the PersistentVolumeClaim of model.claim.name is not in the namespace of the server"},
	{[]string{"unbound immediate PersistentVolumeClaims"}, "the PersistentVolumeClaim of model.claim.name is not bound: kubectl describe it"},
	{[]string{"didn't match PersistentVolume's node affinity"}, otherZone},
	{[]string{"volume node affinity conflict"}, otherZone}, // in earlier versions of Kubernetes
	{[]string{"Multi-Attach error"}, "the volume of model.claim.name can be attached to one node at a time: take one with ReadOnlyMany or ReadWriteMany"},
	{[]string{"Repo id must be in the form"}, "there is no folder model.claim.path, or model.image.path, on the volume"},
	{[]string{"Invalid repository ID or local directory specified"}, modelMissing},
	{[]string{"Cannot find any safetensors model weights"}, "the folder of the model has no *.safetensors: fill it with `make stage-model`, or wait until that has ended"},
	{[]string{"NoSuchBucket"}, bucketMissing},
	{[]string{"ContainerNotFound"}, bucketMissing},
	{[]string{"The specified bucket does not exist"}, bucketMissing},
	{[]string{"Unable to locate credentials"}, noIdentity},
	{[]string{"DefaultAzureCredential failed"}, noIdentity},
	{[]string{"default credentials were not found"}, noIdentity},
	{[]string{"AuthorizationPermissionMismatch"}, noRight},
	{[]string{"AccessDenied", "s3:"}, noRight},
	{[]string{"Permission 'storage."}, noRight},
	// Of the part of the streamer that reads the tensors, which has no other message (vllm-project/vllm#12311).
	{[]string{"libstreamer", "File access error"}, "the streamer reached model.bucket and cannot read the weights in it: a right to the objects, or the region " +
		"of the bucket; RUNAI_STREAMER_LOG_TO_STDERR=1 in vllm.podTemplate makes it log why"},
}

const (
	otherZone = "the volume of model.claim.name is in another zone than the nodes: set nodePools.gpu.zones to its zone, or take a volume that every zone reaches"

	modelMissing  = "model.bucket, model.claim.path or model.image.path has no config.json: name the folder of the model, or fill it with `make stage-model`"
	bucketMissing = "there is no bucket, or container, of the name in model.bucket"
	noIdentity    = "the server's pods have no identity of the cloud: docs/cold-start.md#weights lists what its ServiceAccount needs"
	noRight       = "the server's ServiceAccount may not read model.bucket: docs/cold-start.md#weights lists what it needs; a new grant takes minutes to apply"
)

// WeightsCause returns the likely reason for a message of the scheduler, the kubelet or the server, where it is about weights that the server
// cannot read; "" for any other message.
func WeightsCause(message string) string {
	for _, row := range weightsCauses {
		all := true
		for _, part := range row.parts {
			all = all && strings.Contains(message, part)
		}
		if all {
			return row.cause
		}
	}
	return ""
}

// withCause adds the likely reason to a message.
func withCause(text, message string) string {
	if cause := WeightsCause(message); cause != "" {
		return text + "; likely: " + cause
	}
	return text
}
