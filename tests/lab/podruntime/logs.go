package podruntime

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"vllm-autoscaling/tests/lab/router"
)

// logFile returns the path of a container's log, to which each of its runs appends.
func (w *worker) logFile(container string) string { return filepath.Join(w.dir, container+".log") }

// size returns the size of a file, 0 for none.
func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// Log returns what a container has written since it was last started, or with previous in the run before that. It implements
// kubelet.Pods.
func (r *Runtime) Log(namespace, pod, container string, previous bool) (io.ReadCloser, error) {
	w := r.worker(namespace, pod)
	if w == nil {
		return nil, fmt.Errorf("pod %s/%s: %w", namespace, pod, router.ErrNotFound)
	}
	if !slices.Contains(w.programs(), container) {
		return nil, fmt.Errorf("the lab runs no program for container %q of pod %q, so that it has no log", container, pod)
	}
	w.mu.Lock()
	runs := w.runs[container]
	w.mu.Unlock()
	run := len(runs) - 1
	if previous {
		run--
	}
	switch {
	case run < 0 && previous:
		return nil, fmt.Errorf("previous terminated container %q in pod %q not found", container, pod)
	case run < 0:
		return nil, fmt.Errorf("container %q in pod %q is waiting to start", container, pod)
	}
	file, err := os.Open(w.logFile(container))
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("container %q of pod %q is a part of the lab, and has no log of its own", container, pod)
	}
	if err != nil {
		return nil, err
	}
	end := size(file.Name())
	if previous {
		end = runs[run+1]
	}
	return section{io.NewSectionReader(file, runs[run], end-runs[run]), file}, nil
}

// section is a part of a file.
type section struct {
	io.Reader
	io.Closer
}
