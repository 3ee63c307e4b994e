package gke

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers/kubeconfig"
)

// authPlugin gives kubectl, and Pulumi, the credentials of whoever runs it.
const authPlugin = "gke-gcloud-auth-plugin"

// kubeconfigText returns the kubeconfig of a cluster. Nothing in it changes while the cluster lives, and it has no
// credentials. name is the context's, as gcloud gives it, so that both write the same entry; endpoint is a host, with or
// without a port.
func kubeconfigText(name, endpoint, caCertificate string) (string, error) {
	if endpoint == "" || caCertificate == "" {
		return "", fmt.Errorf("cluster %s has no endpoint or no CA certificate yet: run the update again when it is running", name)
	}
	file := kubeconfig.New(name, "https://"+endpoint, caCertificate, kubeconfig.Object{"exec": kubeconfig.Exec{
		APIVersion: kubeconfig.ExecAPIVersion, Command: authPlugin, ProvideClusterInfo: true,
		InstallHint: "Install " + authPlugin + ": gcloud components install " + authPlugin,
	}})
	file.Preferences = &struct{}{}
	return file.Text()
}

// login returns gcloud's command that gives kubectl the context.
func (a *Args) login() string {
	return fmt.Sprintf("gcloud container clusters get-credentials %s --project %s --location %s", a.ClusterName(), a.Project, a.Location)
}

// contextName returns gcloud's name of a cluster's context.
func (a *Args) contextName() string {
	return fmt.Sprintf("gke_%s_%s_%s", a.Project, a.Location, a.ClusterName())
}

// kubeconfigOf returns the kubeconfig of a cluster, as a secret.
func (a *Args) kubeconfigOf(endpoint pulumi.StringInput, caCertificate pulumi.StringPtrInput) pulumi.StringOutput {
	content := pulumi.All(endpoint, caCertificate).ApplyT(func(values []any) (string, error) {
		var certificate string
		if given, ok := values[1].(*string); ok && given != nil {
			certificate = *given
		}
		return kubeconfigText(a.contextName(), values[0].(string), certificate)
	})
	return pulumi.ToSecret(content).(pulumi.StringOutput)
}
