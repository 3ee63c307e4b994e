package podruntime

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"vllm-autoscaling/tests/lab/router"
)

// serverVariable turns the test's own binary into a model server, see fakeTool.
const serverVariable = "PODRUNTIME_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) != "" {
		serve()
		return
	}
	os.Exit(m.Run())
}

// serve is a model server on the --port of its command line: POST /die ends it with status 3.
func serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/args", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(os.Args[1:]) })
	mux.HandleFunc("/environment", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(os.Environ()) })
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{model_name=\"m\"} 5\n")
	})
	mux.HandleFunc("/die", func(http.ResponseWriter, *http.Request) {
		fmt.Fprintln(os.Stderr, "told to die")
		os.Exit(3)
	})
	if err := http.ListenAndServe("127.0.0.1:"+flagValue(os.Args[1:], "port", ""), mux); err != nil { //nolint:gosec // a test's server
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// fakeTool is a program that runs the test's own binary as a model server.
func fakeTool(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "llm-d-inference-sim")
	script := fmt.Sprintf("#!/bin/sh\nexec env %s=1 %q \"$@\"\n", serverVariable, self)
	require.NoError(t, os.WriteFile(file, []byte(script), 0o755)) //nolint:gosec // it must be executable
	return file
}

type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// startRuntime runs a runtime on an API server that is only a store of objects.
func startRuntime(t *testing.T, change func(*Config), objects ...runtime.Object) (*Runtime, *fake.Clientset, *logged) {
	t.Helper()
	log := &logged{}
	config := Config{
		Dir: t.TempDir(), Log: log, Tools: map[string]string{string(Simulator): fakeTool(t)},
		KubeconfigFor: func(user string) (string, error) { return "/kubeconfig/" + user, nil },
	}
	if change != nil {
		change(&config)
	}
	client := fake.NewClientset(objects...)
	r := newRuntime(config, client)
	var err error
	r.router, err = router.New(r, log)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Stop()) })
	require.NoError(t, r.Start(t.Context()))
	return r, client, log
}

func eventually(t *testing.T, seen func() string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if last = seen(); last == "" {
			return
		}
	}
	require.Failf(t, "not in time", "%s", last)
}

func serverPod(name string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: name, UID: types.UID(name + "-uid")},
		Spec: corev1.PodSpec{NodeName: "gpu-1", Containers: []corev1.Container{{
			Name: "server", Image: "vllm/vllm-openai:v0.20.0", Args: args,
			Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8000}},
		}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.244.0.7"},
	}
}

func annotation(t *testing.T, client *fake.Clientset, name string) string {
	t.Helper()
	pod, err := client.CoreV1().Pods("vllm").Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return pod.Annotations[ReadyAnnotation]
}

func get(t *testing.T, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, body.String()
}

