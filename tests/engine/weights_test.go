package engine

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWeightsFromABucket moves the weights of a running server into a bucket, back to the hub, and checks that the plan has nothing but
// the rights, the ServiceAccounts and the server.
func TestWeightsFromABucket(t *testing.T) {
	buckets := map[string]map[string]any{
		"gke": fromBucket("gs://models/gemma", nil),
		"eks": fromBucket("s3://models/gemma", nil),
		"aks": fromBucket("az://account/models/gemma", map[string]any{"aks.storageResourceGroup": "models-rg"}),
	}
	grants := map[string][]string{
		"gke": {"BucketIAMMember"}, "eks": {"Role", "RolePolicy", "PodIdentityAssociation"},
		"aks": {"UserAssignedIdentity", "FederatedIdentityCredential", "RoleAssignment"},
	}
	eachCloud(t, func(t *testing.T, cloud string) {
		s := newCloudStack(t, cloud, nil)
		s.deploy()
		before := maps.Clone(s.keys)
		maps.Copy(s.keys, buckets[cloud])
		s.keys["huggingFaceToken"] = nil
		maps.DeleteFunc(s.keys, func(_ string, value any) bool { return value == nil })
		preview := s.preview()
		require.NoError(t, preview.err)
		kinds := map[string]int{}
		for _, step := range preview.planned() {
			op, what, _ := strings.Cut(step, " ")
			kind, name, _ := strings.Cut(what, " ")
			switch {
			case op == "create" && slices.Contains(grants[cloud], kind):
				assert.Contains(t, name, "weights-vllm-")
				kinds[kind]++
			case op == "create" && what == "ServiceAccount vllm-stager", op == "delete" && what == "Secret vllm-hf-token", op == "update" && what == "Deployment vllm",
				op == "update" && what == "NetworkPolicy vllm", op == "update" && what == "ServiceAccount vllm" && cloud == "aks":
			default:
				assert.Fail(t, "not part of it", step)
			}
		}
		assert.Equal(t, slices.Sorted(slices.Values(grants[cloud])), slices.Sorted(maps.Keys(kinds)))
		s.deploy()
		again := s.preview()
		require.NoError(t, again.err)
		assert.Empty(t, again.planned(), "a second preview")

		s.keys = before
		s.deploy()
		for _, left := range s.cloud.remaining() {
			for _, kind := range grants[cloud] {
				assert.NotContains(t, left, "weights-vllm", "the right to the bucket is gone: %s", kind)
			}
		}
		require.NoError(t, s.destroy().err)
		assert.Empty(t, s.cloud.remaining())
	})
}
