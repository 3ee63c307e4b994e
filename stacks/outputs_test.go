package stacks

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/stacks/config"
)

func TestOtherServersInTheOutputs(t *testing.T) {
	d := &deployment{}
	for _, name := range []string{"chat", "code", "docs"} {
		d.servers = append(d.servers, &server{config: &config.Config{Server: name}})
	}
	assert.Equal(t, []string{"chat", "docs"}, d.othersThan(d.servers[1]))
	d.servers = d.servers[:1]
	assert.Empty(t, d.othersThan(d.servers[0]))
}
