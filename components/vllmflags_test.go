package components

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestVLLMServerArgs(t *testing.T) {
	t.Run("vLLM", func(t *testing.T) {
		args := vllmArgs()
		assert.Equal(t, []string{
			"--model=google/gemma-3-1b-it", "--port=8000", "--max-model-len=8192", "--max-num-seqs=16",
			"--gpu-memory-utilization=0.9", "--dtype=auto", "--shutdown-timeout=45",
			"--disable-access-log-for-endpoints=/health,/metrics,/ping",
		}, serverArgs(args))
	})
	t.Run("a revision, two GPUs and extra arguments", func(t *testing.T) {
		args := vllmArgs()
		args.Model.Revision = "dcc83ea"
		args.GPU.PerReplica = 2
		args.Model.ExtraArgs = []string{"--enable-prefix-caching"}
		got := serverArgs(args)
		assert.Subset(t, got, []string{"--revision=dcc83ea", "--tensor-parallel-size=2"})
		assert.Equal(t, "--enable-prefix-caching", got[len(got)-1])
	})
	// The simulator exits on a flag it does not know.
	t.Run("the simulator", func(t *testing.T) {
		args := simulatorArgs()
		args.Model.Revision = "dcc83ea"
		args.GPU.PerReplica = 2
		assert.Equal(t, []string{
			"--model=google/gemma-3-1b-it", "--port=8000", "--max-model-len=8192", "--max-num-seqs=16",
			"--time-to-first-token=110ms", "--inter-token-latency=15ms", "--time-factor-under-load=1.5",
			"--force-dummy-tokenizer",
		}, serverArgs(args))
	})
}

// A flag that the program sets but does not own could be set a second time by the extra arguments.
func TestEveryFlagSetIsOwned(t *testing.T) {
	many := vllmArgs()
	many.Model.Revision = "main"
	many.GPU.PerReplica = 2
	for _, args := range []*VLLMArgs{many, simulatorArgs()} {
		for _, arg := range serverArgs(args) {
			flag, _, _ := strings.Cut(arg, "=")
			assert.Contains(t, OwnedFlags(), flag)
		}
	}
}
