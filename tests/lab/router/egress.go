package router

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Egress is the proxy through which the API server reaches the cluster network: it serves CONNECT <cluster
// address>:<port> on a unix socket and connects to the local process behind that address.
type Egress struct {
	resolver Resolver
	server   *http.Server
	turn     atomic.Uint64

	mu     sync.Mutex
	joined map[net.Conn]struct{}
	closed bool
}

// ListenEgress serves CONNECT on the unix socket until Close. It replaces a socket that an earlier run left. The path must
// fit into a socket address (about 100 bytes).
func ListenEgress(socket string, resolver Resolver) (*Egress, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("egress proxy: %w", err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("egress proxy: %w", err)
	}
	e := &Egress{resolver: resolver, joined: map[net.Conn]struct{}{}}
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = e.server.Serve(listener) }()
	return e, nil
}

// Close stops the proxy and closes its connections.
func (e *Egress) Close() error {
	err := e.server.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for c := range e.joined {
		_ = c.Close()
	}
	return err
}

// ServeHTTP serves CONNECT and refuses every other method.
func (e *Egress) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodConnect {
		http.Error(w, "lab egress proxy: only CONNECT is served here", http.StatusMethodNotAllowed)
		return
	}
	host, port, err := net.SplitHostPort(req.RequestURI)
	if err != nil {
		http.Error(w, fmt.Sprintf("lab egress proxy: CONNECT %q: %v", req.RequestURI, err), http.StatusBadRequest)
		return
	}
	backends, err := e.resolver.Cluster(host, port)
	if err != nil {
		http.Error(w, "lab egress proxy: "+err.Error(), statusOf(err))
		return
	}
	backend := backends[e.turn.Add(1)%uint64(len(backends))]
	server, err := net.DialTimeout("tcp", backend.Address, 2*time.Second)
	if err != nil {
		http.Error(w, fmt.Sprintf("lab egress proxy: %s is served by %s: %v", req.RequestURI, backend.Address, err), http.StatusBadGateway)
		return
	}
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		_ = server.Close()
		http.Error(w, "lab egress proxy: this connection cannot be taken over", http.StatusInternalServerError)
		return
	}
	client, buffered, err := hijacker.Hijack()
	if err != nil {
		_ = server.Close()
		return
	}
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_, _ = client.Close(), server.Close()
		return
	}
	e.join(client, buffered, server)
}

// join copies in both directions until both sides have ended. The client may have sent bytes right after its request, so
// they are read through the buffer that read the request.
func (e *Egress) join(client net.Conn, clientReader io.Reader, server net.Conn) {
	if !e.track(client, server) {
		return
	}
	defer e.forget(client, server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, clientReader)
		closeWrite(server)
	}()
	_, _ = io.Copy(client, server)
	closeWrite(client)
	<-done
}

func (e *Egress) track(conns ...net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range conns {
		if e.closed {
			_ = c.Close()
			continue
		}
		e.joined[c] = struct{}{}
	}
	return !e.closed
}

func (e *Egress) forget(conns ...net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(e.joined, c)
	}
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = c.Close()
}
