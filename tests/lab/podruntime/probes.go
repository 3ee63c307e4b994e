package podruntime

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probeKind is one of the three probes of a container.
type probeKind string

const (
	startupProbe   probeKind = "startup"
	readinessProbe probeKind = "readiness"
	livenessProbe  probeKind = "liveness"
)

// probeOf returns a container's probe of that kind, nil for none.
func probeOf(container *corev1.Container, kind probeKind) *corev1.Probe {
	return map[probeKind]*corev1.Probe{
		startupProbe: container.StartupProbe, readinessProbe: container.ReadinessProbe, livenessProbe: container.LivenessProbe,
	}[kind]
}

// checkProbes returns an error for a probe that the lab cannot run: a command is of the container's image, which is not there,
// and no program of the lab speaks gRPC's health protocol.
func checkProbes(container *corev1.Container) error {
	for _, kind := range []probeKind{startupProbe, readinessProbe, livenessProbe} {
		probe := probeOf(container, kind)
		if probe == nil || probe.HTTPGet != nil || probe.TCPSocket != nil {
			continue
		}
		handler := "grpc"
		if probe.Exec != nil {
			handler = "exec"
		}
		return &startError{"CreateContainerError", fmt.Sprintf("the lab runs httpGet and tcpSocket probes only: the %s probe is %s", kind, handler)}
	}
	return nil
}

// probeFailure is the end of a container that a probe found unhealthy.
type probeFailure struct {
	kind  probeKind
	probe *corev1.Probe
	err   error
}

func (f *probeFailure) Error() string {
	return fmt.Sprintf("killed because its %s probe failed %d times in a row: %v", f.kind, threshold(f.probe.FailureThreshold, 3), f.err)
}

// prober runs the probes of a container from one start of it to its end, as a kubelet does.
type prober struct {
	worker    *worker
	container *corev1.Container
	// listening is closed when the program begins to listen. A probe that is waiting then runs at once: a kubelet's would at
	// its next period, up to which a test would wait for nothing.
	listening <-chan struct{}
	// unhealthy receives the failure for which the container is to be restarted.
	unhealthy chan<- *probeFailure
}

// run returns when the context ends or the container is to be restarted.
func (p *prober) run(ctx context.Context) {
	if p.container.StartupProbe != nil {
		started := false
		p.watch(ctx, startupProbe, func(healthy bool, err error) bool {
			if started = healthy; !healthy {
				p.kill(startupProbe, err)
			}
			return true
		})
		if !started {
			return
		}
		p.worker.started(p.container.Name)
	}
	var probes sync.WaitGroup
	defer probes.Wait()
	if p.container.LivenessProbe != nil {
		probes.Go(func() {
			p.watch(ctx, livenessProbe, func(healthy bool, err error) bool {
				if !healthy {
					p.kill(livenessProbe, err)
				}
				return !healthy
			})
		})
	}
	if p.container.ReadinessProbe == nil {
		select {
		case <-p.listening:
			p.worker.setReady(p.container.Name, true)
		case <-ctx.Done():
		}
		return
	}
	p.watch(ctx, readinessProbe, func(healthy bool, err error) bool {
		if err != nil {
			p.worker.runtime.logf("%s: container %q is not ready: %v", p.worker.name(), p.container.Name, err)
		}
		p.worker.setReady(p.container.Name, healthy)
		return false
	})
}

func (p *prober) kill(kind probeKind, err error) {
	p.unhealthy <- &probeFailure{kind: kind, probe: probeOf(p.container, kind), err: err}
}

// watch runs a probe at its period until ctx ends or the result of changed is true. It calls changed when as many probes in a
// row had another result as the probe's threshold requires, with the last error.
func (p *prober) watch(ctx context.Context, kind probeKind, changed func(healthy bool, err error) (done bool)) {
	probe := probeOf(p.container, kind)
	delay := time.Duration(probe.InitialDelaySeconds) * time.Second
	if limit := p.worker.runtime.config.InitialDelayLimit; limit > 0 {
		delay = min(delay, limit)
	}
	if sleep(ctx, delay) != nil {
		return
	}
	ticker := time.NewTicker(time.Duration(threshold(probe.PeriodSeconds, 10)) * time.Second)
	defer ticker.Stop()
	listening := p.listening
	results := newResults(kind, probe)
	for {
		select {
		case <-listening:
			listening = nil
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		err := p.once(ctx, probe)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.worker.warn(ctx, "Unhealthy", fmt.Sprintf("%s probe failed: %v", strings.ToUpper(string(kind[:1]))+string(kind[1:]), err))
		}
		if results.add(err == nil) && changed(err == nil, err) {
			return
		}
	}
}

