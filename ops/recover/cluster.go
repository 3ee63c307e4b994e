package recover

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// requestTimeout is how long the API server may take for a request.
	requestTimeout = 20 * time.Second
	// removalTimeout is how long what a release left may take to be deleted.
	removalTimeout = 2 * time.Minute
	pollInterval   = 500 * time.Millisecond
)

var secrets = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// Cluster is the cluster of a Kubernetes provider in the state.
type Cluster struct {
	objects dynamic.Interface
	kinds   meta.RESTMapper
	// namespace is that of an object without one.
	namespace string
}

// Connect connects to the cluster of a provider in a state that was exported with its secrets. Relative paths are relative to
// the project's folder. Its errors quote no credentials.
func Connect(_ context.Context, provider Resource, projectDir string) (*Cluster, error) {
	inputs := provider.Inputs()
	text := func(key string) string { s, _ := inputs[key].(string); return s }
	config, err := restConfig(text("kubeconfig"), text("context"), projectDir)
	if err != nil {
		return nil, err
	}
	config.Timeout = requestTimeout
	config.QPS, config.Burst = 100, 200
	config.WarningHandler = rest.NoWarnings{}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, unusableKubeconfig(provider)
	}
	groups, err := restmapper.GetAPIGroupResources(client)
	if err != nil {
		return nil, fmt.Errorf("the cluster at %s does not answer: %w", config.Host, err)
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, unusableKubeconfig(provider)
	}
	return &Cluster{objects: objects, kinds: restmapper.NewDiscoveryRESTMapper(groups), namespace: text("namespace")}, nil
}

func unusableKubeconfig(provider Resource) error {
	return fmt.Errorf("the kubeconfig of the stack's provider %s is not usable", provider.Name())
}

// restConfig reads a provider's kubeconfig: its content, a path, or "" for that of this machine.
func restConfig(kubeconfig, kubeContext, projectDir string) (*rest.Config, error) {
	overrides := &clientcmd.ConfigOverrides{CurrentContext: kubeContext}
	if strings.Contains(kubeconfig, "\n") || strings.HasPrefix(strings.TrimSpace(kubeconfig), "{") {
		raw, err := clientcmd.Load([]byte(kubeconfig))
		if err != nil {
			return nil, errors.New("the kubeconfig in the state cannot be parsed")
		}
		config, err := clientcmd.NewDefaultClientConfig(*raw, overrides).ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("the kubeconfig in the state has no usable context %q", cmp.Or(kubeContext, raw.CurrentContext))
		}
		return config, nil
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if kubeconfig != "" {
		if !filepath.IsAbs(kubeconfig) && !strings.HasPrefix(kubeconfig, "~/") {
			kubeconfig = filepath.Join(projectDir, kubeconfig)
		}
		if below, ok := strings.CutPrefix(kubeconfig, "~/"); ok {
			kubeconfig = filepath.Join(clientcmd.RecommendedConfigDir, "..", below)
		}
		rules.ExplicitPath = kubeconfig
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s has no usable context %q", cmp.Or(kubeconfig, "of this machine"), kubeContext)
	}
	return config, nil
}

// kindOf returns the kind of an object in a state.
func kindOf(r Resource) (schema.GroupVersionKind, error) {
	inputs := r.Inputs()
	version, _ := inputs["apiVersion"].(string)
	kind, _ := inputs["kind"].(string)
	if version == "" || kind == "" {
		parts := strings.Split(r.Type(), ":")
		if len(parts) != 3 {
			return schema.GroupVersionKind{}, fmt.Errorf("type %q is not kubernetes:<group>/<version>:<Kind>", r.Type())
		}
		version, kind = strings.TrimPrefix(parts[1], "core/"), parts[2] // the core group has no name in Kubernetes
	}
	gv, err := schema.ParseGroupVersion(version)
	return gv.WithKind(kind), err
}

// client returns the client for a kind and the namespace, "" for a cluster-scoped one; nil for a kind that is not served.
func (c *Cluster) client(gvk schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, string, error) {
	mapping, err := c.kinds.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	objects := c.objects.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return objects, "", nil
	}
	namespace = cmp.Or(namespace, c.namespace, metav1.NamespaceDefault)
	return objects.Namespace(namespace), namespace, nil
}

// Find returns the id of an object of the state that exists, "" when it does not exist or is being deleted.
func (c *Cluster) Find(ctx context.Context, r Resource) (string, error) {
	gvk, err := kindOf(r)
	if err != nil {
		return "", err
	}
	metadata, _ := r.Inputs()["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	name, _ := metadata["name"].(string)
	if r.ID() != "" { // of a resource that was read, whose inputs may lack it
		name = r.ID()[strings.LastIndex(r.ID(), "/")+1:]
		if before, _, found := strings.Cut(r.ID(), "/"); found {
			namespace = before
		}
	}
	if name == "" {
		return "", fmt.Errorf("%s has no name in the state", r)
	}
	client, namespace, err := c.client(gvk, namespace)
	if err != nil || client == nil {
		return "", err
	}
	live, err := client.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && live.GetDeletionTimestamp() != nil:
		return "", nil
	case err != nil:
		return "", fmt.Errorf("look for %s: %w", r, err)
	}
	return objectID(namespace, name), nil
}

