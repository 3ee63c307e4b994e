package recover

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// cloudID describes the id by which a cloud's resource is imported.
type cloudID struct {
	// form is the id with the inputs that it consists of in braces. A part that starts with ? is given by the cloud.
	form string
	// lookUp is a command that lists such resources; "" where the form has all of the id.
	lookUp string
}

// cloudIDs are the ids of the resources that the stacks create, by type. Versions of azure-native types are left out.
var cloudIDs = map[string]cloudID{
	"gcp:compute/network:Network":       {form: "projects/{project}/global/networks/{name}"},
	"gcp:compute/subnetwork:Subnetwork": {form: "projects/{project}/regions/{region}/subnetworks/{name}"},
	"gcp:compute/router:Router":         {form: "projects/{project}/regions/{region}/routers/{name}"},
	"gcp:compute/routerNat:RouterNat":   {form: "{project}/{region}/{router}/{name}"},
	"gcp:container/cluster:Cluster":     {form: "projects/{project}/locations/{location}/clusters/{name}"},
	"gcp:container/nodePool:NodePool":   {form: "projects/{project}/locations/{location}/clusters/{cluster}/nodePools/{name}"},
	"gcp:projects/iAMMember:IAMMember":  {form: "{project} {role} {member}"},
	"gcp:serviceaccount/account:Account": {
		form: "projects/{project}/serviceAccounts/{accountId}@{project}.iam.gserviceaccount.com"},
	"gcp:storage/bucketIAMMember:BucketIAMMember": {form: "b/{bucket} {role} {member}"},

	"aws:autoscaling/tag:Tag":                                 {form: "{autoscalingGroupName},{tag.key}"},
	"aws:cloudwatch/logGroup:LogGroup":                        {form: "{name}"},
	"aws:ec2/eip:Eip":                                         {form: "?eipalloc-...", lookUp: "aws ec2 describe-addresses"},
	"aws:ec2/internetGateway:InternetGateway":                 {form: "?igw-...", lookUp: "aws ec2 describe-internet-gateways"},
	"aws:ec2/launchTemplate:LaunchTemplate":                   {form: "?lt-...", lookUp: "aws ec2 describe-launch-templates"},
	"aws:ec2/natGateway:NatGateway":                           {form: "?nat-...", lookUp: "aws ec2 describe-nat-gateways"},
	"aws:ec2/route:Route":                                     {form: "{routeTableId}_{destinationCidrBlock}"},
	"aws:ec2/routeTable:RouteTable":                           {form: "?rtb-...", lookUp: "aws ec2 describe-route-tables"},
	"aws:ec2/routeTableAssociation:RouteTableAssociation":     {form: "{subnetId}/{routeTableId}"},
	"aws:ec2/subnet:Subnet":                                   {form: "?subnet-...", lookUp: "aws ec2 describe-subnets"},
	"aws:ec2/vpc:Vpc":                                         {form: "?vpc-...", lookUp: "aws ec2 describe-vpcs"},
	"aws:eks/accessEntry:AccessEntry":                         {form: "{clusterName}:{principalArn}"},
	"aws:eks/accessPolicyAssociation:AccessPolicyAssociation": {form: "{clusterName}#{principalArn}#{policyArn}"},
	"aws:eks/addon:Addon":                                     {form: "{clusterName}:{addonName}"},
	"aws:eks/cluster:Cluster":                                 {form: "{name}"},
	"aws:eks/nodeGroup:NodeGroup":                             {form: "{clusterName}:{nodeGroupName}"},
	"aws:eks/podIdentityAssociation:PodIdentityAssociation": {
		form: "{clusterName},?a-...", lookUp: "aws eks list-pod-identity-associations --cluster-name CLUSTER"},
	"aws:iam/role:Role":                                 {form: "{name}"},
	"aws:iam/rolePolicy:RolePolicy":                     {form: "{role}:{name}"},
	"aws:iam/rolePolicyAttachment:RolePolicyAttachment": {form: "{role}/{policyArn}"},
	"aws:kms/key:Key":                                   {form: "?the key's id", lookUp: "aws kms list-keys"},

	"azure-native:authorization:ManagementLockByScope": {form: "{scope}/providers/Microsoft.Authorization/locks/{lockName}"},
	"azure-native:authorization:RoleAssignment": {
		form: "{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}"},
	"azure-native:managedidentity:UserAssignedIdentity": {form: userAssignedIdentity},
	"azure-native:managedidentity:FederatedIdentityCredential": {
		form: userAssignedIdentity + "/federatedIdentityCredentials/{federatedIdentityCredentialResourceName}"},
	"azure-native:resources:ResourceGroup":         {form: "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"},
	"azure-native:containerservice:ManagedCluster": {form: managedCluster},
	"azure-native:containerservice:AgentPool":      {form: managedCluster + "/agentPools/{agentPoolName}"},
	"azure-native:containerservice:MaintenanceConfiguration": {
		form: managedCluster + "/maintenanceConfigurations/{configName}"},
}

const (
	managedCluster       = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.ContainerService/managedClusters/{resourceName}"
	userAssignedIdentity = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{resourceName}"
)

var (
	azureVersion      = regexp.MustCompile(`^(azure-native:\w+)/v\w+:`)
	azureSubscription = regexp.MustCompile(`^/subscriptions/([^/]+)/`)
	placeholder       = regexp.MustCompile(`\{[\w.]+\}`)
)

// idOf returns the entry of the table for a type, whose form is "" when the table lacks it.
func idOf(typ string) cloudID { return cloudIDs[azureVersion.ReplaceAllString(typ, "$1:")] }

// ImportID returns the form of the id by which a cloud's resource is imported, with its inputs in braces, and the command that lists
// such resources where the form has a part that only the cloud knows. Both are "" for a type that is not known.
func ImportID(typ string) (form, lookUp string) {
	id := idOf(typ)
	return strings.ReplaceAll(id.form, "?", ""), id.lookUp
}

// deriveID returns the id of a cloud's resource whose creation is pending, "" when only the cloud can know it. State is where
// the provider and other resources are found.
func deriveID(r Resource, state *State) string {
	form := idOf(r.Type()).form
	if form == "" || strings.Contains(form, "?") {
		return ""
	}
	inputs, complete := r.Inputs(), true
	id := placeholder.ReplaceAllStringFunc(form, func(p string) string {
		key := strings.Trim(p, "{}")
		value := at(inputs, key)
		if value == "" {
			value = fromProvider(key, r, state)
		}
		if value == "" {
			complete = false
		}
		if key == "cluster" || key == "router" { // a reference by name or by id
			value = value[strings.LastIndex(value, "/")+1:]
		}
		return value
	})
	if !complete {
		return ""
	}
	return id
}

// at returns the text at a path of keys.
func at(inputs map[string]any, path string) string {
	var value any = inputs
	for _, key := range strings.Split(path, ".") {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	if value == nil {
		return ""
	}
	switch value.(type) {
	case map[string]any, []any:
		return ""
	}
	return fmt.Sprint(value)
}

// fromProvider returns what a resource takes from its provider: project, region, subscription.
func fromProvider(key string, r Resource, state *State) string {
	provider := state.Find(r.Provider())
	value := ""
	if provider != nil {
		value = at(provider.Inputs(), key)
	}
	if key != "subscriptionId" {
		return value
	}
	for _, other := range state.Resources() {
		if found := azureSubscription.FindStringSubmatch(other.ID()); found != nil {
			return found[1]
		}
	}
	return cmp.Or(value, "")
}
