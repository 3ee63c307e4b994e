package aks

import (
	"encoding/base64"
	"fmt"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers/kubeconfig"
)

// login returns Azure's command that gives kubectl a context of the cluster's name.
func (a *Args) login() string {
	command := fmt.Sprintf("az aks get-credentials --resource-group %s --name %s", a.resourceGroup(), a.ClusterName())
	if a.SubscriptionID != "" {
		command += " --subscription " + a.SubscriptionID
	}
	if a.Entra.Enabled {
		// As it comes, the context logs in by a device code.
		command += " && kubelogin convert-kubeconfig --login " + a.Entra.Login
	}
	return command
}

// authProgram gives kubectl, and Pulumi, a token of Microsoft Entra ID.
const authProgram = "kubelogin"

// aksServerID is the Entra application that tokens for AKS API servers are made out to, the same in
// every tenant (Azure/kubelogin's documentation).
const aksServerID = "6dae42f8-4368-4678-94ff-3960e28e3630"

// kubeconfig returns the kubeconfig, a secret. It is made of what AKS lists for the cluster: its address, public or
// private, and its CA, which change only when someone rotates certificates, and in place of Entra ID
// the administrator's certificate. The listing needs the cluster's name only, so that a preview has
// the kubeconfig even while the cluster is being updated; the cluster's own outputs are unknown then.
func (b *builder) kubeconfig(plane *controlPlane) pulumi.StringOutput {
	opts := []pulumi.InvokeOption{pulumi.Parent(b.component), pulumi.Provider(b.azure)}
	var listed containerservice.CredentialResultResponseArrayOutput
	if b.args.Entra.Enabled {
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

// kubeconfigOf returns our kubeconfig, made of the first one listed. Errors name no content.
func (a *Args) kubeconfigOf(listed []containerservice.CredentialResultResponse) (string, error) {
	name := a.ClusterName()
	if len(listed) == 0 {
		return "", fmt.Errorf("aks: Azure listed no kubeconfig for cluster %q: the credentials need the"+
			" Azure Kubernetes Service Cluster User Role, or Cluster Admin Role without Microsoft Entra ID", name)
	}
	content, err := base64.StdEncoding.DecodeString(listed[0].Value)
	if err != nil {
		return "", fmt.Errorf("aks: the kubeconfig that Azure listed for cluster %q is not base64", name)
	}
	found, err := kubeconfig.Parse(content)
	if err != nil {
		return "", fmt.Errorf("aks: the kubeconfig that Azure listed for cluster %q is not one", name)
	}
	var server, certificateAuthority string
	if len(found.Clusters) > 0 {
		cluster := found.Clusters[0].Cluster
		server, certificateAuthority = kubeconfig.Text(cluster, "server"), kubeconfig.Text(cluster, "certificate-authority-data")
	}
	if len(found.Users) == 0 || server == "" || certificateAuthority == "" {
		return "", fmt.Errorf("aks: the kubeconfig that Azure listed for cluster %q has no server, certificate authority or user", name)
	}
	user, err := a.user(found.Users[0])
	if err != nil {
		return "", err
	}
	// Only these fields get into ours: not the token in AKS' administrator credentials, for example.
	return kubeconfig.New(name, server, certificateAuthority, user).Text()
}

// user returns the way to log in that is made of the listed one.
func (a *Args) user(listed kubeconfig.User) (kubeconfig.Object, error) {
	if a.Entra.Enabled {
		return a.kubelogin(listed)
	}
	return a.administrator(listed)
}

// kubelogin returns the plugin that AKS lists, with a way to log in that needs no person. AKS' own is the
// device code, and its client id is that way's; with other ways it would mean the caller's.
func (a *Args) kubelogin(user kubeconfig.User) (kubeconfig.Object, error) {
	listed, ok := user.ExecArgs()
	if !ok {
		return nil, fmt.Errorf("aks: cluster %q does not use Microsoft Entra ID, but aks.entra is set", a.ClusterName())
	}
	server, tenant, environment := aksServerID, "", ""
	for i := 0; i+1 < len(listed); i++ {
		switch listed[i] {
		case "--server-id":
			server = listed[i+1]
		case "--tenant-id", "-t":
			tenant = listed[i+1]
		case "--environment", "-e":
			environment = listed[i+1]
		}
	}
	plugin := kubeconfig.Exec{
		APIVersion:      kubeconfig.ExecAPIVersion,
		Command:         authProgram,
		Args:            []string{"get-token", "--login", a.Entra.Login, "--server-id", server},
		InteractiveMode: kubeconfig.NeverInteractive,
	}
	if tenant != "" {
		plugin.Args = append(plugin.Args, "--tenant-id", tenant)
	}
	if environment != "" {
		plugin.Args = append(plugin.Args, "--environment", environment)
	}
	return kubeconfig.Object{"exec": plugin}, nil
}

// administrator returns the certificate of the cluster's own administrator, without the token beside it.
func (a *Args) administrator(listed kubeconfig.User) (kubeconfig.Object, error) {
	certificate, key := kubeconfig.Text(listed.User, "client-certificate-data"), kubeconfig.Text(listed.User, "client-key-data")
	if certificate == "" || key == "" {
		return nil, fmt.Errorf("aks: Azure listed no administrator certificate for cluster %q: are its local accounts disabled? Then set aks.entra",
			a.ClusterName())
	}
	return kubeconfig.Object{"client-certificate-data": certificate, "client-key-data": key}, nil
}
