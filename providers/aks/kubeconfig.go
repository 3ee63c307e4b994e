package aks

import (
	"encoding/base64"
	"fmt"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"sigs.k8s.io/yaml"
)

// kubeconfigFile is the part of a kubeconfig that is read and written here. What is not part of it,
// such as the token in AKS' administrator credentials, does not get into ours.
type kubeconfigFile struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	CurrentContext string         `json:"current-context"`
	Clusters       []namedCluster `json:"clusters"`
	Contexts       []namedContext `json:"contexts"`
	Users          []namedUser    `json:"users"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server                   string `json:"server"`
		CertificateAuthorityData string `json:"certificate-authority-data"`
	} `json:"cluster"`
}

type namedContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

type namedUser struct {
	Name string `json:"name"`
	User user   `json:"user"`
}

type user struct {
	ClientCertificateData string      `json:"client-certificate-data,omitempty"`
	ClientKeyData         string      `json:"client-key-data,omitempty"`
	Exec                  *execPlugin `json:"exec,omitempty"`
}

// execPlugin is a program that prints a token.
type execPlugin struct {
	APIVersion      string   `json:"apiVersion"`
	Command         string   `json:"command"`
	Args            []string `json:"args"`
	InteractiveMode string   `json:"interactiveMode,omitempty"`
}

// aksServerID is the Entra application that tokens for AKS API servers are made out to, the same in
// every tenant (Azure/kubelogin's documentation).
const aksServerID = "6dae42f8-4368-4678-94ff-3960e28e3630"

// kubeconfig is a secret. It is made of what AKS lists for the cluster: its address, public or
// private, and its CA, which change only when someone rotates certificates, and in place of Entra ID
// the administrator's certificate. The listing needs the cluster's name only, so that a preview knows
// the kubeconfig even while the cluster is being updated; the cluster's own outputs are unknown then.
func (b *builder) kubeconfig(plane *controlPlane) pulumi.StringOutput {
	opts := []pulumi.InvokeOption{pulumi.Parent(b.component), pulumi.Provider(b.azure)}
	var listed containerservice.CredentialResultResponseArrayOutput
	if b.args.Entra != nil {
		// The user's listing, which works with local accounts disabled.
		listed = containerservice.ListManagedClusterUserCredentialsOutput(b.ctx, containerservice.ListManagedClusterUserCredentialsOutputArgs{
			ResourceGroupName: plane.resourceGroup, ResourceName: plane.name,
			Format: pulumi.String("exec"),
		}, opts...).Kubeconfigs()
	} else {
		listed = containerservice.ListManagedClusterAdminCredentialsOutput(b.ctx, containerservice.ListManagedClusterAdminCredentialsOutputArgs{
			ResourceGroupName: plane.resourceGroup, ResourceName: plane.name,
		}, opts...).Kubeconfigs()
	}
	// Secret before anything is done with it, so that nothing made of it can be shown.
	return pulumi.ToSecret(listed).(containerservice.CredentialResultResponseArrayOutput).ApplyT(b.args.kubeconfigOf).(pulumi.StringOutput)
}

// kubeconfigOf makes our kubeconfig of the first one listed. Errors name no content.
func (a *Args) kubeconfigOf(listed []containerservice.CredentialResultResponse) (string, error) {
	name := a.clusterName()
	if len(listed) == 0 {
		return "", fmt.Errorf("aks: Azure listed no kubeconfig for cluster %q: the credentials need the"+
			" Azure Kubernetes Service Cluster User Role, or Cluster Admin Role without Entra", name)
	}
	content, err := base64.StdEncoding.DecodeString(listed[0].Value)
	if err != nil {
		return "", fmt.Errorf("aks: the kubeconfig that Azure listed for cluster %q is not base64", name)
	}
	var found kubeconfigFile
	if err := yaml.Unmarshal(content, &found); err != nil {
		return "", fmt.Errorf("aks: the kubeconfig that Azure listed for cluster %q is not one", name)
	}
	if len(found.Clusters) == 0 || len(found.Users) == 0 ||
		found.Clusters[0].Cluster.Server == "" || found.Clusters[0].Cluster.CertificateAuthorityData == "" {
		return "", fmt.Errorf("aks: the kubeconfig that Azure listed for cluster %q has no server, certificate authority or user", name)
	}
	var who user
	if a.Entra != nil {
		who.Exec, err = a.kubelogin(found.Users[0].User.Exec)
	} else {
		who, err = a.administrator(found.Users[0].User)
	}
	if err != nil {
		return "", err
	}

	cluster, context := namedCluster{Name: name}, namedContext{Name: name}
	cluster.Cluster = found.Clusters[0].Cluster
	context.Context.Cluster, context.Context.User = name, name
	ours, err := yaml.Marshal(kubeconfigFile{
		APIVersion: "v1", Kind: "Config", CurrentContext: name,
		Clusters: []namedCluster{cluster}, Contexts: []namedContext{context}, Users: []namedUser{{Name: name, User: who}},
	})
	if err != nil {
		return "", fmt.Errorf("aks: writing the kubeconfig of cluster %q: %w", name, err)
	}
	return string(ours), nil
}

// kubelogin is the plugin that AKS lists, with a way to log in that needs no person. AKS' own is the
// device code, and its client id is that way's; with other ways it would mean the caller's.
func (a *Args) kubelogin(listed *execPlugin) (*execPlugin, error) {
	if listed == nil {
		return nil, fmt.Errorf("aks: cluster %q does not use Microsoft Entra ID, but Entra is set", a.clusterName())
	}
	server, tenant, environment := aksServerID, "", ""
	for i := 0; i+1 < len(listed.Args); i++ {
		switch listed.Args[i] {
		case "--server-id":
			server = listed.Args[i+1]
		case "--tenant-id", "-t":
			tenant = listed.Args[i+1]
		case "--environment", "-e":
			environment = listed.Args[i+1]
		}
	}
	plugin := &execPlugin{
		APIVersion: "client.authentication.k8s.io/v1beta1",
		Command:    "kubelogin",
		Args:       []string{"get-token", "--login", a.Entra.Login, "--server-id", server},
		// A question on a terminal would stop a run without anyone to see it.
		InteractiveMode: "Never",
	}
	if tenant != "" {
		plugin.Args = append(plugin.Args, "--tenant-id", tenant)
	}
	if environment != "" {
		plugin.Args = append(plugin.Args, "--environment", environment)
	}
	return plugin, nil
}

// administrator is the certificate of the cluster's own administrator, without the token beside it.
func (a *Args) administrator(listed user) (user, error) {
	if listed.ClientCertificateData == "" || listed.ClientKeyData == "" {
		return user{}, fmt.Errorf("aks: Azure listed no administrator certificate for cluster %q: are its local accounts disabled? Then set Entra", a.clusterName())
	}
	return user{ClientCertificateData: listed.ClientCertificateData, ClientKeyData: listed.ClientKeyData}, nil
}
