package neighbours

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/providers/apiservices"
)

// StateMetrics is the Service of a kube-state-metrics.
type StateMetrics struct {
	Object
	// Labels of the Service, and the names of its ports.
	Labels map[string]string
	Ports  []string
}

// Operator is a Prometheus Operator.
type Operator struct {
	Object
	// Version of its image, such as v0.85.0; "" if the image has none.
	Version string
}

// CRDs are those of the Prometheus Operator.
type CRDs struct {
	// Version is that of the operator which they are made for, such as 0.85.0; "" if they do not have it.
	Version string
}

// workload is a DaemonSet or a Deployment as far as it is used here.
type workload struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Template struct {
			Spec struct {
				HostNetwork  bool
				NodeSelector map[string]string
				Containers   []struct {
					Image         string
					Command, Args []string
					Ports         []corev1.ContainerPort
				}
			}
		}
	}
}

// nodeExporters returns the foreign DaemonSets with the port of the stack's node exporter on Linux nodes.
func nodeExporters(ctx context.Context, cluster Getter, stack Stack) ([]Object, error) {
	if stack.NodeExporterPort == 0 {
		return nil, nil
	}
	var list struct{ Items []workload }
	if err := cluster.Get(ctx, "/apis/apps/v1/daemonsets", nil, &list); err != nil {
		return nil, fmt.Errorf("reading the DaemonSets: %w", err)
	}
	var foreign []Object
	for _, d := range list.Items {
		if !stack.own(d.ObjectMeta) && d.takes(stack.NodeExporterPort) && d.Spec.Template.Spec.NodeSelector["kubernetes.io/os"] != "windows" {
			foreign = append(foreign, object("DaemonSet", d.ObjectMeta))
		}
	}
	return foreign, nil
}

// takes reports whether the pods take a port of their nodes.
func (w workload) takes(port int) bool {
	for _, c := range w.Spec.Template.Spec.Containers {
		for _, p := range c.Ports {
			if int(p.HostPort) == port || w.Spec.Template.Spec.HostNetwork && int(p.ContainerPort) == port {
				return true
			}
		}
	}
	return false
}

// stateMetrics returns the foreign Services of kube-state-metrics.
func stateMetrics(ctx context.Context, cluster Getter, stack Stack) ([]StateMetrics, error) {
	var list struct{ Items []corev1.Service }
	query := url.Values{"labelSelector": {"app.kubernetes.io/name=kube-state-metrics"}}
	if err := cluster.Get(ctx, "/api/v1/services", query, &list); err != nil {
		return nil, fmt.Errorf("reading the Services of kube-state-metrics: %w", err)
	}
	var foreign []StateMetrics
	for _, s := range list.Items {
		if stack.own(s.ObjectMeta) {
			continue
		}
		found := StateMetrics{Object: object("Service", s.ObjectMeta), Labels: s.Labels}
		for _, port := range s.Spec.Ports {
			found.Ports = append(found.Ports, port.Name)
		}
		foreign = append(foreign, found)
	}
	return foreign, nil
}

// operatorSelectors select the operator as its usual installations label it: the operator's own manifests and kube-prometheus, and
// kube-prometheus-stack.
var operatorSelectors = []string{
	"app.kubernetes.io/name=prometheus-operator", "app=kube-prometheus-stack-operator", "app.kubernetes.io/component=prometheus-operator",
}

// operators returns the foreign operators that run the stack's Prometheus too, and the version of the stack's own.
func operators(ctx context.Context, cluster Getter, stack Stack) (foreign []Operator, own string, err error) {
	for _, selector := range operatorSelectors {
		var list struct{ Items []workload }
		if err := cluster.Get(ctx, "/apis/apps/v1/deployments", url.Values{"labelSelector": {selector}}, &list); err != nil {
			return foreign, own, fmt.Errorf("reading the Deployments of the Prometheus Operator: %w", err)
		}
		for _, d := range list.Items {
			image, args := d.operator()
			if image == "" {
				continue
			}
			found := Operator{Object: object("Deployment", d.ObjectMeta), Version: tagOf(image)}
			switch {
			case stack.own(d.ObjectMeta):
				own = found.Version
			case runs(args, stack.Monitoring) && !slices.Contains(foreign, found):
				foreign = append(foreign, found)
			}
		}
	}
	return foreign, own, nil
}

// operator returns the image and the arguments of the container with the operator; "" for another program.
func (w workload) operator() (image string, args []string) {
	for _, c := range w.Spec.Template.Spec.Containers {
		if strings.Contains(c.Image, "prometheus-operator") && !strings.Contains(c.Image, "config-reloader") {
			return c.Image, slices.Concat(c.Command, c.Args)
		}
	}
	return "", nil
}

// runs reports whether an operator with these arguments runs a Prometheus of a namespace that has no controller id.
func runs(args []string, namespace string) bool {
	for _, arg := range args {
		name, value, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		listed := slices.Contains(strings.Split(value, ","), namespace)
		switch name {
		case "controller-id":
			return false
		case "namespaces", "prometheus-instance-namespaces":
			if value != "" && !listed {
				return false
			}
		case "deny-namespaces":
			if listed {
				return false
			}
		}
	}
	return true
}

// tagOf returns the tag of an image.
func tagOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	_, tag, found := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	if !found {
		return ""
	}
	return tag
}

// crds returns the operator's CRDs, of which the smallest stands for all.
func crds(ctx context.Context, cluster Getter) (found *CRDs, none bool, err error) {
	const name = "prometheusrules.monitoring.coreos.com"
	var definition struct {
		metav1.ObjectMeta `json:"metadata"`
	}
	there, err := get(ctx, cluster, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"+name, &definition)
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("reading CRD %s: %w", name, err)
	case !there:
		return nil, true, nil
	}
	return &CRDs{Version: definition.Annotations["operator.prometheus.io/version"]}, false, nil
}

func object(kind string, o metav1.ObjectMeta) Object {
	return Object{Kind: kind, Namespace: o.Namespace, Name: o.Name, Owner: apiservices.Owner(o)}
}
