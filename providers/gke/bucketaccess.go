package gke

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// bucketMemberType is the grant of a role on a bucket. The SDK's package for it has all of Cloud Storage, which every cold build would pay for.
const bucketMemberType = "gcp:storage/bucketIAMMember:BucketIAMMember"

// bucketMember is such a grant; nothing of it is used but that it is there.
type bucketMember struct {
	pulumi.CustomResourceState
}

// bucketGrant is a role on a bucket, by the part of its name that tells it from others.
type bucketGrant struct{ suffix, role string }

// The roles on a bucket with weights. A role that is limited to a folder would need uniform bucket-level access, and cannot limit the
// look-up of the bucket itself, which vLLM's client makes before it lists the folder (runai-model-streamer's get_bucket).
var (
	lookUpBucket = bucketGrant{"bucket", "roles/storage.bucketViewer"}
	readObjects  = bucketGrant{"objects", "roles/storage.objectViewer"}
	writeObjects = bucketGrant{"objects", "roles/storage.objectUser"}
)

// newBucketAccess registers the rights to the buckets with weights: of each server to read, and of what fills the bucket to write. The
// principals are the ServiceAccounts themselves; see newMetricsAccess.
func (b *builder) newBucketAccess(opts ...pulumi.ResourceOption) (map[string]providers.BucketIdentity, error) {
	if len(b.args.Buckets) == 0 {
		return nil, nil
	}
	number := b.projectNumber()
	identities := map[string]providers.BucketIdentity{}
	for _, access := range b.args.Buckets {
		var grants []pulumi.Resource
		for _, to := range []struct {
			name    string
			account providers.ServiceAccount
			roles   []bucketGrant
		}{
			{"reader", access.Reader, []bucketGrant{lookUpBucket, readObjects}},
			{"writer", access.Writer, []bucketGrant{lookUpBucket, writeObjects}},
		} {
			for _, grant := range to.roles {
				member := &bucketMember{}
				name := fmt.Sprintf("%s-weights-%s-%s-%s", b.name, access.Server, to.name, grant.suffix)
				if err := b.ctx.RegisterResource(bucketMemberType, name, pulumi.Map{
					"bucket": pulumi.String(access.Bucket.Name), "role": pulumi.String(grant.role), "member": b.principal(number, to.account),
				}, member, b.options(opts...)...); err != nil {
					return nil, fmt.Errorf("granting %s on bucket %s to ServiceAccount %s/%s: %w",
						grant.role, access.Bucket.Name, to.account.Namespace, to.account.Name, err)
				}
				grants = append(grants, member)
			}
		}
		identities[access.Server] = providers.BucketIdentity{Access: grants}
	}
	return identities, nil
}
