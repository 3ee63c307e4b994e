package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"vllm-autoscaling/tests/lab/tools"
)

// The namespaces of GKE's managed collection for Prometheus.
const (
	CollectionNamespace = "gmp-system"
	collectionPublic    = "gmp-public"
)

// OwnNamespaces returns the namespaces that a cloud itself creates in its clusters.
func OwnNamespaces() []string {
	return []string{ManagedNamespace, CollectionNamespace, collectionPublic}
}

// collectionManifests are the manifests of the managed collection's operator, in its module, which is that of the
// operator that the lab runs. The kinds come first.
var collectionManifests = []string{"manifests/setup.yaml", "manifests/operator.yaml"}

// collectionKinds are the kinds of objects that the lab creates from them. One program replaces the collectors, the rule
// evaluator and Alertmanager (see newCollector); admission webhooks and policies are left out, because nothing needs them.
var collectionKinds = []string{
	"CustomResourceDefinition", "PriorityClass", "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "OperatorConfig",
}

// installManagedCollection installs GKE's managed collection: kinds, permissions and operator from its manifests, and a
// collector.
func (c *Cloud) installManagedCollection(ctx context.Context) error {
	module, err := tools.ModuleFolder(ctx, tools.ManagedOperator)
	if err != nil {
		return err
	}
	config := c.options.ControlPlane.Config()
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	found, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found))
	for _, manifest := range collectionManifests {
		all, err := readManifest(filepath.Join(module, filepath.FromSlash(manifest)))
		if err != nil {
			return err
		}
		for _, object := range all {
			operator := object.GetKind() == "Deployment" && object.GetName() == "gmp-operator"
			if !operator && !slices.Contains(collectionKinds, object.GetKind()) {
				continue
			}
			if err := createManaged(ctx, objects, mapper, object); err != nil {
				return fmt.Errorf("managed collection: %s %s: %w", object.GetKind(), object.GetName(), err)
			}
		}
	}
	collector := newCollector()
	_, err = c.options.ControlPlane.Client().AppsV1().Deployments(CollectionNamespace).Create(ctx, collector, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("managed collection: %w", err)
	}
	return nil
}

func readManifest(file string) ([]*unstructured.Unstructured, error) {
	content, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }()
	decoder := yaml.NewYAMLOrJSONDecoder(content, 4096)
	var all []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		switch err := decoder.Decode(&object.Object); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", file, err)
		case len(object.Object) > 0:
			all = append(all, object)
		}
	}
}

// createManaged creates an object that belongs to the cloud. It retries while the object's kind is not served yet.
func createManaged(ctx context.Context, client dynamic.Interface, mapper *restmapper.DeferredDiscoveryRESTMapper, object *unstructured.Unstructured) error {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[ManagedLabel] = "true"
	object.SetLabels(labels)
	kind := object.GroupVersionKind()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := createOnce(ctx, client, mapper, kind, object)
		if err == nil || apierrors.IsAlreadyExists(err) {
			return nil
		}
		if !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
			return err
		}
		mapper.Reset()
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func createOnce(ctx context.Context, client dynamic.Interface, mapper meta.RESTMapper, kind schema.GroupVersionKind, object *unstructured.Unstructured) error {
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	resource := client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		_, err = resource.Namespace(object.GetNamespace()).Create(ctx, object, metav1.CreateOptions{})
	} else {
		_, err = resource.Create(ctx, object, metav1.CreateOptions{})
	}
	return err
}

// CollectorLabels select the collector's pod.
var CollectorLabels = map[string]string{"app.kubernetes.io/name": "collector"}

// CollectorPort is the port of the collector's API.
const CollectorPort = 19090

// newCollector returns the lab's only collector, with the ServiceAccount, image and port of the real ones, the
// configuration that the operator generates for them, and the rules that it generates for the rule evaluator.
func newCollector() *appsv1.Deployment {
	one, optional := int32(1), true
	fromConfigMap := func(volume, name string) corev1.Volume {
		return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: &optional,
		}}}
	}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: CollectionNamespace, Name: "collector", Labels: map[string]string{ManagedLabel: "true"}},
		Spec: appsv1.DeploymentSpec{
			Replicas: &one,
			Selector: &metav1.LabelSelector{MatchLabels: CollectorLabels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: CollectorLabels},
				Spec: corev1.PodSpec{
					ServiceAccountName: "collector",
					Containers: []corev1.Container{{
						Name: "prometheus", Image: "gke.gcr.io/prometheus-engine/prometheus:v2.53.5-gmp.1-gke.2",
						Ports: []corev1.ContainerPort{{Name: "prom-metrics", ContainerPort: CollectorPort}},
						VolumeMounts: []corev1.VolumeMount{
							{Name: "config", MountPath: "/prometheus/config"}, {Name: "rules", MountPath: "/etc/rules"},
						},
					}},
					Volumes: []corev1.Volume{fromConfigMap("config", "collector"), fromConfigMap("rules", "rules-generated")},
				},
			},
		},
	}
}
