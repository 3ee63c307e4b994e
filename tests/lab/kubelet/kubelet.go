package kubelet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubelet/pkg/cri/streaming/portforward"

	"vllm-autoscaling/tests/lab/router"
)

// Pods looks up the processes of pods.
type Pods interface {
	// Pod returns the process behind a pod's port.
	Pod(namespace, pod, port string) (router.Backend, error)
	// Log returns what a container has written since it was last started, or with previous in the run before that.
	Log(namespace, pod, container string, previous bool) (io.ReadCloser, error)
}

// Server replaces the kubelets of all nodes of a lab.
type Server struct {
	pods     Pods
	listener net.Listener
	server   *http.Server
}

const (
	// The kubelet's own defaults (--streaming-connection-idle-timeout and the streaming server's).
	idleTimeout           = 4 * time.Hour
	streamCreationTimeout = 30 * time.Second
)

// Listen serves on a free port of 127.0.0.1 until Close.
func Listen(pods Pods) (*Server, error) {
	certificate, err := selfSigned()
	if err != nil {
		return nil, fmt.Errorf("kubelet: certificate: %w", err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
		// A port-forward hijacks the connection, which HTTP/2 does not support.
		NextProtos: []string{"http/1.1"},
	})
	if err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	s := &Server{pods: pods, listener: listener}
	mux := http.NewServeMux()
	mux.HandleFunc("/portForward/{namespace}/{pod}", s.portForward)
	mux.HandleFunc("/portForward/{namespace}/{pod}/{uid}", s.portForward)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.containerLogs)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

// Address returns the host:port that the server listens on, with TLS.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Close stops the server. Port-forwards end when the API server does.
func (s *Server) Close() error { return s.server.Close() }

func (s *Server) portForward(w http.ResponseWriter, r *http.Request) {
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	name := r.PathValue("namespace") + "/" + r.PathValue("pod")
	portforward.ServePortForward(w, r, s, name, types.UID(r.PathValue("uid")), options,
		idleTimeout, streamCreationTimeout, portforward.SupportedProtocols)
}

// PortForward connects one stream to the process behind a pod's port. The upstream server calls it.
func (s *Server) PortForward(_ context.Context, name string, _ types.UID, port int32, stream io.ReadWriteCloser) error {
	defer func() { _ = stream.Close() }()
	namespace, pod, _ := strings.Cut(name, "/")
	backend, err := s.pods.Pod(namespace, pod, strconv.Itoa(int(port)))
	if err != nil {
		return err
	}
	connection, err := net.DialTimeout("tcp", backend.Address, 2*time.Second)
	if err != nil {
		return fmt.Errorf("pod %s, port %d: %w", name, port, err)
	}
	defer func() { _ = connection.Close() }()
	go func() {
		_, _ = io.Copy(connection, stream)
		// The client has closed its side: closing the connection ends a server that is still writing.
		_ = connection.Close()
	}()
	if _, err := io.Copy(stream, connection); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("pod %s, port %d: %w", name, port, err)
	}
	return nil
}

// selfSigned creates a certificate like a kubelet's self-signed one. Without --kubelet-certificate-authority the API server
// does not verify it.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"kubelet"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}, nil
}
