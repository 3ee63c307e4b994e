package podruntime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// gpuResource is the name of the resource with which a pod requests GPUs.
const gpuResource corev1.ResourceName = "nvidia.com/gpu"

// gpuModelLabel is the node label with the GPU's model, as NVIDIA's feature discovery sets it.
const gpuModelLabel = "nvidia.com/gpu.product"

// defaultGPUModel is the model of GPUs on a node without that label.
const defaultGPUModel = "NVIDIA L4"

// The framebuffer of an NVIDIA L4 and the part that an idle one uses, in MiB.
const (
	framebufferTotal = 23034
	framebufferIdle  = 3
)

// defaultCollectInterval is dcgm-exporter's default interval for reading the GPUs, independent of scrapes.
const defaultCollectInterval = 30 * time.Second

// defaultExporterPort is dcgm-exporter's default port.
const defaultExporterPort = 9400

// busyUtilization returns the default utilization of a GPU in percent while its pod decodes that many requests. The real
// counter is near 100 whenever any kernel runs, so that the number of requests has little effect.
func busyUtilization(_ string, running int) float64 {
	if running <= 0 {
		return 0
	}
	return min(91+float64(running), 99)
}

// gpu is one GPU of a node at one moment.
type gpu struct {
	index int
	node  string
	model string
	// holder is the pod to which the GPU is allocated, nil for none.
	holder *gpuHolder
	// utilization is in percent, 0 to 100.
	utilization float64
}

type gpuHolder struct {
	namespace, pod, container string
}

// gpuFields are the simulated series of the exporter's default set, with their names up to dcgm-exporter 4.8.
var gpuFields = []struct {
	name, kind, help string
	value            func(g gpu) float64
}{
	{"DCGM_FI_DEV_GPU_TEMP", "gauge", "GPU temperature (in C).", func(g gpu) float64 { return 35 + g.utilization/4 }},
	{"DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (in W).", func(g gpu) float64 { return 17 + 0.55*g.utilization }},
	{"DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %).", func(g gpu) float64 { return g.utilization }},
	{"DCGM_FI_DEV_XID_ERRORS", "gauge", "Value of the last XID error encountered.", func(gpu) float64 { return 0 }},
	{"DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB).", func(g gpu) float64 { return framebufferTotal - g.framebufferUsed() }},
	{"DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB).", gpu.framebufferUsed},
	{"DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge", "Ratio of time the graphics engine is active.", func(g gpu) float64 { return g.utilization / 100 }},
	{"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "gauge", "Ratio of cycles the tensor (HMMA) pipe is active.", func(g gpu) float64 { return 0.4 * g.utilization / 100 }},
}

// framebufferUsed returns the used memory. It does not depend on load: vLLM allocates its share when it starts.
func (g gpu) framebufferUsed() float64 {
	if g.holder == nil {
		return framebufferIdle
	}
	return 0.9 * framebufferTotal
}

func (g gpu) labels() string {
	pairs := [][2]string{
		{"gpu", strconv.Itoa(g.index)},
		{"UUID", fmt.Sprintf("GPU-lab-%s-%d", g.node, g.index)},
		{"pci_bus_id", fmt.Sprintf("00000000:%02X:00.0", g.index+3)},
		{"device", "nvidia" + strconv.Itoa(g.index)},
		{"modelName", g.model},
		{"Hostname", g.node},
	}
	if g.holder != nil {
		pairs = append(pairs, [2]string{"container", g.holder.container}, [2]string{"namespace", g.holder.namespace}, [2]string{"pod", g.holder.pod})
	}
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	words := make([]string, len(pairs))
	for i, pair := range pairs {
		words[i] = pair[0] + `="` + escape.Replace(pair[1]) + `"`
	}
	return strings.Join(words, ",")
}

// writeGPUMetrics writes the series of the GPUs in the text format of Prometheus, of the fields in a list, or all of them
// without one.
func writeGPUMetrics(w io.Writer, gpus []gpu, list []string) error {
	for _, field := range gpuFields {
		if len(gpus) == 0 {
			break
		}
		if list != nil && !slices.Contains(list, field.name) {
			continue
		}
		if _, err := fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", field.name, field.help, field.name, field.kind); err != nil {
			return err
		}
		for _, g := range gpus {
			value := strconv.FormatFloat(field.value(g), 'f', -1, 64)
			if _, err := fmt.Fprintf(w, "%s{%s} %s\n", field.name, g.labels(), value); err != nil {
				return err
			}
		}
	}
	return nil
}

// allocation records the GPUs of a node that each pod uses. A pod keeps its GPUs while it exists.
type allocation struct {
	holders []types.UID
}

// update frees the GPUs of deleted pods and allocates the lowest free ones to new pods, in the order of the pods' start.
func (a *allocation) update(count int, pods []*corev1.Pod) {
	holders := make([]types.UID, count)
	copy(holders, a.holders)
	present := map[types.UID]bool{}
	for _, pod := range pods {
		present[pod.UID] = true
	}
	holding := map[types.UID]int{}
	for i, uid := range holders {
		if !present[uid] {
			holders[i] = ""
			continue
		}
		holding[uid]++
	}
	for _, pod := range slices.SortedFunc(slices.Values(pods), byStart) {
		_, wanted := gpuRequest(pod)
		for i := range holders {
			if holding[pod.UID] >= wanted {
				break
			}
			if holders[i] == "" {
				holders[i] = pod.UID
				holding[pod.UID]++
			}
		}
	}
	a.holders = holders
}

func byStart(a, b *corev1.Pod) int {
	start := func(p *corev1.Pod) time.Time {
		if p.Status.StartTime != nil {
			return p.Status.StartTime.Time
		}
		return p.CreationTimestamp.Time
	}
	return cmp.Or(start(a).Compare(start(b)), cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name))
}

