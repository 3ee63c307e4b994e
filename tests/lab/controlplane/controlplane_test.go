package controlplane

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"vllm-autoscaling/tests/lab/tools"
)

// newControlPlane starts a control plane with a system node.
func newControlPlane(t *testing.T) *ControlPlane {
	t.Helper()
	programs, err := tools.Build(t.Context(), os.Stderr)
	require.NoError(t, err)
	// Not t.TempDir: its path can be too long for a socket.
	dir, err := os.MkdirTemp("", "lab-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	c, err := Start(t.Context(), Options{Dir: dir, Tools: programs, Log: os.Stderr, EgressSocket: filepath.Join(dir, "egress.sock")})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })
	require.NoError(t, c.AddNode(t.Context(), Node{Name: "system-1"}))
	return c
}

// eventually polls until seen returns "", and fails with its last result when the time is over.
func eventually(t *testing.T, timeout time.Duration, seen func() string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = seen(); last == "" {
			return
		}
	}
	require.Failf(t, "not in time", "after %s: %s", timeout, last)
}

func createPod(t *testing.T, c *ControlPlane, pod *corev1.Pod) {
	t.Helper()
	pod.Namespace = "default"
	if len(pod.Spec.Containers) == 0 {
		pod.Spec.Containers = []corev1.Container{{Name: "main", Image: "example.invalid/anything:v1"}}
	}
	// The controller that creates the default service account may need a moment.
	eventually(t, 10*time.Second, func() string {
		_, err := c.Client().CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{})
		if err != nil {
			return err.Error()
		}
		return ""
	})
}

func getPod(t *testing.T, c *ControlPlane, name string) *corev1.Pod {
	t.Helper()
	pod, err := c.Client().CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return pod
}

func annotateReady(t *testing.T, c *ControlPlane, pod, value string) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, ReadyAnnotation, value)
	_, err := c.Client().CoreV1().Pods("default").Patch(t.Context(), pod, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(t, err)
}

func ready(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue && pod.Status.ContainerStatuses[0].Ready
		}
	}
	return false
}

func TestControlPlane(t *testing.T) {
	c := newControlPlane(t)
	// The order matters: the last two end the control plane.
	for _, test := range []struct {
		name string
		run  func(*testing.T, *ControlPlane)
	}{
		{"reports the version of a release build", testVersion},
		{"a pod is ready when its annotation is true, and only then", testReadiness},
		{"a Job completes", testJob},
		{"a pod that requests a GPU runs only on a GPU node", testGPUScheduling},
		{"a node renews its lease", testLease},
		{"an impersonating kubeconfig can do what RBAC grants and nothing else", testImpersonation},
		{"a part that crashes is reported", testCrash},
		{"stop ends every process", testStop},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c) })
	}
}

func testVersion(t *testing.T, c *ControlPlane) {
	version, err := c.Client().Discovery().ServerVersion()
	require.NoError(t, err)
	assert.Equal(t, "v1.34.1", version.GitVersion)
}

func testReadiness(t *testing.T, c *ControlPlane) {
	createPod(t, c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "gated"}})
	eventually(t, 20*time.Second, func() string {
		if pod := getPod(t, c, "gated"); pod.Status.PodIP == "" || pod.Status.Phase != corev1.PodRunning {
			return fmt.Sprintf("%+v", pod.Status)
		}
		return ""
	})
	time.Sleep(2 * time.Second) // longer than any stage takes
	pod := getPod(t, c, "gated")
	assert.False(t, ready(pod), "it has no annotation: %+v", pod.Status)
	_, pods, err := net.ParseCIDR(podCIDR)
	require.NoError(t, err)
	assert.True(t, pods.Contains(net.ParseIP(pod.Status.PodIP)), "address %s", pod.Status.PodIP)
	for _, step := range []struct {
		value string
		want  bool
	}{{"true", true}, {"false", false}, {"true", true}} {
		annotateReady(t, c, "gated", step.value)
		eventually(t, 10*time.Second, func() string {
			if pod := getPod(t, c, "gated"); ready(pod) != step.want {
				return fmt.Sprintf("annotation %s: %+v", step.value, pod.Status)
			}
			return ""
		})
	}
	require.NoError(t, c.Client().CoreV1().Pods("default").Delete(t.Context(), "gated", metav1.DeleteOptions{}))
	eventually(t, 10*time.Second, func() string {
		_, err := c.Client().CoreV1().Pods("default").Get(t.Context(), "gated", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprintf("still there (error %v)", err)
	})
}

func testJob(t *testing.T, c *ControlPlane) {
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "hook"}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
		// The lab sets it on every pod whose program it does not run.
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{ReadyAnnotation: "true"}},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{Name: "main", Image: "example.invalid/hook:v1"}}},
	}}}
	_, err := c.Client().BatchV1().Jobs("default").Create(t.Context(), job, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, 20*time.Second, func() string {
		got, err := c.Client().BatchV1().Jobs("default").Get(t.Context(), "hook", metav1.GetOptions{})
		require.NoError(t, err)
		for _, condition := range got.Status.Conditions {
			if condition.Type == batchv1.JobComplete && condition.Status == corev1.ConditionTrue {
				return ""
			}
		}
		return fmt.Sprintf("%+v", got.Status)
	})
}

