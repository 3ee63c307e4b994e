package gke

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"sigs.k8s.io/yaml"
)

// authPlugin gives kubectl, and Pulumi, the credentials of whoever runs it.
const authPlugin = "gke-gcloud-auth-plugin"

// kubeconfig is what a kubeconfig is built from. Nothing in it changes while the cluster lives, and
// it holds no credentials.
type kubeconfig struct {
	// name of the context, as gcloud gives it, so that both write the same entry.
	name string
	// endpoint is a host, with or without a port.
	endpoint string
	// caCertificate is PEM in base64.
	caCertificate string
}

func (k kubeconfig) String() (string, error) {
	if k.endpoint == "" || k.caCertificate == "" {
		return "", fmt.Errorf("cluster %s has no endpoint or no CA certificate yet: run the update again when it is running", k.name)
	}
	type object = map[string]any
	content, err := yaml.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": k.name, "preferences": object{},
		"clusters": []object{{"name": k.name, "cluster": object{
			"server": "https://" + k.endpoint, "certificate-authority-data": k.caCertificate}}},
		"contexts": []object{{"name": k.name, "context": object{"cluster": k.name, "user": k.name}}},
		"users": []object{{"name": k.name, "user": object{"exec": object{
			"apiVersion": "client.authentication.k8s.io/v1beta1", "command": authPlugin, "provideClusterInfo": true,
			"installHint": "Install " + authPlugin + ": gcloud components install " + authPlugin}}}},
	})
	if err != nil {
		return "", fmt.Errorf("kubeconfig of cluster %s: %w", k.name, err)
	}
	return string(content), nil
}

// contextName is gcloud's name of a cluster's context.
func (a *Args) contextName() string {
	return fmt.Sprintf("gke_%s_%s_%s", a.Project, a.Location, a.clusterName())
}

// kubeconfigOf builds the kubeconfig of a cluster, as a secret.
func (a *Args) kubeconfigOf(endpoint pulumi.StringInput, caCertificate pulumi.StringPtrInput) pulumi.StringOutput {
	content := pulumi.All(endpoint, caCertificate).ApplyT(func(values []any) (string, error) {
		k := kubeconfig{name: a.contextName(), endpoint: values[0].(string)}
		if certificate, ok := values[1].(*string); ok && certificate != nil {
			k.caCertificate = *certificate
		}
		return k.String()
	})
	return pulumi.ToSecret(content).(pulumi.StringOutput)
}
