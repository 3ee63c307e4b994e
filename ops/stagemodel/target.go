package stagemodel

import (
	"errors"
	"fmt"
	"strings"

	"vllm-autoscaling/components"
	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/stacks/config/models"
)

// Target is what is filled, and with which model.
type Target struct {
	// Server is the name of the server, Namespace that of its pods.
	Server, Namespace string
	// Model is the name on the Hugging Face hub, Revision a commit, tag or branch; "" is the newest.
	Model, Revision string
	// Weights is the bucket or the claim.
	Weights components.Weights
	// Gated reports whether the catalogue has the model as one that needs a token, HasToken whether the stack has a Hugging Face token.
	Gated, HasToken bool
	// Labels and Annotations are those of the stack's objects.
	Labels, Annotations map[string]string
}

// TargetOf returns the target of a server's configuration, or why there is nothing to fill.
func TargetOf(c *config.Config) (Target, error) {
	weights := c.Model.Weights()
	switch {
	case c.GPU.Mode != config.GPUNvidia:
		return Target{}, errors.New("gpu.mode is simulated: the simulator loads no weights")
	case strings.HasPrefix(c.Model.ID, "/"):
		return Target{}, fmt.Errorf("model.id %s is a path in the image, not a model on the Hugging Face hub", c.Model.ID)
	case weights.Source == components.WeightsImage:
		return Target{}, errors.New("model.source is image: the weights are in the image, which is built and pushed with them (docs/cold-start.md)")
	case weights.FromHub():
		return Target{}, errors.New("model.source is hub: every replica downloads the model itself, and there is nothing to fill. " +
			"Set model.source to bucket or claim first (docs/cold-start.md)")
	}
	known, found := models.Find(c.Model.ID)
	return Target{
		Server: c.Server, Namespace: c.Namespaces.Serving,
		Model: c.Model.ID, Revision: c.Model.Revision, Weights: weights, Gated: found && known.Gated, HasToken: c.HuggingFaceToken.Given(),
		Labels: c.Labels, Annotations: c.Annotations,
	}, nil
}

// String describes the target for people.
func (t Target) String() string {
	model := t.Model
	if t.Revision != "" {
		model += " at " + t.Revision
	}
	return model + ", to " + t.Weights.String()
}
