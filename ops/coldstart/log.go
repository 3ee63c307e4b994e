package coldstart

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"vllm-autoscaling/components/telemetry"
)

// Log is what vLLM logs about its start, in seconds; nil is a part that it has not logged. It exports no series of them.
type Log struct {
	// Weights is the download of the weights and their loading into the GPU.
	Weights *float64 `json:"weights,omitempty"`
	// Warmup is the initialisation of the engine: profiling, compilation, KV cache and CUDA graphs. Compile and Graphs are parts of it.
	Warmup  *float64 `json:"warmup,omitempty"`
	Compile *float64 `json:"compile,omitempty"`
	Graphs  *float64 `json:"graphs,omitempty"`
}

// The lines of vLLM 0.11 to 0.22 about its start. Each engine and worker logs its own; they work at the same time.
var (
	// modelLine is vllm/v1/worker/gpu_model_runner.py's: download and loading together.
	modelLine    = regexp.MustCompile(`Model loading took [0-9.]+ Gi?B(?: memory)? and ([0-9.]+) s`)
	downloadLine = regexp.MustCompile(`Time spent downloading weights for \S+: ([0-9.]+) s`)
	weightsLine  = regexp.MustCompile(`Loading weights took ([0-9.]+) s`)
	warmupLine   = regexp.MustCompile(`init engine \(profile, create kv cache, warmup model\) took ([0-9.]+) s`)
	compileLine  = regexp.MustCompile(`torch\.compile (?:took|takes) ([0-9.]+) s`)
	graphsLine   = regexp.MustCompile(`Graph capturing finished in ([0-9.]+) s`)
)

// ParseLog returns what a server's log has about its start.
func ParseLog(text string) Log {
	l := Log{Warmup: longest(warmupLine, text), Compile: longest(compileLine, text), Graphs: longest(graphsLine, text)}
	if l.Weights = longest(modelLine, text); l.Weights != nil {
		return l
	}
	if l.Weights = longest(weightsLine, text); l.Weights != nil {
		if download := longest(downloadLine, text); download != nil {
			*l.Weights += *download
		}
	}
	return l
}

// longest returns the largest number of a line; nil for none.
func longest(line *regexp.Regexp, text string) *float64 {
	var most *float64
	for _, match := range line.FindAllStringSubmatch(text, -1) {
		if value, err := strconv.ParseFloat(match[1], 64); err == nil && (most == nil || value > *most) {
			most = &value
		}
	}
	return most
}

// String returns the parts that are known; "" for none.
func (l Log) String() string {
	var parts []string
	add := func(name string, value *float64) {
		if value != nil {
			parts = append(parts, fmt.Sprintf("%s %s", name, seconds(*value)))
		}
	}
	add("weights", l.Weights)
	add("warm-up", l.Warmup)
	return strings.Join(parts, ", ")
}

const (
	// logBytes is how much of the begin of a log is read: the lines about the start are there.
	logBytes = 1 << 20
	// logTimeout leaves the rest of a run to its report, where a kubelet does not answer.
	logTimeout = 5 * time.Second
)

// ReadLog adds what the log of the server of a running pod has about its start. A log that cannot be read, or has none of the lines any
// more, adds nothing.
func (s *Start) ReadLog(ctx context.Context, client kubernetes.Interface, namespace string) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	bytes := int64(logBytes)
	stream, err := client.CoreV1().Pods(namespace).GetLogs(s.Pod, &corev1.PodLogOptions{
		Container: telemetry.ServerContainer, LimitBytes: &bytes,
	}).Stream(ctx)
	if err != nil {
		return
	}
	defer func() { _ = stream.Close() }()
	// What was read before an error counts: the start is at its begin.
	text, _ := io.ReadAll(io.LimitReader(stream, logBytes))
	if found := ParseLog(string(text)); found != (Log{}) {
		s.Log = &found
	}
}
