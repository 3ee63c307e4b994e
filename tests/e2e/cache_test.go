package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/podruntime"
)

// sharedClass is the class of a volume that all nodes share, cacheClaim the claim that the stack makes of it.
const sharedClass, cacheClaim = "shared", "vllm-compile-cache-shared"

// cachingStack keeps what the server compiles in a claim, and its image on the GPU nodes.
var cachingStack = merged(gpuStack, map[string]any{
	"autoscaling": map[string]any{"minReplicas": 1, "maxReplicas": 1},
	"vllm": map[string]any{
		"cache":   map[string]any{"kind": "claim", "storageClass": sharedClass, "size": "1Gi"},
		"prePull": true, "preStop": "1s", "shutdownTimeout": "0s",
	},
})

// TestCompileCache starts a server without a cache, with one, with a corrupt one and with one that is full.
func TestCompileCache(t *testing.T) {
	t.Parallel()
	if _, err := podruntime.FindPython(); err != nil {
		t.Skip(err)
	}
	// Of the published 135 and 100 s, a tenth and less.
	start := podruntime.StartTimes{Warmup: 12 * time.Second, Compiled: podruntime.Compiled{Bytes: 1 << 20, Warmup: time.Second}}
	l := newLab(t, nil, func(o *lab.Options) { o.Start = start })
	require.NoError(t, l.AddGPUNodes(testContext(t), 2, 1))
	addSharedVolume(t, l)
	stack := newStack(t, l, "local", cachingStack, token)
	require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
	folder := l.ClaimFolder(serving, cacheClaim)

	first := readyServer(t, l, "")
	t.Run("the first replica compiles, and saves it", func(t *testing.T) {
		assert.Contains(t, first.log(t, l, "restore-cache"), "no entry for")
		first.logs(t, l, "save-cache", "saved 1 files")
		assert.Len(t, entriesOf(t, folder), 1)
	})
	t.Run("the image is on the idle node too", func(t *testing.T) { imageIsOnEachGPUNode(t, l) })
	t.Run("the next one does not compile", func(t *testing.T) {
		second := first.next(t, l)
		assert.Contains(t, second.log(t, l, "restore-cache"), "restored 1 files")
		second.logs(t, l, "save-cache", "is there")
		t.Logf("ready %s after the container's start without a cache, and %s with one (simulated: %s and %s of warm-up)",
			first.took, second.took, start.Warmup, start.Compiled.Warmup)
		assert.Less(t, second.took, first.took-5*time.Second)
		first = second
	})
	t.Run("a corrupt entry is replaced", func(t *testing.T) {
		require.NoError(t, os.Truncate(entriesOf(t, folder)[0], 4096))
		third := first.next(t, l)
		assert.Contains(t, third.log(t, l, "restore-cache"), "removed the corrupt entry")
		third.logs(t, l, "save-cache", "saved 1 files")
		assert.Len(t, entriesOf(t, folder), 1)
		first = third
	})
	t.Run("a full cache", func(t *testing.T) {
		require.NoError(t, os.Remove(entriesOf(t, folder)[0]))
		stack.reconfigure(t, l, cachingStack, map[string]any{"vllm": map[string]any{"cache": map[string]any{"size": "100Ki"}}})
		require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
		fourth := readyServer(t, l, first.name)
		assert.Contains(t, fourth.log(t, l, "restore-cache"), "no entry for")
		fourth.logs(t, l, "save-cache", "more than the size of the whole cache")
		left, err := os.ReadDir(folder)
		require.NoError(t, err)
		assert.Empty(t, left, "nothing half written")
	})
	t.Run("destroy removes the claim", func(t *testing.T) {
		require.NoError(t, stack.Destroy(testContext(t)))
		_, err := l.Client().CoreV1().PersistentVolumeClaims(serving).Get(testContext(t), cacheClaim, metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
	})
}

// addSharedVolume adds a volume for the claim of the cache, as a provisioner of network file systems would.
func addSharedVolume(t *testing.T, l *lab.Lab) {
	t.Helper()
	_, err := l.Client().CoreV1().PersistentVolumes().Create(testContext(t), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "shared"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")},
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			StorageClassName:              sharedClass,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{Server: "files.example.com", Path: "/"}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// cachingServer is a ready pod of the server.
type cachingServer struct {
	name string
	// took is the time from the start of the server's container until the pod was ready.
	took time.Duration
}

// readyServer waits for the ready pod of the server that is not the one before.
func readyServer(t *testing.T, l *lab.Lab, before string) *cachingServer {
	t.Helper()
	found := &cachingServer{}
	eventuallyNoError(t, 2*time.Minute, func(ctx context.Context) error {
		pods, err := l.Client().CoreV1().Pods(serving).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			for _, condition := range pod.Status.Conditions {
				if pod.Name != before && condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
					running := pod.Status.ContainerStatuses[0].State.Running
					found.name, found.took = pod.Name, condition.LastTransitionTime.Sub(running.StartedAt.Time)
					return nil
				}
			}
		}
		return fmt.Errorf("%d pods, none of them new and ready", len(pods.Items))
	})
	return found
}

// next deletes the pod and waits for its successor.
func (s *cachingServer) next(t *testing.T, l *lab.Lab) *cachingServer {
	t.Helper()
	require.NoError(t, l.Client().CoreV1().Pods(serving).Delete(testContext(t), s.name, metav1.DeleteOptions{}))
	return readyServer(t, l, s.name)
}

// log returns the log of a container of the pod.
func (s *cachingServer) log(t *testing.T, l *lab.Lab, container string) string {
	t.Helper()
	text, err := s.read(testContext(t), l, container)
	require.NoError(t, err)
	return text
}

// logs waits until a container of the pod has logged a text.
func (s *cachingServer) logs(t *testing.T, l *lab.Lab, container, want string) {
	t.Helper()
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		text, err := s.read(ctx, l, container)
		if err == nil && !strings.Contains(text, want) {
			err = fmt.Errorf("%s has logged %q, and not %q", container, text, want)
		}
		return err
	})
}

func (s *cachingServer) read(ctx context.Context, l *lab.Lab, container string) (string, error) {
	stream, err := l.Client().CoreV1().Pods(serving).GetLogs(s.name, &corev1.PodLogOptions{Container: container}).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = stream.Close() }()
	content, err := io.ReadAll(stream)
	return string(content), err
}

// entriesOf returns the files of the cache.
func entriesOf(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := filepath.Glob(filepath.Join(folder, "*.tar"))
	require.NoError(t, err)
	return entries
}

// imageIsOnEachGPUNode checks that a pod of the server's image runs on every GPU node, and takes no GPU.
func imageIsOnEachGPUNode(t *testing.T, l *lab.Lab) {
	t.Helper()
	nodes, err := l.Client().CoreV1().Nodes().List(testContext(t), metav1.ListOptions{LabelSelector: "nvidia.com/gpu.present=true"})
	require.NoError(t, err)
	require.Len(t, nodes.Items, 2)
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		set, err := l.Client().AppsV1().DaemonSets(serving).Get(ctx, "vllm-autoscaling-prepull-vllm", metav1.GetOptions{})
		if err == nil && (set.Status.DesiredNumberScheduled != 2 || set.Status.NumberReady != 2) {
			err = fmt.Errorf("%d of %d pods are ready, want 2", set.Status.NumberReady, set.Status.DesiredNumberScheduled)
		}
		return err
	})
}
