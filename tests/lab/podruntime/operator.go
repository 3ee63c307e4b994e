package podruntime

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// operatorFlags are the flags of prometheus-operator v0.85.0 that are passed on. Others, of a chart for a newer operator,
// are left out and logged.
var operatorFlags = map[string]bool{
	"alertmanager-config-namespaces": true, "alertmanager-default-base-image": true,
	"alertmanager-instance-namespaces": true, "alertmanager-instance-selector": true,
	"annotations": true, "auto-gomemlimit-ratio": true, "cluster-domain": true,
	"config-reloader-cpu-limit": true, "config-reloader-cpu-request": true,
	"config-reloader-memory-limit": true, "config-reloader-memory-request": true,
	"controller-id": true, "deny-namespaces": true, "disable-unmanaged-prometheus-configuration": true,
	"enable-config-reloader-probes": true, "feature-gates": true,
	"kubelet-endpoints": true, "kubelet-endpointslice": true, "kubelet-node-address-priority": true,
	"kubelet-selector": true, "kubelet-service": true, "kubelet-sync-period": true,
	"labels": true, "localhost": true, "log-format": true, "log-level": true, "namespaces": true,
	"prometheus-config-reloader": true, "prometheus-default-base-image": true,
	"prometheus-instance-namespaces": true, "prometheus-instance-selector": true,
	"secret-field-selector": true, "secret-label-selector": true, "thanos-default-base-image": true,
	"thanos-ruler-instance-namespaces": true, "thanos-ruler-instance-selector": true,
	"watch-referenced-objects-in-all-namespaces": true,
}

// operatorReplaced are flags that the lab sets itself or does not support: TLS for the operator's own port, and access to
// the API server without the kubeconfig.
var operatorReplaced = map[string]bool{
	"apiserver": true, "as": true, "ca-file": true, "cert-file": true, "key-file": true, "tls-insecure": true,
	"web.cert-file": true, "web.client-ca-file": true, "web.enable-http2": true, "web.enable-tls": true,
	"web.key-file": true, "web.listen-address": true, "web.tls-cipher-suites": true,
	"web.tls-min-version": true, "web.tls-reload-interval": true,
}

// operatorArgs returns the operator's command line on this machine, the port on which it would listen in its pod, and the
// unknown flags that were left out.
func operatorArgs(args []string, localPort int) (out []string, containerPort int, unknown []string, err error) {
	listen := flagValue(args, "web.listen-address", ":8080")
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("--web.listen-address %q: %w", listen, err)
	}
	if containerPort, err = strconv.Atoi(port); err != nil {
		return nil, 0, nil, fmt.Errorf("--web.listen-address %q: the port must be a number", listen)
	}
	out = withoutFlags(args, func(name string) bool {
		if !operatorFlags[name] && !operatorReplaced[name] {
			unknown = append(unknown, "--"+name)
		}
		return !operatorFlags[name]
	})
	return append(out, "--web.listen-address=127.0.0.1:"+strconv.Itoa(localPort)), containerPort, unknown, nil
}

func (l *launcher) operator() (*launch, error) {
	args, err := l.arguments()
	if err != nil {
		return nil, err
	}
	port, err := l.freePort()
	if err != nil {
		return nil, err
	}
	args, containerPort, unknown, err := operatorArgs(args, port)
	if err != nil {
		return nil, err
	}
	if len(unknown) > 0 {
		l.runtime.logf("%s/%s: left out what prometheus-operator v0.85.0 does not know: %s", l.pod.Namespace, l.pod.Name, strings.Join(unknown, " "))
	}
	kubeconfig, err := l.kubeconfig()
	if err != nil {
		return nil, err
	}
	return &launch{
		program: Operator,
		// This flag's value overrides the user that the kubeconfig impersonates.
		args:  append(args, "--as="+l.user()),
		env:   []string{"KUBECONFIG=" + kubeconfig},
		ports: map[int]endpoint{containerPort: {port: port}},
		ready: getOK(fmt.Sprintf("http://127.0.0.1:%d/healthz", port), http.DefaultClient),
	}, nil
}
