package apiservices

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CustomMetrics is the APIService that a stack registers, for its adapter.
const CustomMetrics = "v1beta1.custom.metrics.k8s.io"

// Getter reads an object from an API server; *kubeclient.Client is one.
type Getter interface {
	Get(ctx context.Context, path string, query url.Values, into any) error
}

// Unavailable is an APIService that is not available.
type Unavailable struct {
	// Name of the APIService, such as v1beta1.external.metrics.k8s.io.
	Name string
	// Namespace and Service are what should answer for it.
	Namespace, Service string
	// Reason and Message are the aggregator's, such as ServiceNotFound.
	Reason, Message string
	// Owner is whom it belongs to, as far as its labels and annotations have it; "" for nobody.
	Owner string
}

// apiService is an APIService as far as it is used here.
type apiService struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		// Service is nil for an API that the API server serves itself.
		Service *struct{ Namespace, Name string } `json:"service"`
	} `json:"spec"`
	Status struct {
		Conditions []struct{ Type, Status, Reason, Message string } `json:"conditions"`
	} `json:"status"`
}

// Find returns the APIServices that are not available, sorted by name.
func Find(ctx context.Context, cluster Getter) ([]Unavailable, error) {
	var list struct {
		Items []apiService `json:"items"`
	}
	// A program that a kubeconfig calls to log in does not end with the context.
	read := make(chan error, 1)
	go func() { read <- cluster.Get(ctx, "/apis/apiregistration.k8s.io/v1/apiservices", nil, &list) }()
	select {
	case err := <-read:
		if err != nil {
			return nil, fmt.Errorf("reading the APIServices: %w", err)
		}
	case <-ctx.Done():
		return nil, fmt.Errorf("reading the APIServices: %w", ctx.Err())
	}
	var found []Unavailable
	for _, s := range list.Items {
		for _, c := range s.Status.Conditions {
			if c.Type == "Available" && c.Status == "False" && s.Spec.Service != nil {
				found = append(found, Unavailable{
					Name: s.Name, Namespace: s.Spec.Service.Namespace, Service: s.Spec.Service.Name,
					Reason: c.Reason, Message: oneLine(c.Message), Owner: Owner(s.ObjectMeta),
				})
			}
		}
	}
	slices.SortFunc(found, func(a, b Unavailable) int { return cmp.Compare(a.Name, b.Name) })
	return found, nil
}

// Others returns what does not belong to the stack whose adapter runs in a namespace. Its own is deleted before the namespaces.
func Others(found []Unavailable, monitoring string) []Unavailable {
	return slices.DeleteFunc(slices.Clone(found), func(u Unavailable) bool { return u.Name == CustomMetrics && u.Namespace == monitoring })
}

// String returns what is wrong, and whom it concerns.
func (u Unavailable) String() string {
	text := fmt.Sprintf("APIService %s is not available (%s: %s)", u.Name, u.Reason, u.Message)
	if u.Owner == "" {
		return text + "; nothing in its labels and annotations names an owner"
	}
	return text + "; it belongs to " + u.Owner
}

// Remedy returns what to do about it. kubectl is how people call kubectl for the cluster.
func (u Unavailable) Remedy(kubectl string) string {
	return fmt.Sprintf("make Service %s/%s answer, or, if nobody needs the API any more, `%s delete apiservice %s`", u.Namespace, u.Service, kubectl, u.Name)
}

// Owner returns whom an object belongs to, as its labels and annotations have it; "" for nobody.
func Owner(o metav1.ObjectMeta) string {
	label := func(names ...string) string {
		for _, name := range names {
			if o.Labels[name] != "" {
				return o.Labels[name]
			}
		}
		return ""
	}
	switch {
	case o.Annotations["meta.helm.sh/release-name"] != "":
		return fmt.Sprintf("Helm release %s/%s", o.Annotations["meta.helm.sh/release-namespace"], o.Annotations["meta.helm.sh/release-name"])
	case len(o.OwnerReferences) > 0:
		return o.OwnerReferences[0].Kind + " " + o.OwnerReferences[0].Name
	case label("olm.owner") != "":
		return "the operator " + label("olm.owner")
	case label("addonmanager.kubernetes.io/mode", "kubernetes.io/cluster-service", "eks.amazonaws.com/component") != "":
		return "the cluster's own add-ons"
	}
	return label("app.kubernetes.io/part-of", "app.kubernetes.io/instance", "app.kubernetes.io/name", "app", "k8s-app")
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
