package kubernetesprovider

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
)

// The upstream provider keeps every revision of a release unless it is told otherwise. A limit of the double would hide a
// program that forgets it.
func TestReleaseHistoryHasNoLimitByDefault(t *testing.T) {
	assert.Zero(t, releaseFrom(change{inputs: resource.PropertyMap{}}).maxHistory, "0 is no limit in Helm")
	assert.Equal(t, 10, releaseFrom(change{inputs: resource.PropertyMap{"maxHistory": resource.NewProperty(10.0)}}).maxHistory)
}
