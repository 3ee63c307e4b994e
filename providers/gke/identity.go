package gke

import (
	"fmt"
	"path"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// nodeRoles are all that a node does in the project: write its logs and metrics, and pull images.
var nodeRoles = []string{
	"roles/logging.logWriter",
	"roles/monitoring.metricWriter",
	"roles/monitoring.viewer",
	"roles/stackdriver.resourceMetadata.writer",
	"roles/artifactregistry.reader",
}

// nodeIdentity is the service account of the nodes.
type nodeIdentity struct {
	Email pulumi.StringOutput
	// Grants are its roles; nodes have to wait for them.
	Grants []pulumi.Resource
}

// newNodeIdentity creates the nodes' own service account: the project's default one, which they
// would get otherwise, is usually an editor of the whole project.
func newNodeIdentity(ctx *pulumi.Context, name string, a *Args, opts []pulumi.ResourceOption) (*nodeIdentity, error) {
	account, err := serviceaccount.NewAccount(ctx, name+"-nodes", &serviceaccount.AccountArgs{
		AccountId:   pulumi.String(a.Name + "-nodes"),
		DisplayName: pulumi.String("Nodes of GKE cluster " + a.clusterName()),
		Project:     pulumi.String(a.Project),
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("creating the service account of the nodes: %w", err)
	}
	identity := &nodeIdentity{Email: account.Email}
	for _, role := range nodeRoles {
		grant, err := projects.NewIAMMember(ctx, name+"-nodes-"+path.Base(role), &projects.IAMMemberArgs{
			Project: pulumi.String(a.Project),
			Role:    pulumi.String(role),
			Member:  account.Member,
		}, opts...)
		if err != nil {
			return nil, fmt.Errorf("granting %s to the nodes: %w", role, err)
		}
		identity.Grants = append(identity.Grants, grant)
	}
	return identity, nil
}
