package cloud

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAutoscalersRecordWhatTheyDo checks the events of a pod that waits for a node: they are all that a user sees of it.
func TestAutoscalersRecordWhatTheyDo(t *testing.T) {
	gke := func(t *testing.T, c *Cloud) (*pool, *view) {
		gkeScene(t, c)
		r := mustMake(t, c, GKENodePool, with(gkePoolOf("gpu", map[string]any{"machineType": "g2-standard-4", "guestAccelerators": l4("DEFAULT"),
			"taints": []any{gpuTaint}, "labels": map[string]any{"nvidia.com/gpu.present": "true"}}),
			map[string]any{"initialNodeCount": 0.0, "autoscaling": map[string]any{"totalMinNodeCount": 0.0, "totalMaxNodeCount": 1.0}}))
		return c.pools[r.ID], &view{}
	}
	eks := func(t *testing.T, c *Cloud) (*pool, *view) {
		g := workingGroup()
		p := g.make(t, c)
		p.max = 1
		return p, &view{deployments: g.deployments}
	}
	for name, test := range map[string]struct {
		scene   func(*testing.T, *Cloud) (*pool, *view)
		prepare func(*Cloud, *pool)
		change  func(*corev1.Pod)
		want    []string
	}{
		"a node is added": {scene: gke, want: []string{"TriggeredScaleUp: pod triggered scale-up: [{gpu 0->1 (max: 1)}]"}},
		"the pool is at its maximum": {scene: gke, prepare: func(_ *Cloud, p *pool) { p.max = 0 },
			want: []string{"NotTriggerScaleUp: pod didn't trigger scale-up: 1 max node group size reached"}},
		"no pool has such nodes": {scene: gke, change: func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"other": "true"} },
			want: []string{"NotTriggerScaleUp: pod didn't trigger scale-up: 1 node(s) didn't match Pod's node affinity/selector"}},
		"no stock on GKE": {scene: gke, prepare: func(c *Cloud, _ *pool) { c.SetStock("g2-standard-4", false) }, want: []string{
			"TriggeredScaleUp: pod triggered scale-up: [{gpu 0->1 (max: 1)}]",
			"FailedScaleUp: Node scale up in zones europe-west4-a associated with this pod failed: GCE out of resources. Pod is at risk of not being scheduled.",
		}},
		"no stock on EKS": {scene: eks, prepare: func(c *Cloud, _ *pool) { c.SetStock("g6.xlarge", false) }, want: []string{
			"TriggeredScaleUp: pod triggered scale-up: [{gpu 0->1 (max: 1)}]",
			"NotTriggerScaleUp: pod didn't trigger scale-up: 1 in backoff after failed scale-up",
		}},
		"stock again": {scene: gke, prepare: func(c *Cloud, _ *pool) { c.SetStock("g2-standard-4", false); c.SetStock("g2-standard-4", true) },
			want: []string{"TriggeredScaleUp: pod triggered scale-up: [{gpu 0->1 (max: 1)}]"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, plane := newTestCloud(t)
			p, v := test.scene(t, c)
			if test.prepare != nil {
				test.prepare(c, p)
			}
			v.pods = map[string][]*corev1.Pod{"": {modelPod("a", test.change)}}
			grown(c, p, v)
			grown(c, p, v)
			require.NoError(t, c.tell(t.Context(), c.untold))
			events, err := plane.client.CoreV1().Events("vllm").List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			var said []string
			for _, event := range events.Items {
				assert.Equal(t, "a", event.InvolvedObject.Name)
				said = append(said, event.Reason+": "+event.Message)
			}
			assert.ElementsMatch(t, test.want, said)
		})
	}
}
