package cloud

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Types of Azure's resources.
const (
	AKSCluster         = "azure-native:containerservice/v20240901:ManagedCluster"
	AKSAgentPool       = "azure-native:containerservice/v20240901:AgentPool"
	AzureResourceGroup = "azure-native:resources:ResourceGroup"
	azureLock          = "azure-native:authorization:ManagementLockByScope"

	// AzureSubscription and AzureTenant are those that the simulated Azure belongs to.
	AzureSubscription = "00000000-0000-4000-8000-00000000000a"
	AzureTenant       = "00000000-0000-4000-8000-00000000000b"

	// aksServerApplication is the Entra application of all AKS API servers (Azure/kubelogin's documentation).
	aksServerApplication = "6dae42f8-4368-4678-94ff-3960e28e3630"

	aksVersion = "1.34.1"
)

func azureKinds() []*kind {
	inGroup := reference{path: "resourceGroupName", token: AzureResourceGroup, by: []string{"name"}, then: follows}
	return []*kind{
		{
			token: AzureResourceGroup, name: "resourceGroupName", replace: []string{"resourceGroupName", "location"}, computed: []string{"name", "properties", "type"},
			create: func(_ *Cloud, r *Resource, s Settings) error {
				name := object(r.Inputs).text("resourceGroupName")
				r.ID, r.Region = azureID(s, name, ""), object(r.Inputs).text("location")
				r.Outputs["name"], r.Outputs["type"] = name, "Microsoft.Resources/resourceGroups"
				return nil
			},
		},
		{
			token: AKSCluster, name: "resourceName", slow: true, replace: []string{"resourceGroupName", "resourceName"},
			fixed: []string{"location", "dnsPrefix", "nodeResourceGroup", "apiServerAccessProfile.enablePrivateCluster", "networkProfile.podCidr",
				"networkProfile.serviceCidr", "networkProfile.dnsServiceIP", "networkProfile.networkPlugin", "agentPoolProfiles.0.vmSize",
				"agentPoolProfiles.0.osDiskSizeGB", "agentPoolProfiles.0.availabilityZones", "agentPoolProfiles.0.vnetSubnetID",
				"agentPoolProfiles.0.enableEncryptionAtHost"},
			computed:   []string{"name", "fqdn", "provisioningState", "powerState", "currentKubernetesVersion", "type", "azurePortalFQDN", "privateFQDN", "systemData", "maxAgentPools"},
			references: []reference{inGroup},
			create:     createAKSCluster,
			settle: func(ctx context.Context, c *Cloud, r *Resource) error {
				if err := c.installStorage(ctx, storageOf[AKSCluster]); err != nil {
					return err
				}
				return c.waitForPool(ctx, r.ID+"/agentPools/"+object(r.Inputs).text("agentPoolProfiles.0.name"))
			},
			update: func(c *Cloud, r *Resource, old object) error {
				if len(object(r.Inputs).list("agentPoolProfiles")) != len(old.list("agentPoolProfiles")) {
					return azureError("ChangeNotAllowed", "Agent pools cannot be added or removed through the managed cluster: use the agent pool API")
				}
				p, err := aksPool(r.ID+"/agentPools/", r, object(object(r.Inputs).objectAt("agentPoolProfiles.0")))
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
				// They lie in the group of the nodes, which goes with the cluster.
				c.deleteDisks(func(disk *Resource) bool { return object(disk.Outputs).text("cluster") == r.ID })
				return err
			},
		},
		{
			token: AKSAgentPool, name: "agentPoolName", slow: true, replace: []string{"resourceGroupName", "resourceName", "agentPoolName"},
			fixed: []string{"vmSize", "osDiskSizeGB", "osDiskType", "availabilityZones", "vnetSubnetID", "scaleSetPriority", "scaleSetEvictionPolicy",
				"spotMaxPrice", "enableEncryptionAtHost", "osType"},
			computed: []string{"name", "provisioningState", "powerState", "currentOrchestratorVersion", "nodeImageVersion", "eTag"},
			references: []reference{
				{path: "resourceGroupName", token: AzureResourceGroup, by: []string{"name"}, then: follows},
				{path: "resourceName", token: AKSCluster, by: []string{"name"}, then: follows},
			},
			create: createAgentPool,
			settle: func(ctx context.Context, c *Cloud, r *Resource) error { return c.waitForPool(ctx, r.ID) },
			update: func(c *Cloud, r *Resource, _ object) error {
				p, err := aksPool(r.ID[:strings.LastIndex(r.ID, "/")+1], c.aksClusterOf(r), aksPoolInputs(r))
				if err != nil {
					return err
				}
				return c.changePool(p)
			},
			refuseDelete: func(c *Cloud, r *Resource) error { return c.azureLocked(r.ID) },
			vanish:       func(ctx context.Context, c *Cloud, r *Resource) error { return c.removePool(ctx, r.ID) },
		},
		{
			token: azureLock, name: "lockName", replace: []string{"scope", "lockName"}, computed: []string{"name", "type", "systemData"},
			references: []reference{{path: "scope", token: AKSCluster, by: []string{"id"}, then: stays}},
			create: func(_ *Cloud, r *Resource, _ Settings) error {
				in := object(r.Inputs)
				if level := in.text("level"); level != "CanNotDelete" && level != "ReadOnly" {
					return azureError("InvalidLockLevel", "level "+level+" is not CanNotDelete or ReadOnly")
				}
				r.ID = in.text("scope") + "/providers/Microsoft.Authorization/locks/" + in.text("lockName")
				r.Outputs["name"] = in.text("lockName")
				return nil
			},
		},
	}
}

