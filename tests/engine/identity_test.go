package engine

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const otherUID = "ffffffff-4f50-4162-8374-95a6b7c8d9e0"

// move restarts the API server at another address, as minikube does, and writes a kubeconfig for it.
func (s *stack) move(contextName string) {
	s.server.Close()
	s.serve()
	s.writeKubeconfig(contextName, "a-token")
}

// TestAnotherAddressReplacesNothing checks that a cluster is the same one at another address, when the old one is dead, and
// under another name of the context.
func TestAnotherAddressReplacesNothing(t *testing.T) {
	s := newStack(t, "local", nil)
	s.up()
	s.move("renamed")
	assert.Equal(t, []string{"update kubernetes cluster"}, s.up().changes())
	assert.Empty(t, s.up().changes())
	s.destroy()
	assert.Empty(t, s.cluster.remaining())
}

// TestAnotherClusterReplacesEverything checks that everything is created in another cluster, and deleted from the old one, at
// another address and at the same, where a cluster was deleted and created anew.
func TestAnotherClusterReplacesEverything(t *testing.T) {
	for name, change := range map[string]func(s *stack){
		"at another address":  func(s *stack) { s.move("kind-test") },
		"at the same address": func(*stack) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, "local", nil)
			s.cluster.clusters = map[string]*fakeCluster{}
			old, other := s.cluster.named(s.uid), s.cluster.named(otherUID)
			s.up()
			before := old.remaining()
			require.NotEmpty(t, before)
			s.uid = otherUID
			change(s)
			changes := s.up().changes()
			assert.Contains(t, changes, "create-replacement kubernetes cluster")
			assert.Contains(t, changes, "create-replacement Deployment vllm")
			assert.NotContains(t, changes, "update Deployment vllm")
			assert.Equal(t, before, other.remaining())
			assert.Empty(t, old.remaining())
			assert.Equal(t, otherUID, s.find("kubernetes", "cluster").Inputs["clusterIdentifier"].StringValue())
			assert.Empty(t, s.up().changes(), "and then everything is the same again")
		})
	}
}

// TestStateOfAnEarlierVersion checks that a stack whose state has the server's address as the cluster's identifier is taken over
// without a change, and that its cluster is told from others afterwards.
func TestStateOfAnEarlierVersion(t *testing.T) {
	earlier := func(t *testing.T) *stack {
		t.Helper()
		s := newStack(t, "local", nil)
		s.up()
		provider := s.find("kubernetes", "cluster")
		for _, properties := range []resource.PropertyMap{provider.Inputs, provider.Outputs} {
			properties["clusterIdentifier"] = resource.NewProperty(s.server.URL)
		}
		provider.ReplacementTrigger = resource.NewNullProperty()
		return s
	}
	t.Run("unchanged", func(t *testing.T) {
		s := earlier(t)
		assert.Empty(t, s.up().changes())
		require.Equal(t, s.uid, s.find("kubernetes", "cluster").ReplacementTrigger.StringValue())
		s.cluster.clusters = map[string]*fakeCluster{s.server.URL: s.cluster}
		s.uid = otherUID
		assert.Contains(t, s.up().changes(), "create-replacement kubernetes cluster")
		assert.Empty(t, s.cluster.remaining())
	})
	t.Run("at another address", func(t *testing.T) {
		s := earlier(t)
		s.move("renamed")
		assert.Equal(t, []string{"update kubernetes cluster"}, s.up().changes())
		assert.Empty(t, s.up().changes())
	})
}
