package eks

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// What a ServiceAccount may do with the objects in the folder of a server's weights.
var (
	readObjects  = []string{"s3:GetObject"}
	writeObjects = []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}
)

// newBucketAccess registers the rights to the folders with weights: of each server to read, and of what fills the folder to write. Each
// ServiceAccount gets a role through EKS Pod Identity.
func (b *builder) newBucketAccess(plane *controlPlane) (map[string]providers.BucketIdentity, error) {
	identities := map[string]providers.BucketIdentity{}
	for _, access := range b.args.Buckets {
		var grants []pulumi.Resource
		for _, to := range []struct {
			name    string
			account providers.ServiceAccount
			actions []string
		}{
			{"reader", access.Reader, readObjects},
			{"writer", access.Writer, writeObjects},
		} {
			made, err := b.newFolderRole(plane, fmt.Sprintf("weights-%s-%s", access.Server, to.name), to.account, b.args.folderStatements(access.Bucket, to.actions))
			if err != nil {
				return nil, err
			}
			grants = append(grants, made...)
		}
		identities[access.Server] = providers.BucketIdentity{Access: grants}
	}
	return identities, nil
}

// folderStatements returns the rights to a folder of a bucket: the actions on the objects in it, and their list.
func (a *Args) folderStatements(bucket providers.Bucket, actions []string) []statement {
	arn := fmt.Sprintf("arn:%s:s3:::%s", a.partition(), bucket.Name)
	list := allow([]string{"s3:ListBucket"}, arn)
	list.Condition = map[string]map[string]string{"StringLike": {"s3:prefix": bucket.Folder + "/*"}}
	return []statement{list, allow(actions, arn+"/"+bucket.Folder+"/*")}
}

// newFolderRole registers a role with rights, and gives it to the pods of a ServiceAccount.
func (b *builder) newFolderRole(plane *controlPlane, suffix string, account providers.ServiceAccount, rights []statement) ([]pulumi.Resource, error) {
	r, err := b.newRole(suffix, trustPods())
	if err != nil {
		return nil, err
	}
	document, err := policyDocument(rights...)
	if err != nil {
		return nil, err
	}
	policy, err := iam.NewRolePolicy(b.ctx, b.resourceName(suffix), &iam.RolePolicyArgs{Role: r.Name, Policy: pulumi.String(document)}, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("registering the permissions of ServiceAccount %s/%s: %w", account.Namespace, account.Name, err)
	}
	association, err := eks.NewPodIdentityAssociation(b.ctx, b.resourceName(suffix), &eks.PodIdentityAssociationArgs{
		ClusterName: plane.name, Namespace: pulumi.String(account.Namespace), ServiceAccount: pulumi.String(account.Name), RoleArn: r.Arn,
		// A pod that starts between the two would have a role without permissions.
	}, b.options(pulumi.DependsOn([]pulumi.Resource{policy}))...)
	if err != nil {
		return nil, fmt.Errorf("giving ServiceAccount %s/%s its role: %w", account.Namespace, account.Name, err)
	}
	return []pulumi.Resource{policy, association}, nil
}
