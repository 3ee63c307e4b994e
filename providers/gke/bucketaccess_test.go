package gke

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

// TestBucketAccess checks that a server may read its bucket and its stager may write to it, and neither more.
func TestBucketAccess(t *testing.T) {
	args := validArgs()
	args.Buckets = []providers.BucketAccess{{
		Server: "chat", Bucket: providers.Bucket{Scheme: "gs", Name: "models", Folder: "gemma"},
		Reader: providers.ServiceAccount{Namespace: "vllm", Name: "chat"}, Writer: providers.ServiceAccount{Namespace: "vllm", Name: "chat-stager"},
	}}
	r := &recorder{projects: foundProjects(object{"projectId": "my-project", "number": "123"})}
	cluster, err := r.run(args)
	require.NoError(t, err)
	const pool = "principal://iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/my-project.svc.id.goog/subject/ns/vllm/sa/"
	for name, want := range map[string]struct{ role, member string }{
		"gke-weights-chat-reader-bucket":  {"roles/storage.bucketViewer", pool + "chat"},
		"gke-weights-chat-reader-objects": {"roles/storage.objectViewer", pool + "chat"},
		"gke-weights-chat-writer-bucket":  {"roles/storage.bucketViewer", pool + "chat-stager"},
		"gke-weights-chat-writer-objects": {"roles/storage.objectUser", pool + "chat-stager"},
	} {
		grant := r.One(t, bucketMemberType, name)
		assert.Equal(t, "models", grant.Field("bucket"))
		assert.Equal(t, want.role, grant.Field("role"))
		assert.Equal(t, want.member, grant.Field("member"))
		assert.True(t, grant.DependsOn(clusterToken, "gke"), "before a project's first cluster there is no workload identity pool")
	}
	assert.Len(t, r.All(bucketMemberType), 4)
	assert.Len(t, cluster.Buckets["chat"].Access, 4)
	assert.Empty(t, cluster.Buckets["chat"].ReaderAnnotations, "the principal is the ServiceAccount itself")

	without, cluster := provision(t, validArgs())
	assert.Empty(t, cluster.Buckets)
	assert.Empty(t, without.Calls)
}
