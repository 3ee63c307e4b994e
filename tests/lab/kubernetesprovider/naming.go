package kubernetesprovider

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/urn"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// autonamedAnnotation marks an object with a generated name, so that later updates keep the name.
const autonamedAnnotation = "pulumi.com/autonamed"

// suffixLength is the number of random hex digits behind an automatic name, as in the upstream provider.
const suffixLength = 8

// autoName generates a name: prefix, a dash and hex digits from the seed, which is the same in a preview and the update after
// it.
func autoName(prefix string, seed []byte) string {
	if len(seed) == 0 {
		seed = make([]byte, 32)
		_, _ = rand.Read(seed) // never fails since Go 1.24
	}
	sum := sha256.Sum256(append([]byte(prefix+"\x00"), seed...))
	return prefix + "-" + hex.EncodeToString(sum[:])[:suffixLength]
}

// names proposes the name of a resource without one.
type names struct {
	prefix   string // the resource's name in the program
	seed     []byte
	proposed string // by the stack's autonaming configuration
	disabled bool   // by the stack's autonaming configuration
}

func namer(req *pulumirpc.CheckRequest) names {
	n := names{prefix: req.GetName(), seed: req.GetRandomSeed()}
	if n.prefix == "" {
		n.prefix = urn.URN(req.GetUrn()).Name()
	}
	if a := req.GetAutonaming(); a != nil {
		n.proposed = a.GetProposedName()
		n.disabled = a.GetMode() == pulumirpc.CheckRequest_AutonamingOptions_DISABLE
	}
	return n
}

func (n names) name() string {
	if n.proposed != "" {
		return n.proposed
	}
	return autoName(n.prefix, n.seed)
}

// fieldManager returns the owner of the fields that server-side apply sets. It is the same for every update of a resource,
// also for one that was added to the state by hand, and differs between resources and stacks.
func fieldManager(u string) string {
	sum := sha256.Sum256([]byte(u))
	return fieldManagerPrefix + "-" + hex.EncodeToString(sum[:])[:suffixLength]
}

const fieldManagerPrefix = "pulumi-kubernetes"
