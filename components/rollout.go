package components

import (
	"context"
	"fmt"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/rollout"
	"vllm-autoscaling/providers/kubeclient"
)

// RolloutArgs are the inputs of Rollout.
type RolloutArgs struct {
	// Name of the server, that of its Deployment. Required.
	Name string
	// Namespace of the server's Deployment. Required.
	Namespace string
	// Kubeconfig reaches the cluster from where the program runs. Required.
	Kubeconfig pulumi.StringOutput
	// Kubectl is how people call kubectl for the cluster.
	Kubectl string
	// Timeout is how long to wait for the next replica to become ready; 0 does not wait.
	Timeout time.Duration
	// DependsOn lists what is created before the wait begins: whatever must exist when the wait fails.
	DependsOn []pulumi.Resource
}

// Rollout is the end of an update: a ready replica of the server, and none of an earlier version.
//
// The Deployment itself is not awaited, so that nothing in Kubernetes has to wait for the first GPU node. The wait is here
// instead, after everything else, and reports what it waits for.
type Rollout struct {
	pulumi.ResourceState
}

// NewRollout registers the wait, which runs in an update only: a preview has nothing to wait for.
func NewRollout(ctx *pulumi.Context, name string, args *RolloutArgs, opts ...pulumi.ResourceOption) (*Rollout, error) {
	c := &Rollout{}
	opts = append(opts, pulumi.DependsOn(args.DependsOn))
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:Rollout", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering %q: %w", name, err)
	}
	deployment := args.Namespace + "/" + args.Name
	outputs := pulumi.Map{"deployment": pulumi.String(deployment)}
	if !ctx.DryRun() && args.Timeout > 0 {
		waited := pulumi.All(c.URN(), args.Kubeconfig).ApplyT(func(values []any) (string, error) {
			return deployment, args.wait(ctx, c, values[1].(string))
		})
		// The name does not become a secret because the kubeconfig is one.
		outputs["deployment"] = pulumi.Unsecret(waited)
	}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering the outputs of %q: %w", name, err)
	}
	return c, nil
}

// wait waits for the rollout. Its lines appear with the component.
func (a *RolloutArgs) wait(ctx *pulumi.Context, c *Rollout, kubeconfig string) error {
	client, err := kubeclient.New(kubeconfig)
	if err != nil {
		return fmt.Errorf("waiting for the server: %w", err)
	}
	defer client.Close()
	reader := rollout.Reader{Client: client, Namespace: a.Namespace, Deployment: a.Name, Container: VLLMName}
	return rollout.Wait{
		Read:   reader.Read,
		Report: func(text string) error { return ctx.Log.Info(text, &pulumi.LogArgs{Resource: c}) },
		Limit:  a.Timeout,
		Name:   "Deployment " + a.Namespace + "/" + a.Name,
		Look:   fmt.Sprintf("%s --namespace %s describe pods --selector app.kubernetes.io/name=%s", a.Kubectl, a.Namespace, a.Name),
	}.Run(context.Background())
}
