package rollout

import (
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// TestWeightsCause checks the likely reason for each message of a server that cannot read its weights.
func TestWeightsCause(t *testing.T) {
	for message, want := range map[string]string{
		`0/3 nodes are available: persistentvolumeclaim "models" not found.`:                                                                     "is not in the namespace",
		"0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.":                                                             "not bound",
		"0/3 nodes are available: 1 node(s) had volume node affinity conflict, 2 node(s) had untolerated taint.":                                 "another zone",
		"0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) didn't match Pod's node affinity/selector.": "another zone",
		`Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) vllm-1`:                                                          "one node at a time",
		"ValueError: Invalid repository ID or local directory specified: '/home/vllm/.cache/vllm/assets/model_streamer/1a2b3c4d'":                "make stage-model",
		"RuntimeError: Cannot find any safetensors model weights with `gs://models/gemma`":                                                       "safetensors",
		"huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/a/b'.":                    "no folder",
		"google.api_core.exceptions.Forbidden: 403 GET https://storage.googleapis.com/storage/v1/b/models: Caller does not have " +
			"storage.buckets.get access to the Google Cloud Storage bucket. Permission 'storage.buckets.get' denied on resource (or it may not exist).": "may not read",
		"botocore.exceptions.ClientError: An error occurred (AccessDenied) when calling the ListObjectsV2 operation: User: arn:aws:sts::1:assumed-role/a " +
			"is not authorized to perform: s3:ListBucket on resource: \"arn:aws:s3:::models\"": "may not read",
		"azure.core.exceptions.HttpResponseError: This request is not authorized. ErrorCode:AuthorizationPermissionMismatch": "may not read",
		"botocore.exceptions.NoCredentialsError: Unable to locate credentials":                                               "no identity",
		"azure.core.exceptions.ClientAuthenticationError: DefaultAzureCredential failed to retrieve a token":                 "no identity",
		"google.auth.exceptions.DefaultCredentialsError: Your default credentials were not found.":                           "no identity",
		"google.api_core.exceptions.NotFound: 404 GET https://x: The specified bucket does not exist.":                       "no bucket",
		"azure.core.exceptions.ResourceNotFoundError: The specified container does not exist. ErrorCode:ContainerNotFound":   "no bucket",
		"ValueError: Could not receive runai_response from libstreamer due to: b'File access error'":                         "RUNAI_STREAMER_LOG_TO_STDERR",
	} {
		assert.Contains(t, WeightsCause(message), want, message)
	}
	for _, message := range []string{"", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "CUDA out of memory", "secret \"a\" not found", "AccessDenied"} {
		assert.Empty(t, WeightsCause(message), message)
	}
}

// TestWeightsCauseIsShown checks that an update prints the likely reason beside the message.
func TestWeightsCauseIsShown(t *testing.T) {
	detail, _ := whyRestarted(corev1.ContainerStatus{RestartCount: 1, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 1, Message: "ValueError: Invalid repository ID or local directory specified: 'x'.\n   - For Mistral models: ensure the presence of a 'params.json'."}}})
	assert.Contains(t, detail, "likely: "+modelMissing)
	pod := made("vllm-a", "new", unschedulable("0/2 nodes are available: 2 node(s) had volume node affinity conflict."))
	assert.Contains(t, State{Deployment: &appsv1.Deployment{}}.whyUnscheduled(pod), "another zone")
}
