package engine

import (
	"math/rand/v2"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/tests/configdocs"
)

// The engine plans and deploys every configuration that the program accepts, and a second up changes nothing. This tests a
// few random configurations of each cloud; tests/configdocs tests many more with the program alone.
func TestWhatIsAcceptedIsDeployed(t *testing.T) {
	keys, err := configdocs.Load("../..")
	require.NoError(t, err)
	for i, cloud := range config.Clouds {
		t.Run(cloud, func(t *testing.T) {
			random := rand.New(rand.NewPCG(20261122, uint64(100+i)))
			for range choose(testing.Short(), 3, 8) {
				given, err := configdocs.Valid(random, keys, cloud)
				require.NoError(t, err)
				values := map[string]any{}
				for key, value := range given {
					if plain, ok := value.(configdocs.Encrypted); ok {
						// The engine hides a secret in all later messages of the process, and an odd string may be any word.
						value = secret("odd-" + plain)
					}
					values[key] = value
				}
				values["vllm.readyTimeout"] = "0s" // there is no server to wait for
				s := &cloudStack{}
				if cloud == config.CloudLocal {
					s.stack = newStack(t, cloud, values)
				} else {
					s = newCloudStack(t, cloud, values)
				}
				require.NoError(t, s.preview().err, "accepted, but:\n%s", given)
				require.NoError(t, s.run(engine.Update, false).err, "accepted and planned, but:\n%s", given)
				assert.Empty(t, s.preview().planned(), "and then everything is the same:\n%s", given)
			}
		})
	}
}