func TestServerPodRunsDiesAndEnds(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.invalid")
	pod := serverPod("a", "--model=m", "--max-num-seqs=16", "--dtype=auto")
	pod.Spec.Containers[0].Env = []corev1.EnvVar{
		{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
	}
	r, client, log := startRuntime(t, nil, pod)

	eventually(t, func() string {
		if got := annotation(t, client, "a"); got != "true" {
			return "annotation " + got + ": " + log.String()
		}
		return ""
	})
	assert.Empty(t, r.Failures())
	assert.Contains(t, log.String(), "vllm/a: llm-d-inference-sim serves\n")
	code, body := get(t, r.PodURL("vllm", "a", 8000)+"/args")
	assert.Equal(t, 200, code)
	assert.Contains(t, body, `"--model=m","--max-num-seqs=16"`)
	assert.NotContains(t, body, "dtype")
	_, body = get(t, r.PodURL("vllm", "a", 8000)+"/environment")
	assert.Contains(t, body, `"POD_NAME=a"`)
	assert.NotContains(t, body, "PROXY", "nothing of the lab's environment leaks in")
	assert.Equal(t, 5, r.running(t.Context(), pod))
	direct, ok := r.Endpoint("vllm", "a", 8000)
	require.True(t, ok)

	code, _ = get(t, r.PodURL("vllm", "a", 8000)+"/die")
	assert.Equal(t, 502, code)
	eventually(t, func() string {
		if got := annotation(t, client, "a"); got != "false" {
			return "annotation " + got
		}
		return ""
	})
	eventually(t, func() string {
		if got := annotation(t, client, "a"); got != "true" {
			return "not started again: " + log.String()
		}
		return ""
	})
	again, ok := r.Endpoint("vllm", "a", 8000)
	require.True(t, ok)
	assert.NotEqual(t, direct, again)
	assert.Empty(t, r.Failures(), "a pod that serves again has no failure")
	assert.Contains(t, log.String(), "told to die")

	require.NoError(t, client.CoreV1().Pods("vllm").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	eventually(t, func() string {
		if _, ok := r.Endpoint("vllm", "a", 8000); ok {
			return "the runtime still knows the pod"
		}
		if conn, err := net.Dial("tcp", again); err == nil {
			_ = conn.Close()
			return "the process still listens"
		}
		return ""
	})
}

func TestPodThatCannotStartSaysWhy(t *testing.T) {
	_, client, log := startRuntime(t, nil, serverPod("a", "--model=m", "--max-num-sequences=16"))
	eventually(t, func() string {
		events, err := client.CoreV1().Events("vllm").List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		if len(events.Items) == 0 {
			return "no event: " + log.String()
		}
		event := events.Items[0]
		assert.Equal(t, "Warning", event.Type)
		assert.Equal(t, "Failed", event.Reason)
		assert.Contains(t, event.Message, `flag "--max-num-sequences" is not known to vLLM`)
		assert.Equal(t, types.UID("a-uid"), event.InvolvedObject.UID)
		return ""
	})
	assert.Contains(t, log.String(), "--max-num-sequences")
	assert.Empty(t, annotation(t, client, "a"))
}

func TestFailuresEndWithTheirCause(t *testing.T) {
	r, client, _ := startRuntime(t, func(c *Config) { c.Tools = nil }, serverPod("a", "--model=m"))
	eventually(t, func() string {
		if f := r.Failures(); len(f) != 1 || !strings.Contains(f[0].String(), "pod vllm/a: container \"server\": the lab was given no file for llm-d-inference-sim") {
			return fmt.Sprint(f)
		}
		return ""
	})
	code, body := get(t, r.PodURL("vllm", "a", 8000)+"/metrics")
	assert.Equal(t, 502, code)
	assert.Contains(t, body, "no file for llm-d-inference-sim")
	require.NoError(t, client.CoreV1().Pods("vllm").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	eventually(t, func() string {
		if f := r.Failures(); len(f) != 0 {
			return fmt.Sprint(f)
		}
		return ""
	})
}

func TestNothingListensWhileTheModelLoads(t *testing.T) {
	r, client, _ := startRuntime(t, func(c *Config) { c.ModelLoadDelay = time.Hour }, serverPod("a", "--model=m"))
	eventually(t, func() string {
		if r.worker("vllm", "a") == nil {
			return "not seen"
		}
		return ""
	})
	code, body := get(t, r.PodURL("vllm", "a", 8000)+"/metrics")
	assert.Equal(t, 502, code)
	assert.Contains(t, body, "no process serves it (yet)")
	assert.Empty(t, annotation(t, client, "a"))
}

func TestPodWithoutProgramIsReadyAtOnce(t *testing.T) {
	pod := serverPod("grafana")
	pod.Spec.Containers[0].Image = "docker.io/grafana/grafana:13.0.0"
	unbound := serverPod("unbound")
	unbound.Spec.NodeName = ""
	unbound.Spec.Containers[0].Image = "docker.io/grafana/grafana:13.0.0"
	_, client, _ := startRuntime(t, nil, pod, unbound)
	eventually(t, func() string { return missingIf(annotation(t, client, "grafana")) })
	assert.Empty(t, annotation(t, client, "unbound"), "a pod without a node has not started")
}

func missingIf(value string) string {
	if value == "" {
		return "no annotation"
	}
	return ""
}

func TestPodWaitsForWhatItMounts(t *testing.T) {
	pod := serverPod("a", "--model=m", "--config=/config/sim.yaml")
	pod.Spec.Volumes = []corev1.Volume{{Name: "c", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "sim"}}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "c", MountPath: "/config"}}
	r, client, _ := startRuntime(t, nil, pod)
	eventually(t, func() string {
		if f := r.Failures(); len(f) != 1 || !strings.Contains(f[0].Err.Error(), `ConfigMap "sim" does not exist`) {
			return fmt.Sprint(f)
		}
		return ""
	})
	_, err := client.CoreV1().ConfigMaps("vllm").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "sim"}, Data: map[string]string{"sim.yaml": "one"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, func() string { return missingIf(annotation(t, client, "a")) })
	assert.Empty(t, r.Failures())
}