func azureError(code, message string) error {
	return fmt.Errorf("code=%q message=%q", code, message)
}

// azureID is a resource's id in a group.
func azureID(s Settings, group, rest string) string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s%s", orElse(s["subscriptionId"], AzureSubscription), group, rest)
}

// azureLocked says that a lock keeps an id from being deleted.
func (c *Cloud) azureLocked(id string) error {
	for _, lock := range c.all(azureLock, func(l *Resource) bool {
		scope := object(l.Inputs).text("scope")
		return id == scope || strings.HasPrefix(id, scope+"/")
	}) {
		return azureError("ScopeLocked", fmt.Sprintf("The scope '%s' cannot perform delete operation because following scope(s) are locked: '%s'", id, lock.ID))
	}
	return nil
}

func createAKSCluster(c *Cloud, r *Resource, s Settings) error {
	in := object(r.Inputs)
	name := in.text("resourceName")
	r.ID, r.Region = azureID(s, in.text("resourceGroupName"), "/providers/Microsoft.ContainerService/managedClusters/"+name), in.text("location")
	if c.find(AKSCluster, "", r.ID) != nil {
		// A PUT of Azure would change it; the provider asks first and refuses.
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
	p, err := aksPool(r.ID+"/agentPools/", r, pools[0])
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

// aksClusterOf is the cluster that a pool belongs to.
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

// aksPoolInputs are the inputs of a pool of its own, in the words of one that is part of a cluster.
func aksPoolInputs(r *Resource) object {
	in := object{}
	for key, value := range r.Inputs {
		in[key] = value
	}
	in["name"] = in["agentPoolName"]
	return in
}

func createAgentPool(c *Cloud, r *Resource, _ Settings) error {
	in := object(r.Inputs)
	cluster := c.aksClusterOf(r)
	if cluster == nil {
		return azureError("ResourceNotFound", fmt.Sprintf("The managed cluster %s was not found in group %s", in.text("resourceName"), in.text("resourceGroupName")))
	}
	r.ID, r.Region = cluster.ID+"/agentPools/"+in.text("agentPoolName"), cluster.Region
	if c.find(AKSAgentPool, "", r.ID) != nil || c.pools[r.ID] != nil {
		return fmt.Errorf("cannot create already existing resource '%s'", r.ID)
	}
	p, err := aksPool(cluster.ID+"/agentPools/", cluster, aksPoolInputs(r))
	if err != nil {
		return err
	}
	p.desired = in.number("count")
	c.pools[r.ID] = p
	r.Outputs["name"], r.Outputs["provisioningState"] = in.text("agentPoolName"), "Succeeded"
	return nil
}

var (
	aksPoolName  = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)
	aksTaint     = regexp.MustCompile(`^([^=:]+)=([^=:]*):(NoSchedule|PreferNoSchedule|NoExecute)$`)
	aksSpotKey   = "kubernetes.azure.com/scalesetpriority"
	azureGPUSize = regexp.MustCompile(`^Standard_N[CDV]`)
)

// gpusByVMSize are the numbers of GPUs of Azure's sizes (Azure's list of accelerated VM sizes); other N sizes have
// one.
var gpusByVMSize = map[string]int{
	"standard_nc48ads_a100_v4": 2, "standard_nc96ads_a100_v4": 4, "standard_nd96amsr_a100_v4": 8, "standard_nd96asr_v4": 8,
	"standard_nc64as_t4_v3": 4, "standard_nv72ads_a10_v5": 2, "standard_nc80adis_h100_v5": 2, "standard_nd96isr_h100_v5": 8,
}

// aksPool works out the nodes of a pool. prefix is what its id begins with.
func aksPool(prefix string, cluster *Resource, in object) (*pool, error) {
	name := in.text("name")
	if !aksPoolName.MatchString(name) {
		return nil, azureError("InvalidParameter", fmt.Sprintf("The value of parameter agentPoolProfile.name is invalid: %q must be 1 to 12 lower-case letters and digits, a letter first", name))
	}
	p := &pool{
		id: prefix + name, cluster: cluster.ID, cloud: "azure", name: name, machineType: in.text("vmSize"),
		namePrefix: fmt.Sprintf("aks-%s-%s-vmss", name, digits(randomHex(60))[:8]), autoscaled: in.flag("enableAutoScaling"),
		min: in.number("minCount"), max: in.number("maxCount"), labels: in.labels("nodeLabels"), acceleratorLabel: "kubernetes.azure.com/accelerator",
	}
	if p.autoscaled && (p.max < 1 || p.min > p.max || in.number("count") < p.min || in.number("count") > p.max) {
		return nil, azureError("InvalidParameter", fmt.Sprintf("count %d must be between minCount %d and maxCount %d", in.number("count"), p.min, p.max))
	}
	for _, zone := range in.texts("availabilityZones") {
		p.zones = append(p.zones, cluster.Region+"-"+zone)
	}
	if len(p.zones) == 0 {
		p.zones = []string{"0"} // AKS' name of no zone
	}
	spot := in.text("scaleSetPriority") == "Spot"
	for key := range p.labels {
		if (strings.Contains(key, "kubernetes.azure.com/") || strings.Contains(key, "kubernetes.io/")) && (key != aksSpotKey || !spot) {
			return nil, azureError("InvalidParameter", fmt.Sprintf("Label %s uses a reserved prefix", key))
		}
	}
	for _, text := range in.texts("nodeTaints") {
		parts := aksTaint.FindStringSubmatch(text)
		if parts == nil {
			return nil, azureError("InvalidParameter", fmt.Sprintf("Taint %q is not of the form key=value:Effect", text))
		}
		if err := p.taint(parts[1], parts[2], parts[3]); err != nil {
			return nil, azureError("InvalidParameter", err.Error())
		}
	}
	if spot {
		if in.text("mode") == "System" {
			return nil, azureError("InvalidParameter", "System pools cannot be of priority Spot")
		}
		p.labels[aksSpotKey] = "spot"
		if !p.tainted(aksSpotKey) {
			if err := p.taint(aksSpotKey, "spot", "NoSchedule"); err != nil {
				return nil, err
			}
		}
	}
	p.labels["agentpool"], p.labels["kubernetes.azure.com/agentpool"] = name, name
	p.labels["kubernetes.azure.com/mode"] = strings.ToLower(orElse(in.text("mode"), "User"))
	p.labels["kubernetes.azure.com/cluster"] = object(cluster.Outputs).text("nodeResourceGroup")
	p.labels["kubernetes.azure.com/os-sku"] = orElse(in.text("osSKU"), "Ubuntu")
	if azureGPUSize.MatchString(p.machineType) {
		p.gpuCount, p.gpus = 1, gpusByPlugin
		if n, ok := gpusByVMSize[strings.ToLower(p.machineType)]; ok {
			p.gpuCount = n
		}
		p.labels[p.acceleratorLabel] = "nvidia"
		p.labels["accelerator"] = "nvidia" // deprecated, still set
	}
	return p, nil
}

// azureInvokes are Azure's data sources and listings.
func azureInvokes() map[string]invoke {
	const version = "azure-native:containerservice/v20240901:"
	get := func(c *Cloud, args object) (*Resource, error) {
		r := c.aksClusterOf(&Resource{Inputs: args})
		if r == nil {
			return nil, azureError("ResourceNotFound", fmt.Sprintf("The Resource 'Microsoft.ContainerService/managedClusters/%s' under resource group '%s' was not found",
				args.text("resourceName"), args.text("resourceGroupName")))
		}
		return r, nil
	}
	return map[string]invoke{
		version + "getManagedCluster": func(c *Cloud, _ Settings, args object) (object, error) {
			r, err := get(c, args)
			if err != nil {
				return nil, err
			}
			out := object{}
			for key, value := range r.Outputs {
				out[key] = value
			}
			out["id"] = r.ID
			profiles := slices.Clone(object(r.Inputs).list("agentPoolProfiles"))
			for _, p := range c.all(AKSAgentPool, func(p *Resource) bool { return strings.HasPrefix(p.ID, r.ID+"/") }) {
				profiles = append(profiles, map[string]any(aksPoolInputs(p)))
			}
			out["agentPoolProfiles"] = profiles
			return out, nil
		},
		version + "listManagedClusterAdminCredentials": func(c *Cloud, _ Settings, args object) (object, error) {
			r, err := get(c, args)
			if err != nil {
				return nil, err
			}
			if object(r.Inputs).flag("disableLocalAccounts") {
				return nil, azureError("BadRequest", "Getting static credential is not allowed because this cluster is set to disable local accounts.")
			}
			return c.aksKubeconfig(r, "clusterAdmin", false)
		},
		version + "listManagedClusterUserCredentials": func(c *Cloud, _ Settings, args object) (object, error) {
			r, err := get(c, args)
			if err != nil {
				return nil, err
			}
			return c.aksKubeconfig(r, "clusterUser", object(r.Inputs).has("aadProfile"))
		},
	}
}

// aksKubeconfig is what AKS lists: with Entra an exec plugin that asks a person, else a certificate, with a token
// beside it that nobody should keep.
func (c *Cloud) aksKubeconfig(r *Resource, name string, entra bool) (object, error) {
	g := c.gates[r.ID]
	if g == nil {
		return nil, azureError("ResourceNotFound", "the cluster has no API server")
	}
	user := map[string]any{}
	if entra {
		tenant := orElse(object(r.Inputs).text("aadProfile.tenantID"), AzureTenant)
		user["exec"] = map[string]any{
			"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "provideClusterInfo": false,
			"args": []string{"get-token", "--environment", "AzurePublicCloud", "--server-id", aksServerApplication,
				"--client-id", "80faf920-1908-4b52-b5ef-a8e7bedfc67a", "--tenant-id", tenant, "--login", "devicecode"},
		}
	} else {
		certificate, key, err := c.options.ControlPlane.AdminCertificate()
		if err != nil {
			return nil, err
		}
		user["client-certificate-data"] = base64.StdEncoding.EncodeToString(certificate)
		user["client-key-data"] = base64.StdEncoding.EncodeToString(key)
		user["token"] = randomHex(64)
	}
	cluster := named(r, "name")
	content, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": cluster,
		"clusters": []any{map[string]any{"name": cluster, "cluster": map[string]any{"server": "https://" + g.address, "certificate-authority-data": c.authority()}}},
		"contexts": []any{map[string]any{"name": cluster, "context": map[string]any{"cluster": cluster, "user": name}}},
		"users":    []any{map[string]any{"name": name, "user": user}},
	})
	if err != nil {
		return nil, err
	}
	return object{"kubeconfigs": []any{map[string]any{"name": name, "value": base64.StdEncoding.EncodeToString(content)}}}, nil
}
