package kubernetesprovider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// releaseOutputs returns the inputs and Helm's status of the release.
func releaseOutputs(inputs resource.PropertyMap, r *release.Release) resource.PropertyMap {
	outputs := inputs.Copy()
	status := map[string]any{
		"name": r.Name, "namespace": r.Namespace, "revision": r.Version, "status": r.Info.Status.String(),
	}
	if r.Chart != nil && r.Chart.Metadata != nil {
		status["appVersion"] = r.Chart.Metadata.AppVersion
		status["chart"] = r.Chart.Metadata.Name
		status["version"] = r.Chart.Metadata.Version
	}
	outputs["status"] = resource.NewObjectProperty(resource.NewPropertyMapFromMap(status))
	names := resource.PropertyMap{}
	for _, o := range manifestObjects(r.Manifest) {
		gvk := o.GroupVersionKind()
		key := gvk.Kind
		if gvk.Group != "" {
			key += "." + gvk.Group
		}
		k := resource.PropertyKey(key + "/" + gvk.GroupVersion().String())
		list := names[k]
		if list.IsNull() {
			list = resource.NewArrayProperty(nil)
		}
		names[k] = resource.NewArrayProperty(append(list.ArrayValue(),
			resource.NewStringProperty(identify(o.GetNamespace(), o.GetName()))))
	}
	outputs["resourceNames"] = resource.NewObjectProperty(names)
	return outputs
}

// manifestObjects parses the objects of a rendered manifest, in a fixed order.
func manifestObjects(manifest string) []*unstructured.Unstructured {
	split := releaseutil.SplitManifests(manifest)
	keys := make([]string, 0, len(split))
	for k := range split {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b) // manifest-2 before manifest-10
		}
		return strings.Compare(a, b)
	})
	var objects []*unstructured.Unstructured
	for _, k := range keys {
		o := &unstructured.Unstructured{}
		// Helm has applied this manifest, so it parses; a comment-only document leaves the object empty.
		if err := yaml.Unmarshal([]byte(split[k]), &o.Object); err == nil && o.GetKind() != "" {
			objects = append(objects, o)
		}
	}
	return objects
}

// releaseTroubles lists the workloads and hook Jobs of a release that are not ready, with the reasons.
func releaseTroubles(ctx context.Context, c *cluster, r *release.Release) []string {
	objects := manifestObjects(r.Manifest)
	for _, h := range r.Hooks {
		objects = append(objects, manifestObjects(h.Manifest)...)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var troubles []string
	for _, o := range objects {
		ready := readinessOf(o.GroupVersionKind().GroupKind())
		if ready == nil {
			continue
		}
		m, err := c.mapping(o.GroupVersionKind())
		if err != nil {
			continue
		}
		t := target{mapping: m, object: o}
		namespace := o.GetNamespace()
		if namespace == "" {
			namespace = r.Namespace
		}
		t = t.in(c, namespace)
		live, err := t.client.Get(ctx, t.name(), metav1.GetOptions{})
		if err != nil {
			continue // hooks that succeeded are gone
		}
		missing, err := ready(live.Object)
		if err != nil {
			missing = err.Error()
		}
		if missing != "" {
			troubles = append(troubles, fmt.Sprintf("%s: %s", t, missing))
			troubles = append(troubles, podTroubles(ctx, c, t, live)...)
		}
	}
	return troubles
}
