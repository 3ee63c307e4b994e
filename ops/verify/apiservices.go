package verify

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// unavailableBecause returns why an aggregated API does not answer, in the aggregator's words.
func unavailableBecause(service *apiregistrationv1.APIService) (string, bool) {
	for _, c := range service.Status.Conditions {
		if c.Type != apiregistrationv1.Available {
			continue
		}
		return c.Reason + ": " + c.Message, c.Status != apiregistrationv1.ConditionTrue
	}
	return "the aggregator has not checked it yet", true
}

// servedBy returns the Service behind an APIService, as namespace/name.
func servedBy(service *apiregistrationv1.APIService) string {
	if s := service.Spec.Service; s != nil {
		return s.Namespace + "/" + s.Name
	}
	return "no Service"
}

// describeAPI names an APIService, what serves it and whose it is.
func describeAPI(service *apiregistrationv1.APIService) string {
	text := fmt.Sprintf("APIService %s (served by %s", service.Name, servedBy(service))
	if owner := ownerOf(service.ObjectMeta); owner != "" {
		text += "; " + owner
	}
	return text + ")"
}

// ownerOf returns what an object's labels, annotations and owner references tell of who created it.
func ownerOf(o metav1.ObjectMeta) string {
	var parts []string
	for _, owner := range o.OwnerReferences {
		parts = append(parts, "owned by "+owner.Kind+" "+owner.Name)
	}
	if release := o.Annotations["meta.helm.sh/release-name"]; release != "" {
		parts = append(parts, "Helm release "+o.Annotations["meta.helm.sh/release-namespace"]+"/"+release)
	}
	for _, label := range []string{
		"app.kubernetes.io/managed-by", "app.kubernetes.io/part-of", "app.kubernetes.io/name", "app.kubernetes.io/instance", "helm.sh/chart", "olm.owner",
		"addonmanager.kubernetes.io/mode", "app", "k8s-app",
	} {
		if value := o.Labels[label]; value != "" {
			parts = append(parts, label+"="+value)
		}
	}
	return strings.Join(slices.Compact(parts), ", ")
}

// apiHints returns where to look at an APIService that fails, and the way out.
func (w *walk) apiHints(service *apiregistrationv1.APIService) []string {
	a := w.Pipeline.Adapter
	look := []string{"$ " + w.Kubectl + " get apiservices " + service.Name + " -o yaml"}
	if servedBy(service) == a.Namespace+"/"+a.Name {
		return append(append(look, w.kubectl(a.Namespace, "get deployment,endpointslices -l app.kubernetes.io/name=%s", a.Name)), w.pipeline.adapterHints(w)...)
	}
	if s := service.Spec.Service; s != nil {
		look = append(look, w.kubectl(s.Namespace, "get service,endpointslices,pods"))
	}
	return append(look,
		"bring back what serves it; if that program is gone, or must not serve this API, delete the APIService: no namespace can be deleted while it fails",
		"$ "+w.Kubectl+" delete apiservice "+service.Name)
}