// results count a probe's results in a row.
type results struct {
	success, failure int32
	// current is the result that counts, nil for none yet.
	current *bool
	last    bool
	row     int32
}

// newResults returns a counter with the result that counts before the first one: a container is alive, and not ready.
func newResults(kind probeKind, probe *corev1.Probe) *results {
	r := &results{success: threshold(probe.SuccessThreshold, 1), failure: threshold(probe.FailureThreshold, 3)}
	if alive := kind == livenessProbe; kind != startupProbe {
		r.current = &alive
	}
	return r
}

// add counts a result and reports whether the one that counts has changed.
func (r *results) add(healthy bool) bool {
	if r.row > 0 && r.last != healthy {
		r.row = 0
	}
	r.last = healthy
	r.row++
	needed := r.failure
	if healthy {
		needed = r.success
	}
	if r.row < needed || r.current != nil && *r.current == healthy {
		return false
	}
	r.current = &healthy
	return true
}

// threshold returns a number of a probe, or its default where the API server has set none.
func threshold(value, fallback int32) int32 { return cmp.Or(value, fallback) }

// once runs a probe once. Addresses in its error are those of the pod.
func (p *prober) once(ctx context.Context, probe *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(threshold(probe.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	if probe.TCPSocket != nil {
		return p.dial(ctx, probe.TCPSocket.Port)
	}
	return p.get(ctx, probe.HTTPGet)
}

// probeClient makes the requests of httpGet probes: each on a connection of its own, and without looking at the certificate.
var probeClient = &http.Client{Transport: &http.Transport{
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as a kubelet does
	DisableKeepAlives: true,
}}

func (p *prober) get(ctx context.Context, action *corev1.HTTPGetAction) error {
	at, port, err := p.local(action.Port)
	if err != nil {
		return err
	}
	path, err := url.Parse(action.Path)
	if err != nil {
		return err
	}
	target := url.URL{Scheme: "http", Host: at.address(), Path: "/" + strings.TrimPrefix(path.Path, "/"), RawQuery: path.RawQuery}
	if at.tls {
		target.Scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "kube-probe/1.34")
	for _, header := range action.HTTPHeaders {
		req.Header.Add(header.Name, header.Value)
	}
	resp, err := probeClient.Do(req)
	if err != nil {
		return p.inPod(err, at, port)
	}
	_ = resp.Body.Close()
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("HTTP probe failed with statuscode: %d", resp.StatusCode)
	}
	return nil
}

func (p *prober) dial(ctx context.Context, port intstr.IntOrString) error {
	at, number, err := p.local(port)
	if err != nil {
		return err
	}
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", at.address())
	if err != nil {
		return p.inPod(err, at, number)
	}
	return connection.Close()
}

// local returns the local endpoint of a probe's port, and the port's number in the pod.
func (p *prober) local(port intstr.IntOrString) (at endpoint, number int, err error) {
	number, err = portNumber(p.worker.pod, port.String())
	if err != nil {
		return endpoint{}, 0, err
	}
	at, ok := p.worker.endpoint(number)
	if !ok {
		return endpoint{}, 0, fmt.Errorf("dial tcp %s: connect: connection refused", p.podAddress(number))
	}
	return at, number, nil
}

func (p *prober) podAddress(port int) string {
	return net.JoinHostPort(cmp.Or(p.worker.address(), "0.0.0.0"), strconv.Itoa(port))
}

// inPod returns an error with the pod's address in place of the local one.
func (p *prober) inPod(err error, at endpoint, port int) error {
	return errors.New(strings.ReplaceAll(err.Error(), at.address(), p.podAddress(port)))
}
