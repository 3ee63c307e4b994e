package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAConstantNumberOfReplicasHasNoSpareNodes(t *testing.T) {
	assert.Equal(t, []string{"autoscaling.minReplicas=3", "autoscaling.maxReplicas=3"}, constant(3, 0))
	assert.Equal(t, []string{"autoscaling.minReplicas=3", "autoscaling.maxReplicas=3", "autoscaling.spareNodes=0"}, constant(3, 2))
}
