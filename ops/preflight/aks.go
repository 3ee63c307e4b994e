package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/ops/preview/plan"
)

// kubelogin is the program that the kubeconfig calls with Microsoft Entra ID.
const kubelogin = "kubelogin"

var aks = cloud{
	name: "aks", program: "az", questions: aksQuestions,
	errors: messages{
		loggedOut: []string{"az login", "AADSTS", "InvalidAuthenticationToken", "ExpiredAuthenticationToken"},
		denied:    []string{"AuthorizationFailed", "does not have authorization", "Forbidden", "LinkedAuthorizationFailed"},
		disabled:  []string{"MissingSubscriptionRegistration", "SubscriptionNotRegistered", "NoRegisteredProviderFound"},
		missing:   []string{"ResourceNotFound", "ResourceGroupNotFound", "(NotFound)", "ParentResourceNotFound"},
		logIn:     "az login",
	},
}

// isAzure returns a function that reports whether a type is a resource of a module of azure-native, in any version of its API.
func isAzure(module, resource string) func(string) bool {
	return func(typ string) bool {
		rest, ok := strings.CutPrefix(typ, "azure-native:"+module)
		return ok && (rest == ":"+resource || strings.HasPrefix(rest, "/") && strings.HasSuffix(rest, ":"+resource))
	}
}

// aksPool is a pool that an update creates or enlarges: one of a cluster's own, or a resource.
type aksPool struct {
	planned
	// at is where its inputs are, such as "agentPoolProfiles[0]."; "" for a resource.
	at string
}

func (p aksPool) text(name string) string { return known(p.Resource, p.at+name) }

// nodes returns how many nodes the pool needs at first, at least one, and at its maximum.
func (p aksPool) nodes() (first, most int) {
	most = max(count(p.Resource, p.at+"maxCount"), count(p.Resource, p.at+"count"))
	return min(max(1, count(p.Resource, p.at+"minCount")), max(1, most)), most
}

// aksPlan is what a plan needs of Azure.
type aksPlan struct {
	subscription     string
	location         string
	clusters, groups []planned
	pools            []aksPool
	// usedGroup is the resource group that the stack does not create, "" if it creates one.
	usedGroup string
	// attached is the cluster that pools are added to; "" if the stack creates it.
	attached string
}

func aksQuestions(p *plan.Plan) (*question, []question) {
	account, ok := provider(p, "azure-native")
	if !ok || destroys(p) {
		return nil, nil
	}
	isCluster, isPool := isAzure("containerservice", "ManagedCluster"), isAzure("containerservice", "AgentPool")
	a := &aksPlan{
		subscription: known(account, "subscriptionId"),
		clusters:     creating(p, isCluster), groups: creating(p, isAzure("resources", "ResourceGroup")),
	}
	for _, r := range p.Planned() {
		if isCluster(r.Type) {
			a.location = known(r, "location")
		}
	}
	for _, cluster := range a.clusters {
		a.usedGroup = known(cluster.Resource, "resourceGroupName")
		for i := range cluster.List("agentPoolProfiles") {
			a.pools = append(a.pools, aksPool{cluster, fmt.Sprintf("agentPoolProfiles[%d].", i)})
		}
	}
	for _, pool := range changing(p, isPool) {
		if pool.op == plan.OpUpdate && (pool.old == nil || count(pool.Resource, "maxCount") <= count(*pool.old, "maxCount")) {
			continue
		}
		a.pools = append(a.pools, aksPool{pool, ""})
		if len(a.clusters) == 0 {
			a.usedGroup, a.attached = known(pool.Resource, "resourceGroupName"), known(pool.Resource, "resourceName")
		}
	}
	if len(a.pools) == 0 {
		return nil, nil
	}
	questions := []question{{"machine-types", a.sizes}, {"vcpu-quota", a.quotas}, {"features", a.features},
		{"reservations", a.reservations}}
	if len(a.clusters) > 0 {
		questions = append(questions, question{"services", a.providers}, question{"kubernetes-version", a.version},
			question{"names-exist", a.namesExist}, question{"names-free", a.namesFree}, question{"kubeconfig-program", a.login})
	}
	return &question{"login", a.account}, questions
}

