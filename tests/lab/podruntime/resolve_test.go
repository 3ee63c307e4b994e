package podruntime

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"vllm-autoscaling/tests/lab/router"
)

// serving records in a runtime that a pod's port 8000 is served at that address.
func serving(r *Runtime, pod *corev1.Pod, address string, secure bool) {
	_, port, _ := net.SplitHostPort(address)
	number, _ := net.LookupPort("tcp", port)
	w := newWorker(r, pod)
	w.launched["server"] = &launch{program: Simulator, ports: map[int]endpoint{8000: {port: number, tls: secure}}}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byName[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = w
}

func TestResolve(t *testing.T) {
	ready, unready, number, name := true, false, int32(8000), "http"
	endpointOf := func(pod string, ready *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: ready}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod}}
	}
	service := func(serviceName, ip string) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: serviceName},
			Spec:       corev1.ServiceSpec{ClusterIP: ip, ClusterIPs: []string{ip}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
		}
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "vllm-1", Labels: map[string]string{discoveryv1.LabelServiceName: "vllm"}},
		Ports:      []discoveryv1.EndpointPort{{Name: &name, Port: &number}},
		Endpoints:  []discoveryv1.Endpoint{endpointOf("b", &ready), endpointOf("a", nil), endpointOf("loading", &unready), endpointOf("gone", &ready)},
	}
	listed := serverPod("a")
	listed.Spec.NodeName = "" // so that the runtime does not start it
	r, _, _ := startRuntime(t, nil, service("vllm", "10.96.0.7"), service("empty", "10.96.0.8"), slice, listed)
	one, two := httptest.NewServer(http.NotFoundHandler()), httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(one.Close)
	t.Cleanup(two.Close)
	serving(r, serverPod("a"), one.Listener.Addr().String(), false)
	serving(r, serverPod("b"), two.Listener.Addr().String(), true)
	a := router.Backend{Address: one.Listener.Addr().String()}
	b := router.Backend{Address: two.Listener.Addr().String(), TLS: true}

	both := []router.Backend{a, b}
	tests := []struct {
		name string
		ask  func() ([]router.Backend, error)
		want []router.Backend
		// err is part of the error's text; notFound reports whether it is router.ErrNotFound.
		err      string
		notFound bool
	}{
		{name: "pod by number", ask: func() ([]router.Backend, error) { return only(r.Pod("vllm", "a", "8000")) }, want: []router.Backend{a}},
		{name: "pod by port name", ask: func() ([]router.Backend, error) { return only(r.Pod("vllm", "b", "http")) }, want: []router.Backend{b}},
		{name: "pod without that port name", ask: func() ([]router.Backend, error) { return only(r.Pod("vllm", "a", "web")) }, err: `no port named "web"`,
			notFound: true},
		{name: "pod that does not serve the port", ask: func() ([]router.Backend, error) { return only(r.Pod("vllm", "a", "9")) }, err: "no process serves it"},
		{name: "no such pod", ask: func() ([]router.Backend, error) { return only(r.Pod("vllm", "zzz", "8000")) }, err: "pod vllm/zzz", notFound: true},
		{name: "service by number", ask: func() ([]router.Backend, error) { return r.Service("vllm", "vllm", "80") }, want: both},
		{name: "service by port name", ask: func() ([]router.Backend, error) { return r.Service("vllm", "vllm", "http") }, want: both},
		{name: "service without endpoints", ask: func() ([]router.Backend, error) { return r.Service("vllm", "empty", "80") }, err: "no ready endpoint"},
		{name: "service without the port", ask: func() ([]router.Backend, error) { return r.Service("vllm", "vllm", "8000") }, err: "no port", notFound: true},
		{name: "no such service", ask: func() ([]router.Backend, error) { return r.Service("vllm", "x", "80") }, err: "service vllm/x", notFound: true},
		{name: "cluster IP", ask: func() ([]router.Backend, error) { return r.Cluster("10.96.0.7", "80") }, want: both},
		{name: "DNS name", ask: func() ([]router.Backend, error) { return r.Cluster("vllm.vllm.svc", "80") }, want: both},
		{name: "pod IP", ask: func() ([]router.Backend, error) { return r.Cluster("10.244.0.7", "8000") }, want: []router.Backend{a}},
		{name: "unknown address", ask: func() ([]router.Backend, error) { return r.Cluster("10.1.1.1", "80") }, err: "10.1.1.1:80", notFound: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.ask()
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				if tt.notFound {
					assert.ErrorIs(t, err, router.ErrNotFound)
				} else {
					assert.NotErrorIs(t, err, router.ErrNotFound)
				}
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func only(b router.Backend, err error) ([]router.Backend, error) { return []router.Backend{b}, err }
