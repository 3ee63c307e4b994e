package router

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// ErrNotFound is wrapped by a Resolver's error for an unknown pod, Service or address; the router returns status 404. Any
// other error means that nothing listens there now, and the router returns status 502.
var ErrNotFound = errors.New("not found")

// Backend is the process that serves a pod's port.
type Backend struct {
	// Address is a host:port on the loopback interface.
	Address string
	// TLS reports whether the process uses TLS.
	TLS bool
}

// Resolver looks up the processes behind cluster addresses. A port is a number or a name.
type Resolver interface {
	// Pod returns the backend of a pod's port.
	Pod(namespace, pod, port string) (Backend, error)
	// Service returns the backends of a Service's ready endpoints in a stable order; never none without an error.
	Service(namespace, service, port string) ([]Backend, error)
	// Cluster returns the backends of a cluster address: a Service's cluster IP or DNS name, or a pod IP.
	Cluster(host, port string) ([]Backend, error)
}

// Router is the HTTP server for
//
//	/pods/<namespace>/<pod>/<port>/<path>
//	/services/<namespace>/<service>/<port>/<path>
//	/outside/<address>/<path>   always 404: targets without a process in the lab, see OutsidePath
//
// Responses are streamed as the backend writes them.
type Router struct {
	resolver Resolver
	listener net.Listener
	server   *http.Server
	proxy    *httputil.ReverseProxy
	turn     atomic.Uint64
}

// OutsidePath is the prefix of the paths of targets without a process in the lab, such as a kubelet. They are routed here
// so that nothing connects to a simulated address over a real network.
const OutsidePath = "/outside/"

type target struct {
	backend Backend
	path    string
	rawPath string
}

type targetKey struct{}

// New returns a router that listens on a free port of 127.0.0.1 until Close. The HTTP server writes warnings to logs.
func New(resolver Resolver, logs io.Writer) (*Router, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	r := &Router{resolver: resolver, listener: listener}
	r.proxy = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			t, _ := p.In.Context().Value(targetKey{}).(target)
			p.Out.URL.Scheme = "http"
			if t.backend.TLS {
				p.Out.URL.Scheme = "https"
			}
			p.Out.URL.Host = t.backend.Address
			p.Out.URL.Path, p.Out.URL.RawPath = t.path, t.rawPath
			p.Out.Host = p.In.Host
		},
		Transport: &http.Transport{
			// The lab's programs use self-signed certificates, as in a cluster.
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // loopback only
			DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 256,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true,
		},
		// Server-sent events must arrive when they are written.
		FlushInterval: -1,
		// Under load, clients often end in the middle of an answer.
		ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, req *http.Request, err error) {
			t, _ := req.Context().Value(targetKey{}).(target)
			http.Error(w, fmt.Sprintf("lab router: %s at %s: %v", req.URL.Path, t.backend.Address, err), http.StatusBadGateway)
		},
	}
	r.server = &http.Server{
		Handler:           r,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(logs, "lab: router: ", 0),
	}
	go func() { _ = r.server.Serve(listener) }()
	return r, nil
}

// Address returns the host:port that the router listens on.
func (r *Router) Address() string { return r.listener.Addr().String() }

// URL returns the router's address as http://host:port, without a slash at the end.
func (r *Router) URL() string { return "http://" + r.Address() }

// PodURL returns the URL of a pod's port, without a slash at the end.
func (r *Router) PodURL(namespace, pod string, port int) string {
	return fmt.Sprintf("%s/pods/%s/%s/%d", r.URL(), namespace, pod, port)
}

// ServiceURL returns the URL of a Service's port, without a slash at the end.
func (r *Router) ServiceURL(namespace, service string, port int) string {
	return fmt.Sprintf("%s/services/%s/%s/%d", r.URL(), namespace, service, port)
}

// Close stops the router and every request in progress.
func (r *Router) Close() error { return r.server.Close() }

// ServeHTTP forwards the request to its backend.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if address, ok := strings.CutPrefix(req.URL.Path, OutsidePath); ok {
		http.Error(w, fmt.Sprintf("lab router: the lab has no process for %q", address), http.StatusNotFound)
		return
	}
	parts := strings.SplitN(strings.TrimPrefix(req.URL.EscapedPath(), "/"), "/", 5)
	if len(parts) < 4 || (parts[0] != "pods" && parts[0] != "services") {
		http.Error(w, fmt.Sprintf("lab router: %q is not /pods/<namespace>/<pod>/<port>/... or /services/<namespace>/<service>/<port>/...", req.URL.Path),
			http.StatusNotFound)
		return
	}
	backend, err := r.resolve(parts[0], parts[1], parts[2], parts[3])
	if err != nil {
		http.Error(w, "lab router: "+err.Error(), statusOf(err))
		return
	}
	rest := "/"
	if len(parts) == 5 {
		rest += parts[4]
	}
	path, err := url.PathUnescape(rest)
	if err != nil {
		http.Error(w, fmt.Sprintf("lab router: path %q: %v", rest, err), http.StatusBadRequest)
		return
	}
	r.proxy.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), targetKey{}, target{backend: backend, path: path, rawPath: rest})))
}

func (r *Router) resolve(kind, namespace, name, port string) (Backend, error) {
	if kind == "pods" {
		return r.resolver.Pod(namespace, name, port)
	}
	backends, err := r.resolver.Service(namespace, name, port)
	if err != nil {
		return Backend{}, err
	}
	return backends[r.turn.Add(1)%uint64(len(backends))], nil
}

func statusOf(err error) int {
	if errors.Is(err, ErrNotFound) {
		return http.StatusNotFound
	}
	return http.StatusBadGateway
}