func objectID(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// releaseOf returns namespace and name of a release in the state.
func (c *Cluster) releaseOf(r Resource) (namespace, name string) {
	if namespace, name, found := strings.Cut(r.ID(), "/"); found {
		return namespace, name
	}
	inputs := r.Inputs()
	namespace, _ = inputs["namespace"].(string)
	name, _ = inputs["name"].(string)
	return cmp.Or(namespace, c.namespace, metav1.NamespaceDefault), name
}

// History returns the revisions of a release that Helm has stored.
func (c *Cluster) History(ctx context.Context, namespace, name string) (History, error) {
	list, err := c.objects.Resource(secrets).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm,name=" + name})
	if err != nil {
		return nil, fmt.Errorf("look for the revisions of release %s/%s: %w", namespace, name, err)
	}
	var history History
	for _, secret := range list.Items {
		data, _, _ := unstructured.NestedString(secret.Object, "data", "release")
		stored, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil, fmt.Errorf("secret %s/%s: %w", namespace, secret.GetName(), err)
		}
		revision, err := decodeRevision(stored)
		if err != nil {
			return nil, fmt.Errorf("secret %s/%s is no revision of a Helm release: %w", namespace, secret.GetName(), err)
		}
		revision.Secret = secret.GetName()
		history = append(history, revision)
	}
	slices.SortFunc(history, func(a, b *Revision) int { return a.Version - b.Version })
	return history, nil
}

// DeleteRevision deletes a stored revision, and nothing that the release has created.
func (c *Cluster) DeleteRevision(ctx context.Context, r *Revision) error {
	err := c.objects.Resource(secrets).Namespace(r.Namespace).Delete(ctx, r.Secret, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete secret %s/%s: %w", r.Namespace, r.Secret, err)
	}
	return nil
}

// first are the kinds whose objects keep others from being deleted while nothing serves them.
var first = []string{"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService"}

// Uninstall deletes what a release has created and its revisions, as `helm uninstall` does without hooks. Objects that the chart
// keeps, and those which are not marked as the release's, stay.
func (c *Cluster) Uninstall(ctx context.Context, history History) error {
	ctx, cancel := context.WithTimeout(ctx, removalTimeout)
	defer cancel()
	var objects []*unstructured.Unstructured
	for _, revision := range history {
		manifests := []string{revision.Manifest}
		for _, hook := range revision.Hooks {
			manifests = append(manifests, hook.Manifest)
		}
		for _, manifest := range manifests {
			parsed, err := parseManifest(manifest)
			if err != nil {
				return fmt.Errorf("manifest in secret %s/%s: %w", revision.Namespace, revision.Secret, err)
			}
			objects = append(objects, parsed...)
		}
	}
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Compare(rank(a.GetKind()), rank(b.GetKind()))
	})
	for _, object := range objects {
		if err := c.deleteOwned(ctx, object, history.last()); err != nil {
			return err
		}
	}
	for _, object := range objects {
		if err := c.awaitGone(ctx, object, history.last()); err != nil {
			return err
		}
	}
	for _, revision := range history {
		if err := c.DeleteRevision(ctx, revision); err != nil {
			return err
		}
	}
	return nil
}

func rank(kind string) int {
	if i := slices.Index(first, kind); i >= 0 {
		return i
	}
	return len(first)
}

func parseManifest(manifest string) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if object.GetKind() != "" {
			objects = append(objects, object)
		}
	}
}

// live returns an object of a release with its client, nil when it does not exist or is not the release's.
func (c *Cluster) live(ctx context.Context, object *unstructured.Unstructured, r *Revision) (*unstructured.Unstructured, dynamic.ResourceInterface, error) {
	client, _, err := c.client(object.GroupVersionKind(), cmp.Or(object.GetNamespace(), r.Namespace))
	if err != nil || client == nil {
		return nil, nil, err
	}
	live, err := client.Get(ctx, object.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look for %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	if !r.owns(live) {
		return nil, nil, nil
	}
	return live, client, nil
}

// owns reports whether an object is marked as the release's. Helm does not mark objects of hooks, charts do.
func (r *Revision) owns(live *unstructured.Unstructured) bool {
	annotations, labels := live.GetAnnotations(), live.GetLabels()
	if annotations["helm.sh/resource-policy"] == "keep" {
		return false
	}
	if owner := annotations["meta.helm.sh/release-name"]; owner != "" {
		return owner == r.Name && annotations["meta.helm.sh/release-namespace"] == r.Namespace
	}
	return annotations["helm.sh/hook"] != "" && (labels["app.kubernetes.io/instance"] == r.Name || labels["release"] == r.Name)
}

func (c *Cluster) deleteOwned(ctx context.Context, object *unstructured.Unstructured, r *Revision) error {
	live, client, err := c.live(ctx, object, r)
	if err != nil || live == nil {
		return err
	}
	uid, background := live.GetUID(), metav1.DeletePropagationBackground
	err = client.Delete(ctx, live.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete %s %s: %w", live.GetKind(), objectID(live.GetNamespace(), live.GetName()), err)
	}
	return nil
}

func (c *Cluster) awaitGone(ctx context.Context, object *unstructured.Unstructured, r *Revision) error {
	for {
		live, _, err := c.live(ctx, object, r)
		if err != nil || live == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s %s is not gone after %s, finalizers %v", live.GetKind(), objectID(live.GetNamespace(), live.GetName()),
				removalTimeout, live.GetFinalizers())
		case <-time.After(pollInterval):
		}
	}
}
