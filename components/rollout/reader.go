package rollout

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/providers/kubeclient"
)

// Getter reads from an API server; *kubeclient.Client is one.
type Getter interface {
	Get(ctx context.Context, path string, query url.Values, into any) error
	Text(ctx context.Context, path string, query url.Values) ([]byte, error)
}

// Reader reads the State of a Deployment.
type Reader struct {
	Client                Getter
	Namespace, Deployment string
	// Container is the name of the server's container.
	Container string
}

const (
	// logLines and logBytes bound what is read of a log: vLLM logs some hundred lines until it serves.
	logLines = 200
	logBytes = 64 << 10
	// endLines and endBytes bound what is read of the log of a server that has ended.
	endLines = 10
	endBytes = 16 << 10
	// eventLimit bounds the events that are read.
	eventLimit = 500
)

// Read returns the State. Pods, events and the log are left out when the rollout is complete.
func (r Reader) Read(ctx context.Context) (State, error) {
	state := State{Container: r.Container}
	var deployment appsv1.Deployment
	err := r.Client.Get(ctx, "/apis/apps/v1/namespaces/"+r.Namespace+"/deployments/"+r.Deployment, nil, &deployment)
	var status *kubeclient.StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		return state, nil
	}
	if err != nil {
		return state, err
	}
	state.Deployment = &deployment
	if state.Progress().Phase == Done {
		return state, nil
	}
	selected := url.Values{"labelSelector": {metav1.FormatLabelSelector(deployment.Spec.Selector)}}
	var sets appsv1.ReplicaSetList
	if err := r.Client.Get(ctx, "/apis/apps/v1/namespaces/"+r.Namespace+"/replicasets", selected, &sets); err != nil {
		return state, err
	}
	var pods corev1.PodList
	if err := r.Client.Get(ctx, "/api/v1/namespaces/"+r.Namespace+"/pods", selected, &pods); err != nil {
		return state, err
	}
	state.ReplicaSets, state.Pods = sets.Items, pods.Items
	var events corev1.EventList
	query := url.Values{"fieldSelector": {"involvedObject.kind=Pod"}, "limit": {strconv.Itoa(eventLimit)}}
	// Without events and log the phases are the same, with less detail.
	if r.Client.Get(ctx, "/api/v1/namespaces/"+r.Namespace+"/events", query, &events) == nil {
		state.Events = events.Items
	}
	state.Log = r.log(ctx, state)
	return state, nil
}

// log returns the end of the server's log in the pod that is nearest to ready, "" where nothing has run there. Of a server that
// has ended and is not restarted yet, the kubelet has the log of its last run.
func (r Reader) log(ctx context.Context, state State) string {
	nearest := state.Progress()
	at := slices.IndexFunc(state.Pods, func(p corev1.Pod) bool { return p.Name == nearest.Pod })
	if nearest.Phase != Weights || at < 0 {
		return ""
	}
	lines, bytes := logLines, logBytes
	if state.server(state.Pods[at]).State.Running == nil {
		lines, bytes = endLines, endBytes
	}
	query := url.Values{"container": {r.Container}, "tailLines": {strconv.Itoa(lines)}, "limitBytes": {strconv.Itoa(bytes)}}
	content, err := r.Client.Text(ctx, "/api/v1/namespaces/"+r.Namespace+"/pods/"+nearest.Pod+"/log", query)
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(content), "")
}
