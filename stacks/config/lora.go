package config

import (
	"fmt"
	"maps"
	"slices"

	"vllm-autoscaling/stacks/config/models"
	"vllm-autoscaling/stacks/config/sizing"
)

// LoRA configures the LoRA adapters of the server. They are fixed: vLLM loads no other one while it runs, because whoever may call the
// API could then make it load files.
type LoRA struct {
	// Adapters are the adapters by the name under which clients choose them: organisation/name on Hugging Face, or an absolute path in
	// the image.
	Adapters map[string]string `key:"adapters" unset:"none" example:"{support: example/gemma-3-1b-support}" format:"adapters"`
	// MaxRank is the highest rank of an adapter, r in its adapter_config.json.
	MaxRank int `key:"maxRank" values:"1 8 16 32 64 128 256 320 512" default:"16" example:"32"`
	// MaxLoras is how many adapters the requests of a forward pass may use together, for which GPU memory is reserved; requests for
	// further ones wait. The default is the number of model.lora.adapters.
	MaxLoras int `key:"maxLoras" unit:"adapters" min:"1" max:"64" example:"2"`
}

// defaultMaxLoras returns how many adapters the requests of a pass may use together unless told otherwise.
func (l LoRA) defaultMaxLoras() int { return max(1, len(l.Adapters)) }

// withAdapters returns a footprint with the memory that vLLM reserves for adapters.
func (m Model) withAdapters(f sizing.Footprint, model models.Model) sizing.Footprint {
	if len(m.LoRA.Adapters) == 0 {
		return f
	}
	return f.WithAdapters(model, m.LoRA.MaxLoras, m.LoRA.MaxRank)
}

// adaptersGiB returns the size of a number of adapters of the highest rank; 0 if the model is not in the catalogue.
func (m Model) adaptersGiB(n int) float64 {
	model, known := models.Find(m.ID)
	if !known || len(m.LoRA.Adapters) == 0 {
		return 0
	}
	return float64(n) * sizing.AdapterBytes(model, m.LoRA.MaxRank) / sizing.GiB
}

// checkLoRA refuses adapters that the server would not serve, and settings of adapters without any.
func (c *Config) checkLoRA(r *report) {
	l := c.Model.LoRA
	if len(l.Adapters) == 0 {
		for _, key := range []string{"maxRank", "maxLoras"} {
			if r.given.has("model.lora." + key) {
				r.bad("model.lora."+key, choose(key == "maxRank", l.MaxRank, l.MaxLoras), "a value only together with model.lora.adapters",
					"remove it, or name the adapters")
			}
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(l.Adapters)) {
		if name == c.Model.ID {
			r.bad("model.lora.adapters."+name, l.Adapters[name], "a name other than model.id, by which clients choose the model itself", "give it another name")
		}
	}
	if l.MaxLoras > len(l.Adapters) {
		r.bad("model.lora.maxLoras", l.MaxLoras, fmt.Sprintf("at most %d, the number of model.lora.adapters", len(l.Adapters)),
			"remove it: more would reserve memory for nothing")
	}
	if _, speculative := serverFlags(c.Model.ExtraArgs)["--speculative-config"]; speculative {
		r.bad("model.lora.adapters", "", "no --speculative-config in model.extraArgs: vLLM does not combine the two (its table of features)", "leave one of them out")
	}
	if model, known := models.Find(c.Model.ID); known && model.NoLoRA && !r.anyRefused("model.id") {
		r.warn("model.lora.adapters", "", fmt.Sprintf("vLLM's list of models has no LoRA for %s, so that the server may refuse to start", c.Model.ID),
			"try it on one replica first")
	}
}
