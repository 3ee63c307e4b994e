package podruntime

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBackOffIsTheKubelets(t *testing.T) {
	var b backOff
	now := time.Unix(0, 0)
	for i, seconds := range []int{0, 10, 20, 40, 80, 160, 300, 300} {
		wait := b.after(now)
		assert.Equal(t, time.Duration(seconds)*time.Second, wait, "end %d", i+1)
		now = now.Add(wait + time.Second)
	}
	now = now.Add(9 * time.Minute)
	assert.Equal(t, 5*time.Minute, b.after(now), "a container that ran for less than 10 minutes")
	now = now.Add(5*time.Minute + 11*time.Minute)
	assert.Zero(t, b.after(now), "a container that ran for more")
	assert.Equal(t, 10*time.Second, b.after(now.Add(time.Second)))
}
