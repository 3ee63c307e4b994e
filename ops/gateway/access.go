package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Address returns the host:port at which a Gateway serves a URL: its address in the status, so that the name in the URL needs no
// entry in DNS.
func Address(g *gatewayv1.Gateway, at string) (string, error) {
	u, err := url.Parse(at)
	if err != nil {
		return "", fmt.Errorf("address of the gateway: %w", err)
	}
	if len(g.Status.Addresses) == 0 || g.Status.Addresses[0].Value == "" {
		return "", fmt.Errorf("the Gateway %s/%s has no address", g.Namespace, g.Name)
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(g.Status.Addresses[0].Value, port), nil
}

// Transport returns a transport that connects to an address whatever the host in the URL of a request is. The host still names the
// route, and the certificate that the gateway has to present. It keeps up to conns idle connections.
func Transport(address string, conns int) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{
		// A proxy of the environment is meant for other hosts than those of a private network.
		Proxy: nil,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: conns,
		IdleConnTimeout:     5 * time.Second,
		DisableCompression:  true,
	}
}

// Unreachable reports whether an error means that no connection was made.
func Unreachable(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "dial"
}
