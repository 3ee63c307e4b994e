package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"vllm-autoscaling/tests/lab/cloud"
)

// settleTime is how long Leftovers waits for controllers to remove objects without an owner.
const settleTime = 20 * time.Second

// Object names an object of the cluster.
type Object struct {
	Group, Kind, Namespace, Name string
}

// located is an object with the client for its kind.
type located struct {
	Object
	resource schema.GroupVersionResource
	// own reports whether the control plane created the object for itself, ofCloud whether a cloud did, and held whether a
	// finalizer keeps it from being deleted.
	own, ofCloud, held bool
}

func (o Object) String() string {
	kind := o.Kind
	if o.Group != "" {
		kind += "." + o.Group
	}
	if o.Namespace != "" {
		return fmt.Sprintf("%s %s/%s", kind, o.Namespace, o.Name)
	}
	return kind + " " + o.Name
}

// Leftovers are the objects that were added to the cluster after the lab's start.
type Leftovers struct {
	// Objects excludes the objects that every cluster creates for itself, nodes, and CRDs.
	Objects []Object
	// CRDs are the names of CustomResourceDefinitions, which Helm never removes.
	CRDs []string
}

// Leftovers lists the objects that were added after the lab's start and still exist. It waits a little for controllers
// that are removing objects, and returns early when only CRDs are left.
func (l *Lab) Leftovers(ctx context.Context) (Leftovers, error) {
	deadline := time.Now().Add(settleTime)
	for {
		found, err := l.leftovers(ctx)
		if err == nil && len(found.Objects) == 0 || time.Now().After(deadline) {
			return found, err
		}
		select {
		case <-ctx.Done():
			return found, errors.Join(err, ctx.Err())
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (l *Lab) leftovers(ctx context.Context) (Leftovers, error) {
	var found Leftovers
	all, err := l.objects(ctx)
	if err != nil {
		return found, err
	}
	for _, object := range all {
		if l.initial[object] {
			continue
		}
		if object.Kind == "CustomResourceDefinition" {
			found.CRDs = append(found.CRDs, object.Name)
		} else {
			found.Objects = append(found.Objects, object)
		}
	}
	slices.Sort(found.CRDs)
	slices.SortFunc(found.Objects, func(a, b Object) int { return strings.Compare(a.String(), b.String()) })
	return found, nil
}

// objects lists all objects except those that every cluster creates for itself.
func (l *Lab) objects(ctx context.Context) ([]Object, error) {
	all, err := l.locate(ctx)
	if err != nil {
		return nil, err
	}
	var objects []Object
	for _, object := range all {
		if !object.own && !object.ofCloud {
			objects = append(objects, object.Object)
		}
	}
	return objects, nil
}

// locate lists all objects except those of ignored kinds.
func (l *Lab) locate(ctx context.Context) ([]located, error) {
	lists, err := l.Client().Discovery().ServerPreferredResources()
	if err != nil {
		// This includes an aggregated API without its server, which is a leftover, too.
		return nil, fmt.Errorf("list the cluster's objects: %w", err)
	}
	client, err := metadata.NewForConfig(l.Config())
	if err != nil {
		return nil, err
	}
	var objects []located
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, kind := range list.APIResources {
			if !slices.Contains(kind.Verbs, "list") || ignoredKind(group.Group, kind.Kind) {
				continue
			}
			items, err := client.Resource(group.WithResource(kind.Name)).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue // the kind went away since it was discovered
			}
			if err != nil {
				return nil, fmt.Errorf("list %s.%s: %w", kind.Name, group.Group, err)
			}
			for i := range items.Items {
				meta := &items.Items[i].ObjectMeta
				object := Object{Group: group.Group, Kind: kind.Kind, Namespace: meta.Namespace, Name: meta.Name}
				objects = append(objects, located{Object: object, resource: group.WithResource(kind.Name),
					own: ownedByCluster(object, meta), ofCloud: madeByCloud(object, meta), held: len(meta.Finalizers) > 0})
			}
		}
	}
	return objects, nil
}

// ignoredKind reports whether only the cluster itself creates objects of a kind.
func ignoredKind(group, kind string) bool {
	switch group {
	case "":
		return slices.Contains([]string{"Event", "Node", "Endpoints", "ComponentStatus"}, kind)
	case "events.k8s.io", "metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io", "flowcontrol.apiserver.k8s.io":
		return true
	case "coordination.k8s.io":
		return kind == "Lease"
	case "storage.k8s.io":
		return kind == "CSINode"
	case "networking.k8s.io":
		// Addresses of Services, which the API server frees some minutes after the Service is deleted.
		return kind == "IPAddress" || kind == "ServiceCIDR"
	}
	return false
}

// madeByCloud reports whether a cloud created the object in its cluster.
func madeByCloud(object Object, meta *metav1.ObjectMeta) bool {
	return meta.Labels[cloud.ManagedLabel] != "" || slices.Contains(cloud.OwnNamespaces(), object.Namespace) ||
		object.Kind == "Namespace" && slices.Contains(cloud.OwnNamespaces(), object.Name)
}

// ownedByCluster reports whether the control plane created the object, perhaps after the lab's start.
func ownedByCluster(object Object, meta *metav1.ObjectMeta) bool {
	switch object.Kind {
	case "ConfigMap":
		return object.Name == "kube-root-ca.crt" ||
			object.Namespace == "kube-system" && slices.Contains([]string{"extension-apiserver-authentication",
				"kube-apiserver-legacy-service-account-token-tracking"}, object.Name)
	case "ServiceAccount":
		// Each controller creates its account when it starts.
		return object.Name == "default" || object.Namespace == "kube-system" && len(meta.Labels) == 0
	case "EndpointSlice":
		return object.Namespace == "default" && object.Name == "kubernetes"
	case "APIService":
		// The API server creates and removes those of built-in APIs and CRDs.
		return meta.Labels["kube-aggregator.kubernetes.io/automanaged"] != ""
	case "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding":
		return meta.Labels["kubernetes.io/bootstrapping"] != ""
	}
	return false
}

// SweptAway returns the objects that were still in a cloud's cluster when the cluster was deleted. A stack that removes
// all its objects leaves only CRDs.
func (l *Lab) SweptAway() []Object {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.swept)
}

