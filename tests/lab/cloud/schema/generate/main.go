// Command generate writes schema.json: the inputs of the cloud resources that the program registers, as the
// SDKs declare them. Run it with `go generate` after a change of an SDK's version or of the list below.
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/autoscaling"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-azure-native-sdk/authorization/v2"
	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi-azure-native-sdk/resources/v2"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/storage"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

// arguments are the SDKs' Args types by resource token. ElementType leads to the type with the names and kinds
// that are sent to the provider.
var arguments = map[string]interface{ ElementType() reflect.Type }{
	"gcp:container/cluster:Cluster":      container.ClusterArgs{},
	"gcp:container/nodePool:NodePool":    container.NodePoolArgs{},
	"gcp:projects/iAMMember:IAMMember":   projects.IAMMemberArgs{},
	"gcp:serviceaccount/account:Account": serviceaccount.AccountArgs{},

	"gcp:storage/bucketIAMMember:BucketIAMMember": storage.BucketIAMMemberArgs{},

	"aws:autoscaling/tag:Tag":                                 autoscaling.TagArgs{},
	"aws:ec2/eip:Eip":                                         ec2.EipArgs{},
	"aws:ec2/internetGateway:InternetGateway":                 ec2.InternetGatewayArgs{},
	"aws:ec2/launchTemplate:LaunchTemplate":                   ec2.LaunchTemplateArgs{},
	"aws:ec2/natGateway:NatGateway":                           ec2.NatGatewayArgs{},
	"aws:ec2/route:Route":                                     ec2.RouteArgs{},
	"aws:ec2/routeTable:RouteTable":                           ec2.RouteTableArgs{},
	"aws:ec2/routeTableAssociation:RouteTableAssociation":     ec2.RouteTableAssociationArgs{},
	"aws:ec2/subnet:Subnet":                                   ec2.SubnetArgs{},
	"aws:ec2/vpc:Vpc":                                         ec2.VpcArgs{},
	"aws:eks/accessEntry:AccessEntry":                         eks.AccessEntryArgs{},
	"aws:eks/accessPolicyAssociation:AccessPolicyAssociation": eks.AccessPolicyAssociationArgs{},
	"aws:eks/addon:Addon":                                     eks.AddonArgs{},
	"aws:eks/cluster:Cluster":                                 eks.ClusterArgs{},
	"aws:eks/nodeGroup:NodeGroup":                             eks.NodeGroupArgs{},
	"aws:eks/podIdentityAssociation:PodIdentityAssociation":   eks.PodIdentityAssociationArgs{},
	"aws:iam/role:Role":                                       iam.RoleArgs{},
	"aws:iam/rolePolicy:RolePolicy":                           iam.RolePolicyArgs{},
	"aws:iam/rolePolicyAttachment:RolePolicyAttachment":       iam.RolePolicyAttachmentArgs{},
	"azure-native:authorization:ManagementLockByScope":        authorization.ManagementLockByScopeArgs{},
	"azure-native:authorization:RoleAssignment":               authorization.RoleAssignmentArgs{},
	"azure-native:containerservice/v20240901:AgentPool":       containerservice.AgentPoolArgs{},
	"azure-native:containerservice/v20240901:ManagedCluster":  containerservice.ManagedClusterArgs{},
	"azure-native:resources:ResourceGroup":                    resources.ResourceGroupArgs{},

	"azure-native:containerservice/v20240901:MaintenanceConfiguration": containerservice.MaintenanceConfigurationArgs{},
}

func main() {
	out := "schema.json"
	if len(os.Args) > 1 {
		out = os.Args[1]
	}
	if err := write(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(path string) error {
	all := map[string]*schema.Type{}
	for token, args := range arguments {
		t, err := describe(args.ElementType())
		if err != nil {
			return fmt.Errorf("%s: %w", token, err)
		}
		all[token] = t
	}
	// One line for each resource keeps the difference between two versions of an SDK readable.
	var lines []string
	for _, token := range slices.Sorted(maps.Keys(all)) {
		t, err := json.Marshal(all[token])
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%q: %s", token, t))
	}
	return os.WriteFile(path, []byte("{\n"+strings.Join(lines, ",\n")+"\n}\n"), 0o644)
}

// describe returns the schema of a Go type with pulumi tags.
func describe(t reflect.Type) (*schema.Type, error) {
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem())
	case reflect.String:
		return &schema.Type{Kind: schema.String}, nil
	case reflect.Int:
		return &schema.Type{Kind: schema.Integer}, nil
	case reflect.Float64:
		return &schema.Type{Kind: schema.Number}, nil
	case reflect.Bool:
		return &schema.Type{Kind: schema.Boolean}, nil
	case reflect.Interface:
		return &schema.Type{Kind: schema.Any}, nil
	case reflect.Slice:
		items, err := describe(t.Elem())
		return &schema.Type{Kind: schema.Array, Items: items}, err
	case reflect.Map:
		items, err := describe(t.Elem())
		return &schema.Type{Kind: schema.Map, Items: items}, err
	case reflect.Struct:
		object := &schema.Type{Kind: schema.Object, Properties: map[string]*schema.Type{}}
		for field := range fields(t) {
			name, _, _ := strings.Cut(field.Tag.Get("pulumi"), ",")
			if name == "" {
				continue
			}
			property, err := describe(field.Type)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			// Required lists and maps look like optional ones.
			property.Required = field.Type.Kind() != reflect.Pointer && field.Type.Kind() != reflect.Slice &&
				field.Type.Kind() != reflect.Map && field.Type.Kind() != reflect.Interface
			object.Properties[name] = property
		}
		return object, nil
	}
	return nil, fmt.Errorf("no description for Go type %s", t)
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}
