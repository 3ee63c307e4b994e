package rollout

import (
	"context"
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/providers/kubeclient"
)

// answers is an API server with an object or an error for each path. It records the requests.
type answers struct {
	objects  map[string]any
	requests []string
}

func (a *answers) Text(_ context.Context, path string, query url.Values) ([]byte, error) {
	a.requests = append(a.requests, path+"?"+query.Encode())
	switch answer := a.objects[path].(type) {
	case nil:
		return nil, &kubeclient.StatusError{Code: 404}
	case error:
		return nil, answer
	case string:
		return []byte(answer), nil
	default:
		return json.Marshal(answer)
	}
}

func (a *answers) Get(ctx context.Context, path string, query url.Values, into any) error {
	content, err := a.Text(ctx, path, query)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

const (
	deploymentPath = "/apis/apps/v1/namespaces/ai/deployments/vllm"
	setsPath       = "/apis/apps/v1/namespaces/ai/replicasets"
	podsPath       = "/api/v1/namespaces/ai/pods"
	eventsPath     = "/api/v1/namespaces/ai/events"
	logPath        = "/api/v1/namespaces/ai/pods/a/log"
)

func read(t *testing.T, objects map[string]any) (*answers, State, error) {
	t.Helper()
	api := &answers{objects: objects}
	state, err := Reader{Client: api, Namespace: "ai", Deployment: "vllm", Container: server}.Read(t.Context())
	return api, state, err
}

func TestRead(t *testing.T) {
	selected := "labelSelector=app.kubernetes.io%2Fname%3Dvllm"
	objects := map[string]any{
		deploymentPath: deployment(1, 1, 0),
		setsPath:       appsv1.ReplicaSetList{Items: sets()},
		podsPath:       corev1.PodList{Items: []corev1.Pod{made("a", "new", running(0, nil))}},
		eventsPath:     corev1.EventList{Items: []corev1.Event{event(1, "Unhealthy", "Startup probe failed: connection refused")}},
		logPath:        "INFO Model loading took 2 GiB and 3 seconds\n",
	}
	api, state, err := read(t, objects)
	require.NoError(t, err)
	assert.Equal(t, []string{
		deploymentPath + "?", setsPath + "?" + selected, podsPath + "?" + selected, eventsPath + "?fieldSelector=involvedObject.kind%3DPod&limit=500",
		logPath + "?container=vllm&limitBytes=65536&tailLines=200",
	}, api.requests)
	assert.Equal(t, Progress{Phase: WarmUp, Pod: "a", Detail: "the server does not answer yet",
		Lines: []string{"INFO Model loading took 2 GiB and 3 seconds"}}, state.Progress())

	forbidden := &kubeclient.StatusError{Code: 403, Message: "no"}
	objects[eventsPath], objects[logPath] = forbidden, forbidden
	_, state, err = read(t, objects)
	require.NoError(t, err, "events and logs are details")
	assert.Equal(t, Progress{Phase: Weights, Pod: "a", Detail: "the server starts"}, state.Progress())

	for _, path := range []string{podsPath, setsPath, deploymentPath} {
		objects[path] = forbidden
		_, _, err = read(t, objects)
		require.ErrorIs(t, err, forbidden, path)
	}
}

// The kubelet has the log of the last run of a server that waits to be restarted.
func TestReadAServerThatEnded(t *testing.T) {
	ended := corev1.ContainerStateTerminated{ExitCode: 2, Message: "from the status"}
	objects := map[string]any{
		deploymentPath: deployment(3, 1, 2),
		setsPath:       appsv1.ReplicaSetList{Items: sets()},
		podsPath:       corev1.PodList{Items: []corev1.Pod{made("b", "old", ready), made("a", "new", crashed(1, ended))}},
		logPath:        "usage: vllm serve\nerror: unrecognized arguments: --colour\n",
	}
	api, state, err := read(t, objects)
	require.NoError(t, err)
	assert.Equal(t, logPath+"?container=vllm&limitBytes=16384&tailLines=10", api.requests[len(api.requests)-1])
	assert.Equal(t, []string{"usage: vllm serve", "error: unrecognized arguments: --colour"}, state.Progress().Lines)

	objects[logPath] = &kubeclient.StatusError{Code: 403, Message: "no"}
	_, state, err = read(t, objects)
	require.NoError(t, err)
	assert.Equal(t, []string{"from the status"}, state.Progress().Lines)
}

func TestReadAReadyServer(t *testing.T) {
	api, state, err := read(t, map[string]any{deploymentPath: deployment(2, 2, 2)})
	require.NoError(t, err)
	assert.Equal(t, Done, state.Progress().Phase)
	assert.Len(t, api.requests, 1, "nothing else is of interest")
}

func TestReadAMissingDeployment(t *testing.T) {
	_, state, err := read(t, nil)
	require.NoError(t, err)
	assert.Equal(t, "the Deployment does not exist", state.Progress().Detail)
}