// wipe removes all objects that were added after the lab's start, when a cloud's cluster is deleted.
func (l *Lab) wipe(ctx context.Context) error {
	client, err := metadata.NewForConfig(l.Config())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	swept := map[Object]bool{}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.swept = slices.SortedFunc(maps.Keys(swept), func(a, b Object) int { return strings.Compare(a.String(), b.String()) })
	}()
	// Their servers ended with the nodes. Without them, these prevent listing and deleting all other objects.
	for _, resource := range []schema.GroupVersionResource{
		{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
	} {
		items, err := client.Resource(resource).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("wipe: list %s: %w", resource.Resource, err)
		}
		for i := range items.Items {
			object := Object{Group: resource.Group, Kind: kindsOf[resource.Resource], Name: items.Items[i].Name}
			if ownedByCluster(object, &items.Items[i].ObjectMeta) || l.initial[object] {
				continue
			}
			swept[object] = true
			if err := client.Resource(resource).Delete(ctx, object.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("wipe %s: %w", object, err)
			}
		}
	}
	for first := true; ; {
		all, err := l.locate(ctx)
		left := slices.DeleteFunc(all, func(object located) bool { return object.own || l.initial[object.Object] })
		if err == nil && len(left) == 0 {
			return nil
		}
		for _, object := range left {
			if first && !object.ofCloud {
				swept[object.Object] = true
			}
			of := client.Resource(object.resource).Namespace(object.Namespace)
			// Objects that cannot be deleted yet are retried until the time is over.
			now := int64(0)
			_ = of.Delete(ctx, object.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
			if object.held && object.Kind != "Namespace" {
				// The controller that would remove the finalizer has ended.
				_, _ = of.Patch(ctx, object.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			}
		}
		// When nothing could be listed, nothing was deleted either.
		first = first && err != nil
		select {
		case <-ctx.Done():
			return fmt.Errorf("a deleted cluster still holds %d objects: %w", len(left), errors.Join(ctx.Err(), err))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// kindsOf returns the kinds that wipe deletes first.
var kindsOf = map[string]string{
	"apiservices":                     "APIService",
	"validatingwebhookconfigurations": "ValidatingWebhookConfiguration",
	"mutatingwebhookconfigurations":   "MutatingWebhookConfiguration",
}

// DeleteCRDs deletes CustomResourceDefinitions with all their objects, and waits until they are gone.
func (l *Lab) DeleteCRDs(ctx context.Context, names []string) error {
	client, err := metadata.NewForConfig(l.Config())
	if err != nil {
		return err
	}
	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, name := range names {
		if err := definitions.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete CRD %s: %w", name, err)
		}
	}
	for _, name := range names {
		for {
			_, err := definitions.Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("CRD %s is still there: %w", name, errors.Join(ctx.Err(), err))
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}
