package cloud

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

const gcpBucketMember = "gcp:storage/bucketIAMMember:BucketIAMMember"

// gcpStorageKinds lists the simulated resource types of Cloud Storage.
func gcpStorageKinds() []*kind { return []*kind{gcpBucketMemberKind()} }

func gcpBucketMemberKind() *kind {
	return &kind{
		token: gcpBucketMember, replace: []string{"bucket", "role", "member", "condition"}, computed: []string{"etag"},
		validate: func(in object) []string {
			if role := in.text("role"); in.has("role") && !strings.HasPrefix(role, "roles/") {
				return []string{fmt.Sprintf("role %q is not of the form roles/NAME", role)}
			}
			return nil
		},
		importID: func(r *Resource) string {
			return strings.Join([]string{"b/" + named(r, "bucket"), named(r, "role"), named(r, "member")}, " ")
		},
		create: func(c *Cloud, r *Resource, _ Settings) error {
			in := object(r.Inputs)
			if c.stores != nil && !c.stores.has(Location{Scheme: "gs", Bucket: in.text("bucket")}) {
				return errors.New("googleapi: Error 404: The specified bucket does not exist., notFound")
			}
			if err := c.knowsPrincipal(in.text("member")); err != nil {
				return err
			}
			r.ID = fmt.Sprintf("b/%s/%s/%s", in.text("bucket"), in.text("role"), in.text("member"))
			return nil
		},
	}
}

// knowsPrincipal returns the error for a principal of a pool that does not exist. The identity pool of a project exists from its first
// cluster with workload identity on. The caller holds the lock.
func (c *Cloud) knowsPrincipal(member string) error {
	_, rest, found := strings.Cut(member, "/workloadIdentityPools/")
	if !found {
		return nil
	}
	pool, _, _ := strings.Cut(rest, "/")
	if len(c.all(GKECluster, func(r *Resource) bool { return object(r.Outputs).text("workloadIdentityConfig.workloadPool") == pool })) == 0 {
		return fmt.Errorf("googleapi: Error 400: Identity Pool does not exist (%s). Please check that you specified a valid resource name", pool)
	}
	return nil
}

// The permissions of Cloud Storage's roles that the clients of a bucket need
// (https://cloud.google.com/storage/docs/access-control/iam-roles).
var gcpStorageRoles = map[string][]string{
	"roles/storage.bucketViewer": {"storage.buckets.get", "storage.buckets.list"},
	"roles/storage.objectViewer": {"storage.objects.get", "storage.objects.list"},
	"roles/storage.objectUser":   {"storage.objects.get", "storage.objects.list", "storage.objects.create", "storage.objects.delete", "storage.objects.update"},
}

// gcpRefusal returns why a ServiceAccount may not do something with a bucket; nil where it may. The client looks the bucket up before it
// lists it. The caller holds the lock.
func (c *Cloud) gcpRefusal(access Access) *StoreError {
	permissions := map[Action][]string{
		List: {"storage.buckets.get", "storage.objects.list"}, Read: {"storage.objects.get"}, Write: {"storage.objects.create", "storage.objects.delete"},
	}[access.Action]
	suffix := fmt.Sprintf("/subject/ns/%s/sa/%s", access.Namespace, access.ServiceAccount)
	var granted []string
	for _, grant := range c.all(gcpBucketMember, func(r *Resource) bool {
		in := object(r.Inputs)
		return in.text("bucket") == access.Location.Bucket && strings.HasSuffix(in.text("member"), suffix)
	}) {
		granted = append(granted, gcpStorageRoles[object(grant.Inputs).text("role")]...)
	}
	for _, permission := range permissions {
		if !slices.Contains(granted, permission) {
			return &StoreError{Exception: "google.api_core.exceptions.Forbidden", Message: fmt.Sprintf(
				"403 GET https://storage.googleapis.com/storage/v1/b/%s?projection=noAcl&prettyPrint=false: Caller does not have %[2]s access to the "+
					"Google Cloud Storage bucket. Permission '%[2]s' denied on resource (or it may not exist).", access.Location.Bucket, permission)}
		}
	}
	return nil
}
