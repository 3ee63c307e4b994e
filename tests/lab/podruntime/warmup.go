package podruntime

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Compiled is what a server compiles in its warm-up, and how long the warm-up is with it.
type Compiled struct {
	// Bytes is its size; 0 for nothing.
	Bytes int
	// Warmup is the time for the warm-up of a server that finds it.
	Warmup time.Duration
}

// compiledDir is vLLM's folder of compiled graphs, below its home folder.
const compiledDir = ".cache/vllm/torch_compile_cache"

// startTimes returns how long the start of a server with these arguments takes, and what it does at the end; nil for nothing. As vLLM, it
// compiles into a file of its home folder that is named by what it depends on, and does not compile what it finds.
func (l *launcher) startTimes(words []string, env map[string]string) (StartTimes, func() error) {
	times := l.runtime.config.Start
	home, ok := l.localPath(l.container, env["HOME"])
	if times.Compiled.Bytes == 0 || !ok || !isRepository(l.container.Image, vllmImage) {
		return times, nil
	}
	sum := sha256.Sum256([]byte(l.container.Image + strings.Join(words, " ")))
	file := filepath.Join(home, filepath.FromSlash(path.Join(compiledDir, hex.EncodeToString(sum[:5]), "rank_0_0", "graph.py")))
	if compiled, err := os.Stat(file); err == nil && compiled.Size() == int64(times.Compiled.Bytes) {
		times.Warmup = times.Compiled.Warmup
		return times, l.report("warm-up with the compilation cache took %s", times.Warmup)
	}
	report := l.report("warm-up without a compilation cache took %s", times.Warmup)
	return times, func() error {
		if _, err := writeFile(file, make([]byte, times.Compiled.Bytes)); err != nil {
			return err
		}
		return report()
	}
}

// report returns a function that logs a line about the pod.
func (l *launcher) report(format string, took time.Duration) func() error {
	return func() error {
		l.runtime.logf("%s/%s: "+format, l.pod.Namespace, l.pod.Name, took)
		return nil
	}
}
