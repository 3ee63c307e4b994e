package cloud

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ManagedNamespace is the namespace of what GKE manages.
const ManagedNamespace = "gke-managed-system"

// installManagedExporter installs GKE's GPU exporter, which runs on every node whose driver GKE manages.
func (c *Cloud) installManagedExporter(ctx context.Context) error {
	client := c.options.ControlPlane.Client()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ManagedNamespace,
		Labels: map[string]string{"addonmanager.kubernetes.io/mode": "Reconcile"}}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s: %w", ManagedNamespace, err)
	}
	selector := map[string]string{"app.kubernetes.io/name": "gke-managed-dcgm-exporter"}
	exporter := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: ManagedNamespace, Name: "dcgm-exporter", Labels: selector},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: selector},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: selector},
				Spec: corev1.PodSpec{
					Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
					Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
						NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
							{Key: "cloud.google.com/gke-accelerator", Operator: corev1.NodeSelectorOpExists},
							{Key: "cloud.google.com/gke-gpu-driver-version", Operator: corev1.NodeSelectorOpExists},
						}}},
					}}},
					Containers: []corev1.Container{{
						Name: "dcgm-exporter", Image: "gke.gcr.io/dcgm-exporter:4.4.1-4.6.0-gke.17",
						Env:   []corev1.EnvVar{{Name: "DCGM_EXPORTER_LISTEN", Value: ":9400"}},
						Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9400}},
					}},
				},
			},
		},
	}
	if _, err := client.AppsV1().DaemonSets(ManagedNamespace).Create(ctx, exporter, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("the managed GPU exporter: %w", err)
	}
	return nil
}
