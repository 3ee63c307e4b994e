package cloud

import (
	"encoding/base64"
	"fmt"

	"sigs.k8s.io/yaml"
)

// azureInvokes returns Azure's data sources and listings by token.
func azureInvokes() map[string]invoke {
	const version = "azure-native:containerservice/v20240901:"
	get := func(c *Cloud, args object) (*Resource, error) {
		r := c.aksClusterOf(&Resource{Inputs: args})
		if r == nil {
			return nil, azureError("ResourceNotFound", fmt.Sprintf("The Resource 'Microsoft.ContainerService/managedClusters/%s' "+
				"under resource group '%s' was not found",
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
			out := c.outputs(r)
			out["id"] = r.ID
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

// aksKubeconfig returns the kubeconfig that AKS lists: with Entra, an exec plugin with an interactive login; otherwise a
// certificate, and a token that must not be kept.
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
