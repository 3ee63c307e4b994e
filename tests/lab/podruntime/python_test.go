package podruntime

import (
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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// prepare fails at its first run and leaves a file in the home folder at its second. report waits for the pod's server.
const (
	prepare = `
import os, sys
home, claim = sys.argv[1], sys.argv[2].split("=", 1)[1]
mark = os.path.join(claim, "ran")
if not os.path.exists(mark):
    open(mark, "w").close()
    sys.exit("first run")
with open(os.path.join(home, "prepared"), "w") as file:
    file.write(os.environ["WHO"])
print("prepared", flush=True)
`
	report = `
import sys, time, urllib.request
while True:
    try:
        status = urllib.request.urlopen(sys.argv[1]).status
    except OSError:
        time.sleep(0.02)
        continue
    print("the server answers", status, flush=True)
    break
time.sleep(3600)
`
)

// scriptedPod returns a server with a script before it and one beside it, and the objects that it mounts.
func scriptedPod(name string) (*corev1.Pod, *corev1.ConfigMap, *corev1.PersistentVolumeClaim) {
	always := corev1.ContainerRestartPolicyAlways
	mounts := []corev1.VolumeMount{{Name: "scripts", MountPath: "/scripts"}, {Name: "home", MountPath: "/home/vllm"}, {Name: "shared", MountPath: "/shared"}}
	script := func(name string, args ...string) corev1.Container {
		return corev1.Container{Name: name, Image: "vllm/vllm-openai:v0.20.0", Command: []string{"python3"}, Args: args, VolumeMounts: mounts,
			Env: []corev1.EnvVar{{Name: "WHO", Value: "init"}}}
	}
	pod := serverPod(name, "google/gemma-3-1b-it")
	beside := script("beside", "/scripts/report.py", "http://127.0.0.1:8000/health")
	beside.RestartPolicy = &always
	pod.Spec.InitContainers = []corev1.Container{script("before", "/scripts/prepare.py", "/home/vllm", "--claim=/shared"), beside}
	pod.Spec.Containers[0].VolumeMounts = mounts[1:2]
	pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "HOME", Value: "/home/vllm"}}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "scripts", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "scripts"}}}},
		{Name: "home", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "shared", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "shared"}}},
	}
	return pod, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "scripts"}, Data: map[string]string{"prepare.py": prepare, "report.py": report}},
		&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "shared"}}
}

// scriptLog returns what a container has logged.
func scriptLog(r *Runtime, pod, container string) string {
	log, err := r.Log("vllm", pod, container, false)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = log.Close() }()
	content, err := io.ReadAll(log)
	return fmt.Sprint(string(content), err)
}

func TestScriptsOfAPod(t *testing.T) {
	if _, err := FindPython(); err != nil {
		t.Skip(err)
	}
	pod, scripts, claim := scriptedPod("a")
	r, client, _ := startRuntime(t, nil, pod, scripts, claim)
	eventuallyReady(t, client, "a")
	assert.FileExists(t, filepath.Join(r.ClaimFolder("vllm", "shared"), "ran"), "it failed once before the server started")
	prepared, err := os.ReadFile(filepath.Join(r.worker("vllm", "a").dir, "volumes", "home", "prepared"))
	require.NoError(t, err)
	assert.Equal(t, "init", string(prepared))
	assert.Contains(t, scriptLog(r, "a", "before"), "prepared")
	eventually(t, func() string {
		if log := scriptLog(r, "a", "beside"); !strings.Contains(log, "the server answers 200") {
			return log
		}
		return ""
	})
	require.NoError(t, client.CoreV1().Pods("vllm").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	eventually(t, func() string {
		if r.worker("vllm", "a") != nil {
			return "the pod is still there"
		}
		return ""
	})
	assert.FileExists(t, filepath.Join(r.ClaimFolder("vllm", "shared"), "ran"), "the claim outlives the pod")
}

func TestScriptOfAPodWithoutItsClaim(t *testing.T) {
	if _, err := FindPython(); err != nil {
		t.Skip(err)
	}
	pod, scripts, claim := scriptedPod("a")
	_, client, _ := startRuntime(t, nil, pod, scripts)
	assert.Never(t, func() bool { return isReady(t, client, "a") }, 300*time.Millisecond, 50*time.Millisecond)
	_, err := client.CoreV1().PersistentVolumeClaims("vllm").Create(t.Context(), claim, metav1.CreateOptions{})
	require.NoError(t, err)
	eventuallyReady(t, client, "a")
}

func TestWarmUp(t *testing.T) {
	home := func(name, claim string) *corev1.Pod {
		pod := serverPod(name, "google/gemma-3-1b-it")
		pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "HOME", Value: "/home/vllm"}}
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "home", MountPath: "/home/vllm"}}
		pod.Spec.Volumes = []corev1.Volume{{Name: "home", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}
		return pod
	}
	r, client, log := startRuntime(t, func(c *Config) {
		c.Start = StartTimes{Warmup: 50 * time.Millisecond, Compiled: Compiled{Bytes: 1000, Warmup: time.Millisecond}}
	},
		&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "home"}}, home("a", "home"))
	eventuallyReady(t, client, "a")
	assert.Contains(t, log.String(), "vllm/a: warm-up without a compilation cache took 50ms")
	compiled, err := filepath.Glob(filepath.Join(r.ClaimFolder("vllm", "home"), compiledDir, "*", "rank_0_0", "graph.py"))
	require.NoError(t, err)
	require.Len(t, compiled, 1)

	_, err = client.CoreV1().Pods("vllm").Create(t.Context(), home("b", "home"), metav1.CreateOptions{})
	require.NoError(t, err)
	eventuallyReady(t, client, "b")
	assert.Contains(t, log.String(), "vllm/b: warm-up with the compilation cache took 1ms")
}

func TestFolderOfANode(t *testing.T) {
	pod, _, _ := scriptedPod("a")
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "shared"}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "v"}}
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Spec: corev1.PersistentVolumeSpec{
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/cache"}}}}
	r, _, _ := startRuntime(t, nil, claim, volume)
	l := &launcher{runtime: r, pod: pod, dir: t.TempDir()}
	folder, err := l.lasting(&pod.Spec.Volumes[2])
	require.NoError(t, err)
	assert.Equal(t, r.NodeFolder("gpu-1", "/var/lib/cache"), folder)
}

func TestRunsScript(t *testing.T) {
	mount := []corev1.VolumeMount{{MountPath: "/etc/scripts"}}
	for name, test := range map[string]struct {
		container corev1.Container
		want      bool
	}{
		"a script of a volume": {corev1.Container{Command: []string{"python3"}, Args: []string{"/etc/scripts/a.py"}, VolumeMounts: mount}, true},
		"all in the command":   {corev1.Container{Command: []string{"/usr/bin/python3", "/etc/scripts/a.py"}, VolumeMounts: mount}, true},
		"a module":             {corev1.Container{Command: []string{"python3", "-m", "vllm.entrypoints.openai.api_server"}, VolumeMounts: mount}, false},
		"a file of the image":  {corev1.Container{Command: []string{"python3", "/app/a.py"}, VolumeMounts: mount}, false},
		"no command":           {corev1.Container{Args: []string{"python3", "/etc/scripts/a.py"}, VolumeMounts: mount}, false},
	} {
		assert.Equal(t, test.want, runsScript(&test.container), name)
	}
}
