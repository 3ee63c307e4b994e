package engine

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/pkg/v3/resource/deploy/deploytest"
	"github.com/pulumi/pulumi/pkg/v3/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// cloudVersions are those of the SDKs in the program's go.mod; the engine asks for these plugins.
var cloudVersions = map[tokens.Package]semver.Version{
	"gcp": semver.MustParse("7.38.0"), "aws": semver.MustParse("6.83.2"), "azure-native": semver.MustParse("2.82.0"),
}

// caCertificate stands for any certificate, in base64.
const caCertificate = "Y2VydGlmaWNhdGU="

// cloudKind is what a cloud does with one type of resource.
type cloudKind struct {
	// replaces are the inputs, with everything below them, that the provider cannot change in place.
	replaces []string
	// id is the cloud's name of the resource; nil means one made up from type and name.
	id func(in resource.PropertyMap) string
	// outputs are what the cloud adds to the inputs. While a creation is planned they are unknown.
	outputs func(in resource.PropertyMap, name string) map[string]any
	// outlives says that there must be nothing in the cluster any more when it is deleted.
	outlives bool
	// autonamed is the input that gets a random name when it is not given.
	autonamed resource.PropertyKey
}

// cloudKinds are the types that the three stacks register. A type that is missing is refused, and so
// is every input that a test cannot see.
var cloudKinds = map[tokens.Type]cloudKind{
	"gcp:compute/network:Network":       {replaces: []string{"name", "project", "autoCreateSubnetworks"}, outputs: selfLink("networks")},
	"gcp:compute/subnetwork:Subnetwork": {replaces: []string{"name", "project", "region", "network"}, outputs: selfLink("subnetworks")},
	"gcp:compute/router:Router":         {replaces: []string{"name", "project", "region", "network"}},
	"gcp:compute/routerNat:RouterNat":   {replaces: []string{"name", "project", "region", "router"}},
	"gcp:projects/iAMMember:IAMMember":  {replaces: []string{"project", "role", "member"}},
	"gcp:serviceaccount/account:Account": {replaces: []string{"accountId", "project"}, outputs: func(in resource.PropertyMap, _ string) map[string]any {
		email := text(in, "accountId") + "@" + text(in, "project") + ".iam.gserviceaccount.com"
		return map[string]any{"email": email, "member": "serviceAccount:" + email}
	}},
	"gcp:container/cluster:Cluster": {
		outlives: true,
		replaces: []string{"name", "location", "project", "network", "subnetwork", "initialNodeCount", "nodeConfig", "ipAllocationPolicy",
			"networkingMode", "datapathProvider", "enableAutopilot", "privateClusterConfig.enablePrivateNodes", "privateClusterConfig.masterIpv4CidrBlock"},
		id: func(in resource.PropertyMap) string {
			return fmt.Sprintf("projects/%s/locations/%s/clusters/%s", text(in, "project"), text(in, "location"), text(in, "name"))
		},
		outputs: func(resource.PropertyMap, string) map[string]any {
			return map[string]any{"endpoint": "203.0.113.9", "masterAuth": map[string]any{"clusterCaCertificate": caCertificate}}
		},
	},
	"gcp:container/nodePool:NodePool": {
		outlives: true,
		replaces: []string{"name", "project", "location", "cluster", "initialNodeCount", "nodeConfig.guestAccelerators", "nodeConfig.spot",
			"nodeConfig.taints", "nodeConfig.gvnic", "nodeConfig.gcfsConfig", "nodeConfig.shieldedInstanceConfig", "nodeConfig.serviceAccount",
			"nodeConfig.bootDiskKmsKey"},
	},

	"aws:ec2/vpc:Vpc":                                     {replaces: []string{"cidrBlock"}},
	"aws:ec2/subnet:Subnet":                               {replaces: []string{"vpcId", "availabilityZone", "cidrBlock"}},
	"aws:ec2/internetGateway:InternetGateway":             {},
	"aws:ec2/eip:Eip":                                     {replaces: []string{"domain"}},
	"aws:ec2/natGateway:NatGateway":                       {replaces: []string{"subnetId", "allocationId"}},
	"aws:ec2/routeTable:RouteTable":                       {replaces: []string{"vpcId"}},
	"aws:ec2/route:Route":                                 {replaces: []string{"routeTableId", "destinationCidrBlock"}},
	"aws:ec2/routeTableAssociation:RouteTableAssociation": {replaces: []string{"subnetId"}},
	"aws:ec2/launchTemplate:LaunchTemplate": {outputs: func(resource.PropertyMap, string) map[string]any {
		return map[string]any{"latestVersion": 1}
	}},
	"aws:iam/role:Role": {replaces: []string{"name"}, autonamed: "name", outputs: func(_ resource.PropertyMap, name string) map[string]any {
		return map[string]any{"arn": "arn:aws:iam::123456789012:role/" + name}
	}},
	"aws:iam/rolePolicy:RolePolicy":                     {replaces: []string{"role"}, autonamed: "name"},
	"aws:iam/rolePolicyAttachment:RolePolicyAttachment": {replaces: []string{"role", "policyArn"}},
	"aws:kms/key:Key": {outputs: func(_ resource.PropertyMap, name string) map[string]any {
		return map[string]any{"arn": "arn:aws:kms:us-east-1:123456789012:key/" + name}
	}},
	"aws:cloudwatch/logGroup:LogGroup": {replaces: []string{"name"}},
	"aws:eks/cluster:Cluster": {
		outlives: true,
		replaces: []string{"name", "roleArn", "encryptionConfig", "accessConfig.bootstrapClusterCreatorAdminPermissions", "bootstrapSelfManagedAddons"},
		id:       func(in resource.PropertyMap) string { return text(in, "name") },
		outputs: func(in resource.PropertyMap, _ string) map[string]any {
			out := map[string]any{
				"arn": "arn:aws:eks:us-east-1:123456789012:cluster/" + text(in, "name"), "endpoint": "https://0123456789ABCDEF.gr7.us-east-1.eks.amazonaws.com",
				"certificateAuthority": map[string]any{"data": caCertificate},
			}
			if !has(in, "version") {
				out["version"] = "1.34"
			}
			return out
		},
	},
	"aws:eks/addon:Addon": {replaces: []string{"clusterName", "addonName"}},
	"aws:eks/nodeGroup:NodeGroup": {
		outlives: true,
		replaces: []string{"clusterName", "nodeGroupNamePrefix", "nodeRoleArn", "subnetIds", "amiType", "capacityType", "instanceTypes", "diskSize", "launchTemplate.id"},
		outputs: func(_ resource.PropertyMap, name string) map[string]any {
			return map[string]any{"resources": []any{map[string]any{"autoscalingGroups": []any{map[string]any{"name": "eks-" + name}}}}}
		},
	},
	"aws:eks/podIdentityAssociation:PodIdentityAssociation":   {replaces: []string{"clusterName", "namespace", "serviceAccount"}},
	"aws:eks/accessEntry:AccessEntry":                         {replaces: []string{"clusterName", "principalArn"}},
	"aws:eks/accessPolicyAssociation:AccessPolicyAssociation": {replaces: []string{"clusterName", "principalArn", "policyArn"}},
	"aws:autoscaling/tag:Tag":                                 {replaces: []string{"autoscalingGroupName", "tag.key"}},

	"azure-native:resources:ResourceGroup": {
		replaces: []string{"resourceGroupName", "location"},
		id:       func(in resource.PropertyMap) string { return azureID(in) },
	},
	"azure-native:containerservice/v20240901:ManagedCluster": {
		outlives: true, replaces: []string{"resourceGroupName", "resourceName"},
		id: func(in resource.PropertyMap) string {
			return azureID(in) + "/providers/Microsoft.ContainerService/managedClusters/" + text(in, "resourceName")
		},
		outputs: func(resource.PropertyMap, string) map[string]any {
			return map[string]any{"provisioningState": "Succeeded"}
		},
	},
	"azure-native:containerservice/v20240901:AgentPool": {
		outlives: true, replaces: []string{"resourceGroupName", "resourceName", "agentPoolName"},
		id: func(in resource.PropertyMap) string {
			return azureID(in) + "/providers/Microsoft.ContainerService/managedClusters/" + text(in, "resourceName") + "/agentPools/" + text(in, "agentPoolName")
		},
		outputs: func(resource.PropertyMap, string) map[string]any {
			return map[string]any{"provisioningState": "Succeeded"}
		},
	},
	"azure-native:authorization:ManagementLockByScope": {replaces: []string{"scope", "lockName"}},
}

