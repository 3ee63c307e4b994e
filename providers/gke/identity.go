package gke

import (
	"fmt"
	"path"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// nodeRoles are all that a node does in the project: write its logs and metrics, and pull and stream images.
var nodeRoles = []string{
	"roles/logging.logWriter",
	"roles/monitoring.metricWriter",
	"roles/monitoring.viewer",
	"roles/stackdriver.resourceMetadata.writer",
	"roles/artifactregistry.reader",
	// An account of one's own needs it to stream images; without it their pods do not start.
	"roles/serviceusage.serviceUsageConsumer",
}

// nodeIdentity is the service account of the nodes.
type nodeIdentity struct {
	Email pulumi.StringOutput
	// Grants are its roles; nodes have to wait for them.
	Grants []pulumi.Resource
}

// newNodeIdentity registers the nodes' own service account: the project's default one, which they
// would get otherwise, is usually an editor of the whole project.
func (b *builder) newNodeIdentity() (*nodeIdentity, error) {
	a := b.args
	account, err := serviceaccount.NewAccount(b.ctx, b.name+"-nodes", &serviceaccount.AccountArgs{
		AccountId:   pulumi.String(a.Name + "-nodes"),
		DisplayName: pulumi.String("Nodes of GKE cluster " + a.ClusterName()),
		Project:     pulumi.String(a.Project),
	}, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("creating the service account of the nodes: %w", err)
	}
	identity := &nodeIdentity{Email: account.Email}
	for _, role := range nodeRoles {
		grant, err := projects.NewIAMMember(b.ctx, b.name+"-nodes-"+path.Base(role), &projects.IAMMemberArgs{
			Project: pulumi.String(a.Project),
			Role:    pulumi.String(role),
			Member:  account.Member,
		}, b.options()...)
		if err != nil {
			return nil, fmt.Errorf("granting %s to the nodes: %w", role, err)
		}
		identity.Grants = append(identity.Grants, grant)
	}
	return identity, nil
}
