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

// WarmUp is how long simulated vLLM takes from the loaded weights until it is ready.
type WarmUp struct {
	// Compile is that of a server which has to compile; Cached that of one which finds what it would compile.
	Compile, Cached time.Duration
	// Size is that of what it compiles, in bytes.
	Size int
}

// compiledDir is vLLM's folder of compiled graphs, below its home folder.
const compiledDir = ".cache/vllm/torch_compile_cache"

// warmUp returns how long a server with these arguments warms up, and what it does at the end. As vLLM, it compiles into a file of its home
// folder that is named by what it depends on, and does not compile what it finds.
func (l *launcher) warmUp(words []string, env map[string]string) (time.Duration, func() error) {
	of := l.runtime.config.WarmUp
	home, ok := l.localPath(l.container, env["HOME"])
	if of.Compile == 0 || !ok {
		return of.Compile, nil
	}
	sum := sha256.Sum256([]byte(l.container.Image + strings.Join(words, " ")))
	file := filepath.Join(home, filepath.FromSlash(path.Join(compiledDir, hex.EncodeToString(sum[:5]), "rank_0_0", "graph.py")))
	if compiled, err := os.Stat(file); err == nil && compiled.Size() == int64(of.Size) {
		return of.Cached, l.report("warm-up with the compilation cache took %s", of.Cached)
	}
	report := l.report("warm-up without a compilation cache took %s", of.Compile)
	return of.Compile, func() error {
		if _, err := writeFile(file, make([]byte, of.Size)); err != nil {
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
