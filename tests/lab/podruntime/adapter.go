package podruntime

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// adapterReplaced are the flags that the lab sets itself.
var adapterReplaced = []string{
	"authentication-kubeconfig", "authorization-kubeconfig", "bind-address", "cert-dir",
	"lister-kubeconfig", "prometheus-url", "secure-port",
}

// adapterPlace are the ports, files and addresses on this machine for the adapter's command line.
type adapterPlace struct {
	namespace  string
	kubeconfig string
	certDir    string
	port       int
	// routerURL is the URL of the lab's router, without a slash at the end.
	routerURL string
}

// adapterArgs returns the adapter's command line on this machine, and the port on which it would listen in its pod.
func adapterArgs(args []string, place adapterPlace) (out []string, containerPort int, err error) {
	value := flagValue(args, "secure-port", "443")
	if containerPort, err = strconv.Atoi(value); err != nil {
		return nil, 0, fmt.Errorf("--secure-port %q is not a port number", value)
	}
	address := flagValue(args, "prometheus-url", "")
	if address == "" {
		return nil, 0, fmt.Errorf("prometheus-adapter needs --prometheus-url")
	}
	routed, err := routedURL(address, place.namespace, place.routerURL)
	if err != nil {
		return nil, 0, fmt.Errorf("--prometheus-url: %w", err)
	}
	out = withoutFlags(args, func(name string) bool { return slices.Contains(adapterReplaced, name) })
	return append(out,
		"--prometheus-url="+routed,
		"--secure-port="+strconv.Itoa(place.port),
		"--bind-address=127.0.0.1",
		"--cert-dir="+place.certDir,
		"--lister-kubeconfig="+place.kubeconfig,
		"--authentication-kubeconfig="+place.kubeconfig,
		"--authorization-kubeconfig="+place.kubeconfig,
	), containerPort, nil
}

// routedURL returns the router's URL of a Service that a pod of a namespace calls by its DNS name.
func routedURL(address, namespace, routerURL string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	service, namespace, ok := serviceName(u.Hostname(), namespace)
	if !ok {
		return "", fmt.Errorf("%q is not the address of a Service (http://<service>.<namespace>.svc:<port>)", address)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return fmt.Sprintf("%s/services/%s/%s/%s%s", routerURL, namespace, service, port, strings.TrimSuffix(u.EscapedPath(), "/")), nil
}

// serviceName splits a Service's DNS name: <service>, <service>.<namespace>, or the latter followed by .svc and the
// cluster's domain. A name without a namespace is in that of the caller.
func serviceName(host, callerNamespace string) (service, namespace string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	switch {
	case host == "" || strings.Contains(host, ":"):
		return "", "", false
	case len(parts) == 1 && parts[0] != "localhost":
		return parts[0], callerNamespace, callerNamespace != ""
	case len(parts) == 2 || len(parts) > 2 && parts[2] == "svc":
		return parts[0], parts[1], true
	}
	return "", "", false
}

func (l *launcher) adapter() (*launch, error) {
	args, err := l.arguments()
	if err != nil {
		return nil, err
	}
	kubeconfig, err := l.kubeconfig()
	if err != nil {
		return nil, err
	}
	data, err := l.data()
	if err != nil {
		return nil, err
	}
	port, err := l.freePort()
	if err != nil {
		return nil, err
	}
	args, containerPort, err := adapterArgs(args, adapterPlace{
		namespace:  l.pod.Namespace,
		kubeconfig: kubeconfig,
		certDir:    filepath.Join(data, "certificates"),
		port:       port,
		routerURL:  l.runtime.RouterURL(),
	})
	if err != nil {
		return nil, err
	}
	// The adapter reads its configuration only when it starts, so that a changed ConfigMap has no effect.
	return &launch{
		program: Adapter,
		args:    args,
		ports:   map[int]endpoint{containerPort: {port: port, tls: true}},
		ready:   getOK(fmt.Sprintf("https://127.0.0.1:%d/readyz", port), insecure),
	}, nil
}
