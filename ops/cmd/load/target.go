package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"vllm-autoscaling/ops/coldstart"
	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/portforward"
	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/ops/trace"
	"vllm-autoscaling/ops/verify"
)

// target is the server that is loaded and the stack that is observed meanwhile.
type target struct {
	options
	out *screen

	// Fields of the stack; nil without one.
	access   *verify.Access
	client   kubernetes.Interface
	selector string
	gpus     int // of one replica
	signals  []report.Signal
	starts   *coldstart.Observer

	// forwards to the pods; nil with -url and -via gateway.
	forwards *portforward.Forwards
	// transport to the gateway; nil without -via gateway.
	transport *http.Transport
}

// find reads the stack's outputs and prints what will be loaded, before any request is sent.
func find(ctx context.Context, o options, out *screen) (*target, error) {
	t := &target{options: o, out: out}
	if o.stack == "" {
		out.print("load: target: %s, as given; no stack is watched", o.url)
		return t, nil
	}
	text, err := verify.StackOutputs(ctx, o.root, o.stack)
	if err != nil {
		return nil, err
	}
	if t.access, err = verify.ParseOutputs(text, o.root, o.server); err != nil {
		return nil, fmt.Errorf("stack %s: %w", o.stack, err)
	}
	// One client reads the HPA, the Deployment, the pods and each signal every second.
	t.access.Config.QPS, t.access.Config.Burst = 50, 100
	if t.client, err = kubernetes.NewForConfig(t.access.Config); err != nil {
		return nil, fmt.Errorf("cluster of stack %s: %w", o.stack, err)
	}
	serving := t.access.Pipeline.Serving
	deployment, err := t.client.AppsV1().Deployments(serving.Namespace).Get(ctx, serving.Deployment, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("deployment of stack %s at %s: %w", o.stack, t.access.Config.Host, err)
	}
	t.selector = metav1.FormatLabelSelector(deployment.Spec.Selector)
	t.gpus = gpusOf(deployment)
	t.starts = coldstart.NewObserver(t.client, serving.Namespace, t.selector)
	for _, signal := range t.access.Pipeline.Signals {
		t.signals = append(t.signals, report.Signal{Name: signal.Name, Label: label(signal.Name), Unit: signal.Unit + " per pod"})
	}
	if err := t.findKey(ctx, deployment); err != nil {
		return nil, err
	}
	way := "through a port-forward to each"
	switch {
	case o.url != "":
		way = "at " + o.url + ", as given"
	case o.via == viaGateway:
		if way, err = t.findGateway(ctx); err != nil {
			return nil, fmt.Errorf("stack %s: %w", o.stack, err)
		}
	}
	out.print("load: target: stack %s, cluster %s, namespace %s, deployment %s, %d of %d pods ready, %s",
		o.stack, t.access.Config.Host, serving.Namespace, serving.Deployment,
		deployment.Status.ReadyReplicas, deployment.Status.Replicas, way)
	if o.url == "" && o.via == viaPods {
		t.forwards, err = portforward.Follow(ctx, portforward.Options{
			Config: t.access.Config, Namespace: serving.Namespace, Selector: t.selector, Port: serving.Port, Log: out.note,
		})
		if err != nil {
			return nil, err
		}
		waiting, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("waited a minute"))
		defer cancel()
		if err := t.forwards.Wait(waiting, max(1, int(deployment.Status.ReadyReplicas))); err != nil {
			t.stop()
			return nil, err
		}
	}
	return t, nil
}

func (t *target) stop() {
	if t.forwards != nil {
		t.forwards.Stop()
	}
}

// label makes a name such as vllm_requests_running readable.
func label(name string) string {
	text := strings.ReplaceAll(strings.TrimPrefix(name, "vllm_"), "_", " ")
	return strings.Replace(text, "gpu", "GPU", 1)
}

// gpusOf returns the GPUs of a replica, of any vendor.
func gpusOf(d *appsv1.Deployment) int {
	sum := 0
	for _, container := range d.Spec.Template.Spec.Containers {
		for name, quantity := range container.Resources.Limits {
			if strings.HasSuffix(string(name), "/gpu") {
				sum += int(quantity.Value())
			}
		}
	}
	return sum
}