// gpuRequest returns the first container that requests GPUs and the number that the pod requests.
func gpuRequest(pod *corev1.Pod) (container string, count int) {
	for _, c := range pod.Spec.Containers {
		quantity, ok := c.Resources.Limits[gpuResource]
		if !ok {
			quantity, ok = c.Resources.Requests[gpuResource]
		}
		if !ok || quantity.IsZero() {
			continue
		}
		if container == "" {
			container = c.Name
		}
		count += int(quantity.Value())
	}
	return container, count
}

// nodeGPUs returns the GPUs of a node with their current utilization.
func (r *Runtime) nodeGPUs(ctx context.Context, nodeName string, a *allocation) ([]gpu, error) {
	node, err := r.nodes.Get(nodeName)
	if err != nil {
		return nil, err
	}
	all, err := r.pods.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	var pods []*corev1.Pod
	byUID := map[types.UID]*corev1.Pod{}
	for _, pod := range all {
		if _, count := gpuRequest(pod); count > 0 && pod.Spec.NodeName == nodeName && !finished(pod) {
			pods = append(pods, pod)
			byUID[pod.UID] = pod
		}
	}
	quantity := node.Status.Capacity[gpuResource]
	a.update(int(quantity.Value()), pods)
	model := node.Labels[gpuModelLabel]
	if model == "" {
		model = defaultGPUModel
	}
	utilization := r.utilization()
	busy := map[types.UID]float64{}
	gpus := make([]gpu, len(a.holders))
	for i, uid := range a.holders {
		gpus[i] = gpu{index: i, node: nodeName, model: model}
		pod := byUID[uid]
		if pod == nil {
			continue
		}
		if _, ok := busy[uid]; !ok {
			busy[uid] = min(max(utilization(pod.Name, r.running(ctx, pod)), 0), 100)
		}
		container, _ := gpuRequest(pod)
		gpus[i].holder = &gpuHolder{namespace: pod.Namespace, pod: pod.Name, container: container}
		gpus[i].utilization = busy[uid]
	}
	return gpus, nil
}

// collectInterval returns the exporter's interval from its arguments or its variables, both in milliseconds.
func collectInterval(args []string, env map[string]string) (time.Duration, error) {
	value := flagValue(args, "collect-interval", flagValue(args, "c", env["DCGM_EXPORTER_INTERVAL"]))
	if value == "" {
		return defaultCollectInterval, nil
	}
	milliseconds, err := strconv.Atoi(value)
	if err != nil || milliseconds <= 0 {
		return 0, fmt.Errorf("collect interval %q of dcgm-exporter is not a positive number of milliseconds", value)
	}
	return time.Duration(milliseconds) * time.Millisecond, nil
}

// exporterPort returns the port on which the exporter listens in its pod.
func exporterPort(args []string, env map[string]string) (int, error) {
	listen := flagValue(args, "address", flagValue(args, "a", cmp.Or(env["DCGM_EXPORTER_LISTEN"], ":"+strconv.Itoa(defaultExporterPort))))
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return 0, fmt.Errorf("dcgm-exporter's address %q: %w", listen, err)
	}
	return strconv.Atoi(port)
}

// fieldList returns the names of the fields in an exporter's CSV file, nil where there is no such file in a volume.
func fieldList(file string) ([]string, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fields of dcgm-exporter: %w", err)
	}
	names := []string{}
	for line := range strings.SplitSeq(string(content), "\n") {
		if name, _, ok := strings.Cut(line, ","); ok && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names, nil
}

func (l *launcher) gpuExporter(ctx context.Context) (*launch, error) {
	args, err := l.arguments()
	if err != nil {
		return nil, err
	}
	env, err := l.environment()
	if err != nil {
		return nil, err
	}
	interval, err := collectInterval(args, env)
	if err != nil {
		return nil, err
	}
	containerPort, err := exporterPort(args, env)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	fields, err := fieldList(flagValue(args, "f", ""))
	if err != nil {
		return nil, err
	}
	exporter := &gpuExporter{runtime: l.runtime, node: l.pod.Spec.NodeName, fields: fields}
	port := listener.Addr().(*net.TCPAddr).Port
	return &launch{
		program: GPUExporter,
		ports:   map[int]endpoint{containerPort: {port: port}},
		ready:   getOK(fmt.Sprintf("http://127.0.0.1:%d/health", port), http.DefaultClient),
		inProcess: func(ctx context.Context) error {
			return exporter.serve(ctx, listener, interval)
		},
	}, nil
}

// gpuExporter simulates the dcgm-exporter of one node.
type gpuExporter struct {
	runtime *Runtime
	node    string
	// fields are those of the list that was there at the start. The list is mounted by subPath, which a kubelet never
	// updates.
	fields     []string
	allocation allocation

	mu   sync.Mutex
	text string
	err  error
}

// serve collects at each interval and serves the last result until the context ends.
func (e *gpuExporter) serve(ctx context.Context, listener net.Listener, interval time.Duration) error {
	e.collect(ctx)
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.err != nil {
			http.Error(w, e.err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, e.text)
	})
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			e.collect(ctx)
		case err := <-failed:
			return err
		case <-ctx.Done():
			return server.Close()
		}
	}
}

func (e *gpuExporter) collect(ctx context.Context) {
	gpus, err := e.runtime.nodeGPUs(ctx, e.node, &e.allocation)
	var text strings.Builder
	if err == nil {
		err = writeGPUMetrics(&text, gpus, e.fields)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.text, e.err = text.String(), err
}