func testGPUScheduling(t *testing.T, c *ControlPlane) {
	gpu := corev1.ResourceList{GPUResource: resource.MustParse("1")}
	pod := func(name string, tolerate bool) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "example.invalid/gpu:v1", Resources: corev1.ResourceRequirements{Limits: gpu}}}}}
		if tolerate {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "nvidia.com/gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
		}
		return p
	}
	unschedulable := func(name string) func() string {
		return func() string {
			p := getPod(t, c, name)
			for _, condition := range p.Status.Conditions {
				if condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable {
					return ""
				}
			}
			return fmt.Sprintf("%s on %q: %+v", name, p.Spec.NodeName, p.Status.Conditions)
		}
	}
	createPod(t, c, pod("first", true))
	eventually(t, 20*time.Second, unschedulable("first"))
	require.NoError(t, c.AddNode(t.Context(), Node{Name: "gpu-1", GPUs: 1,
		Labels: map[string]string{"nvidia.com/gpu.present": "true"},
		Taints: []corev1.Taint{{Key: "nvidia.com/gpu", Value: "present", Effect: corev1.TaintEffectNoSchedule}}}))
	eventually(t, 20*time.Second, func() string {
		if p := getPod(t, c, "first"); p.Spec.NodeName != "gpu-1" {
			return fmt.Sprintf("on %q: %+v", p.Spec.NodeName, p.Status.Conditions)
		}
		return ""
	})
	createPod(t, c, pod("second", true)) // the only GPU is taken
	eventually(t, 20*time.Second, unschedulable("second"))
	createPod(t, c, pod("intolerant", false))
	eventually(t, 20*time.Second, unschedulable("intolerant"))
	require.NoError(t, c.RemoveNode(t.Context(), "gpu-1"))
	require.NoError(t, c.RemoveNode(t.Context(), "gpu-1"), "a second time is no error")
	// The pod garbage collector runs every 20 s and assumes after 40 s that a node is gone.
	eventually(t, 2*time.Minute, func() string {
		_, err := c.Client().CoreV1().Pods("default").Get(t.Context(), "first", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprintf("the removed node's pod is still there (error %v)", err)
	})
}

func testLease(t *testing.T, c *ControlPlane) {
	// Without a lease the node and its pods are NotReady after a minute.
	renewed := func() time.Time {
		lease, err := c.Client().CoordinationV1().Leases("kube-node-lease").Get(t.Context(), "system-1", metav1.GetOptions{})
		if err != nil || lease.Spec.RenewTime == nil {
			return time.Time{}
		}
		return lease.Spec.RenewTime.Time
	}
	first := renewed()
	require.False(t, first.IsZero(), "no lease")
	eventually(t, 30*time.Second, func() string {
		if now := renewed(); !now.After(first) {
			return "last renewed at " + now.String()
		}
		return ""
	})
}

func testImpersonation(t *testing.T, c *ControlPlane) {
	_, err := c.Client().RbacV1().RoleBindings("default").Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "reader"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	file, err := c.KubeconfigFor("system:serviceaccount:default:reader")
	require.NoError(t, err)
	config, err := clientcmd.BuildConfigFromFlags("", file)
	require.NoError(t, err)
	reader, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	eventually(t, 10*time.Second, func() string {
		if _, err := reader.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
	_, err = reader.CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{})
	assert.True(t, apierrors.IsForbidden(err), "got %v", err)
	again, err := c.KubeconfigFor("system:serviceaccount:default:reader")
	require.NoError(t, err)
	assert.Equal(t, file, again)
	_, err = c.KubeconfigFor("system:serviceaccount:default")
	assert.Error(t, err)
}

func testCrash(t *testing.T, c *ControlPlane) {
	last := c.running[len(c.running)-1]
	require.NoError(t, last.Signal(os.Kill))
	select {
	case err := <-c.Crashed():
		assert.ErrorContains(t, err, last.Name())
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was reported")
	}
	c.running = c.running[:len(c.running)-1] // or Stop reports it again
}

func testStop(t *testing.T, c *ControlPlane) {
	running := c.running
	require.NotEmpty(t, running)
	require.NoError(t, c.Stop())
	for _, p := range running {
		select {
		case <-p.Done():
		default:
			t.Errorf("%s still runs", p.Name())
		}
	}
	assert.NoError(t, c.Stop(), "a second time does nothing")
}

func TestStartRefusesALongSocketPath(t *testing.T) {
	_, err := Start(context.Background(), Options{Dir: t.TempDir(), EgressSocket: "/tmp/" + strings.Repeat("x", 120)})
	require.ErrorContains(t, err, "shorter folder")
}
