package podruntime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// gpuPod returns a pod on node gpu-1 with GPUs that started at that second.
func gpuPod(name string, gpus int64, started int) *corev1.Pod {
	start := metav1.NewTime(time.Unix(1_000_000+int64(started), 0))
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: name, UID: types.UID(name)},
		Spec: corev1.PodSpec{NodeName: "gpu-1", Containers: []corev1.Container{
			{Name: "sidecar"},
			{Name: "server", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{gpuResource: *resource.NewQuantity(gpus, resource.DecimalSI)}}},
		}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &start},
	}
}

func TestAllocationGivesGPUsInStartOrderAndKeepsThem(t *testing.T) {
	var a allocation
	first, second, third := gpuPod("first", 1, 1), gpuPod("second", 2, 2), gpuPod("third", 1, 3)
	steps := []struct {
		name string
		pods []*corev1.Pod
		want []types.UID
	}{
		{"no pod", nil, []types.UID{"", "", ""}},
		{"in the order of their start", []*corev1.Pod{second, first}, []types.UID{"first", "second", "second"}},
		{"none left", []*corev1.Pod{first, second, third}, []types.UID{"first", "second", "second"}},
		{"a freed GPU is allocated to a waiting pod, the others keep theirs", []*corev1.Pod{second, third}, []types.UID{"third", "second", "second"}},
		{"a hole", []*corev1.Pod{second}, []types.UID{"", "second", "second"}},
	}
	for _, step := range steps {
		a.update(3, step.pods)
		assert.Equal(t, step.want, a.holders, step.name)
	}
}

func TestWriteGPUMetrics(t *testing.T) {
	var text strings.Builder
	require.NoError(t, writeGPUMetrics(&text, []gpu{
		{index: 0, node: "gpu-1", model: `NVIDIA "L4"`, utilization: 50, holder: &gpuHolder{namespace: "vllm", pod: "a", container: "server"}},
		{index: 1, node: "gpu-1", model: "NVIDIA L4"},
	}, nil))
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text.String()))
	require.NoError(t, err, text.String())
	labels := func(m *dto.Metric) map[string]string {
		out := map[string]string{}
		for _, pair := range m.GetLabel() {
			out[pair.GetName()] = pair.GetValue()
		}
		return out
	}
	want := map[string][2]float64{
		"DCGM_FI_DEV_GPU_UTIL":            {50, 0},
		"DCGM_FI_DEV_FB_USED":             {0.9 * 23034, 3},
		"DCGM_FI_DEV_FB_FREE":             {23034 - 0.9*23034, 23031},
		"DCGM_FI_DEV_POWER_USAGE":         {44.5, 17},
		"DCGM_FI_DEV_GPU_TEMP":            {47.5, 35},
		"DCGM_FI_PROF_GR_ENGINE_ACTIVE":   {0.5, 0},
		"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": {0.2, 0},
		"DCGM_FI_DEV_XID_ERRORS":          {0, 0},
	}
	assert.Len(t, families, len(want))
	for name, values := range want {
		family := families[name]
		require.NotNil(t, family, name)
		assert.Equal(t, dto.MetricType_GAUGE, family.GetType(), name)
		require.Len(t, family.GetMetric(), 2, name)
		for i, m := range family.GetMetric() {
			assert.InDelta(t, values[i], m.GetGauge().GetValue(), 1e-9, "%s of GPU %d", name, i)
		}
		assert.Equal(t, map[string]string{
			"gpu": "0", "UUID": "GPU-lab-gpu-1-0", "pci_bus_id": "00000000:03:00.0", "device": "nvidia0", "modelName": `NVIDIA "L4"`,
			"Hostname": "gpu-1", "namespace": "vllm", "pod": "a", "container": "server",
		}, labels(family.GetMetric()[0]))
		assert.NotContains(t, labels(family.GetMetric()[1]), "pod", "a free GPU has no holder")
	}

	text.Reset()
	require.NoError(t, writeGPUMetrics(&text, nil, nil))
	assert.Empty(t, text.String())
}

func TestCollectIntervalAndPort(t *testing.T) {
	tests := []struct {
		args     string
		env      map[string]string
		interval time.Duration
		port     int
	}{
		{"", nil, 30 * time.Second, 9400},
		{"-f /etc/counters.csv", map[string]string{"DCGM_EXPORTER_INTERVAL": "1000", "DCGM_EXPORTER_LISTEN": ":9401"}, time.Second, 9401},
		{"-c 2000 -a :9402", map[string]string{"DCGM_EXPORTER_INTERVAL": "1000"}, 2 * time.Second, 9402},
		{"--collect-interval=500 --address=0.0.0.0:9403", nil, 500 * time.Millisecond, 9403},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			interval, err := collectInterval(strings.Fields(tt.args), tt.env)
			require.NoError(t, err)
			assert.Equal(t, tt.interval, interval)
			port, err := exporterPort(strings.Fields(tt.args), tt.env)
			require.NoError(t, err)
			assert.Equal(t, tt.port, port)
		})
	}
	_, err := collectInterval([]string{"-c", "1s"}, nil)
	assert.ErrorContains(t, err, "milliseconds")
	_, err = exporterPort([]string{"-a", "9400"}, nil)
	assert.ErrorContains(t, err, "9400")
}

func TestBusyUtilization(t *testing.T) {
	for running, want := range map[int]float64{0: 0, 1: 92, 3: 94, 8: 99, 100: 99} {
		assert.Equal(t, want, busyUtilization("", running), "%d running", running)
	}
}

func TestGPUExporterFollowsTheServers(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu-1", Labels: map[string]string{gpuModelLabel: "NVIDIA-H100"}}}
	node.Status.Capacity = gpuPod("x", 2, 0).Spec.Containers[1].Resources.Limits
	server := serverPod("server", "--model=m")
	server.Spec.Containers[0].Resources.Limits = gpuPod("x", 1, 0).Spec.Containers[1].Resources.Limits
	exporter := serverPod("exporter")
	exporter.Spec.Containers[0].Resources = corev1.ResourceRequirements{}
	exporter.Spec.Containers[0].Image = "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3"
	exporter.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "DCGM_EXPORTER_INTERVAL", Value: "20"}}
	r, client, _ := startRuntime(t, nil, node, server, exporter)
	sees := func(want ...string) {
		t.Helper()
		eventually(t, func() string {
			if !isReady(t, client, "exporter") {
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

// The exporter exports what is in its list of fields, and reads the list once.
func TestExporterReadsItsFieldsAtTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "default-counters.csv")
	list := "# a comment, with a comma\nDCGM_FI_DEV_GPU_UTIL, gauge, GPU utilization (in %).\n\nDCGM_FI_DEV_NOT_SIMULATED, gauge, x.\n"
	require.NoError(t, os.WriteFile(file, []byte(list), 0o600))
	fields, err := fieldList(file)
	require.NoError(t, err)
	assert.Equal(t, []string{"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_NOT_SIMULATED"}, fields)
	var text strings.Builder
	require.NoError(t, writeGPUMetrics(&text, []gpu{{node: "gpu-1", model: "NVIDIA L4"}}, fields))
	assert.Contains(t, text.String(), "DCGM_FI_DEV_GPU_UTIL{")
	assert.NotContains(t, text.String(), "DCGM_FI_DEV_GPU_TEMP")

	for _, absent := range []string{"", filepath.Join(t.TempDir(), "in-the-image.csv")} {
		fields, err := fieldList(absent)
		require.NoError(t, err)
		assert.Nil(t, fields, "the list in the image has every field")
	}
}
