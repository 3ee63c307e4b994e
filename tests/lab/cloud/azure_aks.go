package cloud

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// azureContainerServiceKinds lists the simulated resource types of Azure Kubernetes Service.
func azureContainerServiceKinds() []*kind {
	return []*kind{aksClusterKind(), aksAgentPoolKind()}
}

func aksClusterKind() *kind {
	return &kind{
		token: AKSCluster, name: "resourceName", slow: true, replace: []string{"resourceGroupName", "resourceName"},
		fixed: []string{"location", "dnsPrefix", "nodeResourceGroup", "apiServerAccessProfile.enablePrivateCluster", "networkProfile.podCidr",
			"networkProfile.serviceCidr", "networkProfile.dnsServiceIP", "networkProfile.networkPlugin", "agentPoolProfiles.0.vmSize",
			"agentPoolProfiles.0.osDiskSizeGB", "agentPoolProfiles.0.availabilityZones", "agentPoolProfiles.0.vnetSubnetID",
			"agentPoolProfiles.0.enableEncryptionAtHost"},
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
		update: func(c *Cloud, r *Resource, old object) error {
			if len(object(r.Inputs).list("agentPoolProfiles")) != len(old.list("agentPoolProfiles")) {
				return azureError("ChangeNotAllowed", "Agent pools cannot be added or removed through the managed cluster: use the agent pool API")
			}
			p, err := aksPool(c, r.ID+"/agentPools/", r, object(object(r.Inputs).objectAt("agentPoolProfiles.0")))
			if err != nil {
				return err
			}
			return c.changePool(p)
		},
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
	p.desired = pools[0].number("count")
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
