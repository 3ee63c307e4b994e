package engine

import (
	"maps"
	"testing"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// cloudDouble describes one cloud to these tests: the double of its provider, and what the stack of the cloud registers. A
// further cloud is one of these in a file of its own and a row in clouds.
type cloudDouble struct {
	// stack is the name of the stack and of the cloud in the configuration.
	stack string
	// keys are those that the configuration must have.
	keys map[string]any

	// provider is the package of the cloud's provider, version the one of its SDK in the program's go.mod.
	provider tokens.Package
	version  semver.Version
	// kinds are the types that the stack registers. The double refuses any other type.
	kinds map[tokens.Type]cloudKind
	// answers are the results of the look-ups that do not depend on a test, by token.
	answers map[tokens.ModuleMember]func(args resource.PropertyMap) (map[string]any, error)
	// looks are the results of the look-ups of what the stack itself has created, by token. They are called with the lock held.
	looks map[tokens.ModuleMember]func(c *fakeCloud, args resource.PropertyMap) (map[string]any, error)
	// updateForgets reports that the provider's preview of an update shows every computed output as unknown.
	updateForgets bool

	// component is the type of the cluster's component.
	component string
	// cluster, kubernetes, systemPool and gpuPool are the resources of the cluster, of the Kubernetes provider for it and
	// of its node pools, by type and name. systemPool is "" when that pool is part of the cluster.
	cluster, kubernetes, systemPool, gpuPool string
	// credentials is what its kubeconfig contains about authentication, login the command that the outputs start with.
	credentials, login string
	// existing are the results of the look-ups on an existing cluster that meets every requirement, by token;
	// existingKeys are the configuration keys beside cluster.existing that select it.
	existing     map[string]map[string]any
	existingKeys map[string]any
	// attached is what the stack creates on such a cluster.
	attached []string
	// order are chains of resources, by type and name, in which each is created before the next one.
	order [][][2]string

	// managedGPUMetrics reports that the cloud runs the GPU exporter and the device plugin, so that no chart installs them.
	managedGPUMetrics bool
	// installsNodeAutoscaler reports that the stack installs a node autoscaler, because the cloud runs none.
	installsNodeAutoscaler bool
	// providerProtects reports that the cloud's provider refuses to delete a protected cluster, instead of the engine.
	providerProtects bool
	// newPoolFirst reports that a pool is replaced by creating the new one before the old one is deleted.
	newPoolFirst bool
	// everyUp and everyDestroy select one in so many changes as the point at which an operation breaks off.
	everyUp, everyDestroy int
	// allowed are the policy rules that an open cluster may break beside those that the test expects.
	allowed map[string]bool
}

// clouds are the clouds that have a stack.
var clouds = []*cloudDouble{aks, eks, gke}

// doubleOf returns the double of the cloud with that stack.
func doubleOf(t *testing.T, stack string) *cloudDouble {
	t.Helper()
	for _, c := range clouds {
		if c.stack == stack {
			return c
		}
	}
	t.Fatalf("no cloud has the stack %q", stack)
	return nil
}

// eachCloud runs a test for the stack of each cloud.
func eachCloud(t *testing.T, test func(t *testing.T, stack string)) {
	for _, c := range clouds {
		t.Run(c.stack, func(t *testing.T) { test(t, c.stack) })
	}
}

// cloudKinds are the types of all clouds.
var cloudKinds = func() map[tokens.Type]cloudKind {
	all := map[tokens.Type]cloudKind{}
	for _, c := range clouds {
		maps.Copy(all, c.kinds)
	}
	return all
}()