// findKey reads the API key that the server itself uses.
func (t *target) findKey(ctx context.Context, d *appsv1.Deployment) (err error) {
	if t.apiKey != "" {
		return nil
	}
	if t.apiKey, err = verify.APIKey(ctx, t.client, d); err != nil {
		return fmt.Errorf("%w (or put it into the environment variable %s)", err, t.apiKeyFrom)
	}
	return nil
}

// targets returns the servers that are ready now.
func (t *target) targets(context.Context) ([]load.Target, error) {
	if t.transport != nil {
		return []load.Target{{Name: t.access.Pipeline.Gateway.URL, URL: t.access.Pipeline.Gateway.URL}}, nil
	}
	if t.forwards == nil {
		return []load.Target{{Name: t.url, URL: t.url}}, nil
	}
	var all []load.Target
	for _, pod := range t.forwards.Pods() {
		all = append(all, load.Target{Name: pod.Name, URL: pod.URL})
	}
	return all, nil
}

// source returns the source of the autoscaler's state; nil without a stack.
func (t *target) source(inFlight func() float64) report.Source {
	if t.access == nil {
		return nil
	}
	serving := t.access.Pipeline.Serving
	source := report.WithLive(report.HPASource(t.client, serving.Namespace, serving.HPA, inFlight), t.client, serving.Namespace, t.selector)
	return func(ctx context.Context) (report.Sample, error) {
		// What is not seen now is seen with the next sample.
		_ = t.starts.Look(ctx)
		return source(ctx)
	}
}

// findModel returns the model of the flag, or the first that the server lists.
func (t *target) findModel(ctx context.Context) (load.Model, error) {
	list, err := t.models(ctx)
	if t.model == "" {
		if err != nil {
			return load.Model{}, err
		}
		return list[0], nil
	}
	at := slices.IndexFunc(list, func(s load.Model) bool { return s.ID == t.model })
	switch {
	case err != nil: // a gateway may not list its models
		return load.Model{ID: t.model}, nil
	case at < 0:
		t.out.print("load: the server does not list model %q, its first is %q: requests may fail", t.model, list[0].ID)
		return load.Model{ID: t.model}, nil
	}
	return list[at], nil
}

// models returns the models that the server lists, at least one.
func (t *target) models(ctx context.Context) ([]load.Model, error) {
	servers, err := t.targets(ctx)
	if err != nil || len(servers) == 0 {
		return nil, errors.Join(err, errors.New("no ready pod to read the model from"))
	}
	if t.transport != nil {
		client := &http.Client{
			Transport:     t.transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		return load.ModelsWith(ctx, client, servers[0], t.apiKey)
	}
	return load.Models(ctx, servers[0], t.apiKey)
}

// warnOfLength prints how many requests of the load are longer than the model's context. Those of a closed loop are not drawn
// in advance.
func (t *target) warnOfLength(model load.Model) {
	if model.Context == 0 || t.closed != nil {
		return
	}
	all, long := 0, 0
	count := func(input, output int) {
		all++
		if cmp.Or(input, t.input)+min(cmp.Or(output, t.output), t.tokenBound) > model.Context {
			long++
		}
	}
	if t.schedule == nil {
		count(0, 0)
	} else {
		for arrival := range t.schedule.Arrivals() {
			count(arrival.InputTokens, arrival.OutputTokens)
		}
	}
	switch {
	case long == all:
		t.out.print("load: every request is longer than the model's context of %d tokens and will be refused: lower %s", model.Context, t.sizeFlags())
	case long > 0:
		t.out.print("load: %d of %d requests are longer than the model's context of %d tokens and will be refused: lower %s", long, all, model.Context, t.sizeFlags())
	}
}

// sizeFlags names the flags that limit the tokens of this load.
func (t *target) sizeFlags() string {
	if _, ok := t.schedule.(*trace.Trace); ok {
		return "-max-input-tokens or -max-tokens"
	}
	return "-input-tokens or -output-tokens"
}
