package verify

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// spareNodes describes how many of the spare GPU nodes are ready; "" for a server without any. That one is missing is no failure: a replica
// has just taken it and the node autoscaler adds another one, or the pool is at its maximum.
func (w *walk) spareNodes(ctx context.Context) string {
	s := w.Pipeline.Serving
	if s.SpareNodes == "" {
		return ""
	}
	deployment, err := w.client.AppsV1().Deployments(s.Namespace).Get(ctx, s.SpareNodes, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		w.warn(fmt.Sprintf("there is no Deployment %s/%s, which keeps the spare nodes: pulumi up --refresh --stack %s", s.Namespace, s.SpareNodes, w.Stack))
		return ""
	case err != nil:
		w.warn(fmt.Sprintf("Deployment %s/%s, which keeps the spare nodes: %v", s.Namespace, s.SpareNodes, err))
		return ""
	}
	wanted := 1
	if deployment.Spec.Replicas != nil {
		wanted = int(*deployment.Spec.Replicas)
	}
	text := fmt.Sprintf("; %d of %s ready", deployment.Status.ReadyReplicas, plural(wanted, "spare node"))
	if int(deployment.Status.ReadyReplicas) < wanted {
		text += " (the node autoscaler adds one, or the pool is at its maximum)"
	}
	return text
}
