package engine

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/pulumi/pulumi/pkg/v3/resource/deploy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// servedRollout is what the API server of a stack has of the server's Deployment.
type servedRollout struct {
	mutex sync.Mutex
	ready bool
	// reads counts the requests for the Deployment.
	reads int
}

// serveRollout makes the API server of a stack serve a Deployment with one pod, for which there is no node until ready is set.
func serveRollout(s *stack) *servedRollout {
	r := &servedRollout{}
	s.answer(r)
	return r
}

func (r *servedRollout) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	const revision, hash = "deployment.kubernetes.io/revision", appsv1.DefaultDeploymentUniqueLabelKey
	var answer any
	switch path := req.URL.Path; {
	case strings.HasSuffix(path, "/deployments/vllm"):
		r.reads++
		d := appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "vllm", Generation: 1, Annotations: map[string]string{revision: "1"}},
			Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "vllm"}}},
			Status:     appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1},
		}
		if r.ready {
			d.Status.ReadyReplicas = 1
		}
		answer = d
	case strings.HasSuffix(path, "/replicasets"):
		answer = appsv1.ReplicaSetList{Items: []appsv1.ReplicaSet{{ObjectMeta: metav1.ObjectMeta{
			Annotations: map[string]string{revision: "1"}, Labels: map[string]string{hash: "a"}}}}}
	case strings.HasSuffix(path, "/pods"):
		answer = corev1.PodList{Items: []corev1.Pod{{
			ObjectMeta: metav1.ObjectMeta{Name: "vllm-a-1", Labels: map[string]string{hash: "a"}},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}}},
		}}}
	case strings.HasSuffix(path, "/events"):
		answer = corev1.EventList{Items: []corev1.Event{{
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "vllm-a-1"}, Reason: "FailedScaleUp", Message: "GCE quota exceeded"}}}
	default:
		answer = map[string]string{}
	}
	content, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(content)
}

func (r *servedRollout) set(ready bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.ready = ready
}

// forget returns the number of reads, and starts at 0 again.
func (r *servedRollout) forget() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	reads := r.reads
	r.reads = 0
	return reads
}

// TestUpWaitsForTheServer runs an up in which no replica becomes ready: everything is created and exported, and the error has
// the phase, the reason and the next command. The next up waits again.
func TestUpWaitsForTheServer(t *testing.T) {
	whole := newStack(t, "local", nil)
	whole.up()

	s := newStack(t, "local", map[string]any{"vllm.readyTimeout": "3s"})
	served := serveRollout(s)
	require.NoError(t, s.preview().err)
	assert.Zero(t, served.forget(), "a preview has nothing to wait for")

	failed := s.run(engine.Update, false)
	require.Error(t, failed.err)
	assert.Contains(t, s.said.String(), "waiting for a node: FailedScaleUp: GCE quota exceeded (pod vllm-a-1), 0s so far")
	require.ErrorContains(t, failed.err, "Deployment vllm/vllm: no replica is ready after 3s: waiting for a node: FailedScaleUp: GCE quota exceeded")
	assert.ErrorContains(t, failed.err, "--context kind-test --namespace vllm describe pods")
	assert.Equal(t, whole.cluster.remaining(), s.cluster.remaining(), "everything is created nevertheless")
	assert.Equal(t, "vllm", s.find("Stack", project+"-local").Outputs["hpaName"].StringValue(), "and exported")

	time.AfterFunc(3*time.Second, func() { served.set(true) })
	s.set("vllm.readyTimeout", "1m")
	for _, entry := range s.up().entries {
		assert.Equal(t, deploy.OpSame, entry.Step.Op(), entry.Step.URN())
	}
	assert.Contains(t, s.said.String(), "a replica of the current version is ready")
	for name, value := range s.find("Rollout", "rollout").Outputs {
		assert.False(t, value.IsSecret() || value.ContainsSecrets(), name)
	}

	served.forget()
	s.up()
	assert.NotContains(t, s.said.String(), "waiting", "nothing to wait for")
	assert.Equal(t, 1, served.forget())

	served.set(false)
	s.set("vllm.readyTimeout", "0s")
	s.up()
	s.destroy()
	assert.Zero(t, served.forget())
	assert.Empty(t, s.cluster.remaining())
}

// TestAFailureElsewhereEndsTheWait runs an up in which another object fails: it does not wait for a replica, and ends.
func TestAFailureElsewhereEndsTheWait(t *testing.T) {
	whole := newStack(t, "local", nil)
	whole.up()
	s := newStack(t, "local", map[string]any{"vllm.readyTimeout": "1h"})
	served := serveRollout(s)
	s.cluster.failAt = len(whole.cluster.created) // the last object
	failed := s.run(engine.Update, false)
	require.Error(t, failed.err)
	assert.NotContains(t, s.said.String(), "waiting")
	assert.Zero(t, served.forget())
}
