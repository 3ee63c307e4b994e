package podruntime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// StartTimes is how long the phases of a model server's start take, as in config.ColdStart. The time until a node is there is that of
// the lab's cloud (cloud.Options). The zero value is a server that starts at once.
type StartTimes struct {
	// Image is the time for the image of a pod that requests a GPU.
	Image time.Duration
	// Weights is the time for the download and the loading of the weights.
	Weights time.Duration
	// Warmup is the time for compilation and the capture of CUDA graphs.
	Warmup time.Duration
	// Compiled is what a server of vLLM's image keeps of its warm-up; the zero value is nothing.
	Compiled Compiled
	// compressed is by what the times were divided, 0 for nothing.
	compressed float64
}

// Compressed returns the times divided by a factor of at least 1, for a lab that plays minutes in seconds.
func (t StartTimes) Compressed(factor float64) StartTimes {
	divided := func(d time.Duration) time.Duration { return time.Duration(float64(d) / factor) }
	return StartTimes{
		Image: divided(t.Image), Weights: divided(t.Weights), Warmup: divided(t.Warmup), compressed: factor,
		Compiled: Compiled{Bytes: t.Compiled.Bytes, Warmup: divided(t.Compiled.Warmup)},
	}
}

// String returns the phases and the factor by which they were compressed, for the lab's log.
func (t StartTimes) String() string {
	text := fmt.Sprintf("image %s, weights %s, warm-up %s", t.Image, t.Weights, t.Warmup)
	if t.compressed > 0 {
		text += fmt.Sprintf(" (compressed by a factor of %g)", t.compressed)
	}
	return text
}

// vLLM's lines about its start, with its formats: vllm/model_executor/model_loader/default_loader.py, vllm/compilation/monitor.py,
// vllm/v1/worker/gpu_model_runner.py and vllm/v1/engine/core.py. Of the warm-up, the lab attributes half to torch.compile and a third to
// the capture of CUDA graphs.
const (
	weightsLine = "INFO [default_loader.py] Loading weights took %.2f seconds\n"
	warmupLines = "INFO [monitor.py] torch.compile took %.2f s in total\n" +
		"INFO [gpu_model_runner.py] Graph capturing finished in %.0f secs, took 0.00 GiB\n" +
		"INFO [core.py] init engine (profile, create kv cache, warmup model) took %.2f s (compilation: %.2f s)\n"
	// standsIn marks the lines in the container's log.
	standsIn = "(lab, as vLLM prints it) "
)

// start waits for the phases of a program's start and writes vLLM's lines about each to the container's log. It returns the failure of a
// probe for which the container ends meanwhile, or the context's error.
func (w *worker) start(alive context.Context, l *launcher, t StartTimes, unhealthy <-chan *probeFailure) error {
	for _, phase := range []struct {
		takes time.Duration
		lines string
	}{
		{t.Weights, marked(fmt.Sprintf(weightsLine, t.Weights.Seconds()))},
		{t.Warmup, marked(fmt.Sprintf(warmupLines, t.Warmup.Seconds()/2, t.Warmup.Seconds()/3, t.Warmup.Seconds(), t.Warmup.Seconds()/2))},
	} {
		if phase.takes == 0 {
			continue
		}
		select {
		case <-time.After(phase.takes):
		case failure := <-unhealthy:
			return failure
		case <-alive.Done():
			return alive.Err()
		}
		if err := w.writeLog(l.container.Name, phase.lines); err != nil {
			return err
		}
	}
	return nil
}

// marked puts standsIn before each line.
func marked(lines string) string {
	return standsIn + strings.ReplaceAll(strings.TrimSuffix(lines, "\n"), "\n", "\n"+standsIn) + "\n"
}

// writeLog appends text to a container's log.
func (w *worker) writeLog(container, text string) error {
	file := w.logFile(container)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = log.WriteString(text)
	return errors.Join(err, log.Close())
}
