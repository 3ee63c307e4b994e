package workflows

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhereAStackRuns checks that the scripts read the key cloud of a stack file in the usual notations of YAML.
func TestWhereAStackRuns(t *testing.T) {
	for line, want := range map[string]string{
		"vllm-autoscaling:cloud: gke":              "gke",
		"vllm-autoscaling:cloud: eks # as staging": "eks",
		`vllm-autoscaling:cloud: "gke"`:            "gke",
		`vllm-autoscaling:cloud: 'aks'`:            "aks",
		`"vllm-autoscaling:cloud": gke`:            "gke",
		`'vllm-autoscaling:cloud': "local"`:        "local",
		"# vllm-autoscaling:cloud: gke":            "prod",
		"vllm-autoscaling:production: true":        "prod",
		"other:vllm-autoscaling:cloud: gke":        "prod",
	} {
		t.Run(line, func(t *testing.T) {
			repo := newCheckout(t)
			repo.write("Pulumi.prod.yaml", "config:\n  "+line+"\n")
			got := repo.script("confirm-destroy", map[string]string{"STACK": "prod", "CONFIRM": "prod"})
			require.NoError(t, got.err, got.stderr)
			assert.Equal(t, map[string]string{"stack": "prod", "cloud": want}, got.outputs)
		})
	}
}
