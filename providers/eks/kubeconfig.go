package eks

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers/kubeconfig"
)

// authProgram gives kubectl, and Pulumi, a token for the cluster.
const authProgram = "aws"

// login returns AWS' command that gives kubectl a context. It is called like the cluster, whose ARN, AWS'
// own choice, is only known after its creation.
func (a *Args) login() string {
	command := fmt.Sprintf("aws eks update-kubeconfig --region %s --name %s --alias %[2]s", a.Region, a.ClusterName())
	if a.RoleARN != "" {
		command += " --role-arn " + a.RoleARN
	}
	if a.Profile != "" {
		command += " --profile " + a.Profile
	}
	return command
}

// kubeconfig returns the kubeconfig as a secret. It contains no token, but it reveals the cluster's endpoint and the role
// that has access.
func (b *builder) kubeconfig(plane *controlPlane) pulumi.StringOutput {
	content := pulumi.All(plane.arn, plane.endpoint, plane.certificateAuthority).ApplyT(func(outputs []any) (string, error) {
		return b.args.kubeconfigOf(outputs[0].(string), outputs[1].(string), outputs[2].(string))
	}).(pulumi.StringOutput)
	return pulumi.ToSecret(content).(pulumi.StringOutput)
}

// kubeconfigOf returns a kubeconfig that names the cluster by its ARN, like `aws eks update-kubeconfig`. Region, role and
// profile are arguments of the plugin, so that the file means the same on a laptop and in CI,
// whatever the environment has.
func (a *Args) kubeconfigOf(arn, endpoint, certificateAuthority string) (string, error) {
	exec := kubeconfig.Exec{
		APIVersion:      kubeconfig.ExecAPIVersion,
		Command:         authProgram,
		Args:            []string{"--region", a.Region, "eks", "get-token", "--cluster-name", a.ClusterName(), "--output", "json"},
		InteractiveMode: kubeconfig.NeverInteractive,
	}
	if a.RoleARN != "" {
		exec.Args = append(exec.Args, "--role-arn", a.RoleARN)
	}
	if a.Profile != "" {
		exec.Args = append(exec.Args, "--profile", a.Profile)
	}
	return kubeconfig.New(arn, endpoint, certificateAuthority, kubeconfig.Object{"exec": exec}).Text()
}
