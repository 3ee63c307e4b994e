package sizing

import "vllm-autoscaling/stacks/config/models"

// adapterBytes is the size of a number of a LoRA adapter: vLLM keeps them in the type of the activations (--lora-dtype auto).
const adapterBytes = 2

// AdapterBytes returns the size of a LoRA adapter of a model with a rank, in bytes, if it changes every linear layer of the language model
// and the scores of the next token: as much as vLLM reserves for it on the GPU, whatever the adapter changes.
func AdapterBytes(m models.Model, rank int) float64 {
	return float64(rank) * adapterWidth(m) * adapterBytes
}

// WithAdapters returns the footprint with memory for a number of LoRA adapters of a rank at a time. vLLM splits half of an adapter over
// the GPUs at most (--fully-sharded-loras is off), so that a whole one is counted on each.
func (f Footprint) WithAdapters(m models.Model, adapters, rank int) Footprint {
	f.adaptersGiB = float64(adapters) * AdapterBytes(m, rank) / GiB
	return f
}

// adapterWidth returns the inputs and outputs of all linear layers together, each of which has a number for each rank. The widths of
// attention are in the catalogue; those of the feed-forward part follow from the weights that are left, because it has two matrices into
// its width and one out of it. All experts of a mixture count as one matrix, which is too little by their inputs.
func adapterWidth(m models.Model) float64 {
	hidden := float64(m.HiddenSize)
	weights := (m.Parameters - m.Kept()) * 1e9
	width := 0.0
	for _, kind := range []models.Layers{m.Full, {Count: m.Sliding.Count + m.SharedLayers, KVHeads: m.Sliding.KVHeads, HeadDim: m.Sliding.HeadDim}} {
		queries, cached := float64(m.Heads*kind.HeadDim), 2*float64(kind.KVHeads*kind.HeadDim)
		// Queries in, keys and values in, and the result out.
		width += float64(kind.Count) * (2*(hidden+queries) + 2*hidden + cached)
		weights -= float64(kind.Count) * hidden * (2*queries + cached)
	}
	width += 3*hidden*float64(m.LayerCount()) + weights/hidden
	return width + hidden + vocabulary
}
