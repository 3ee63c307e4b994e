package components

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPrometheusDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		2 * time.Second:         "2s",
		90 * time.Second:        "90s",
		1500 * time.Millisecond: "1500ms",
		5 * time.Minute:         "300s",
	} {
		assert.Equal(t, want, prometheusDuration(d))
	}
}

func TestWholeSecondsRoundsUp(t *testing.T) {
	assert.Equal(t, 0, wholeSeconds(0))
	assert.Equal(t, 1, wholeSeconds(time.Millisecond))
	assert.Equal(t, 2, wholeSeconds(2*time.Second))
	assert.Equal(t, 3, wholeSeconds(2*time.Second+1))
}

func TestValidateInterval(t *testing.T) {
	for d, ok := range map[time.Duration]bool{
		0:                              false,
		-time.Second:                   false,
		999 * time.Millisecond:         false,
		time.Second:                    true,
		1500 * time.Millisecond:        true,
		time.Second + time.Microsecond: false,
	} {
		err := validateInterval("ScrapeInterval", d)
		if ok {
			assert.NoError(t, err, d)
		} else {
			assert.ErrorContains(t, err, "ScrapeInterval", d)
		}
	}
}