func TestGPUExporterFollowsTheServers(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu-1", Labels: map[string]string{gpuModelLabel: "NVIDIA-H100"}}}
	node.Status.Capacity = gpuPod("x", 2, 0).Spec.Containers[1].Resources.Limits
	server := serverPod("server", "--model=m")
	server.Spec.Containers[0].Resources.Limits = gpuPod("x", 1, 0).Spec.Containers[1].Resources.Limits
	exporter := serverPod("exporter")
	exporter.Spec.Containers[0].Image = "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3"
	exporter.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "DCGM_EXPORTER_INTERVAL", Value: "20"}}
	r, client, _ := startRuntime(t, nil, node, server, exporter)
	sees := func(want ...string) {
		t.Helper()
		eventually(t, func() string {
			if annotation(t, client, "exporter") != "true" {
				return "not ready"
			}
			_, body := get(t, r.PodURL("vllm", "exporter", 9400)+"/metrics")
			for _, w := range want {
				if !strings.Contains(body, w) {
					return body
				}
			}
			return ""
		})
	}
	sees(
		`DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-lab-gpu-1-0",pci_bus_id="00000000:03:00.0",device="nvidia0",modelName="NVIDIA-H100",Hostname="gpu-1",container="server",namespace="vllm",pod="server"} 96`,
		`DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-lab-gpu-1-1",pci_bus_id="00000000:04:00.0",device="nvidia1",modelName="NVIDIA-H100",Hostname="gpu-1"} 0`,
	)
	r.SetGPUUtilization(func(pod string, running int) float64 {
		assert.Equal(t, "server", pod)
		return float64(10 * running)
	})
	sees(`pod="server"} 50`)
	r.SetGPUUtilization(nil)
	sees(`pod="server"} 96`)
}