func azureID(in resource.PropertyMap) string {
	return "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/" + text(in, "resourceGroupName")
}

func selfLink(collection string) func(resource.PropertyMap, string) map[string]any {
	return func(in resource.PropertyMap, _ string) map[string]any {
		return map[string]any{"selfLink": "https://www.googleapis.com/compute/v1/projects/" + text(in, "project") + "/" + collection + "/" + text(in, "name")}
	}
}

// fakeCloud is what the doubles of the clouds' providers act on. Beside the rules of each kind it
// keeps the one that costs people their evenings: nothing that runs a cluster goes before what runs
// in it.
type fakeCloud struct {
	mutex   sync.Mutex
	inside  *fakeCluster
	things  map[resource.ID]tokens.Type
	created []string
	deleted []string
	// answers are those to look-ups, by token.
	answers map[tokens.ModuleMember]func(args resource.PropertyMap) (map[string]any, error)
	// failAt makes the n-th change from now fail, counted from 1; 0 makes none fail.
	failAt int
	// destroying says that everything is meant to go; a pool alone may be replaced at any time.
	destroying bool
}

func newFakeCloud(inside *fakeCluster) *fakeCloud {
	return &fakeCloud{
		inside: inside, things: map[resource.ID]tokens.Type{},
		answers: map[tokens.ModuleMember]func(resource.PropertyMap) (map[string]any, error){
			"azure-native:containerservice/v20240901:listManagedClusterAdminCredentials": azureKubeconfig("clusterAdmin",
				fmt.Sprintf(`"client-certificate-data": %q, "client-key-data": "a2V5", "token": "canary-azure-5e"`, caCertificate)),
			"azure-native:containerservice/v20240901:listManagedClusterUserCredentials": azureKubeconfig("clusterUser",
				`"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "args": ["get-token", "--tenant-id", "t", "--server-id", "s"]}`),
			"gcp:projects/getProject:getProject": func(resource.PropertyMap) (map[string]any, error) {
				return map[string]any{"projects": []any{map[string]any{"projectId": "my-project", "number": "123456789012"}}}, nil
			},
		},
	}
}

