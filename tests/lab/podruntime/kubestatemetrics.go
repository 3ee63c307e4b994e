package podruntime

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// kubeStateMetricsReplaced are the flags that the lab sets itself.
var kubeStateMetricsReplaced = []string{"apiserver", "host", "kubeconfig", "port", "telemetry-host", "telemetry-port"}

// kubeStateMetricsArgs returns kube-state-metrics' command line on this machine, and the local ports by the container's.
func kubeStateMetricsArgs(args []string, kubeconfig string, port, telemetryPort int) (out []string, ports map[int]endpoint, err error) {
	ports = map[int]endpoint{}
	for _, p := range []struct {
		flag, fallback string
		local          int
	}{{"port", "8080", port}, {"telemetry-port", "8081", telemetryPort}} {
		value := flagValue(args, p.flag, p.fallback)
		number, err := strconv.Atoi(value)
		if err != nil {
			return nil, nil, fmt.Errorf("--%s %q is not a port number", p.flag, value)
		}
		ports[number] = endpoint{port: p.local}
	}
	out = withoutFlags(args, func(name string) bool { return slices.Contains(kubeStateMetricsReplaced, name) })
	return append(out,
		"--kubeconfig="+kubeconfig,
		"--host=127.0.0.1", "--port="+strconv.Itoa(port),
		"--telemetry-host=127.0.0.1", "--telemetry-port="+strconv.Itoa(telemetryPort),
	), ports, nil
}

func (l *launcher) kubeStateMetrics() (*launch, error) {
	args, err := l.arguments()
	if err != nil {
		return nil, err
	}
	kubeconfig, err := l.kubeconfig()
	if err != nil {
		return nil, err
	}
	port, err := l.freePort()
	if err != nil {
		return nil, err
	}
	telemetry, err := l.freePort()
	if err != nil {
		return nil, err
	}
	args, ports, err := kubeStateMetricsArgs(args, kubeconfig, port, telemetry)
	if err != nil {
		return nil, err
	}
	return &launch{
		program: KubeStateMetrics,
		args:    args,
		ports:   ports,
		ready:   getOK(fmt.Sprintf("http://127.0.0.1:%d/healthz", port), http.DefaultClient),
	}, nil
}