// serving makes a runtime believe that a pod's port 8000 is served at that address.
func serving(r *Runtime, pod *corev1.Pod, address string, secure bool) {
	_, port, _ := net.SplitHostPort(address)
	number, _ := net.LookupPort("tcp", port)
	w := newWorker(r, pod)
	w.launched["server"] = &launch{program: Simulator, ports: map[int]endpoint{8000: {port: number, tls: secure}}}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byName[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = w
}

func TestResolve(t *testing.T) {
	ready, unready, number, name := true, false, int32(8000), "http"
	endpointOf := func(pod string, ready *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: ready}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod}}
	}
	service := func(serviceName, ip string) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: serviceName},
			Spec:       corev1.ServiceSpec{ClusterIP: ip, ClusterIPs: []string{ip}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
		}
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "vllm-1", Labels: map[string]string{discoveryv1.LabelServiceName: "vllm"}},
		Ports:      []discoveryv1.EndpointPort{{Name: &name, Port: &number}},
		Endpoints:  []discoveryv1.Endpoint{endpointOf("b", &ready), endpointOf("a", nil), endpointOf("loading", &unready), endpointOf("gone", &ready)},
	}
	listed := serverPod("a")
	listed.Spec.NodeName = "" // so that the runtime does not start it
	r, _, _ := startRuntime(t, nil, service("vllm", "10.96.0.7"), service("empty", "10.96.0.8"), slice, listed)
	one, two := httptest.NewServer(http.NotFoundHandler()), httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(one.Close)
	t.Cleanup(two.Close)
	serving(r, serverPod("a"), one.Listener.Addr().String(), false)
	serving(r, serverPod("b"), two.Listener.Addr().String(), true)
	a := router.Backend{Address: one.Listener.Addr().String()}
	b := router.Backend{Address: two.Listener.Addr().String(), TLS: true}

	both := []router.Backend{a, b}
	tests := []struct {
		name string
		ask  func() ([]router.Backend, error)
		want []router.Backend
		// err is part of the error's text; notFound says that it is router.ErrNotFound.
		err      string
		notFound bool
	}{
		{name: "pod by number", ask: func() ([]router.Backend, error) { return only(r.Pod("vllm", "a", "8000")) }, want: []router.Backend{a}},
		{name: "pod by port name", ask: func() ([]router.Backend, error) { return only(r.Pod("vllm", "b", "http")) }, want: []router.Backend{b}},
		{name: "pod without that port name", ask: func() ([]router.Backend, error) { return only(r.Pod("vllm", "a", "web")) }, err: `no port named "web"`, notFound: true},
		{name: "pod that does not serve the port", ask: func() ([]router.Backend, error) { return only(r.Pod("vllm", "a", "9")) }, err: "no process serves it"},
		{name: "no such pod", ask: func() ([]router.Backend, error) { return only(r.Pod("vllm", "zzz", "8000")) }, err: "pod vllm/zzz", notFound: true},
		{name: "service by number", ask: func() ([]router.Backend, error) { return r.Service("vllm", "vllm", "80") }, want: both},
		{name: "service by port name", ask: func() ([]router.Backend, error) { return r.Service("vllm", "vllm", "http") }, want: both},
		{name: "service without endpoints", ask: func() ([]router.Backend, error) { return r.Service("vllm", "empty", "80") }, err: "no ready endpoint"},
		{name: "service without the port", ask: func() ([]router.Backend, error) { return r.Service("vllm", "vllm", "8000") }, err: "no port", notFound: true},
		{name: "no such service", ask: func() ([]router.Backend, error) { return r.Service("vllm", "x", "80") }, err: "service vllm/x", notFound: true},
		{name: "cluster IP", ask: func() ([]router.Backend, error) { return r.Cluster("10.96.0.7", "80") }, want: both},
		{name: "DNS name", ask: func() ([]router.Backend, error) { return r.Cluster("vllm.vllm.svc", "80") }, want: both},
		{name: "pod IP", ask: func() ([]router.Backend, error) { return r.Cluster("10.244.0.7", "8000") }, want: []router.Backend{a}},
		{name: "unknown address", ask: func() ([]router.Backend, error) { return r.Cluster("10.1.1.1", "80") }, err: "10.1.1.1:80", notFound: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.ask()
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				if tt.notFound {
					assert.ErrorIs(t, err, router.ErrNotFound)
				} else {
					assert.NotErrorIs(t, err, router.ErrNotFound)
				}
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func only(b router.Backend, err error) ([]router.Backend, error) { return []router.Backend{b}, err }

func TestPreStopSleep(t *testing.T) {
	exec := func(command ...string) *corev1.Lifecycle {
		return &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: command}}}
	}
	tests := []struct {
		name string
		hook *corev1.Lifecycle
		want time.Duration
	}{
		{"none", nil, 0},
		{"action", &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 15}}}, 15 * time.Second},
		{"command", exec("/bin/sleep", "7"), 7 * time.Second},
		{"shell", exec("sh", "-c", "sleep 2.5"), 2500 * time.Millisecond},
		{"another hook", exec("/bin/drain", "now"), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, preStopSleep(&corev1.Container{Lifecycle: tt.hook}))
		})
	}
}

