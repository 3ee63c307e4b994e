package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/ops/simulate"
)

// pod returns a server's pod.
func pod(name, node string, ready bool) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{"app.kubernetes.io/name": serving}}}
	p.Spec.NodeName = node
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	return p
}

func sized(name string, replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{Replicas: ptr.To(replicas)}}
}

func TestFleetRecordsReplicas(t *testing.T) {
	f := &fleet{pods: map[types.UID]*server{}}
	f.begin(1)
	f.scaled(sized(serving, 2))
	f.scaled(sized("other", 9))
	f.changed(pod("a", "", false), false)
	f.changed(pod("a", "node", false), false)
	f.changed(pod("a", "node", true), false)
	f.changed(pod("a", "node", true), false)
	f.changed(pod("b", "node", true), false)
	other := pod("other", "node", true)
	other.Labels = nil
	f.changed(other, false)
	deleting := pod("a", "node", true)
	deleting.DeletionTimestamp = &metav1.Time{}
	f.changed(deleting, false)
	f.changed(cache.DeletedFinalStateUnknown{Obj: deleting}, true)

	seen := f.end()
	for i := range seen.timeline {
		seen.timeline[i].At = 0
	}
	assert.Equal(t, []simulate.Replicas{{}, {Wanted: 2}, {Wanted: 2, Ready: 1}, {Wanted: 2, Ready: 2}, {Wanted: 2, Ready: 1}}, seen.timeline)
	assert.Len(t, f.podDelays, 2)
	wanted, pods, ready := f.counts()
	assert.Equal(t, []int{2, 1, 1}, []int{wanted, pods, ready})
}

func TestFleetRecordsRoundsOnce(t *testing.T) {
	f := &fleet{pods: map[types.UID]*server{}}
	f.begin(1)
	hpa := func(version string) *autoscalingv2.HorizontalPodAutoscaler {
		return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}
	}
	f.decided(hpa("1"), hpa("2"))
	f.decided(hpa("2"), hpa("2"))
	assert.Len(t, f.end().rounds, 1)
}

func TestARequestWithoutAReadyPodFails(t *testing.T) {
	f := &fleet{pods: map[types.UID]*server{}}
	f.begin(1)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://vllm/v1/chat/completions", strings.NewReader("{}"))
	require.NoError(t, err)
	_, err = f.RoundTrip(request) //nolint:bodyclose // There is no response.
	assert.ErrorIs(t, err, errNoEndpoint)
}
