package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/tests/lab"
)

// fleet follows the autoscaler, the Deployment of the servers and its pods. It is also the Service in front of them: an
// http.RoundTripper that sends each request to a ready pod, drawn at random as kube-proxy does, with the draws of package simulate.
type fleet struct {
	lab *lab.Lab

	mu      sync.Mutex
	routing func(replicas int) int
	pods    map[types.UID]*server
	// ready are the ready pods in the order in which they became so.
	ready    []*server
	wanted   int
	started  time.Time
	timeline []simulate.Replicas
	// nodeDelays and podDelays are how long pods waited for a node, and then until they were ready, in seconds.
	nodeDelays, podDelays []float64
	// rounds are when the autoscaler wrote its status.
	rounds []float64
}

// server is a pod.
type server struct {
	name            string
	created, placed time.Time
}

// follow follows the servers until the context ends.
func follow(ctx context.Context, l *lab.Lab) (*fleet, error) {
	f := &fleet{lab: l, routing: simulate.NewRandomRouting(0), pods: map[types.UID]*server{}, started: time.Now()}
	factory := informers.NewSharedInformerFactoryWithOptions(l.Client(), 0, informers.WithNamespace(serving))
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { f.changed(o, false) },
		UpdateFunc: func(_, o any) { f.changed(o, false) },
		DeleteFunc: func(o any) { f.changed(o, true) },
	})
	if err != nil {
		return nil, err
	}
	_, err = factory.Apps().V1().Deployments().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: f.scaled, UpdateFunc: func(_, o any) { f.scaled(o) },
	})
	if err != nil {
		return nil, err
	}
	_, err = factory.Autoscaling().V2().HorizontalPodAutoscalers().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: f.decided})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	for _, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, context.Cause(ctx)
		}
	}
	return f, nil
}

// changed records a change of a pod.
func (f *fleet) changed(object any, deleted bool) {
	if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	pod, ok := object.(*corev1.Pod)
	if !ok || pod.Labels["app.kubernetes.io/name"] != serving {
		return
	}
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.pods[pod.UID]
	if s == nil {
		s = &server{name: pod.Name, created: now}
		f.pods[pod.UID] = s
	}
	if s.placed.IsZero() && pod.Spec.NodeName != "" {
		s.placed = now
		f.nodeDelays = append(f.nodeDelays, now.Sub(s.created).Seconds())
	}
	switch ready, was := isReady(pod) && pod.DeletionTimestamp == nil && !deleted, slices.Contains(f.ready, s); {
	case ready && !was:
		f.podDelays = append(f.podDelays, now.Sub(s.placed).Seconds())
		f.ready = append(f.ready, s)
	case !ready && was:
		f.ready = slices.DeleteFunc(f.ready, func(other *server) bool { return other == s })
	}
	if deleted {
		delete(f.pods, pod.UID)
	}
	f.record(now)
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// scaled records a change of the wanted replicas.
func (f *fleet) scaled(object any) {
	deployment, ok := object.(*appsv1.Deployment)
	if !ok || deployment.Name != serving || deployment.Spec.Replicas == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted = int(*deployment.Spec.Replicas)
	f.record(time.Now())
}

// record adds the present replicas to the timeline. The caller must hold the lock.
func (f *fleet) record(now time.Time) {
	next := simulate.Replicas{At: now.Sub(f.started).Seconds(), Wanted: f.wanted, Ready: len(f.ready)}
	if n := len(f.timeline); n > 0 && f.timeline[n-1].Wanted == next.Wanted && f.timeline[n-1].Ready == next.Ready {
		return
	}
	f.timeline = append(f.timeline, next)
}

// decided records a round of the autoscaler.
func (f *fleet) decided(before, after any) {
	old, ok := before.(*autoscalingv2.HorizontalPodAutoscaler)
	updated, ok2 := after.(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok || !ok2 || old.ResourceVersion == updated.ResourceVersion {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rounds = append(f.rounds, time.Since(f.started).Seconds())
}

// begin starts a new timeline now, with the routing of a seed.
func (f *fleet) begin(seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started, f.timeline, f.nodeDelays, f.podDelays, f.rounds = time.Now(), nil, nil, nil, nil
	f.routing = simulate.NewRandomRouting(seed)
	f.record(f.started)
}

// observed is what was seen since begin. Times are in seconds.
type observed struct {
	timeline []simulate.Replicas
	rounds   []float64
	// node and pod are the mean delays of the pods that waited for a node, and of those that became ready.
	node, pod float64
}

// end returns what was seen since begin.
func (f *fleet) end() observed {
	f.mu.Lock()
	defer f.mu.Unlock()
	// A pod that fits a node is placed at once.
	waited := slices.DeleteFunc(slices.Clone(f.nodeDelays), func(s float64) bool { return s < 2 })
	return observed{slices.Clone(f.timeline), slices.Clone(f.rounds), mean(waited), mean(f.podDelays)}
}

func mean(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// counts returns the wanted replicas and all pods, of which those are ready.
func (f *fleet) counts() (wanted, pods, ready int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wanted, len(f.pods), len(f.ready)
}

// errNoEndpoint is how a request fails that finds no ready pod.
var errNoEndpoint = errors.New("the Service has no ready pod")

// RoundTrip implements http.RoundTripper.
func (f *fleet) RoundTrip(request *http.Request) (*http.Response, error) {
	f.mu.Lock()
	chosen := ""
	if len(f.ready) > 0 {
		chosen = f.ready[f.routing(len(f.ready))].name
	}
	f.mu.Unlock()
	if chosen == "" {
		return nil, errors.Join(errNoEndpoint, request.Body.Close())
	}
	pod, err := url.Parse(f.lab.PodURL(serving, chosen, apiPort))
	if err != nil {
		return nil, err
	}
	routed := request.Clone(request.Context())
	routed.URL.Scheme, routed.URL.Host = pod.Scheme, pod.Host
	routed.URL.Path = strings.TrimSuffix(pod.Path, "/") + request.URL.Path
	routed.Host = ""
	return transport.RoundTrip(routed)
}

// transport keeps the connections to the servers.
var transport = &http.Transport{MaxIdleConnsPerHost: 512, IdleConnTimeout: 30 * time.Second, DisableCompression: true}
