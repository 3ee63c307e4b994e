package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// azureContainerServiceKinds lists the simulated resource types of Azure Kubernetes Service.
func azureContainerServiceKinds() []*kind {
	return []*kind{aksClusterKind(), aksAgentPoolKind(), aksMaintenanceKind()}
}

func aksClusterKind() *kind {
	return &kind{
		token: AKSCluster, name: "resourceName", slow: true, replace: []string{"resourceGroupName", "resourceName"},
		fixed: []string{"location", "dnsPrefix", "nodeResourceGroup", "apiServerAccessProfile.enablePrivateCluster", "networkProfile.podCidr",
			"networkProfile.serviceCidr", "networkProfile.dnsServiceIP", "networkProfile.networkPlugin"},
		computed: []string{"name", "fqdn", "provisioningState", "powerState", "currentKubernetesVersion", "type", "azurePortalFQDN", "privateFQDN",
			"systemData", "maxAgentPools"},
		references: []reference{azureGroupReference},
		create:     createAKSCluster,
		settle: func(ctx context.Context, c *Cloud, r *Resource) error {
			if err := c.installStorage(ctx, r); err != nil {
				return err
			}
			return c.waitForPool(ctx, r.ID+"/agentPools/"+object(r.Inputs).text("agentPoolProfiles.0.name"))
		},
		observe: func(c *Cloud, r *Resource) {
			var profiles []any
			for _, profile := range c.aksProfiles(r, object(r.Inputs)) {
				profiles = append(profiles, map[string]any(profile))
			}
			r.Outputs["agentPoolProfiles"] = profiles
			if issuer := aksIssuer(r); issuer != "" {
				r.Outputs["oidcIssuerProfile"] = map[string]any{"enabled": true, "issuerURL": issuer}
			}
		},
		update:       updateAKSCluster,
		refuseDelete: func(c *Cloud, r *Resource) error { return c.azureLocked(r.ID) },
		vanish: func(ctx context.Context, c *Cloud, r *Resource) error {
			err := errors.Join(c.removePool(ctx, r.ID+"/agentPools/"+object(r.Inputs).text("agentPoolProfiles.0.name")),
				c.closeGate(ctx, r.ID))
			c.mu.Lock()
			defer c.mu.Unlock()
			// The disks are in the group of the nodes, which is deleted with the cluster.
			c.deleteDisks(func(disk *Resource) bool { return object(disk.Outputs).text("cluster") == r.ID })
			return err
		},
	}
}

func createAKSCluster(c *Cloud, r *Resource, s Settings) error {
	in := object(r.Inputs)
	name := in.text("resourceName")
	r.ID, r.Region = azureID(s, in.text("resourceGroupName"), "/providers/Microsoft.ContainerService/managedClusters/"+name), in.text("location")
	if c.find(AKSCluster, "", r.ID) != nil {
		// Azure's PUT would change it; the provider looks first and refuses.
		return fmt.Errorf("cannot create already existing resource '%s'", r.ID)
	}
	pools := in.objects("agentPoolProfiles")
	switch {
	case len(pools) != 1 || pools[0].text("mode") != "System":
		return azureError("InvalidParameter", "the cluster needs exactly one pool of mode System here")
	case !aksDNSPrefix.MatchString(in.text("dnsPrefix")):
		return azureError("DnsPrefixInvalid", fmt.Sprintf("dnsPrefix %q must begin and end with a letter or digit, with letters, digits and hyphens "+
			"between them, 1 to 54 characters", in.text("dnsPrefix")))
	case in.flag("disableLocalAccounts") && !in.has("aadProfile"):
		return azureError("BadRequest", "Disabling local accounts needs Microsoft Entra ID")
	case in.text("networkProfile.networkPluginMode") == "overlay" && in.text("networkProfile.networkPlugin") != "azure":
		return azureError("BadRequest", "Network plugin mode overlay needs network plugin azure")
	case in.text("networkProfile.networkPolicy") == "cilium" && in.text("networkProfile.networkDataplane") != "cilium":
		return azureError("BadRequest", "Network policy cilium needs network dataplane cilium")
	case in.flag("securityProfile.workloadIdentity.enabled") && !in.flag("oidcIssuerProfile.enabled"):
		return azureError("BadRequest", "Workload identity needs the OIDC issuer")
	case in.text("kubernetesVersion") != "" && !strings.HasPrefix(in.text("kubernetesVersion"), "1.34") &&
		!strings.HasPrefix(in.text("kubernetesVersion"), "1.35") && !strings.HasPrefix(in.text("kubernetesVersion"), "1.36"):
		return azureError("K8sVersionNotSupported", "Managed cluster is on version "+in.text("kubernetesVersion")+", which is not supported in this region")
	}
	if err := disjoint([]string{in.text("networkProfile.podCidr"), in.text("networkProfile.serviceCidr")}); in.has("networkProfile.podCidr") && err != nil {
		return azureError("InvalidParameter", err.Error())
	}
	p, err := aksPool(c, r.ID+"/agentPools/", r, pools[0])
	if err != nil {
		return err
	}
	g, err := c.openGate(r.ID)
	if err != nil {
		return err
	}
	c.pools[p.id] = p
	r.Outputs["name"], r.Outputs["fqdn"] = name, strings.Split(g.address, ":")[0]
	r.Outputs["provisioningState"], r.Outputs["powerState"] = "Succeeded", map[string]any{"code": "Running"}
	r.Outputs["currentKubernetesVersion"], r.Outputs["type"] = aksVersion, "Microsoft.ContainerService/ManagedClusters"
	if !in.has("nodeResourceGroup") {
		r.Outputs["nodeResourceGroup"] = fmt.Sprintf("MC_%s_%s_%s", in.text("resourceGroupName"), name, in.text("location"))
	}
	return nil
}