// az returns the arguments of a command, in the stack's subscription.
func (a *aksPlan) az(args ...string) []string {
	if a.subscription != "" {
		args = append(args, "--subscription", a.subscription)
	}
	return append(args, "--output", "json")
}

// account checks which subscription the CLI uses.
func (a *aksPlan) account(ctx context.Context, c *cli) []Check {
	var account struct {
		ID    string `json:"id"`
		State string `json:"state"`
	}
	const asked = "az account show"
	if err := c.read(ctx, &account, a.az("account", "show")...); err != nil {
		return []Check{unknown(asked, err)}
	}
	// From here on every command names it, whatever the CLI's default becomes.
	a.subscription = account.ID
	if account.State != "" && account.State != "Enabled" {
		return []Check{failed(asked, "subscription "+account.ID+" is "+account.State, "enable it in the portal, or set aks.subscriptionId to another")}
	}
	return []Check{passed(asked, "subscription %s", account.ID)}
}

// place returns the region of the pools: the cluster's.
func (a *aksPlan) place(ctx context.Context, c *cli) (string, error) {
	if a.location != "" {
		return a.location, nil
	}
	if a.attached == "" || a.usedGroup == "" {
		return "", errors.New("the region of the cluster is not known before the update")
	}
	var cluster struct {
		Location string `json:"location"`
	}
	err := c.read(ctx, &cluster, a.az("aks", "show", "--resource-group", a.usedGroup, "--name", a.attached)...)
	return cluster.Location, err
}

// neededProviders are the resource providers of what AKS creates.
var neededProviders = []string{"Microsoft.ContainerService", "Microsoft.Compute", "Microsoft.Network", "Microsoft.Storage"}

// providers checks that the subscription has registered the resource providers.
func (a *aksPlan) providers(ctx context.Context, c *cli) []Check {
	var registered []struct {
		Namespace string `json:"namespace"`
		State     string `json:"registrationState"`
	}
	asked := "resource providers " + strings.Join(neededProviders, ", ")
	if err := c.read(ctx, &registered, a.az("provider", "list")...); err != nil {
		return []Check{unknown(asked, err)}
	}
	var checks []Check
	for _, namespace := range neededProviders {
		state := "NotRegistered"
		for _, r := range registered {
			if strings.EqualFold(r.Namespace, namespace) {
				state = r.State
			}
		}
		if state != "Registered" {
			checks = append(checks, failed("resource provider "+namespace, "is "+state,
				fmt.Sprintf("az provider register --wait --namespace %s --subscription %s", namespace, a.subscription)))
		}
	}
	if len(checks) == 0 {
		checks = []Check{passed(asked, "registered")}
	}
	return checks
}

// features checks the features of the subscription that pools use.
func (a *aksPlan) features(ctx context.Context, c *cli) []Check {
	if !slices.ContainsFunc(a.pools, func(p aksPool) bool { return p.Bool(p.at + "enableEncryptionAtHost") }) {
		return nil
	}
	const asked = "feature EncryptionAtHost of Microsoft.Compute"
	var feature struct {
		Properties struct {
			State string `json:"state"`
		} `json:"properties"`
	}
	err := c.read(ctx, &feature, a.az("feature", "show", "--namespace", "Microsoft.Compute", "--name", "EncryptionAtHost")...)
	if err != nil {
		return []Check{unknown(asked, err)}
	}
	if feature.Properties.State != "Registered" {
		return []Check{failed(asked, "is "+feature.Properties.State,
			"az feature register --namespace Microsoft.Compute --name EncryptionAtHost --subscription "+a.subscription)}
	}
	return []Check{passed(asked, "registered")}
}

