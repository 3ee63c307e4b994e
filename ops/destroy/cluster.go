package destroy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/ops/verify"
	"vllm-autoscaling/providers/apiservices"
	"vllm-autoscaling/providers/kubeclient"
)

// cluster is the cluster of a stack.
type cluster struct {
	client  *kubeclient.Client
	kubectl string
	// serving and monitoring are the stack's namespaces.
	serving, monitoring string
}

// openCluster returns the cluster that a stack's outputs name.
func openCluster(ctx context.Context, projectDir, stack string) (*cluster, error) {
	text, err := verify.StackOutputs(ctx, projectDir, stack)
	if err != nil {
		return nil, err
	}
	servers, err := verify.ParseServers(text, projectDir)
	if err != nil {
		return nil, err
	}
	access := servers[0] // All are in one cluster and in the same namespaces.
	client, err := kubeclient.NewForConfig(access.Config)
	if err != nil {
		return nil, err
	}
	return &cluster{
		client: client, kubectl: access.Kubectl,
		serving: access.Pipeline.Serving.Namespace, monitoring: access.Pipeline.Adapter.Namespace,
	}, nil
}

// deadAPIs returns the APIServices of others that are not available.
func (c *cluster) deadAPIs(ctx context.Context) ([]apiservices.Unavailable, error) {
	found, err := apiservices.Find(ctx, c.client)
	if err != nil {
		return nil, err
	}
	return apiservices.Others(found, c.monitoring), nil
}

// held is a namespace that is empty, and whose deletion waits for APIs that do not answer.
type held struct {
	name string
	// message is the namespace controller's.
	message string
}

// namespaces returns how many of the stack's namespaces there are, and those that are held.
func (c *cluster) namespaces(ctx context.Context) (present int, waiting []held, err error) {
	for _, name := range []string{c.serving, c.monitoring} {
		var namespace corev1.Namespace
		err := c.client.Get(ctx, "/api/v1/namespaces/"+name, nil, &namespace)
		var status *kubeclient.StatusError
		if errors.As(err, &status) && status.Code == http.StatusNotFound {
			continue
		}
		if err != nil {
			return 0, nil, fmt.Errorf("namespace %s: %w", name, err)
		}
		present++
		if message, is := heldBy(namespace); is {
			waiting = append(waiting, held{name, message})
		}
	}
	return present, waiting, nil
}

// heldBy returns why a namespace in deletion is not gone, if the discovery of APIs is the only reason.
func heldBy(n corev1.Namespace) (message string, is bool) {
	if n.DeletionTimestamp == nil {
		return "", false
	}
	others := []corev1.NamespaceConditionType{
		corev1.NamespaceDeletionGVParsingFailure, corev1.NamespaceDeletionContentFailure,
		corev1.NamespaceContentRemaining, corev1.NamespaceFinalizersRemaining,
	}
	for _, c := range n.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == corev1.NamespaceDeletionDiscoveryFailure:
			message, is = c.Message, true
		case slices.Contains(others, c.Type):
			return "", false
		}
	}
	return message, is
}
