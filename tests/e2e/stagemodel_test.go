package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/podruntime"
)

const (
	weightsClaim = "models"
	weightsFile  = "model.safetensors"
)

// TestStageModel fills the claim of a server from a hub on this machine: refused, interrupted and complete.
func TestStageModel(t *testing.T) {
	t.Parallel()
	if _, err := podruntime.FindPython(); err != nil {
		t.Skip(err)
	}
	hub := newFakeHub(t)
	l := startLab(t, 1)
	stack := newStack(t, l, "local", merged(gpuStack, map[string]any{
		"autoscaling": map[string]any{"minReplicas": 1, "maxReplicas": 1},
		"model":       map[string]any{"source": "claim", "claim": map[string]any{"name": weightsClaim}},
		"vllm": map[string]any{"readyTimeout": "0s", "podTemplate": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{
			"name": components.VLLMName, "env": []any{map[string]any{"name": "HF_ENDPOINT", "value": hub.address()}},
		}}}}},
	}), token)
	require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
	stage := newStaging(t, stack)

	t.Run("without the claim nothing is created", func(t *testing.T) {
		status, printed := stage.run(t)
		assert.Equal(t, 1, status)
		assert.Contains(t, printed, "there is no PersistentVolumeClaim vllm/models")
	})
	addWeightsClaim(t, l)
	folder := filepath.Join(l.ClaimFolder(serving, weightsClaim), filepath.FromSlash(modelID))

	t.Run("a token without access", func(t *testing.T) {
		hub.token.Store("another")
		status, printed := stage.run(t)
		assert.Equal(t, 1, status)
		assert.Contains(t, printed, "stage-model: "+modelID+" is gated and the account of the token has no access")
		assert.NoFileExists(t, filepath.Join(folder, components.CompleteMarker))
	})
	t.Run("an interrupt leaves the Job running", func(t *testing.T) {
		hub.token.Store(token["huggingFaceToken"])
		interrupted := stage.start(t)
		hub.waitForDownload(t)
		require.NoError(t, interrupted.command.Process.Signal(syscall.SIGINT))
		status, printed := interrupted.wait(t)
		assert.Equal(t, 130, status)
		assert.Contains(t, printed, "Follow it again with: make stage-model STACK=local")

		second := stage.start(t)
		eventuallyNoError(t, time.Minute, func(context.Context) error {
			if text := second.printed.text(); !strings.Contains(text, "following it") {
				return fmt.Errorf("it has printed %q", text)
			}
			return nil
		})
		assert.NoFileExists(t, filepath.Join(folder, weightsFile), "nothing is visible before it is whole")
		close(hub.goOn)
		status, printed = second.wait(t)
		assert.Zero(t, status)
		assert.Contains(t, printed, "complete: "+modelID+" at "+hub.commit)
	})
	t.Run("the folder is as on the hub", func(t *testing.T) {
		content, err := os.ReadFile(filepath.Join(folder, weightsFile))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(hub.weights, content))
		var marker struct {
			Model, Revision string
			Files           map[string]struct {
				Size   int
				SHA256 string
			}
		}
		text, err := os.ReadFile(filepath.Join(folder, components.CompleteMarker))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &marker))
		assert.Equal(t, modelID, marker.Model)
		assert.Equal(t, hub.commit, marker.Revision)
		assert.Equal(t, len(hub.weights), marker.Files[weightsFile].Size)
		assert.Equal(t, hub.sum(), marker.Files[weightsFile].SHA256)
		assert.Len(t, marker.Files, 2)
	})
	t.Run("a further run copies nothing", func(t *testing.T) {
		before := hub.downloads.Load()
		status, printed := stage.run(t)
		assert.Zero(t, status)
		assert.Contains(t, printed, "complete already")
		assert.Equal(t, before, hub.downloads.Load())
	})
	t.Run("the server reads the claim", func(t *testing.T) {
		// A new pod does not wait for the back-off of one that found no model.
		pods := l.Client().CoreV1().Pods(serving)
		require.NoError(t, pods.DeleteCollection(testContext(t), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: selector}))
		eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
			urls, err := l.ReadyPodURLs(ctx, serving, selector, apiPort)
			if err == nil && len(urls) == 0 {
				err = errors.New("no ready server")
			}
			return err
		})
	})
	t.Run("destroy removes the Job", func(t *testing.T) {
		require.NoError(t, stack.Destroy(testContext(t)))
		jobs, err := l.Client().BatchV1().Jobs(serving).List(testContext(t), listAll)
		require.NoError(t, err)
		assert.Empty(t, jobs.Items)
	})
}