// version checks that AKS creates clusters of the version.
func (a *aksPlan) version(ctx context.Context, c *cli) []Check {
	var checks []Check
	for _, cluster := range a.clusters {
		version := known(cluster.Resource, "kubernetesVersion")
		if version == "" {
			continue // AKS' default.
		}
		var answer struct {
			Values []struct {
				Version       string              `json:"version"`
				PatchVersions map[string]struct{} `json:"patchVersions"`
				Capabilities  struct {
					SupportPlan []string `json:"supportPlan"`
				} `json:"capabilities"`
			} `json:"values"`
		}
		asked := fmt.Sprintf("Kubernetes %s in %s", version, a.location)
		if err := c.read(ctx, &answer, a.az("aks", "get-versions", "--location", a.location)...); err != nil {
			checks = append(checks, unknown(asked, err))
			continue
		}
		if len(answer.Values) == 0 {
			checks = append(checks, unknown(asked, errors.New("`az aks get-versions` lists no versions: the Azure CLI may be too old")))
			continue
		}
		var offered []string
		found, longTerm := false, false
		for _, v := range answer.Values {
			onlyLongTerm := len(v.Capabilities.SupportPlan) > 0 && !slices.Contains(v.Capabilities.SupportPlan, "KubernetesOfficial")
			if !onlyLongTerm {
				offered = append(offered, v.Version)
			}
			if _, patch := v.PatchVersions[version]; patch || v.Version == version {
				found, longTerm = true, onlyLongTerm
			}
		}
		fix := "set cluster.kubernetesVersion to one of: " + strings.Join(offered, ", ")
		switch {
		case !found:
			checks = append(checks, failed(asked, "not offered for new clusters", fix))
		case longTerm && cluster.Text("supportPlan") != "AKSLongTermSupport":
			checks = append(checks, failed(asked, "offered with long-term support only", fix))
		default:
			checks = append(checks, passed(asked, "offered"))
		}
	}
	return checks
}

// namesExist checks the resource group, subnet and identity that the stack does not create.
func (a *aksPlan) namesExist(ctx context.Context, c *cli) []Check {
	var checks []Check
	var found struct{}
	if a.usedGroup != "" && len(a.groups) == 0 {
		err := c.read(ctx, &found, a.az("group", "show", "--name", a.usedGroup)...)
		checks = append(checks, exists("resource group "+a.usedGroup, err,
			fmt.Sprintf("az group create --name %s --location %s --subscription %s", a.usedGroup, a.location, a.subscription)))
	}
	var subnets []string
	for _, pool := range a.pools {
		subnets = append(subnets, pool.text("vnetSubnetID"))
	}
	for _, id := range unique(subnets) {
		// The id names the subscription.
		err := c.read(ctx, &found, "network", "vnet", "subnet", "show", "--ids", id, "--output", "json")
		checks = append(checks, exists("subnet "+lastPart(id), err, "set aks.vnetSubnetId to an id of `az network vnet subnet list --resource-group GROUP "+
			"--vnet-name NETWORK`"))
	}
	for _, cluster := range a.clusters {
		for _, id := range knownList(cluster.Resource, "identity.userAssignedIdentities") {
			err := c.read(ctx, &found, "identity", "show", "--ids", id, "--output", "json")
			checks = append(checks, exists("identity "+lastPart(id), err, "set aks.userAssignedIdentityId to an id of `az identity list`"))
		}
	}
	return checks
}

// namesFree checks that nothing has the fixed names of what is created.
func (a *aksPlan) namesFree(ctx context.Context, c *cli) []Check {
	var checks []Check
	for _, group := range a.groups {
		name := known(group.Resource, "resourceGroupName")
		if name == "" || !group.created() {
			continue
		}
		var there bool
		err := c.read(ctx, &there, a.az("group", "exists", "--name", name)...)
		if err == nil && !there {
			err = errMissing
		}
		checks = append(checks, taken("resource group "+name, err,
			fmt.Sprintf("set aks.resourceGroup to use it, or `az group delete --name %s --subscription %s` if it is a leftover", name, a.subscription)))
	}
	for _, cluster := range a.clusters {
		name := known(cluster.Resource, "resourceName")
		if name == "" || a.usedGroup == "" || !cluster.created() {
			continue // In a group that does not exist yet.
		}
		var found struct{}
		err := c.read(ctx, &found, a.az("aks", "show", "--resource-group", a.usedGroup, "--name", name)...)
		checks = append(checks, taken("cluster "+name, err, "set another cluster.name, or attach to it with cluster.existing"))
	}
	return checks
}

// login checks the program of the kubeconfig; without Microsoft Entra ID there is none.
func (a *aksPlan) login(_ context.Context, c *cli) []Check {
	for _, cluster := range a.clusters {
		if cluster.Has("aadProfile") {
			return []Check{onPath(c, kubelogin, "az aks install-cli")}
		}
	}
	return nil
}
