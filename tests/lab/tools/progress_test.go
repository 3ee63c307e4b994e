package tools

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestEstimate(t *testing.T) {
	speed := busy * float64(runtime.GOMAXPROCS(0)) // CPU seconds of the catalogue in a second
	e := newEstimate(int(20 * 60 * speed))
	assert.Equal(t, "about 20 min", e.remaining(0))
	assert.Equal(t, "about 15 min", e.remaining(5*time.Minute))
	assert.Equal(t, "less than a minute", e.remaining(time.Hour))

	e.finish(int(10*60*speed), 10*time.Minute)
	assert.Equal(t, "about 10 min", e.remaining(0), "as fast as assumed")

	e = newEstimate(int(20 * 60 * speed))
	e.finish(int(10*60*speed), 20*time.Minute)
	assert.Equal(t, "about 19 min", e.remaining(0), "half as fast as assumed")

	e = newEstimate(int(20 * 60 * speed))
	e.finish(int(10*60*speed), time.Second)
	assert.Equal(t, "less than a minute", e.remaining(0), "everything was compiled")

	assert.Empty(t, (&estimate{}).remaining(0))
}

func TestProgress(t *testing.T) {
	var log bytes.Buffer
	e := newEstimate(1000000)
	e.start(&log, "tools: [1/2] one", 0)(nil)
	assert.Regexp(t, `^tools: \[1/2\] one building \.\.\. 0 s, about \d+ min left\n$`, log.String())
	log.Reset()
	e.start(&log, "tools: [2/2] two", 1000000)(nil)
	assert.Equal(t, "tools: [2/2] two building ... 0 s\n", log.String())
	log.Reset()
	e.start(&log, "tools: three", 0)(errors.New("no"))
	assert.Equal(t, "tools: three building ... failed after 0 s\n", log.String())
}
