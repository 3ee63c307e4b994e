package eks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

// TestBucketAccess checks that a server may read its folder and its stager may write to it, and nothing else in the bucket.
func TestBucketAccess(t *testing.T) {
	args := created()
	args.Buckets = []providers.BucketAccess{{
		Server: "chat", Bucket: providers.Bucket{Scheme: "s3", Name: "models", Folder: "a/gemma"},
		Reader: providers.ServiceAccount{Namespace: "vllm", Name: "chat"}, Writer: providers.ServiceAccount{Namespace: "vllm", Name: "chat-stager"},
	}}
	r, cluster := run(t, args)
	for suffix, want := range map[string]struct {
		account string
		actions []string
	}{
		"weights-chat-reader": {"chat", readObjects},
		"weights-chat-writer": {"chat-stager", writeObjects},
	} {
		association := r.One(t, podIdentityType, "llm-"+suffix)
		assert.Equal(t, "vllm", association.Field("namespace"))
		assert.Equal(t, want.account, association.Field("serviceAccount"))
		assert.True(t, association.DependsOn(rolePolicyType, "llm-"+suffix))
		assert.Contains(t, r.One(t, roleType, "llm-"+suffix).Field("assumeRolePolicy"), "pods.eks.amazonaws.com")
		statements := policyOf(t, r.One(t, rolePolicyType, "llm-"+suffix).Field("policy"))
		require.Len(t, statements, 2)
		list, objects := statements[0], statements[1]
		assert.Equal(t, []string{"s3:ListBucket"}, list.Action)
		assert.Equal(t, []string{"arn:aws:s3:::models"}, list.Resource)
		assert.Equal(t, "a/gemma/*", list.Condition["StringLike"]["s3:prefix"])
		assert.Equal(t, want.actions, objects.Action)
		assert.Equal(t, []string{"arn:aws:s3:::models/a/gemma/*"}, objects.Resource)
	}
	assert.NotContains(t, readObjects, "s3:PutObject")
	assert.Len(t, cluster.Buckets["chat"].Access, 4)

	_, cluster = run(t, created())
	assert.Empty(t, cluster.Buckets)
}
