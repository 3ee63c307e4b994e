package neighbours

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/providers/apiservices"
	"vllm-autoscaling/providers/kubeclient"
)

// releaseNamespace is Helm's annotation on the objects of a release with the namespace that it is installed into.
const releaseNamespace = "meta.helm.sh/release-namespace"

// Getter reads an object from an API server; *kubeclient.Client is one.
type Getter interface {
	Get(ctx context.Context, path string, query url.Values, into any) error
}

// Stack is what a stack registers in the cluster.
type Stack struct {
	// Monitoring is its monitoring namespace. Required.
	Monitoring string
	// APIs are the groups of the aggregated APIs that it registers, such as custom.metrics.k8s.io.
	APIs []string
	// ClusterRoles are those of its charts, by which two releases of a chart with the same names exclude each other.
	ClusterRoles []string
	// Project is the value of the label app.kubernetes.io/part-of on the objects of all stacks of the program.
	Project string
	// Workloads are the DaemonSets and Deployments of its releases in a namespace that all stacks share, kube-system.
	Workloads []Object
	// NodeExporterPort is the port of its node exporter on every node; 0 for none.
	NodeExporterPort int
}

// Object is an object of somebody else.
type Object struct {
	// Kind and Name; Namespace is "" for an object of the whole cluster.
	Kind, Namespace, Name string
	// Owner is whom it belongs to, as far as its labels and annotations have it; "" for nobody.
	Owner string
}

// String returns the object with its owner.
func (o Object) String() string {
	text := o.Kind + " " + strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")
	if o.Owner == "" {
		return text
	}
	return fmt.Sprintf("%s (of %s)", text, o.Owner)
}

// API is an aggregated API of somebody else.
type API struct {
	Object
	// Group of the API.
	Group string
	// ServiceNamespace and Service answer for it.
	ServiceNamespace, Service string
	// Stack is true if a stack of this program has registered it.
	Stack bool
}

// Found is what a cluster has of somebody else.
type Found struct {
	// APIs are those of the groups that the stack registers.
	APIs []API
	// ClusterRoles are those of the names that the stack's charts create.
	ClusterRoles []Object
	// Workloads are those of the stack's that are there, whoever installed them: a second update of the stack finds its own.
	Workloads []Object
	// NodeExporters are DaemonSets that take the port of the stack's node exporter on their nodes.
	NodeExporters []Object
	// StateMetrics are Services of kube-state-metrics.
	StateMetrics []StateMetrics
	// Operators are Prometheus Operators that run the Prometheus of every namespace, the stack's among them.
	Operators []Operator
	// OperatorsRead is true if the cluster was asked for its operators and answered.
	OperatorsRead bool
	// CRDs are those of the Prometheus Operator, whoever installed them; nil if there are none or they cannot be read.
	CRDs *CRDs
	// NoCRDs is true if the cluster was asked and has none.
	NoCRDs bool
	// OwnOperator is the version of the stack's own operator; "" if it does not run.
	OwnOperator string
}

// Find looks at a cluster. What it may not read, or gets no answer about, is an error beside what it has found.
func Find(ctx context.Context, cluster Getter, stack Stack) (Found, error) {
	var found Found
	looks := []func() error{
		func() (err error) { found.APIs, err = apis(ctx, cluster, stack); return err },
		func() (err error) { found.ClusterRoles, err = clusterRoles(ctx, cluster, stack); return err },
		func() (err error) { found.Workloads, err = workloads(ctx, cluster, stack); return err },
		func() (err error) { found.NodeExporters, err = nodeExporters(ctx, cluster, stack); return err },
		func() (err error) { found.StateMetrics, err = stateMetrics(ctx, cluster, stack); return err },
		func() (err error) {
			found.Operators, found.OwnOperator, err = operators(ctx, cluster, stack)
			found.OperatorsRead = err == nil
			return err
		},
		func() (err error) { found.CRDs, found.NoCRDs, err = crds(ctx, cluster); return err },
	}
	problems := make([]error, len(looks))
	var all sync.WaitGroup
	for i, look := range looks {
		all.Go(func() { problems[i] = look() })
	}
	all.Wait()
	return found, errors.Join(problems...)
}