// azureKubeconfig lists a kubeconfig with these credentials.
func azureKubeconfig(name, user string) func(resource.PropertyMap) (map[string]any, error) {
	return func(args resource.PropertyMap) (map[string]any, error) {
		kubeconfig := fmt.Sprintf(`{"clusters": [{"name": "c", "cluster": {"server": "https://%s.hcp.eastus.azmk8s.io:443", "certificate-authority-data": %q}}],
"users": [{"name": "u", "user": {%s}}]}`, text(args, "resourceName"), caCertificate, user)
		return map[string]any{"kubeconfigs": []any{map[string]any{"name": name, "value": base64.StdEncoding.EncodeToString([]byte(kubeconfig))}}}, nil
	}
}

// loaders are the doubles of all clouds' providers.
func (c *fakeCloud) loaders() []*deploytest.ProviderLoader {
	var loaders []*deploytest.ProviderLoader
	for name, version := range cloudVersions {
		loaders = append(loaders, deploytest.NewProviderLoader(name, version, func() (plugin.Provider, error) {
			return &deploytest.Provider{
				Package: name, Version: version, CheckF: c.check, DiffF: c.diff,
				DiffConfigF: func(_ context.Context, req plugin.DiffConfigRequest) (plugin.DiffConfigResponse, error) {
					return diffInputs(req.OldInputs, req.NewInputs, []string{"project", "region", "allowedAccountIds", "subscriptionId"}), nil
				},
				CreateF: c.create, UpdateF: c.update, DeleteF: c.delete, InvokeF: c.invoke,
			}, nil
		}, deploytest.WithGrpc))
	}
	return loaders
}