func TestVolumes(t *testing.T) {
	pod := serverPod("a")
	pod.Spec.NodeName = ""
	yes := true
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "all", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}},
		{Name: "some", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s", Items: []corev1.KeyToPath{{Key: "k", Path: "deep/er"}}}}},
		{Name: "mixed", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}},
		}}}},
		{Name: "optional", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "absent", Optional: &yes}}},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{
		{Name: "all", MountPath: "/etc/app"}, {Name: "scratch", MountPath: "/etc/app/cache"}, {Name: "some", MountPath: "/one", SubPath: "deep/er"},
	}
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "c"}, Data: map[string]string{"a": "1", "b": "2"}}
	r, client, _ := startRuntime(t, nil, pod, configMap,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "s"}, Data: map[string][]byte{"k": []byte("v"), "other": []byte("w")}})
	l := &launcher{runtime: r, pod: pod, container: &pod.Spec.Containers[0], dir: t.TempDir()}
	files := func() map[string]string {
		found := map[string]string{}
		require.NoError(t, filepath.WalkDir(l.dir, func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				content, readErr := os.ReadFile(path)
				require.NoError(t, readErr)
				found[strings.TrimPrefix(path, filepath.Join(l.dir, "volumes")+"/")] = string(content)
			}
			return err
		}))
		return found
	}

	changed, err := l.volumes()
	require.NoError(t, err)
	assert.True(t, changed)
	assert.Equal(t, map[string]string{"all/a": "1", "all/b": "2", "some/deep/er": "v", "mixed/k": "v", "mixed/other": "w"}, files())
	assert.DirExists(t, filepath.Join(l.dir, "volumes", "scratch"))

	require.NoError(t, os.WriteFile(filepath.Join(l.dir, "volumes", "scratch", "mine"), []byte("x"), 0o600))
	changed, err = l.volumes()
	require.NoError(t, err)
	assert.False(t, changed, "nothing differs")

	configMap.Data = map[string]string{"b": "3"}
	_, err = client.CoreV1().ConfigMaps("vllm").Update(t.Context(), configMap, metav1.UpdateOptions{})
	require.NoError(t, err)
	eventually(t, func() string {
		changed, err = l.volumes()
		if err != nil || !changed {
			return fmt.Sprintf("changed %v, error %v", changed, err)
		}
		return ""
	})
	assert.Equal(t, map[string]string{"all/b": "3", "some/deep/er": "v", "mixed/k": "v", "mixed/other": "w", "scratch/mine": "x"}, files())

	for given, want := range map[string]string{
		"--config=/etc/app/b":  "--config=" + filepath.Join(l.dir, "volumes", "all", "b"),
		"/etc/app/cache/x":     filepath.Join(l.dir, "volumes", "scratch", "x"),
		"/one":                 filepath.Join(l.dir, "volumes", "some", "deep", "er"),
		"--config=/etc/apples": "--config=/etc/apples",
		"--url=http://x/etc":   "--url=http://x/etc",
	} {
		assert.Equal(t, []string{want}, l.localArgs([]string{given}))
	}
}

func TestEnvironment(t *testing.T) {
	yes := true
	pod := serverPod("a")
	pod.Spec.NodeName = ""
	pod.Labels = map[string]string{"app": "x"}
	key := func(secret, name string, optional *bool) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: name, Optional: optional}}
	}
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	c := &pod.Spec.Containers[0]
	c.EnvFrom = []corev1.EnvFromSource{{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}}
	c.Env = []corev1.EnvVar{
		{Name: "PLAIN", Value: "1"},
		{Name: "BOTH", Value: "$(PLAIN)-$(P_a)"},
		{Name: "TOKEN", ValueFrom: key("s", "k", nil)},
		{Name: "ABSENT", ValueFrom: key("s", "none", &yes)},
		{Name: "NAME", ValueFrom: field("metadata.name")},
		{Name: "IP", ValueFrom: field("status.podIP")},
		{Name: "LABEL", ValueFrom: field("metadata.labels['app']")},
	}
	r, _, _ := startRuntime(t, nil, pod,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "c"}, Data: map[string]string{"a": "2"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "s"}, Data: map[string][]byte{"k": []byte("v")}})
	l := &launcher{runtime: r, pod: pod, container: c, dir: t.TempDir()}
	env, err := l.environment()
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		"P_a": "2", "PLAIN": "1", "BOTH": "1-2", "TOKEN": "v", "NAME": "a", "IP": "10.244.0.7", "LABEL": "x",
	}, env)

	c.Env = []corev1.EnvVar{{Name: "TOKEN", ValueFrom: key("nowhere", "k", nil)}}
	_, err = l.environment()
	require.ErrorIs(t, err, errWaiting)
	assert.ErrorContains(t, err, `variable TOKEN of container "server"`)
}

func TestStopEndsEveryProcess(t *testing.T) {
	r, client, _ := startRuntime(t, nil, serverPod("a", "--model=m"), serverPod("b", "--model=m"))
	for _, name := range []string{"a", "b"} {
		eventually(t, func() string { return missingIf(annotation(t, client, name)) })
	}
	addresses := []string{}
	for _, name := range []string{"a", "b"} {
		at, ok := r.Endpoint("vllm", name, 8000)
		require.True(t, ok)
		addresses = append(addresses, at)
	}
	require.NoError(t, r.Stop())
	require.NoError(t, r.Stop(), "a second time does nothing")
	for _, address := range addresses {
		_, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", address)
		assert.Error(t, err, "%s still listens", address)
	}
}