var aksDNSPrefix = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,52}[A-Za-z0-9])?$`)

// updateAKSCluster changes the pools that the request lists. Those that it does not list stay as they are, and none can be
// added this way.
func updateAKSCluster(c *Cloud, r *Resource, old object) error {
	before := map[string]object{}
	for _, profile := range c.aksProfiles(r, old) {
		before[profile.text("name")] = profile
	}
	in := object(r.Inputs)
	if from, to := old.text("networkProfile.outboundType"), in.text("networkProfile.outboundType"); from != to && (from == "managedNATGateway" ||
		to == "managedNATGateway" && in.has("agentPoolProfiles.0.vnetSubnetID")) {
		return azureError("InvalidOutboundTypeUpdate", fmt.Sprintf("Updating the outbound type from %s to %s is not supported", from, to))
	}
	var changed []*pool
	for _, profile := range in.objects("agentPoolProfiles") {
		was, known := before[profile.text("name")]
		if !known {
			return azureError("BadRequest", fmt.Sprintf("A new agent pool was introduced: %s. Adding agent pools to an existing cluster is not allowed "+
				"through managed cluster operations. For agent pool specific change, please use per agent pool operations", profile.text("name")))
		}
		for _, property := range []string{"vmSize", "osDiskSizeGB", "availabilityZones", "vnetSubnetID", "enableEncryptionAtHost"} {
			if !equal(was.at(property), profile.at(property)) {
				return azureError("PropertyChangeNotAllowed", fmt.Sprintf("Changing property 'properties.%s' is not allowed.", property))
			}
		}
		p, err := aksPool(c, r.ID+"/agentPools/", r, profile)
		if err != nil {
			return err
		}
		changed = append(changed, p)
	}
	for _, p := range changed {
		if err := c.changePool(p); err != nil {
			return err
		}
	}
	return nil
}

// aksProfiles returns the pools of a cluster whose inputs are in, with their numbers of nodes, as Azure lists them: by name,
// the separate ones included.
func (c *Cloud) aksProfiles(cluster *Resource, in object) []object {
	own := map[string]object{}
	for _, profile := range in.objects("agentPoolProfiles") {
		own[profile.text("name")] = profile
	}
	for _, r := range c.all(AKSAgentPool, func(r *Resource) bool { return strings.HasPrefix(r.ID, cluster.ID+"/agentPools/") }) {
		profile := aksPoolInputs(r)
		for _, key := range []string{"resourceGroupName", "resourceName", "agentPoolName"} {
			delete(profile, key)
		}
		own[profile.text("name")] = profile
	}
	var profiles []object
	for _, name := range slices.Sorted(maps.Keys(own)) {
		profile := maps.Clone(own[name])
		profile["maxPods"] = 250.0 // Azure's default
		if p := c.pools[cluster.ID+"/agentPools/"+name]; p != nil {
			profile["count"] = float64(p.desired)
		}
		profiles = append(profiles, profile)
	}
	return profiles
}

// aksClusterOf returns the cluster of an agent pool, nil for none.
func (c *Cloud) aksClusterOf(r *Resource) *Resource {
	in := object(r.Inputs)
	found := c.all(AKSCluster, func(cluster *Resource) bool {
		return named(cluster, "name") == in.text("resourceName") && object(cluster.Inputs).text("resourceGroupName") == in.text("resourceGroupName")
	})
	if len(found) == 0 {
		return nil
	}
	return found[0]
}
