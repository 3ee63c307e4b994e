package config

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"vllm-autoscaling/stacks/config/models"
	"vllm-autoscaling/stacks/config/sizing"
)

const batchedTokensFlag = "--max-num-batched-tokens"

// noImages lists flags of vLLM that exclude images or limit them: whether an item of a request still needs a whole batch is then not known.
var noImages = []string{"--language-model-only", "--limit-mm-per-prompt"}

// readsImages returns the model's entry in the catalogue, and whether it is served with images.
func (c *Config) readsImages() (models.Model, bool) {
	model, known := models.Find(c.Model.ID)
	flags := serverFlags(c.Model.ExtraArgs)
	for _, flag := range noImages {
		if _, given := flags[flag]; given {
			return model, false
		}
	}
	return model, known && model.Multimodal && c.GPU.Mode == GPUNvidia
}

// batchLimit is a number of tokens below which vLLM does not start, and why.
type batchLimit struct {
	tokens int
	why    string
}

// leastBatches returns the limits of the number of tokens in a forward pass.
func (c *Config) leastBatches() []batchLimit {
	limits := []batchLimit{{c.Model.MaxNumSeqs, fmt.Sprintf("model.maxNumSeqs (%d): a forward pass has a token of each running request", c.Model.MaxNumSeqs)}}
	if model, ok := c.readsImages(); ok {
		limits = append(limits, batchLimit{model.MinBatchedTokens,
			fmt.Sprintf("%d, the longest image or video of %s: vLLM does not split one", model.MinBatchedTokens, c.Model.ID)})
	}
	if _, whole := serverFlags(c.Model.ExtraArgs)["--no-enable-chunked-prefill"]; whole {
		limits = append(limits, batchLimit{c.Model.MaxModelLen,
			fmt.Sprintf("model.maxModelLen (%d), because --no-enable-chunked-prefill leaves prompts whole", c.Model.MaxModelLen)})
	}
	return limits
}

// defaultBatchedTokens returns how many tokens vLLM puts into one forward pass unless told otherwise.
func (c *Config) defaultBatchedTokens() int {
	byDefault := sizing.DefaultBatchedTokens(c.usableGiB(), c.createsGPUPool() && strings.Contains(c.NodePools.GPU.Accelerator, "a100"))
	if serverFlags(c.Model.ExtraArgs)["--performance-mode"] == "throughput" {
		return 2 * byDefault
	}
	return byDefault
}

// batchedTokens returns how many tokens vLLM puts into one forward pass.
func (c *Config) batchedTokens() int {
	if n, ok := humanInt(serverFlags(c.Model.ExtraArgs)[batchedTokensFlag]); ok {
		return n
	}
	least := 0
	for _, limit := range c.leastBatches() {
		least = max(least, limit.tokens)
	}
	return sizing.EnoughBatchedTokens(c.objectiveTokens(), least)
}

// objectiveTokens returns vLLM's own number of tokens, or so much less that a full forward pass keeps slo.interToken: answers wait for
// the prompts that are computed in the same pass.
func (c *Config) objectiveTokens() int {
	tokens := c.defaultBatchedTokens()
	profile, known := c.Speed()
	if !known || serverFlags(c.Model.ExtraArgs)["--performance-mode"] != "" {
		return tokens
	}
	return sizing.ShortBatchedTokens(tokens, func(n int) bool { return profile.Pass(n, 0) <= c.SLO.InterToken.Seconds() })
}

// BatchedTokens returns how many tokens vLLM puts into one forward pass.
func (c *Config) BatchedTokens() int { return c.batchedTokens() }

// MaxNumBatchedTokens returns the number of tokens in a forward pass to set; 0 where vLLM's own number is enough on every GPU.
func (c *Config) MaxNumBatchedTokens() int {
	// vLLM lowers its own number to that of all running requests, which may be less than an image has. Outside a cloud the
	// kind of GPU is not known, only its memory.
	surely := min(sizing.BatchedTokens, c.Model.MaxNumSeqs*c.Model.MaxModelLen)
	for _, limit := range c.leastBatches() {
		if limit.tokens > surely {
			return c.batchedTokens()
		}
	}
	if tokens := c.batchedTokens(); tokens < c.defaultBatchedTokens() {
		return tokens
	}
	return 0
}

// checkBatchedTokens refuses a number of tokens in a forward pass with which vLLM does not start.
func (c *Config) checkBatchedTokens(r *report) {
	given, index := "", -1
	for i, arg := range c.Model.ExtraArgs {
		if name, _, _ := strings.Cut(arg, "="); flagName(name) == batchedTokensFlag {
			given, index = serverFlags(c.Model.ExtraArgs)[batchedTokensFlag], i
		}
	}
	if index < 0 || r.anyRefused("model.id", "model.maxModelLen", "model.maxNumSeqs", "gpu.mode") {
		return
	}
	key := fmt.Sprintf("model.extraArgs[%d]", index)
	n, ok := humanInt(given)
	if !ok {
		r.bad(key, batchedTokensFlag+"="+given, "a number of tokens, such as 4096 or 4K", "correct it, or remove the flag")
		return
	}
	for _, limit := range c.leastBatches() {
		if n < limit.tokens {
			r.bad(key, fmt.Sprintf("%s=%s", batchedTokensFlag, given), "at least "+limit.why,
				fmt.Sprintf("remove the flag, or raise it to %d", sizing.EnoughBatchedTokens(sizing.BatchedTokens, limit.tokens)))
			return
		}
	}
}

// humanNumber matches the numbers that vLLM reads for some flags: 4096, 4k (4000), 4.5k and 4K (4096).
var humanNumber = regexp.MustCompile(`^([0-9]+)(\.[0-9]+)?([kKmMgG]?)$`)

// humanInt returns the number that vLLM reads; ok is false if it is not one above 0.
func humanInt(text string) (n int, ok bool) {
	parts := humanNumber.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil || parts[2] != "" && !strings.Contains("kmg", cmp.Or(parts[3], "none")) {
		return 0, false
	}
	factor := map[string]float64{"": 1, "k": 1e3, "K": 1 << 10, "m": 1e6, "M": 1 << 20, "g": 1e9, "G": 1 << 30}[parts[3]]
	number, err := strconv.ParseFloat(parts[1]+parts[2], 64)
	if number *= factor; err != nil || number < 1 || number > math.MaxInt32 {
		return 0, false
	}
	return int(number), true
}