// apis returns the foreign APIServices of the stack's groups, sorted by name.
func apis(ctx context.Context, cluster Getter, stack Stack) ([]API, error) {
	if len(stack.APIs) == 0 {
		return nil, nil
	}
	var list struct {
		Items []struct {
			metav1.ObjectMeta `json:"metadata"`

			Spec struct {
				Group   string
				Service *struct{ Namespace, Name string }
			}
		}
	}
	if err := cluster.Get(ctx, "/apis/apiregistration.k8s.io/v1/apiservices", nil, &list); err != nil {
		return nil, fmt.Errorf("reading the APIServices: %w", err)
	}
	var foreign []API
	for _, s := range list.Items {
		if s.Spec.Service == nil || !slices.Contains(stack.APIs, s.Spec.Group) || s.Spec.Service.Namespace == stack.Monitoring {
			continue
		}
		api := API{
			Object: Object{Kind: "APIService", Name: s.Name, Owner: apiservices.Owner(s.ObjectMeta)},
			Group:  s.Spec.Group, ServiceNamespace: s.Spec.Service.Namespace, Service: s.Spec.Service.Name,
		}
		if s.Labels["app.kubernetes.io/part-of"] == stack.Project && stack.Project != "" {
			api.Stack, api.Owner = true, "another stack of this program in namespace "+api.ServiceNamespace
		}
		foreign = append(foreign, api)
	}
	slices.SortFunc(foreign, func(a, b API) int { return strings.Compare(a.Name, b.Name) })
	return foreign, nil
}

// clusterRoles returns the foreign ClusterRoles of the stack's names.
func clusterRoles(ctx context.Context, cluster Getter, stack Stack) ([]Object, error) {
	var foreign []Object
	for _, name := range stack.ClusterRoles {
		var role struct {
			metav1.ObjectMeta `json:"metadata"`
		}
		there, err := get(ctx, cluster, "/apis/rbac.authorization.k8s.io/v1/clusterroles/"+name, &role)
		if err != nil {
			return foreign, fmt.Errorf("reading ClusterRole %s: %w", name, err)
		}
		if there && role.Name == name && role.Annotations[releaseNamespace] != stack.Monitoring {
			foreign = append(foreign, Object{Kind: "ClusterRole", Name: name, Owner: apiservices.Owner(role.ObjectMeta)})
		}
	}
	return foreign, nil
}

// workloads returns the stack's workloads in a shared namespace that are there.
func workloads(ctx context.Context, cluster Getter, stack Stack) ([]Object, error) {
	var there []Object
	for _, w := range stack.Workloads {
		var read struct {
			metav1.ObjectMeta `json:"metadata"`
		}
		path := fmt.Sprintf("/apis/apps/v1/namespaces/%s/%ss/%s", w.Namespace, strings.ToLower(w.Kind), w.Name)
		found, err := get(ctx, cluster, path, &read)
		if err != nil {
			return there, fmt.Errorf("reading %s: %w", w, err)
		}
		if found && read.Name == w.Name {
			there = append(there, Object{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name, Owner: apiservices.Owner(read.ObjectMeta)})
		}
	}
	return there, nil
}

// get reads an object and reports whether there is one.
func get(ctx context.Context, cluster Getter, path string, into any) (bool, error) {
	err := cluster.Get(ctx, path, nil, into)
	var status *kubeclient.StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

// own reports whether an object of a namespace is the stack's: a release installs into the monitoring namespace.
func (s Stack) own(o metav1.ObjectMeta) bool {
	if namespace := o.Annotations[releaseNamespace]; namespace != "" {
		return namespace == s.Monitoring
	}
	return o.Namespace == s.Monitoring
}
