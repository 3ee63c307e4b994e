package podruntime

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"

	"vllm-autoscaling/tests/lab/controlplane"
	"vllm-autoscaling/tests/lab/router"
)

// Pod returns the process behind a pod's port, given as a number or by name. It implements router.Resolver.
func (r *Runtime) Pod(namespace, pod, port string) (router.Backend, error) {
	w := r.worker(namespace, pod)
	if w == nil {
		return router.Backend{}, fmt.Errorf("pod %s/%s: %w", namespace, pod, router.ErrNotFound)
	}
	number, err := portNumber(w.pod, port)
	if err != nil {
		return router.Backend{}, err
	}
	if at, ok := w.endpoint(number); ok {
		return router.Backend{Address: "127.0.0.1:" + strconv.Itoa(at.port), TLS: at.tls}, nil
	}
	why := "no process serves it (yet)"
	if err := w.lastError(); err != nil {
		why = err.Error()
	}
	return router.Backend{}, fmt.Errorf("pod %s/%s, port %s: %s", namespace, pod, port, why)
}

func portNumber(pod *corev1.Pod, port string) (int, error) {
	if number, err := strconv.Atoi(port); err == nil {
		return number, nil
	}
	for _, container := range pod.Spec.Containers {
		for _, p := range container.Ports {
			if p.Name == port {
				return int(p.ContainerPort), nil
			}
		}
	}
	return 0, fmt.Errorf("pod %s/%s has no port named %q: %w", pod.Namespace, pod.Name, port, router.ErrNotFound)
}

// Service returns the processes behind the ready endpoints of a Service's port, given as a number or by name.
func (r *Runtime) Service(namespace, service, port string) ([]router.Backend, error) {
	object, err := r.services.Services(namespace).Get(service)
	if err != nil {
		return nil, fmt.Errorf("service %s/%s: %w", namespace, service, router.ErrNotFound)
	}
	i := slices.IndexFunc(object.Spec.Ports, func(p corev1.ServicePort) bool {
		return p.Name == port || strconv.Itoa(int(p.Port)) == port
	})
	if i < 0 {
		return nil, fmt.Errorf("service %s/%s has no port %q: %w", namespace, service, port, router.ErrNotFound)
	}
	slicesOf, err := r.endpointSlices.EndpointSlices(namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service}))
	if err != nil {
		return nil, err
	}
	var found []router.Backend
	var last error
	for _, place := range readyEndpoints(slicesOf, object.Spec.Ports[i].Name) {
		backend, err := r.Pod(namespace, place.pod, strconv.Itoa(place.port))
		if err != nil {
			last = err
			continue
		}
		found = append(found, backend)
	}
	if len(found) == 0 {
		if last == nil {
			last = fmt.Errorf("no ready endpoint")
		}
		return nil, fmt.Errorf("service %s/%s, port %s: %w", namespace, service, port, last)
	}
	return found, nil
}

type podPort struct {
	pod  string
	port int
}

// readyEndpoints returns the pods and port numbers behind a Service's port of that name, ordered by pod.
func readyEndpoints(all []*discoveryv1.EndpointSlice, portName string) []podPort {
	var found []podPort
	for _, slice := range all {
		for _, port := range slice.Ports {
			if port.Port == nil || (port.Name == nil && portName != "") || (port.Name != nil && *port.Name != portName) {
				continue
			}
			for _, e := range slice.Endpoints {
				ready := e.Conditions.Ready == nil || *e.Conditions.Ready
				if ready && e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
					found = append(found, podPort{pod: e.TargetRef.Name, port: int(*port.Port)})
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b podPort) int { return cmp.Or(cmp.Compare(a.pod, b.pod), cmp.Compare(a.port, b.port)) })
	return slices.Compact(found)
}

// Cluster returns the processes behind a cluster address: a Service's cluster IP or DNS name, or a pod's IP.
func (r *Runtime) Cluster(host, port string) ([]router.Backend, error) {
	services, err := r.services.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	name, namespace, named := serviceName(host, "")
	for _, s := range services {
		if slices.Contains(s.Spec.ClusterIPs, host) || s.Spec.ClusterIP == host || (named && s.Name == name && s.Namespace == namespace) {
			return r.Service(s.Namespace, s.Name, port)
		}
	}
	pods, err := r.pods.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	for _, pod := range pods {
		if pod.Status.PodIP == host && !pod.Spec.HostNetwork && !finished(pod) {
			backend, err := r.Pod(pod.Namespace, pod.Name, port)
			return []router.Backend{backend}, err
		}
	}
	if r.kubelet != nil && port == strconv.Itoa(controlplane.KubeletPort) && r.isNode(host) {
		return []router.Backend{{Address: r.kubelet.Address(), TLS: true}}, nil
	}
	return nil, fmt.Errorf("cluster address %s:%s belongs to no Service and no pod of the lab: %w", host, port, router.ErrNotFound)
}

// isNode reports whether a node has that name or address.
func (r *Runtime) isNode(host string) bool {
	nodes, err := r.nodes.List(labels.Everything())
	return err == nil && slices.ContainsFunc(nodes, func(n *corev1.Node) bool {
		return n.Name == host || slices.ContainsFunc(n.Status.Addresses, func(a corev1.NodeAddress) bool { return a.Address == host })
	})
}

// runningSeries is the simulator's gauge of running requests.
const runningSeries = "vllm:num_requests_running"

// running returns the number of running requests of a pod's model server, 0 while it is not ready.
func (r *Runtime) running(ctx context.Context, pod *corev1.Pod) int {
	w := r.worker(pod.Namespace, pod.Name)
	if w == nil || w.pod.UID != pod.UID {
		return 0
	}
	at, ok := w.endpointOf(Simulator)
	if !ok {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", at.port), nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return 0
	}
	var sum float64
	for _, metric := range families[runningSeries].GetMetric() {
		sum += metric.GetGauge().GetValue()
	}
	return int(sum)
}