// remaining lists what is left in the cloud, sorted.
func (c *fakeCloud) remaining() []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var left []string
	for id, typ := range c.things {
		left = append(left, fmt.Sprintf("%s %s", typ, id))
	}
	return slices.Sorted(slices.Values(left))
}

func (c *fakeCloud) change(what string) error {
	if c.failAt == 0 {
		return nil
	}
	c.failAt--
	if c.failAt == 0 {
		return fmt.Errorf("quota exceeded during %s", what)
	}
	return nil
}

func (c *fakeCloud) check(_ context.Context, req plugin.CheckRequest) (plugin.CheckResponse, error) {
	kind, known := cloudKinds[req.URN.Type()]
	if !known {
		return plugin.CheckResponse{}, fmt.Errorf("type %s is not known here", req.URN.Type())
	}
	inputs := req.News
	if kind.autonamed != "" && !inputs.HasValue(kind.autonamed) {
		inputs = maps.Clone(inputs)
		name := resource.NewProperty(req.URN.Name() + "-" + "1a2b3c4")
		if old, ok := req.Olds[kind.autonamed]; ok {
			name = old
		}
		inputs[kind.autonamed] = name
	}
	return plugin.CheckResponse{Properties: inputs}, nil
}

func (c *fakeCloud) diff(_ context.Context, req plugin.DiffRequest) (plugin.DiffResult, error) {
	old, inputs := req.OldInputs, maps.Clone(req.NewInputs)
	for _, ignored := range req.IgnoreChanges {
		path, err := resource.ParsePropertyPath(ignored)
		if err != nil {
			return plugin.DiffResult{}, err
		}
		path.Reset(old, inputs)
	}
	// Whether the new one may come first is for the program to say.
	result := diffInputs(old, inputs, nil)
	for path, change := range result.DetailedDiff {
		for _, field := range cloudKinds[req.URN.Type()].replaces {
			if path == field || strings.HasPrefix(path, field+".") || strings.HasPrefix(path, field+"[") {
				result.DetailedDiff[path] = change.ToReplace()
				top, _, _ := strings.Cut(strings.ReplaceAll(path, "[", "."), ".")
				result.ReplaceKeys = append(result.ReplaceKeys, resource.PropertyKey(top))
			}
		}
	}
	return result, nil
}

// complete are a resource's outputs.
func complete(kind cloudKind, inputs resource.PropertyMap, name string) resource.PropertyMap {
	outputs := maps.Clone(inputs)
	if kind.outputs != nil {
		maps.Copy(outputs, resource.NewPropertyMapFromMap(kind.outputs(inputs, name)))
	}
	return outputs
}

// planned are the outputs as far as a preview knows them.
func planned(kind cloudKind, inputs resource.PropertyMap) resource.PropertyMap {
	outputs := maps.Clone(inputs)
	if kind.outputs != nil {
		for key := range kind.outputs(inputs, "") {
			outputs[resource.PropertyKey(key)] = resource.MakeComputed(resource.NewProperty(""))
		}
	}
	return outputs
}

