package portforward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// Forward forwards a port of 127.0.0.1 to a port of one pod.
type Forward struct {
	// Address is the host:port on this machine.
	Address string

	stop      chan struct{}
	once      sync.Once
	done      chan struct{}
	err       error
	podErrors lockedBuffer
}

// Open connects to a port of a running pod and listens on a free port of 127.0.0.1 until Close or
// until the connection to the API server ends. The caller's role needs the verb create (and get, for API servers
// that support WebSockets) on pods/portforward. The context limits the start only.
func Open(ctx context.Context, config *rest.Config, namespace, pod string, port int) (*Forward, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("port-forward: %w", err)
	}
	url := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, fmt.Errorf("port-forward: %w", err)
	}
	plain := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	sockets, err := portforward.NewSPDYOverWebsocketDialer(url, config)
	if err != nil {
		return nil, fmt.Errorf("port-forward: %w", err)
	}
	// Like kubectl: API servers before 1.30 support only SPDY, some proxies in front of them only WebSockets.
	dialer := portforward.NewFallbackDialer(sockets, plain, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	f := &Forward{stop: make(chan struct{}), done: make(chan struct{})}
	ready := make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)},
		f.stop, ready, nil, &f.podErrors)
	if err != nil {
		return nil, fmt.Errorf("port-forward: %w", err)
	}
	go func() {
		defer close(f.done)
		f.err = forwarder.ForwardPorts()
	}()
	select {
	case <-ready:
	case <-f.done:
		return nil, fmt.Errorf("port-forward to pod %s/%s, port %d: %w", namespace, pod, port, f.err)
	case <-ctx.Done():
		f.Close()
		return nil, fmt.Errorf("port-forward to pod %s/%s, port %d: %w", namespace, pod, port, context.Cause(ctx))
	}
	ports, err := forwarder.GetPorts()
	if err == nil && len(ports) != 1 {
		err = errors.New("no port was opened")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("port-forward to pod %s/%s, port %d: %w", namespace, pod, port, err)
	}
	f.Address = fmt.Sprintf("127.0.0.1:%d", ports[0].Local)
	return f, nil
}

// Done is closed when the forward has ended, by Close or because the connection was lost.
func (f *Forward) Done() <-chan struct{} { return f.done }

// PodErrors returns the errors that the pod's side has reported so far, such as a refused connection; "" for none.
func (f *Forward) PodErrors() string { return strings.TrimSpace(f.podErrors.String()) }

// Close ends the forward. Calling it again does nothing.
func (f *Forward) Close() { f.once.Do(func() { close(f.stop) }) }

// lockedBuffer is a buffer that can be read while the forwarder writes to it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