// addWeightsClaim adds a volume that all nodes share, and the claim of it.
func addWeightsClaim(t *testing.T, l *lab.Lab) {
	t.Helper()
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	class := "shared"
	_, err := l.Client().CoreV1().PersistentVolumes().Create(testContext(t), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: weightsClaim},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: size, AccessModes: modes, StorageClassName: class, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource: corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{Server: "files.example.com", Path: "/"}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = l.Client().CoreV1().PersistentVolumeClaims(serving).Create(testContext(t), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: weightsClaim},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: modes, StorageClassName: &class, VolumeName: weightsClaim, Resources: corev1.VolumeResourceRequirements{Requests: size},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// staging runs the command like `make stage-model`.
type staging struct {
	binary string
	stack  *deployment
}

func newStaging(t *testing.T, stack *deployment) *staging {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "stagemodel")
	build := exec.CommandContext(testContext(t), "go", "build", "-o", binary, "./cmd/stagemodel")
	build.Dir = filepath.Join(environment.root, "ops")
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
	return &staging{binary, stack}
}

// staged is one run of the command.
type staged struct {
	command *exec.Cmd
	printed *lineLog
	ended   chan error
}

func (s *staging) start(t *testing.T) *staged {
	t.Helper()
	r := &staged{printed: lines(t, "stage-model"), ended: make(chan error, 1)}
	r.command = exec.CommandContext(testContext(t), s.binary, "-stack", s.stack.Name(), "-project", filepath.Dir(s.stack.ConfigFile()))
	r.command.Env = s.stack.Environment()
	r.command.Stdout, r.command.Stderr, r.command.WaitDelay = r.printed, r.printed, killedDelay
	require.NoError(t, r.command.Start())
	go func() { r.ended <- r.command.Wait() }()
	return r
}

// wait returns the exit status and what was printed.
func (r *staged) wait(t *testing.T) (int, string) {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(2 * time.Minute):
		t.Fatalf("stage-model still runs: %s", r.printed.text())
	}
	return r.command.ProcessState.ExitCode(), r.printed.text()
}

func (s *staging) run(t *testing.T) (int, string) {
	t.Helper()
	return s.start(t).wait(t)
}

// fakeHub is the Hugging Face hub with one gated model, whose weights it sends up to the middle until goOn is closed.
type fakeHub struct {
	server    *httptest.Server
	commit    string
	config    []byte
	weights   []byte
	token     atomic.Value // the one that has access
	downloads atomic.Int32 // of weights
	begun     chan struct{}
	goOn      chan struct{}
}

func newFakeHub(t *testing.T) *fakeHub {
	t.Helper()
	h := &fakeHub{
		commit: strings.Repeat("1f2e", 10), config: []byte(`{"architectures": ["Gemma3ForCausalLM"]}`), weights: make([]byte, 20<<20),
		begun: make(chan struct{}, 8), goOn: make(chan struct{}),
	}
	h.token.Store("")
	_, err := rand.Read(h.weights)
	require.NoError(t, err)
	h.server = httptest.NewServer(h)
	t.Cleanup(h.server.Close)
	return h
}

// address is written so that the lab does not take it for one of the pod's own.
func (h *fakeHub) address() string { return "HTTP" + strings.TrimPrefix(h.server.URL, "http") }

func (h *fakeHub) sum() string { return sumOf(h.weights) }

// waitForDownload waits until the download of the weights has begun.
func (h *fakeHub) waitForDownload(t *testing.T) {
	t.Helper()
	select {
	case <-h.begun:
	case <-time.After(time.Minute):
		t.Fatal("no download has begun within a minute")
	}
}

func (h *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file := strings.TrimPrefix(r.URL.Path, "/"+modelID+"/resolve/"+h.commit+"/")
	switch {
	case r.URL.Path == "/api/models/"+modelID+"/revision/main":
		_ = json.NewEncoder(w).Encode(map[string]any{"sha": h.commit, "gated": "manual", "siblings": []any{
			map[string]any{"rfilename": "config.json", "size": len(h.config), "lfs": map[string]any{"size": len(h.config), "sha256": sumOf(h.config)}},
			map[string]any{"rfilename": weightsFile, "size": len(h.weights), "lfs": map[string]any{"size": len(h.weights), "sha256": h.sum()}},
			map[string]any{"rfilename": "README.md", "size": 10},
		}})
	case r.Header.Get("Authorization") != "Bearer "+h.token.Load().(string):
		w.Header().Set("X-Error-Code", "GatedRepo")
		w.WriteHeader(http.StatusForbidden)
	case file == "config.json":
		_, _ = w.Write(h.config)
	case file == weightsFile:
		h.send(w, r)
	default:
		w.Header().Set("X-Error-Code", "EntryNotFound")
		w.WriteHeader(http.StatusNotFound)
	}
}

func (h *fakeHub) send(w http.ResponseWriter, r *http.Request) {
	h.downloads.Add(1)
	w.Header().Set("Content-Length", fmt.Sprint(len(h.weights)))
	_, _ = w.Write(h.weights[:len(h.weights)/2])
	h.begun <- struct{}{}
	select {
	case <-h.goOn:
	case <-r.Context().Done():
		return
	}
	_, _ = w.Write(h.weights[len(h.weights)/2:])
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