func (c *fakeCloud) create(_ context.Context, req plugin.CreateRequest) (plugin.CreateResponse, error) {
	kind := cloudKinds[req.URN.Type()]
	if req.Preview {
		return plugin.CreateResponse{Properties: planned(kind, req.Properties), Status: resource.StatusOK}, nil
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	what := string(req.URN.Type().Name()) + " " + req.URN.Name()
	if err := c.change("creation of " + what); err != nil {
		return plugin.CreateResponse{}, err
	}
	if req.Properties.ContainsUnknowns() {
		return plugin.CreateResponse{}, fmt.Errorf("%s is created with unknown inputs", what)
	}
	id := resource.ID(req.URN.Name() + "-" + strings.ToLower(string(req.URN.Type().Name())))
	if kind.id != nil {
		id = resource.ID(kind.id(req.Properties))
	}
	for n := 2; kind.id == nil && c.things[id] != ""; n++ {
		id = resource.ID(fmt.Sprintf("%s-%s-%d", req.URN.Name(), strings.ToLower(string(req.URN.Type().Name())), n))
	}
	if _, exists := c.things[id]; exists {
		return plugin.CreateResponse{}, fmt.Errorf("%s: %s already exists", what, id)
	}
	c.things[id] = req.URN.Type()
	c.created = append(c.created, what)
	return plugin.CreateResponse{ID: id, Properties: complete(kind, req.Properties, string(id)), Status: resource.StatusOK}, nil
}

func (c *fakeCloud) update(_ context.Context, req plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	kind := cloudKinds[req.URN.Type()]
	if req.Preview {
		outputs := planned(kind, req.NewInputs)
		if req.URN.Type().Package() != "azure-native" {
			// Providers that are bridged keep what they have, but for what the update may change.
			for key, value := range req.OldOutputs {
				if v, ok := outputs[key]; ok && v.IsComputed() && req.URN.Type() != "aws:ec2/launchTemplate:LaunchTemplate" {
					outputs[key] = value
				}
			}
		}
		return plugin.UpdateResponse{Properties: outputs, Status: resource.StatusOK}, nil
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err := c.change("update of " + req.URN.Name()); err != nil {
		return plugin.UpdateResponse{}, err
	}
	outputs := complete(kind, req.NewInputs, string(req.ID))
	if version, ok := req.OldOutputs["latestVersion"]; ok {
		outputs["latestVersion"] = resource.NewProperty(version.NumberValue() + 1)
	}
	return plugin.UpdateResponse{Properties: outputs, Status: resource.StatusOK}, nil
}

func (c *fakeCloud) delete(_ context.Context, req plugin.DeleteRequest) (plugin.DeleteResponse, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	what := string(req.URN.Type().Name()) + " " + req.URN.Name()
	if err := c.change("deletion of " + what); err != nil {
		return plugin.DeleteResponse{Status: resource.StatusUnknown}, err
	}
	if c.things[req.ID] == "" {
		return plugin.DeleteResponse{Status: resource.StatusUnknown}, fmt.Errorf("%s: %s is not there", what, req.ID)
	}
	if left := c.inside.remaining(); cloudKinds[req.URN.Type()].outlives && len(left) > 0 && c.destroying {
		return plugin.DeleteResponse{Status: resource.StatusUnknown}, fmt.Errorf("%s is deleted while the cluster still holds %v", what, left)
	}
	delete(c.things, req.ID)
	c.deleted = append(c.deleted, what)
	return plugin.DeleteResponse{Status: resource.StatusOK}, nil
}

func (c *fakeCloud) invoke(_ context.Context, req plugin.InvokeRequest) (plugin.InvokeResponse, error) {
	answer, ok := c.answers[req.Tok]
	if !ok {
		return plugin.InvokeResponse{}, fmt.Errorf("unexpected look-up %s %v", req.Tok, req.Args)
	}
	values, err := answer(req.Args)
	if err != nil {
		return plugin.InvokeResponse{}, err
	}
	return plugin.InvokeResponse{Properties: resource.NewPropertyMapFromMap(values)}, nil
}

// answer sets what a look-up finds; nil is nothing.
func (s *cloudStack) answer(token string, found map[string]any) {
	s.cloud.answers[tokens.ModuleMember(token)] = func(resource.PropertyMap) (map[string]any, error) {
		if found == nil {
			return nil, fmt.Errorf("%s: not found", token)
		}
		return found, nil
	}
}
