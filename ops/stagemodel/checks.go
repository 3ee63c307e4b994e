package stagemodel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components"
)

// place looks at all that the Job needs, before anything is created.
func (o Options) place(ctx context.Context) (place, error) {
	d, err := o.Client.AppsV1().Deployments(o.Target.Namespace).Get(ctx, o.Target.Server, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return place{}, fmt.Errorf("there is no Deployment %s/%s: run `pulumi up` first, which creates it before a replica is ready",
			o.Target.Namespace, o.Target.Server)
	}
	if err != nil {
		return place{}, fmt.Errorf("deployment %s/%s: %w", o.Target.Namespace, o.Target.Server, err)
	}
	p := placeOf(d, o.Target)
	if p.image == "" {
		return place{}, fmt.Errorf("the Deployment %s/%s has no container %s", o.Target.Namespace, o.Target.Server, components.VLLMName)
	}
	if o.Target.Gated && !p.hasToken {
		return place{}, gatedError(o.Target, p.endpoint())
	}
	found, err := look(ctx, o.HTTP, p.endpoint(), o.Target, p.hasToken)
	switch {
	case errors.Is(err, errUnknown):
	case err != nil:
		return place{}, err
	case found.gated() && !p.hasToken:
		return place{}, gatedError(o.Target, p.endpoint())
	}
	if err := o.checkWeights(ctx, p, found.weights()); err != nil {
		return place{}, err
	}
	p.tolerations, err = o.tolerations(ctx, d)
	return p, err
}

// checkWeights looks at the bucket's account, or at the claim. size is that of the weights, 0 for unknown.
func (o Options) checkWeights(ctx context.Context, p place, size int64) error {
	if o.Target.Weights.Source == components.WeightsClaim {
		return o.checkClaim(ctx, size)
	}
	_, err := o.Client.CoreV1().ServiceAccounts(o.Target.Namespace).Get(ctx, p.account, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no ServiceAccount %s/%s, with which the Job writes to %s: run `pulumi up` with model.source bucket first",
			o.Target.Namespace, p.account, o.Target.Weights)
	}
	if err != nil {
		return fmt.Errorf("service account %s/%s: %w", o.Target.Namespace, p.account, err)
	}
	return nil
}

func (o Options) checkClaim(ctx context.Context, size int64) error {
	name := o.Target.Namespace + "/" + o.Target.Weights.Claim
	claim, err := o.Client.CoreV1().PersistentVolumeClaims(o.Target.Namespace).Get(ctx, o.Target.Weights.Claim, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no PersistentVolumeClaim %s: create it, or correct model.claim.name", name)
	}
	if err != nil {
		return fmt.Errorf("persistent volume claim %s: %w", name, err)
	}
	readOnly := !slices.ContainsFunc(claim.Spec.AccessModes, func(m corev1.PersistentVolumeAccessMode) bool { return m != corev1.ReadOnlyMany })
	capacity := claim.Status.Capacity[corev1.ResourceStorage]
	switch {
	case claim.Status.Phase == corev1.ClaimLost:
		return fmt.Errorf("the volume of PersistentVolumeClaim %s is gone (phase Lost): create volume and claim again", name)
	case readOnly:
		return fmt.Errorf("PersistentVolumeClaim %s is ReadOnlyMany: nothing can write to it. Fill its volume through a claim that is "+
			"ReadWriteMany, or ReadWriteOnce before it is shared, and set model.claim.name to that one meanwhile", name)
	case !capacity.IsZero() && size > capacity.Value():
		return fmt.Errorf("PersistentVolumeClaim %s has %s, and the weights of %s are %.1f GiB: enlarge it",
			name, capacity.String(), o.Target.Model, float64(size)/(1<<30))
	}
	return nil
}

// tolerations returns those of the server where its GPU nodes are the only ones that a pod could run on: the Job needs no GPU.
// Without the right to list nodes, it is assumed that there are others.
func (o Options) tolerations(ctx context.Context, d *appsv1.Deployment) ([]corev1.Toleration, error) {
	nodes, err := o.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	own := d.Spec.Template.Spec.Tolerations
	onlyTolerated := false
	for _, node := range nodes.Items {
		taints := slices.DeleteFunc(slices.Clone(node.Spec.Taints), func(taint corev1.Taint) bool { return taint.Effect == corev1.TaintEffectPreferNoSchedule })
		if len(taints) == 0 {
			return nil, nil
		}
		onlyTolerated = onlyTolerated || !slices.ContainsFunc(taints, func(taint corev1.Taint) bool { return !tolerated(own, taint) })
	}
	if !onlyTolerated {
		return nil, nil
	}
	return own, nil
}

func tolerated(tolerations []corev1.Toleration, taint corev1.Taint) bool {
	return slices.ContainsFunc(tolerations, func(t corev1.Toleration) bool { return t.ToleratesTaint(&taint) })
}
