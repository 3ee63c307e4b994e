package eks

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"sigs.k8s.io/yaml"
)

// kubeconfigFile is the part of a kubeconfig that is written here.
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
	User struct {
		Exec execPlugin `json:"exec"`
	} `json:"user"`
}

// execPlugin is a program that prints a token.
type execPlugin struct {
	APIVersion      string   `json:"apiVersion"`
	Command         string   `json:"command"`
	Args            []string `json:"args"`
	InteractiveMode string   `json:"interactiveMode"`
}

// kubeconfig is a secret, not for a token, which it does not hold, but because it tells where the
// cluster is and who may enter.
func (b *builder) kubeconfig(plane *controlPlane) pulumi.StringOutput {
	content := pulumi.All(plane.arn, plane.endpoint, plane.certificateAuthority).ApplyT(func(outputs []any) (string, error) {
		return b.args.kubeconfigOf(outputs[0].(string), outputs[1].(string), outputs[2].(string))
	}).(pulumi.StringOutput)
	return pulumi.ToSecret(content).(pulumi.StringOutput)
}

// kubeconfigOf names the cluster by its ARN, like `aws eks update-kubeconfig`. Region, role and
// profile are arguments of the plugin, so that the file means the same on a laptop and in CI,
// whatever the environment says.
func (a *Args) kubeconfigOf(arn, endpoint, certificateAuthority string) (string, error) {
	exec := execPlugin{
		APIVersion: "client.authentication.k8s.io/v1beta1",
		Command:    "aws",
		Args:       []string{"--region", a.Region, "eks", "get-token", "--cluster-name", a.clusterName(), "--output", "json"},
		// A question on a terminal would stop a run without anyone to see it.
		InteractiveMode: "Never",
	}
	if a.RoleARN != "" {
		exec.Args = append(exec.Args, "--role-arn", a.RoleARN)
	}
	if a.Profile != "" {
		exec.Args = append(exec.Args, "--profile", a.Profile)
	}
	cluster, context, user := namedCluster{Name: arn}, namedContext{Name: arn}, namedUser{Name: arn}
	cluster.Cluster.Server, cluster.Cluster.CertificateAuthorityData = endpoint, certificateAuthority
	context.Context.Cluster, context.Context.User = arn, arn
	user.User.Exec = exec
	content, err := yaml.Marshal(kubeconfigFile{
		APIVersion: "v1", Kind: "Config", CurrentContext: arn,
		Clusters: []namedCluster{cluster}, Contexts: []namedContext{context}, Users: []namedUser{user},
	})
	if err != nil {
		return "", fmt.Errorf("writing the kubeconfig of EKS cluster %q: %w", a.clusterName(), err)
	}
	return string(content), nil
}
